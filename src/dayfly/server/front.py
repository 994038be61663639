"""The strict front: uvicorn's httptools protocol, with caps, timeouts and one reading of every request.

Rules: the application sees whole requests only, never the beginning of one that is refused later; a refusal is answered
after the answers to the requests before it, and ends the connection; one timer per connection, moved lazily, so that a
request in one packet touches no timer at all.

What a connection does is one of five things, and each has its deadline (security.md 15, H6 and H7):

    HEAD     waits for a request's head, at first from the moment of connection   408, or silence if nothing came
    BODY     waits for the rest of a body                                         408
    BUSY     the application works                                                none; if the peer stalls, to write
    IDLE     waits for the next request                                           closed
    LINGER   has refused, reads and throws away                                   closed

How octets are counted: httptools tells of targets, headers and body pieces, but keeps an unfinished header to itself
and never tells of chunk framing. So an unfinished head is counted by what was read, and chunk framing is what was read
minus what httptools told.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from http import HTTPStatus
from math import inf

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from dayfly.server.eager import run_eagerly
from dayfly.server.exchange import Answer, Request
from dayfly.server.framing import FramingFault, Incoming, render_fault
from dayfly.server.limits import FrontLimits, parse_peer

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii")) for status in HTTPStatus}
_CLOSE = b"connection: close\r\n"
_FAILED = Answer(500, b"content-type: text/plain\r\ncontent-length: 21\r\n", b"Internal Server Error")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TICK = 0.002
"""The loop's clock steps in milliseconds: a timer this early is on time."""

_logger = logging.getLogger("dayfly.server.front")


class Phase(Enum):
    """What the connection waits for."""

    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    IDLE = auto()
    LINGER = auto()


class _NothingMoreError(Exception):
    """Octets behind the last request of a connection: not ours to read."""


Respond = Callable[[Request], Awaitable[Answer]]
"""What a request is handed to."""


class ListenerState(ServerState):
    """What the connections of a listener have in common."""

    date = b""
    """The line of the Date header."""


