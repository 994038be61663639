"""One request and its one answer: what leaves, and what becomes of an application that does not keep to ASGI."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from dayfly.server.cycle import Cycle

HEADERS = [(b"content-length", b"2"), (b"x-request-id", b"1")]
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": HEADERS, "trailers": False}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"ok", "more_body": False}
DATE = [(b"date", b"now")]


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


def play(app: Any, *, method: str = "POST", keep_alive: bool = True, gone: bool = False) -> tuple[Wire, int]:
    """Run an application on one request: the wire, and how often the end of an answer was told."""
    wire, told = Wire(), [0]

    async def body() -> None:
        def count() -> None:
            told[0] += 1

        scope = cast("Any", {"type": "http", "method": method})
        cycle = Cycle(scope, b"asked", transport=wire, flow=FlowControl(wire), keep_alive=keep_alive, on_response=count)
        if gone:
            cycle.disconnect()
        await cycle.run(app, DATE)

    asyncio.run(body())
    return wire, told[0]


def answering(*messages: dict[str, Any]) -> Any:
    """An application that sends these messages."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            await send(message)

    return app


WHOLE = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\nx-request-id: 1\r\n"


def test_answer_leaves_in_one_write() -> None:
    """Head and body are one write, so one TLS record; the connection stays."""
    wire, told = play(answering(START, BODY))
    assert (wire.writes, wire.closed, told) == ([WHOLE + b"\r\nok"], False, 1)


def test_body_in_pieces_is_one_answer() -> None:
    """What an application sends in pieces is gathered."""
    first = BODY | {"body": b"o", "more_body": True}
    wire, _ = play(answering(START, first, BODY | {"body": b"k"}))
    assert wire.writes == [WHOLE + b"\r\nok"]


def test_last_answer_says_so_and_closes__rfc9112_9_6() -> None:
    """Where the connection shall end, the answer says `close`."""
    wire, _ = play(answering(START, BODY), keep_alive=False)
    assert (wire.writes, wire.closed) == ([WHOLE + b"connection: close\r\n\r\nok"], True)


def test_head_has_no_body__rfc9110_9_3_2() -> None:
    """An answer to HEAD has the headers alone."""
    wire, _ = play(answering(START, BODY), method="HEAD")
    assert wire.writes == [WHOLE + b"\r\n"]


def test_application_reads_body_once_then_hears_the_end() -> None:
    """The body comes whole, once; after the answer there is nothing but the end."""
    heard: list[dict[str, Any]] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        heard.append(await receive())
        await send(START)
        await send(BODY)
        heard.append(await receive())

    play(app)
    assert heard == [{"type": "http.request", "body": b"asked", "more_body": False}, {"type": "http.disconnect"}]


@pytest.mark.parametrize("name", [b"X-Upper", b"a b", b"a:b", b"a\r\nb", b""])
def test_header_name_that_is_none_is_500__security_8(name: bytes) -> None:
    """A name that could end a line is never written."""
    wire, _ = play(answering(START | {"headers": [(name, b"v")]}, BODY))
    assert wire.writes[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\x00b", b"a\x7fb"])
def test_header_value_with_control_is_500__security_8(value: bytes) -> None:
    """A value that could end a line is never written: no answer is split."""
    wire, _ = play(answering(START | {"headers": [(b"location", value)]}, BODY))
    assert len(wire.writes) == 1
    assert wire.writes[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"set-cookie" not in wire.writes[0]


async def _fails(_scope: Any, _receive: Any, _send: Any) -> None:
    raise ValueError("of its own")


async def _fails_late(_scope: Any, _receive: Any, send: Any) -> None:
    await send(START)
    raise ValueError("of its own")


async def _says_nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """Ends without an answer."""


@pytest.mark.parametrize("app", [_fails, _fails_late, _says_nothing, answering(START), answering(BODY)])
def test_application_without_whole_answer_is_500_and_close(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The client hears of it once, without any detail, and the log has it."""
    wire, told = play(app)
    (answer,) = wire.writes
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nInternal Server Error")
    assert b"of its own" not in answer
    assert (wire.closed, told) == (True, 1)
    assert caplog.records


def test_second_answer_is_a_bug_and_not_written(caplog: pytest.LogCaptureFixture) -> None:
    """What comes behind a whole answer is refused, and the first one stands."""
    wire, told = play(answering(START, BODY, BODY))
    assert (wire.writes, told) == ([WHOLE + b"\r\nok"], 1)
    assert "out of order" in caplog.text


def test_nothing_is_written_to_a_client_that_left() -> None:
    """The application hears that it is gone; its answer goes nowhere."""
    wire, told = play(answering(START, BODY), gone=True)
    assert (wire.writes, told) == ([], 0)


def test_cancelled_request_is_answered_500() -> None:
    """A stop that cuts a request off tells the client, and the cancellation goes on."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        play(app)
