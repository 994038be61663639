"""A server in one call: accept, hand to the front, drain.

Rules: the listening sockets are the caller's, made and bound; a place is taken before the handshake and given back when
the connection is gone, whatever became of it; stopping means no new request, the ones being handled are finished.

uvicorn's own `Server` is not used: it accepts through `create_server`, which shows a connection to the protocol only
after the handshake, so that half-open ones could be neither counted nor dropped, and it cannot set the TLS timeouts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from uvicorn import Config

from dayfly.server.admission import Admission
from dayfly.server.app import Application
from dayfly.server.arrivals import Arrival, Arrivals
from dayfly.server.descriptors import within_descriptors
from dayfly.server.front import ListenerState, Phase, StrictProtocol
from dayfly.server.limits import FrontLimits
from dayfly.server.shedding import Shed, Shedding

if TYPE_CHECKING:
    from dayfly.server.tls import SwappableContext

GRACE = 8.0
"""Seconds for requests in flight when the server stops; `ca start` has to end within 10 (interfaces.md 4)."""

_BURST = 64
"""Connections accepted in one turn of the loop, so that the ones already there are served too."""
_DEFERENCE = 0.005
"""Seconds for which a worker leaves a new connection to those that have fewer; then it takes it itself."""
_LOOKS = 512
"""How often all connections are looked at, at most, to find so many that have waited for longest."""
_SHORTEST = 0.01
"""Seconds that a handshake has at least: the loop takes no time that is over."""
_OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_logger = logging.getLogger("dayfly.server")


class Share(Protocol):
    """How the processes that accept from one socket share its connections out."""

    def publish(self, connections: int) -> None:
        """Tell the others how many connections this process has."""
        ...

    def is_lightest(self) -> bool:
        """Has none of the others fewer?"""
        ...


async def serve(
    app: Application,
    *,
    context: SwappableContext | None,
    sockets: Sequence[socket.socket],
    new_request_id: Callable[[], str],
    limits: FrontLimits | None = None,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
    grace: float = GRACE,
    share: Share | None = None,
    on_shed: Callable[[Mapping[Shed, int]], None] = lambda _: None,
) -> None:
    """Serve `app` on listening sockets until `stop` is set or one of `signals` comes, then drain and close them.

    1. places and limits are cut to what the descriptor limit allows; 2. accepting begins, and `on_ready` is called;
    3. on stop the sockets are closed, idle connections too; 4. requests in flight get `grace` seconds; what is left is
    cancelled. Without a `context` it speaks plain HTTP. Signals need the main thread; () leaves them alone. With a
    `share` other processes accept from the same sockets, and connections go to the one that has the fewest. `on_shed`
    is told once a second how many connections were refused or closed before their time, and why.
    """
    loop = asyncio.get_running_loop()
    stop = stop or asyncio.Event()
    listener = _Listener(app, context, within_descriptors(limits or FrontLimits()), new_request_id, share, on_shed)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        listener.open(sockets)
        if on_ready is not None:
            on_ready()
        await stop.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        await listener.close(sockets, grace)


@dataclass(frozen=True, slots=True)
class _Handshake:
    """One that goes on: a second descriptor of its connection, to end it by, and when its time is up."""

    twin: socket.socket
    deadline: float


class _Listener:
    """The accept loop of a server, and all its connections."""

    def __init__(
        self,
        app: Application,
        context: SwappableContext | None,
        limits: FrontLimits,
        new_request_id: Callable[[], str],
        share: Share | None,
        on_shed: Callable[[Mapping[Shed, int]], None],
    ) -> None:
        """Nothing is accepted yet."""
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._new_request_id = new_request_id
        self._config = _configuration(app)
        self._tls = None if context is None else context.outer
        self._app = app
        self._state = ListenerState()
        self._admission = Admission(limits)
        self._shedding = Shedding(on_shed)
        self._arrivals = Arrivals(
            self._loop,
            limits.handshake_timeout,
            on_spoken=self._begin_handshake,
            on_gone=self._leave,
            on_silent=functools.partial(self._shedding.note, Shed.HANDSHAKE),
        )
        self._handshakes: dict[asyncio.Task[None], _Handshake] = {}  # the oldest first
        self._gone = asyncio.Event()
        self._date_timer: asyncio.TimerHandle | None = None
        self._open = False
        self._share = share

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept."""
        self._open = True
        self._set_date()
        if self._share is not None:
            self._share.publish(0)
        for listening in sockets:
            listening.setblocking(False)  # noqa: FBT003 - the standard library's signature
            self._listen(listening)

    def _listen(self, listening: socket.socket) -> None:
        if self._open:
            self._loop.add_reader(listening, self._accept if self._share is None else self._accept_share, listening)

    async def close(self, sockets: Sequence[socket.socket], grace: float) -> None:
        """Stop accepting, let requests in flight finish within `grace` seconds, cancel the rest."""
        self._open = False
        for listening in sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self._arrivals.close()
        for task in tuple(self._handshakes):
            task.cancel()
        for connection in tuple(self._connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._drained()
        await self._cut_off()
        if self._date_timer is not None:
            self._date_timer.cancel()
        self._shedding.tell(self._loop.time())

    @property
    def _connections(self) -> set[StrictProtocol]:
        return self._state.connections  # type: ignore[return-value]  # `_greet` makes them all

    async def _drained(self) -> None:
        while self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks))
        while self._state.connections or self._handshakes:
            self._gone.clear()
            await self._gone.wait()

    async def _cut_off(self) -> None:
        tasks = tuple(self._state.tasks)
        if tasks:
            _logger.warning("stopping: %d requests were not finished in time and are dropped", len(tasks))
        for task in tasks:
            task.cancel()
        for connection in tuple(self._connections):
            connection.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        await asyncio.sleep(0)

    # --- accepting ----------------------------------------------------------------------------------------------------

    def _accept_share(self, listening: socket.socket) -> None:
        """One connection a turn, and only while no other process has fewer; else it is left to them for a moment."""
        if self._share is None or self._share.is_lightest():
            self._accept(listening, 1)
            return
        self._loop.remove_reader(listening)
        self._loop.call_later(_DEFERENCE, self._accept_deferred, listening)

    def _accept_deferred(self, listening: socket.socket) -> None:
        """The others had their chance: what still waits is taken here."""
        if self._open:
            self._listen(listening)
            self._accept(listening, 1)

    def _accept(self, listening: socket.socket, most: int = _BURST) -> None:
        for _ in range(most):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_ROOM:
                    raise
                _logger.error("cannot accept connections: %s; trying again in a second", error)  # noqa: TRY400 - no stack
                self._loop.remove_reader(listening)
                self._loop.call_later(1.0, self._listen, listening)
                return
            self._admit(connection, address[0])

    def _admit(self, connection: socket.socket, peer: str) -> None:
        place = self._admission.admit(peer, self._loop.time(), self._drop_idle)
        self._publish()
        if isinstance(place, Shed):
            self._shedding.note(place)
            _logger.debug("connection from %s refused: %s", peer, place)
            connection.close()
            return
        if len(self._arrivals) + len(self._handshakes) >= self._limits.half_open:
            self._drop_half_open()
        if self._tls is None:
            self._begin(connection, place, self._loop.time() + self._limits.handshake_timeout)
        else:
            self._arrivals.add(connection, place)

    def _begin_handshake(self, arrival: Arrival) -> None:
        self._begin(arrival.connection, arrival.place, arrival.deadline)

    def _leave(self, arrival: Arrival) -> None:
        self._release(arrival.place)

    def _begin(self, connection: socket.socket, place: int, deadline: float) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            twin = connection.dup()
        except OSError as error:
            _logger.error("cannot take a connection over: %s", error)  # noqa: TRY400 - no stack
            connection.close()
            self._release(place)
            return
        made: list[StrictProtocol] = []
        task = self._loop.create_task(self._greet(connection, made, deadline))
        self._handshakes[task] = _Handshake(twin, deadline)
        # a callback and not a `finally`: a task that is cancelled before its first step runs nothing of its own
        task.add_done_callback(functools.partial(self._greeted, made, connection, twin, place))

    def _drop_half_open(self) -> None:
        """The oldest half-open connection ends: its peer, and so the loop, sees the end of the connection.

        A handshake that is cancelled would stay open until its time is up: the loop holds a descriptor of its own.
        """
        self._shedding.note(Shed.HALF_OPEN)
        oldest = next(iter(self._handshakes), None)
        if oldest is None or (self._arrivals and self._arrivals.first_deadline < self._handshakes[oldest].deadline):
            self._arrivals.drop_oldest()
            return
        with contextlib.suppress(OSError):  # its peer has left
            self._handshakes.pop(oldest).twin.shutdown(socket.SHUT_RDWR)

    def _drop_idle(self) -> None:
        """Make room: those that have waited for their peers for longest go, between requests or within one.

        A few at once where there are many, since to find them all are looked at.
        """
        waiting = (one for one in self._connections if one.phase is not Phase.BUSY and not one.dropped)
        for one in nsmallest(max(self._limits.connections // _LOOKS, 1), waiting, key=attrgetter("since")):
            self._shedding.note(Shed.IDLE)
            one.drop(self._gone.set)

    async def _greet(self, connection: socket.socket, made: list[StrictProtocol], deadline: float) -> None:
        """The handshake; from its end on the place belongs to the protocol, which is put into `made`."""
        left = max(deadline - self._loop.time(), _SHORTEST)

        def protocol() -> StrictProtocol:
            made.append(
                StrictProtocol(
                    self._config,
                    self._state,
                    self._loop,
                    respond=self._app.respond,
                    limits=self._limits,
                    new_request_id=self._new_request_id,
                )
            )
            return made[0]

        try:
            await self._loop.connect_accepted_socket(
                protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=left if self._tls else None,
                ssl_shutdown_timeout=self._limits.shutdown_timeout if self._tls else None,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            _logger.debug("handshake failed: %s", error)
            if self._loop.time() >= deadline:
                self._shedding.note(Shed.HANDSHAKE)

    def _hand_over(self, made: list[StrictProtocol], connection: socket.socket, place: int) -> None:
        """Tie the place to the connection, or give it back if there is none."""
        release = functools.partial(self._release, place)
        if made and made[0] in self._connections:
            made[0].on_closed = release
            if not self._open:
                made[0].shutdown()
            return
        connection.close()  # what the loop still does with it keeps it open until it is done
        release()

    def _publish(self) -> None:
        if self._share is not None:
            self._share.publish(self._admission.open)

    def _release(self, place: int) -> None:
        self._admission.release(place)
        if self._open:
            self._publish()
        self._gone.set()

    def _greeted(
        self,
        made: list[StrictProtocol],
        connection: socket.socket,
        twin: socket.socket,
        place: int,
        handshake: asyncio.Task[None],
    ) -> None:
        """The handshake is over, one way or the other."""
        self._handshakes.pop(handshake, None)
        twin.close()
        self._hand_over(made, connection, place)
        self._gone.set()
        if not handshake.cancelled() and (error := handshake.exception()) is not None:
            _logger.error("a connection could not be taken over", exc_info=error)

    def _set_date(self) -> None:
        """Date is made when a second begins, for all answers (RFC 9110 6.6.1); agents compare their clock with it.

        What was shed in the second before is told along with it.
        """
        self._shedding.tell(self._loop.time())
        now = time.time()  # noqa: TID251 - Date tells the clock itself
        self._state.date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii")
        self._date_timer = self._loop.call_later(1.0 - now % 1.0, self._set_date)


def _configuration(app: Application) -> Config:
    """What is left of uvicorn's configuration: no logging set-up, no lifespan, no trust in X-Forwarded-*."""
    config = Config(
        app.respond,  # which the front calls itself
        http=StrictProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config
