"""Connections before their handshakes: who is begun, who waits, who is let go (security.md 15, H6)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from dayfly.server.arrivals import Arrival, Arrivals

RECORD = b"\x16\x03\x01\x00\x20" + bytes(32)


@dataclass(slots=True)
class Hall:
    """Arrivals with their peers, and what became of them."""

    arrivals: Arrivals
    spoken: list[Arrival] = field(default_factory=list)
    gone: list[Arrival] = field(default_factory=list)
    silent: list[None] = field(default_factory=list)
    peers: list[socket.socket] = field(default_factory=list)

    def come(self, place: int = 0) -> socket.socket:
        """One more connection over loopback; its peer's end."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname(), 5)
            connection, _ = listening.accept()
        self.arrivals.add(connection, place)
        self.peers.append(peer)
        return peer


def arrivals(patience: float, spoken: list[Arrival], gone: list[Arrival], silent: list[None]) -> Arrivals:
    """Arrivals on the running loop that tell these lists."""
    return Arrivals(
        asyncio.get_running_loop(),
        patience,
        on_spoken=spoken.append,
        on_gone=gone.append,
        on_silent=lambda: silent.append(None),
    )


@asynccontextmanager
async def hall(patience: float = 20.0) -> AsyncIterator[Hall]:
    """Arrivals on the running loop, closed at the end."""
    spoken: list[Arrival] = []
    gone: list[Arrival] = []
    silent: list[None] = []
    one = Hall(arrivals(patience, spoken, gone, silent), spoken, gone, silent)
    try:
        yield one
    finally:
        one.arrivals.close()
        for arrival in one.spoken:
            arrival.connection.close()
        for peer in one.peers:
            peer.close()


async def until(reached: Callable[[], bool]) -> None:
    """Wait for it, within 20 s."""
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    """A loop of the standard library, or the one that the server runs on."""
    return asyncio.Runner(loop_factory=request.param)


def test_arrival_that_spoke_is_handed_over_untouched(runner: asyncio.Runner) -> None:
    """The octets are still to be read, by a socket that is ready at the first octet again."""

    async def scenario() -> None:
        async with hall() as one:
            one.come(7).sendall(RECORD)
            await until(lambda: bool(one.spoken))
            (arrival,) = one.spoken
            assert (arrival.place, len(one.arrivals), one.gone) == (7, 0, [])
            assert arrival.connection.recv(100) == RECORD
            assert arrival.connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1

    with runner:
        runner.run(scenario())


def test_arrival_in_pieces_is_begun_once_its_record_is_whole(runner: asyncio.Runner) -> None:
    """Header and record in pieces: nothing is begun before the end, and no octet is lost."""

    async def scenario() -> None:
        async with hall() as one:
            peer = one.come()
            for piece in (RECORD[:1], RECORD[1:5], RECORD[5:6], RECORD[6:20]):
                peer.sendall(piece)
                await asyncio.sleep(0.05)  # what must not happen has no event to wait for
                assert one.spoken == []
            peer.sendall(RECORD[20:])
            await until(lambda: bool(one.spoken))
            assert one.spoken[0].connection.recv(100) == RECORD
            assert one.spoken[0].connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1

    with runner:
        runner.run(scenario())


def test_arrival_that_began_a_record_keeps_no_loop_busy(runner: asyncio.Runner) -> None:
    """The kernel is quiet while the rest of the record is missing: it is looked at once."""

    async def scenario() -> None:
        async with hall() as one:
            looks = 0
            hear = one.arrivals._hear  # how often it is called is what is tested

            def counted(descriptor: int, arrival: Arrival) -> None:
                nonlocal looks
                looks += 1
                hear(descriptor, arrival)

            one.arrivals._hear = counted  # type: ignore[method-assign]  # as above
            one.come().sendall(RECORD[:6])
            await asyncio.sleep(0.1)  # as above
            assert (looks, one.spoken) == (1, [])

    with runner:
        runner.run(scenario())


@pytest.mark.parametrize("reset", [False, True])
def test_arrival_whose_peer_leaves_is_gone(runner: asyncio.Runner, *, reset: bool) -> None:
    """A peer that closes, or resets, before it said anything gives its place back."""

    async def scenario() -> None:
        async with hall() as one:
            peer = one.come(3)
            if reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            peer.close()
            await until(lambda: bool(one.gone))
            assert (one.gone[0].place, one.gone[0].connection.fileno(), len(one.arrivals)) == (3, -1, 0)

    with runner:
        runner.run(scenario())


def test_arrivals_are_gone_when_their_time_is_up(runner: asyncio.Runner) -> None:
    """Each has its own time, by one timer: a later one stays until its own is over."""

    async def scenario() -> None:
        async with hall(patience=0.2) as one:
            first = one.come(1)
            await asyncio.sleep(0.1)  # the second comes later
            one.come(2).sendall(RECORD[:6])
            await until(lambda: len(one.gone) == 1)
            assert (one.gone[0].place, len(one.arrivals)) == (1, 1)
            assert first.recv(1) == b""
            await until(lambda: len(one.gone) == 2)
            one.come(3)
            await until(lambda: len(one.gone) == 3)
            assert len(one.silent) == 3

    with runner:
        runner.run(scenario())


def test_arrivals_drop_the_oldest_and_close_the_rest(runner: asyncio.Runner) -> None:
    """What came first goes first; at the end nobody is left waiting."""

    async def scenario() -> None:
        async with hall() as one:
            peers = [one.come(place) for place in range(3)]
            one.arrivals.drop_oldest()
            assert [arrival.place for arrival in one.gone] == [0]
            assert peers[0].recv(1) == b""
            one.arrivals.close()
            assert [arrival.place for arrival in one.gone] == [0, 1, 2]
            assert one.silent == []
            one.arrivals = arrivals(1.0, one.spoken, one.gone, one.silent)  # which the end closes

    with runner:
        runner.run(scenario())
