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
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from enum import Enum, auto
from math import inf
from typing import Any

import httptools
from uvicorn import Config
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from dayfly.server.cycle import Cycle
from dayfly.server.framing import FramingFault, Incoming, render_fault
from dayfly.server.limits import FrontLimits, parse_peer

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
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


class StrictProtocol(HttpToolsProtocol):
    """One connection; `on_closed` is called once, when it is gone."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: FrontLimits,
        new_request_id: Callable[[], str],
    ) -> None:
        """As uvicorn makes it, with our limits; the ids are for the answers of the front itself."""
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits
        self.new_request_id = new_request_id
        self.on_closed: Callable[[], None] = _nothing
        self.phase = Phase.HEAD
        self.deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._message: Incoming | None = None
        self._arrived: list[Incoming] = []
        self._ready: deque[Incoming] = deque()
        self._busy = False
        self._current: Cycle | None = None
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
            self.client = (str(parse_peer(self.client[0])), self.client[1])
        # uvicorn gives one dictionary to all connections: a copy, or the next peer would be taken for this one
        self.app_state = {**self.app_state, "peer_certificate": _peer_certificate(transport)}
        self._arm(self.limits.head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: no timer stays behind."""
        self.deadline = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ready.clear()
        if self._current is not None:
            self._current.disconnect()
        super().connection_lost(exc)
        self.on_closed()

    def shutdown(self) -> None:
        """Take no more requests; close now, or once the request being handled is answered."""
        self._last = self._deaf = True
        self._ready.clear()
        if self._busy and self._current is not None:
            self._current.keep_alive = False
        else:
            self.transport.close()

    # --- octets come ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the caps; start what is whole; answer what is refused."""
        if self._deaf:
            self._discard(len(data))
            return
        accounted = 0 if self._message is None else self._message.accounted
        self._fault = self._parse(data)
        arrived = self._arrived
        if self._fault is None:
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
        if len(self._arrived) + len(self._ready) > self.limits.pipelined:
            raise FramingFault(400, f"More than {self.limits.pipelined} requests wait for their answers.")
        self._message = Incoming()

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._incoming.add_target(url, self.limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        self._incoming.add_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        message, parser = self._incoming, self.parser
        message.end_head(
            parser.get_method().decode("ascii"),
            parser.get_http_version(),
            self.limits,
            upgrade=parser.should_upgrade(),
        )
        message.keep_alive = message.version == "1.1" and parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._incoming.add_body(body, self.limits)

    def on_message_complete(self) -> None:
        """The request is whole."""
        message = self._incoming
        self._arrived.append(message)
        self._message = None
        self._last = not message.keep_alive

    @property
    def _incoming(self) -> Incoming:
        if self._message is None:  # httptools begins every message, so this is a bug, and ends the connection
            raise RuntimeError("httptools told of a request that it did not begin")
        return self._message

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
        path, _, query = message.target.partition(b"?")
        scope: HTTPScope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": message.version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "https",
            "method": message.method,
            "root_path": "",
            "path": path.decode("ascii"),  # as sent: nothing is unquoted, the application takes canonical paths only
            "raw_path": path,
            "query_string": query,
            "headers": message.headers,
            "state": self.app_state.copy(),
            "extensions": {},
        }
        cycle = Cycle(
            scope,
            bytes(message.body),
            transport=self.transport,
            flow=self.flow,
            keep_alive=message.keep_alive,
            on_response=self.on_response_complete,
        )
        self._current = cycle
        self._busy = True
        self.phase = Phase.BUSY
        if not self.flow.write_paused:  # else the reader of the answer before is slow, and its timeout goes on
            self.deadline = inf
        self._run(cycle.run(self.app, self.server_state.default_headers))
        if self._ready:
            self.flow.pause_reading()

    def _run(self, handling: Coroutine[Any, None, None]) -> None:
        """Run it at once up to where it waits, and from there as a task: most requests wait for nothing.

        Until it has waited once there is no current task, so no `asyncio.timeout` either.
        """
        try:
            waiting = handling.send(None)
        except StopIteration:
            return
        task = self.loop.create_task(_rest(handling, waiting))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        """An answer is written: go on with what waits."""
        self.server_state.total_requests += 1
        self._busy = False
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._advance()

    def _refuse(self, fault: FramingFault) -> None:
        request_id = self.new_request_id()
        _logger.info("request %s from %s refused with %d: %s", request_id, self.client, fault.status, fault.message)
        date = dict(self.server_state.default_headers).get(b"date", b"")
        self._deaf = True
        self._fault = None
        self.phase = Phase.LINGER
        self.transport.write(render_fault(fault, request_id=request_id, date=date))
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
            if message.expects_continue and not message.body:
                self.transport.write(_CONTINUE)

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
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


@types.coroutine
def _rest(handling: Coroutine[Any, None, None], waiting: object) -> Generator[Any, None, None]:
    """What is left of a coroutine that has begun and waits for `waiting`."""
    while True:
        try:
            yield waiting
        except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the coroutine
            try:
                waiting = handling.throw(error)
            except StopIteration:
                return
        else:
            break
    yield from handling


def _nothing() -> None:
    """What happens when nobody asked."""
