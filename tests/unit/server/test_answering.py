"""A request and its one answer on a connection: what leaves, and what becomes of an application that fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn import Config

from dayfly.server.app import Application, Request, Response, Route
from dayfly.server.exchange import Answer
from dayfly.server.front import ListenerState, Respond, StrictProtocol
from dayfly.server.limits import FrontLimits

ANSWER = Answer(200, b"content-length: 2\r\nx-request-id: 1\r\n", b"ok")
WHOLE = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\nx-request-id: 1\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: ca.example\r\nContent-Length: 5\r\n\r\nasked"
HEAD = b"HEAD /a HTTP/1.1\r\nHost: ca.example\r\n\r\n"
CLOSING = b"POST /a HTTP/1.1\r\nHost: ca.example\r\nConnection: close\r\nContent-Length: 5\r\n\r\nasked"


class Wire(asyncio.Transport):
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It has none."""

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """The same."""


Meanwhile = Callable[[StrictProtocol], None]


def play(respond: Respond, octets: bytes = POST, meanwhile: Meanwhile = lambda _: None) -> Wire:
    """Send these octets to an application, and let what is under way come to its end after `meanwhile`."""
    wire = Wire()

    async def body() -> None:
        state = ListenerState()
        state.date = b"date: now\r\n"
        config, ids = Config(respond, lifespan="off", log_config=None), itertools.count()
        protocol = StrictProtocol(
            config,
            state,
            asyncio.get_running_loop(),
            respond=respond,
            limits=FrontLimits(),
            new_request_id=lambda: f"f{next(ids)}",
        )
        protocol.connection_made(wire)
        protocol.data_received(octets)
        meanwhile(protocol)
        if state.tasks:
            await asyncio.wait(state.tasks)
        protocol.connection_lost(ValueError("over"))

    asyncio.run(body())
    return wire


async def _answers(_request: Request) -> Answer:
    return ANSWER


async def _waits(_request: Request) -> Answer:
    await asyncio.sleep(0)
    return ANSWER


@pytest.mark.parametrize("respond", [_answers, _waits])
def test_answer_leaves_in_one_write(respond: Respond) -> None:
    """Head and body are one write, so one TLS record; the connection stays."""
    wire = play(respond)
    assert (wire.writes, wire.closed) == ([WHOLE + b"\r\nok"], False)


def test_pipelined_requests_are_answered_in_turn__rfc9112_9_3_2() -> None:
    """The second waits for the first, and both are answered."""
    wire = play(_waits, POST + POST)
    assert wire.writes == [WHOLE + b"\r\nok"] * 2


def test_last_answer_says_so_and_closes__rfc9112_9_6() -> None:
    """Where the connection shall end, the answer says `close`."""
    wire = play(_answers, CLOSING)
    assert (wire.writes, wire.closed) == ([WHOLE + b"connection: close\r\n\r\nok"], True)


def test_answer_under_way_at_the_stop_is_the_last_one() -> None:
    """A server that stops answers what it has begun with, says `close`, and takes no more."""
    wire = play(_waits, POST + POST, meanwhile=StrictProtocol.shutdown)
    assert (wire.writes, wire.closed) == ([WHOLE + b"connection: close\r\n\r\nok"], True)


def test_head_has_no_body__rfc9110_9_3_2() -> None:
    """An answer to HEAD has the headers alone."""
    assert play(_answers, HEAD).writes == [WHOLE + b"\r\n"]


def test_request_comes_whole_to_the_application() -> None:
    """Method, path, query, the first header of each name in lower case, body, and the request id that was brought."""
    seen: list[Request] = []

    async def app(request: Request) -> Answer:
        seen.append(request)
        return ANSWER

    head = b"POST /a/b?c=%20d HTTP/1.1\r\nHost: Ca.example:9000\r\nX-Request-ID: mine-1\r\nX-A: 1\r\nx-a: 2\r\n"
    play(app, head + b"Content-Length: 5\r\n\r\nasked")
    (request,) = seen
    assert (request.method, request.path, request.query, request.body) == ("POST", "/a/b", b"c=%20d", b"asked")
    assert (request.request_id, request.header(b"x-a"), request.host) == ("mine-1", b"1", "ca.example:9000")


@pytest.mark.parametrize("brought", [b"", b"X-Request-ID: a b\r\n", b"X-Request-ID: " + b"a" * 65 + b"\r\n"])
def test_request_without_good_id_gets_one(brought: bytes) -> None:
    """What is no id, or too long, is not repeated."""
    seen: list[str] = []

    async def app(request: Request) -> Answer:
        seen.append(request.request_id)
        return ANSWER

    play(app, b"GET /a HTTP/1.1\r\nHost: ca.example\r\n" + brought + b"\r\n")
    assert seen == ["f0"]


async def _fails(_request: Request) -> Answer:
    raise ValueError("of its own")


async def _fails_later(_request: Request) -> Answer:
    await asyncio.sleep(0)
    raise ValueError("of its own")


@pytest.mark.parametrize("respond", [_fails, _fails_later])
def test_application_without_answer_is_500_and_close(respond: Respond, caplog: pytest.LogCaptureFixture) -> None:
    """The client hears of it once, without any detail, and the log has it."""
    wire = play(respond)
    (answer,) = wire.writes
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nInternal Server Error")
    assert b"of its own" not in answer
    assert wire.closed
    assert caplog.records


def test_header_that_could_split_an_answer_is_500__security_8(caplog: pytest.LogCaptureFixture) -> None:
    """A handler's bug that lets octets of a client into a header costs the answer, not its shape."""

    async def handler(_request: Request) -> Response:
        return Response(200, b"{}", headers=((b"location", b"a\r\nset-cookie: b"),))

    app = Application([Route("POST", "/a", handler)], new_request_id=lambda: "r")
    wire = play(app.respond)
    assert wire.writes[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert (len(wire.writes), b"set-cookie" in wire.writes[0], app.in_flight) == (1, False, 0)
    assert caplog.records


def test_nothing_is_written_to_a_client_that_left() -> None:
    """The answer to a client that is gone goes nowhere."""
    wire = play(_waits, meanwhile=lambda protocol: protocol.connection_lost(ConnectionResetError()))
    assert wire.writes == []


def test_cancelled_request_is_answered_500() -> None:
    """A stop that cuts a request off tells the client."""

    def cut_off(protocol: StrictProtocol) -> None:
        for task in protocol.tasks:
            task.cancel()

    async def app(_request: Request) -> Answer:
        await asyncio.sleep(0)
        await asyncio.sleep(10)
        return ANSWER

    wire = play(app, meanwhile=cut_off)
    assert wire.writes[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert wire.closed
