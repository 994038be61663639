"""A dialled connection, read piece by piece: whole pieces or an error, and no more waiting than a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dayfly.adapters.validators.wire import MOST, Wire

Say = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]
Hear = Callable[[Wire], Coroutine[Any, Any, None]]


def meet(say: Say, hear: Hear) -> None:
    """Connect to a peer that says something, and hear it; twenty seconds at most."""

    async def scenario() -> None:
        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await say(writer)
            except ConnectionError:
                return
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
            try:
                await hear(wire)
            finally:
                wire.transport.abort()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_pieces_come_whole_however_they_were_sent() -> None:
    """Up to a separator, a number of octets, and the rest to the end."""

    async def say(writer: asyncio.StreamWriter) -> None:
        for octet in b"head\r\nbodyrest":
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0)

    async def hear(wire: Wire) -> None:
        assert await wire.until(b"\r\n") == b"head\r\n"
        assert await wire.exactly(4) == b"body"
        rest = b""
        while more := await wire.some(3):
            assert len(more) <= 3
            rest += more
        assert rest == b"rest"

    meet(say, hear)


def test_end_before_the_piece_is_whole_is_told() -> None:
    """Nobody waits for a peer that has said all."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")

    async def hear(wire: Wire) -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.until(b"\r\n")
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.exactly(5)
        assert await wire.some(100) == b"half"
        assert await wire.some(100) == b""

    meet(say, hear)


def test_peer_that_says_too_much_has_to_wait() -> None:
    """What waits here is bounded, whatever comes; what is read makes room for more."""
    sent = 0

    async def say(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(64):
            writer.write(b"x" * 262_144)
            await writer.drain()
            sent += 262_144

    async def hear(wire: Wire) -> None:
        with pytest.raises(asyncio.LimitOverrunError):
            await wire.until(b"\r\n")
        assert len(wire._came) <= MOST + 262_144  # one read
        heard = 0
        while more := await wire.some(MOST):
            heard += len(more)
        assert heard == sent == 64 * 262_144

    meet(say, hear)


def test_wire_that_was_not_dialled_is_a_bug() -> None:
    """Nothing is read from nowhere."""
    with pytest.raises(RuntimeError, match="before it was dialled"):
        _ = Wire().transport
