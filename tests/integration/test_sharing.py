"""How connections of one socket are shared out between those that accept from it: the rule, without the chances."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from dayfly.server.app import Application
from dayfly.server.exchange import Request, Response, Route
from dayfly.server.run import serve


@dataclass
class Weight:
    """A share that is light or heavy as the test says; what was published is kept."""

    light: bool
    published: list[int] = field(default_factory=list)

    def publish(self, connections: int) -> None:
        self.published.append(connections)

    def is_lightest(self) -> bool:
        return self.light


async def hello(_: Request) -> Response:
    """Answer."""
    return Response(200, b"hello")


async def ask(address: tuple[str, int]) -> asyncio.StreamWriter:
    """One request on a new connection, which stays open."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
    return writer


def served_by(*shares: Weight, connections: int) -> None:
    """So many connections, one after the other, to servers with these shares on one socket."""

    async def scenario() -> None:
        app = Application([Route("GET", "/hello", hello)], new_request_id=lambda: "r")
        listening, stop = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
        address = listening.getsockname()
        sockets = [listening, *(listening.dup() for _ in shares[1:])]
        tasks = [
            asyncio.create_task(
                serve(
                    app,
                    context=None,
                    sockets=[one],
                    new_request_id=lambda: "f",
                    stop=stop,
                    signals=(),
                    share=share,
                )
            )
            for one, share in zip(sockets, shares, strict=True)
        ]
        writers = [await ask(address) for _ in range(connections)]
        for writer in writers:
            writer.close()
        stop.set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_heavy_one_leaves_connections_to_a_light_one() -> None:
    """All ten go to the one that has fewer."""
    heavy, light = Weight(light=False), Weight(light=True)
    served_by(heavy, light, connections=10)
    assert max(heavy.published) == 0
    assert max(light.published) == 10


def test_connection_that_nobody_else_takes_is_taken_by_a_heavy_one() -> None:
    """A light worker that hangs keeps nobody from being served."""
    heavy = Weight(light=False)
    served_by(heavy, connections=5)
    assert heavy.published[0] == 0
    assert max(heavy.published) == 5
