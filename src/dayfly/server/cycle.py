"""One request that is whole, handed to the ASGI application, and its one answer.

Rules: an answer leaves in one piece, head and body together, so that it is one TLS record; an application that ends
without a whole answer gets its client a 500, or a closed connection where an answer had begun; names and values of
headers hold no octet that could end a line.

uvicorn's own cycle writes head and body apart, and asks more of each header than answers from our own handlers need.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent, HTTPScope
    from uvicorn.protocols.http.flow_control import FlowControl

    from dayfly.server.exchange import Header

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii")) for status in HTTPStatus}
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # in a field value: all controls but the tab (RFC 9110 5.5)
_NAME = re.compile(rb"[a-z0-9-]+")
_CLOSE = b"connection: close\r\n"
_FAILED = b"Internal Server Error"
_logger = logging.getLogger("dayfly.server")


class Cycle:
    """A request and its answer; `on_response` is called when the answer is written."""

    __slots__ = (
        "_flow", "_head", "_left", "_on_response", "_parts", "_read", "_transport",
        "body", "disconnected", "keep_alive", "response_complete", "scope",
    )  # fmt: skip

    def __init__(
        self,
        scope: HTTPScope,
        body: bytes,
        *,
        transport: asyncio.Transport,
        flow: FlowControl,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        """Nothing is answered yet; with `keep_alive` the connection stays open after the answer."""
        self.scope = scope
        self.body = body
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self._transport = transport
        self._flow = flow
        self._on_response = on_response
        self._head: bytes | None = None
        self._parts: list[bytes] = []
        self._read = False
        self._left: asyncio.Event | None = None

    async def run(self, app: ASGI3Application, default_headers: list[Header]) -> None:
        """Call the application; whatever it does, the client hears something or loses the connection."""
        self._parts = [b"%b: %b\r\n" % header for header in default_headers]
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            _logger.exception("the application failed on a request")
            self._give_up()
        except BaseException:
            self._give_up()
            raise
        if not self.response_complete and not self.disconnected:
            _logger.error("the application ended without a whole answer")
            self._give_up()

    def disconnect(self) -> None:
        """The connection is gone: who waits for more hears it."""
        self.disconnected = True
        if self._left is not None:
            self._left.set()

    async def receive(self) -> ASGIReceiveEvent:
        """The whole body; after that nothing comes but the end of the connection or of the answer."""
        if not self._read and not self.disconnected:
            self._read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        if not self.disconnected and not self.response_complete:
            self._left = asyncio.Event()
            await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: ASGISendEvent) -> None:
        """Take the head, then the body; RuntimeError for what is out of order or not well formed."""
        if message["type"] == "http.response.start" and self._head is None:
            self._begin(message["status"], list(message["headers"]))
        elif message["type"] == "http.response.body" and self._head is not None and not self.response_complete:
            self._parts.append(message["body"])
            if not message["more_body"]:
                if self._flow.write_paused and not self.disconnected:
                    await self._flow.drain()
                self._finish()
        else:
            raise RuntimeError(f"{message['type']} is out of order")

    def _begin(self, status: int, headers: Sequence[Header]) -> None:
        lines, self._parts = self._parts, []
        names, values = [name for name, _ in headers], [value for _, value in headers]
        if b"" in names or _NAME.fullmatch(b"".join(names)) is None:
            raise RuntimeError(f"a header's name is none: {names!r}")
        lines += [b"%b: %b\r\n" % (name, value) for name, value in zip(names, values, strict=True)]
        if _FORBIDDEN.search(b"".join(values)) is not None:
            raise RuntimeError("a header's value has a control character")
        if not self.keep_alive:
            lines.append(_CLOSE)
        self._head = b"%b%b\r\n" % (_STATUS_LINES[status], b"".join(lines))

    def _finish(self) -> None:
        """Write the answer; a HEAD has no body (RFC 9110 9.3.2)."""
        self.response_complete = True
        if self.disconnected:
            return
        body = b"" if self.scope["method"] == "HEAD" else b"".join(self._parts)
        self._transport.write((self._head or b"") + body)
        if not self.keep_alive:
            self._transport.close()
        if self._left is not None:
            self._left.set()
        self._on_response()

    def _give_up(self) -> None:
        """Say 500 where nothing was written."""
        if self.response_complete or self.disconnected:
            return
        self.keep_alive = False
        self._parts = []
        self._begin(500, ((b"content-type", b"text/plain"), (b"content-length", b"%d" % len(_FAILED))))
        self._parts.append(_FAILED)
        self._finish()