class StrictProtocol(HttpToolsProtocol):
    """One connection; `on_closed` is called once, when it is gone."""

    def __init__(
        self,
        config: Config,
        listener: ListenerState,
        loop: asyncio.AbstractEventLoop,
        *,
        respond: Respond,
        limits: FrontLimits,
        new_request_id: Callable[[], str],
    ) -> None:
        """A connection of this listener; the ids are for requests that bring none."""
        super().__init__(config, listener, {}, loop)
        self._listener = listener
        self._respond = respond
        self.limits = limits
        self.new_request_id = new_request_id
        self.on_closed: Callable[[], None] = _nothing
        self.dropped = False
        self.phase = Phase.HEAD
        self.since = inf  # the phase, on the loop's clock; of LINGER and BUSY the one before
        self.deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._reading = Incoming()  # what httptools tells of,
        self._message: Incoming | None = None  # and the same while it is not whole
        self._arrived: list[Incoming] = []
        self._ready: deque[Incoming] = deque()
        self._read = 0  # octets, in the read that httptools has before it
        self._busy = False
        self._keep_alive = True  # after the answer that is due
        self._gone = False
        self._peer = ("", 0)
        self._certificate: bytes | None = None
        self._last = False
        self._deaf = False
        self._fault: FramingFault | None = None
        self._discarded = 0

    # --- connection -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """After the handshake: note the peer and its certificate, wait for a head."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self.limits.write_buffer)
        if self.client is not None:
            self._peer = (str(parse_peer(self.client[0])), self.client[1])
        self._certificate = _peer_certificate(transport)
        self.since = self.loop.time()
        self._arm(self.limits.head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: no timer stays behind."""
        self.deadline = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ready.clear()
        self._gone = True
        super().connection_lost(exc)
        self.on_closed()

    def drop(self, on_gone: Callable[[], None]) -> None:
        """End it for another one's sake: its place is free at once; `on_gone` is called when the loop came to it."""
        on_closed, self.on_closed, self.dropped = self.on_closed, on_gone, True
        self.transport.abort()
        on_closed()

    def shutdown(self) -> None:
        """Take no more requests; close now, or once the request being handled is answered."""
        self._last = self._deaf = True
        self._ready.clear()
        if self._busy:
            self._keep_alive = False
        else:
            self.transport.close()

    # --- octets come ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the caps; start what is whole; answer what is refused."""
        if self._deaf:
            self._discard(len(data))
            return
        self._read = len(data)
        accounted = 0 if self._message is None else self._message.accounted
        self._fault = self._parse(data)
        arrived = self._arrived
        if self._fault is None and (self._message is not None or len(arrived) != 1 or arrived[0].chunked):
            try:
                self._count(accounted, len(data))
            except FramingFault as fault:
                self._fault = fault
        if arrived:
            self._ready.extend(arrived)
            self._arrived = []
        if self._fault is not None:
            self._deaf = True
            self._message = None
        self._advance()

    def _parse(self, data: bytes) -> FramingFault | None:
        """Feed the parser; what went wrong, if anything."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]  # an upgrade is ignored: what follows is the next request
            except httptools.HttpParserError as error:
                return self._fault_of(error)
            else:
                break
        return None

    def _fault_of(self, error: httptools.HttpParserError) -> FramingFault | None:
        cause = error.__context__
        if isinstance(cause, FramingFault):
            return cause
        if isinstance(cause, _NothingMoreError):
            self._deaf = True
            return None
        if isinstance(error, httptools.HttpParserCallbackError):
            _logger.error("the front failed on a request", exc_info=error)
            return FramingFault(500, "The certificate authority met an error of its own; its log has the details.")
        return FramingFault(400, "This is not a well-formed HTTP/1.1 request.")

    def _count(self, accounted: int, octets: int) -> None:
        """Count what httptools did not tell: an unfinished head (431), the framing of chunks (400)."""
        message, arrived = self._message, self._arrived
        touched = arrived if message is None else [*arrived, message]
        chunked = next((place for place, one in enumerate(touched) if one.chunked), None)
        if chunked is not None:
            told = sum([one.accounted for one in touched]) - accounted
            try:
                touched[chunked].add_overhead(max(octets - told, 0), self.limits)
            except FramingFault:
                del arrived[chunked:]  # what came in such a framing is not executed
                raise
        if message is not None and not message.head_done:
            # behind another request nobody knows how much of the octets is this one's head: the next read will count
            message.add_unfinished_head(0 if arrived else octets, self.limits)

    def _discard(self, octets: int) -> None:
        self._discarded += octets
        if self._discarded > self.limits.lingering:
            self.transport.abort()

    # --- httptools tells --------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._last:
            raise _NothingMoreError
        if (self._arrived or self._ready) and len(self._arrived) + len(self._ready) > self.limits.pipelined:
            raise FramingFault(400, f"More than {self.limits.pipelined} requests wait for their answers.")
        self._reading = self._message = Incoming()

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._reading.add_target(url, self.limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; what is read at once bounds what is kept before the end of the head looks at sizes."""
        message = self._reading
        if message.head_done:
            raise FramingFault(400, "Trailers are not accepted.")
        message.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        message, parser = self._reading, self.parser
        message.end_head(
            parser.get_method().decode("ascii"),
            parser.get_http_version(),
            self.limits,
            upgrade=parser.should_upgrade(),
            read=self._read,
        )
        message.keep_alive = message.version == "1.1" and parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._reading.add_body(body, self.limits)

    def on_message_complete(self) -> None:
        """The request is whole."""
        message = self._reading
        self._arrived.append(message)
        self._message = None
        self._last = not message.keep_alive

    # --- requests go in, answers come out ---------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do the next thing: a request, a refusal, or wait."""
        if self._busy:
            if self._ready or self._deaf:
                self.flow.pause_reading()
        elif self._ready:
            self._start(self._ready.popleft())
        elif self._fault is not None:
            self._refuse(self._fault)
        else:
            self._wait()

    def _start(self, message: Incoming) -> None:
        self._busy = True
        self._keep_alive = message.keep_alive
        self.phase = Phase.BUSY
        if not self.flow.write_paused:  # else the reader of the answer before is slow, and its timeout goes on
            self.deadline = inf
        run_eagerly(self._answer(self._request(message)), self.loop, self.tasks)
        if self._ready:
            self.flow.pause_reading()

    def _request(self, message: Incoming) -> Request:
        path, _, query = message.target.partition(b"?")
        given = message.fields.get(b"x-request-id")
        return Request(
            message.method,
            path.decode("ascii"),  # as sent: nothing is unquoted, the application takes canonical paths only
            {},
            query,
            message.fields,
            message.body,
            self._peer,
            self._certificate,
            given.decode("ascii") if given and _REQUEST_ID.fullmatch(given) else self.new_request_id(),
        )

    async def _answer(self, request: Request) -> None:
        """Ask the application; whatever it does, the client hears something or loses the connection."""
        answer = _FAILED
        try:
            given = await self._respond(request)
            if self.flow.write_paused and not self._gone:
                await self.flow.drain()
            answer = given
        except Exception:
            _logger.exception("the application failed on a request")
        finally:
            self._write(answer, has_body=request.method != "HEAD")  # a HEAD has none (RFC 9110 9.3.2)

    def _write(self, answer: Answer, *, has_body: bool) -> None:
        """Head and body in one piece, so that they are one TLS record; then go on with what waits."""
        if self._gone:
            return
        self._busy = False
        keep_alive = self._keep_alive and answer is not _FAILED
        body = answer.body if has_body else b""
        head = _STATUS_LINES[answer.status] + self._listener.date + answer.lines
        self.transport.write(b"%b%b\r\n%b" % (head, b"" if keep_alive else _CLOSE, body))
        if not keep_alive:
            self.transport.close()
        if not self.transport.is_closing():
            if self.flow.read_paused:
                self.flow.resume_reading()
            self._advance()

    def _refuse(self, fault: FramingFault) -> None:
        request_id = self.new_request_id()
        _logger.info("request %s from %s refused with %d: %s", request_id, self._peer, fault.status, fault.message)
        self._deaf = True
        self._fault = None
        self.phase = Phase.LINGER
        self.transport.write(render_fault(fault, request_id=request_id, date=self._listener.date))
        if fault.expects_more:
            self._arm(self.limits.linger_timeout)
        else:
            self.transport.close()

    # --- waiting ----------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Set the phase, and its deadline if the phase is new: octets that trickle in do not move it."""
        message = self._message
        if message is None:
            # octets that begin no request (empty lines) leave the connection as idle as it was
            if self.phase is Phase.BUSY:
                self._enter(Phase.IDLE, self.limits.idle_timeout)
        elif not message.head_done:
            if self.phase is not Phase.HEAD:
                self._enter(Phase.HEAD, self.limits.head_timeout)
        elif self.phase is not Phase.BODY:
            self._enter(Phase.BODY, self.limits.body_timeout)
            if message.expects_continue and not message.body_size:
                self.transport.write(_CONTINUE)

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.since = self.loop.time()
        if not self.flow.write_paused:  # else the write timeout runs already
            self._arm(seconds)

    def pause_writing(self) -> None:
        """The peer does not read: it has the write timeout to begin again."""
        super().pause_writing()
        self._arm(self.limits.write_timeout)

    def resume_writing(self) -> None:
        """The peer has read."""
        super().resume_writing()
        if self.phase is Phase.BUSY:
            self.deadline = inf
        elif self.phase is Phase.IDLE:
            self._arm(self.limits.idle_timeout)

    def _arm(self, seconds: float) -> None:
        """Set the deadline; the timer is moved only when it would come too late."""
        self.deadline = self.loop.time() + seconds
        if self.deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = self.deadline
            self._timer = self.loop.call_at(self.deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        if self.deadline is inf:
            return
        left = self.deadline - self.loop.time()
        if left > _TICK:
            self._arm(left)
        else:
            self.deadline = inf
            self._expire()

    def _expire(self) -> None:
        """The deadline is over: say so where somebody may listen, else just leave."""
        if self.flow.write_paused or self.transport.get_write_buffer_size() > 0 or self.phase is Phase.LINGER:
            self.transport.abort()
        elif self._message is not None:
            self._refuse(FramingFault(408, "The request did not arrive in time."))
        else:
            self._deaf = True
            self.transport.close()


def _peer_certificate(transport: asyncio.Transport) -> bytes | None:
    """The DER of the verified client certificate; none from a resumed session, which would keep an old identity."""
    connection = transport.get_extra_info("ssl_object")
    if connection is None or connection.session_reused:
        return None
    certificate: bytes | None = connection.getpeercert(binary_form=True)
    return certificate


def _nothing() -> None:
    """What happens when nobody asked."""
