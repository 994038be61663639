"""Connections that were accepted and have not said enough for a handshake: held as cheaply as can be.

Rules: whoever says nothing costs a descriptor and a dictionary's entry, no task, no timer, no TLS state; the first
record is looked at and left in the kernel, so that the handshake reads it from its beginning; all of them share one
timer, for what came first is over first.

A crowd that connects and stays silent, or begins a record and never ends it, is the cheapest attack there is. TLS state
and a task for each of them would make it a good one (security.md 15, H6).
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

_HANDSHAKE = 22
"""The content type of a TLS record with a handshake message (RFC 8446 5.1)."""
_HEADER = 5
"""Octets of a record's header: type, version, length."""
_ENOUGH = 2048
"""Octets of a record that is longer: whoever has sent so many is served."""

_BURST = 64
"""Connections heard in one turn of the loop: the others are as ready in the next."""


def wanted_octets(said: bytes) -> int:
    """How many octets are needed before a handshake is begun, seen from the first ones; at most `len(said)`: begin.

    What is no handshake record is wanted as it is: TLS refuses it in its own words.
    """
    if len(said) < _HEADER:
        return _HEADER if said[:1] in {b"", b"\x16"} else len(said)
    if said[0] != _HANDSHAKE:
        return len(said)
    return min(_HEADER + int.from_bytes(said[3:5], "big"), _ENOUGH)


@dataclass(slots=True, eq=False)
class Arrival:
    """One connection: its socket, its place, and when (seconds of the loop's clock) its time is up."""

    connection: socket.socket
    place: int
    deadline: float
    asked: int = 0
    """How many octets the kernel was told to wait for: those of the record's header, then those of all of it."""


class Arrivals:
    """The connections of one listener before their handshakes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        *,
        on_spoken: Callable[[Arrival], None],
        on_gone: Callable[[Arrival], None],
        on_silent: Callable[[], None],
    ) -> None:
        """None yet. `on_spoken` takes one over, `on_gone` is told of closing.

        After `timeout` seconds one is closed, and `on_silent` is told that it was for this.
        """
        self._loop = loop
        self._timeout = timeout
        self._on_spoken = on_spoken
        self._on_gone = on_gone
        self._on_silent = on_silent
        self._waiting: dict[int, Arrival] = {}  # by descriptor, the oldest first
        self._timer: asyncio.TimerHandle | None = None
        # a selector of our own, which is one reader of the loop: the loop's readers are dearer by far
        self._selector = selectors.DefaultSelector()
        loop.add_reader(self._selector, self._look)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def first_deadline(self) -> float:
        """When the time of the oldest is up; ValueError without any."""
        return next(iter(self._waiting.values())).deadline

    def add(self, connection: socket.socket, place: int) -> None:
        """Wait for what this peer has to say."""
        descriptor = connection.fileno()
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._waiting[descriptor] = Arrival(connection, place, self._loop.time() + self._timeout)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._expire)

    def drop_oldest(self) -> None:
        """The one that has waited for longest is closed."""
        self._close(next(iter(self._waiting)))

    def close(self) -> None:
        """All are closed, and nothing is watched any more."""
        for descriptor in tuple(self._waiting):
            self._close(descriptor)
        self._loop.remove_reader(self._selector)
        self._selector.close()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        for key, _ in self._selector.select(0)[:_BURST]:
            arrival = self._waiting.get(key.fd)
            if arrival is not None:  # else what became of another one in this turn took it away
                self._hear(key.fd, arrival)

    def _hear(self, descriptor: int, arrival: Arrival) -> None:
        try:
            said = arrival.connection.recv(_ENOUGH, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:  # the peer has reset it
            said = b""
        if not said:
            self._close(descriptor)
            return
        wanted = wanted_octets(said)
        if wanted > max(len(said), arrival.asked):
            arrival.asked = wanted
            arrival.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            return
        # where the kernel spoke up all the same, TLS waits for the rest: a reader that is always ready would spin
        if arrival.asked:
            arrival.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._forget(descriptor)
        self._on_spoken(arrival)

    def _forget(self, descriptor: int) -> Arrival:
        self._selector.unregister(descriptor)
        return self._waiting.pop(descriptor)

    def _close(self, descriptor: int) -> None:
        arrival = self._forget(descriptor)
        arrival.connection.close()
        self._on_gone(arrival)

    def _expire(self) -> None:
        now = self._loop.time()
        while self._waiting and self.first_deadline <= now:
            self.drop_oldest()
            self._on_silent()
        left = self.first_deadline - now if self._waiting else None
        self._timer = None if left is None else self._loop.call_later(left, self._expire)
