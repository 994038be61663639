"""How the workers' counts reach the collector: datagrams over one pair of sockets that all workers share.

Rules: an answer never waits for its count; what the collector does not take is kept, up to a bound, and then the oldest
goes; a worker that is killed takes the counts of its last tenth of a second with it.

The datagrams are pickles, from a process that holds keys to one that holds none, over sockets that nobody else has.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dayfly.core.events import Event

FLUSH_EVERY = 0.1  # seconds
BATCH = 128  # items in a datagram; a certificate with 100 names takes some 10 KB
KEPT = 50_000  # items that wait for a collector
LONGEST_NAME = 64  # characters of a provisioner's; a longer one is nobody's
MAX_DATAGRAM = 1 << 20  # octets
_BUFFER = 4 << 20  # octets, as far as the system allows


@dataclass(frozen=True, slots=True)
class Handled:
    """One answer of the signing path."""

    op: str
    provisioner: str
    status: int
    problem: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How a worker stands: what the collector reads at a scrape."""

    worker: int
    pid: int
    checks: dict[str, bool]
    authorities: tuple[tuple[str, float, float], ...]
    in_flight: int
    log_size: int
    provisioners: tuple[tuple[str, str, bool, float], ...]
    crl: tuple[float, float, int] | None = None


Item = Handled | WorkerState | Event


def counts_pair() -> tuple[socket.socket, socket.socket]:
    """The end that the workers write to, and the one that the collector reads; both can pass to children."""
    writing, reading = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end, option in ((writing, socket.SO_SNDBUF), (reading, socket.SO_RCVBUF)):
        end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        end.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return writing, reading


class Handing:
    """Counts by sending; without a collector nothing is kept."""

    def __init__(self, counts: socket.socket | None) -> None:
        """`counts` is the writing end."""
        self._counts = counts
        self._waiting: deque[Item] = deque(maxlen=KEPT)

    def notify(self, events: Sequence[Event]) -> None:
        """Count committed events."""
        if self._counts is not None:
            self._waiting.extend(events)

    def handled(self, op: str, provisioner: str, *, status: int, problem: str | None, seconds: float) -> None:
        """Count one answer of the signing path."""
        if self._counts is not None:
            self._waiting.append(Handled(op, provisioner[:LONGEST_NAME], status, problem, seconds))

    def tell(self, state: WorkerState) -> None:
        """Say how this worker stands."""
        if self._counts is not None:
            self._waiting.append(state)

    async def run(self) -> None:
        """Send what has gathered, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self.flush()

    def flush(self) -> None:
        """Send what has gathered, as far as the collector takes it."""
        size = BATCH
        while self._waiting and self._counts is not None:
            batch = [self._waiting[place] for place in range(min(size, len(self._waiting)))]
            try:
                self._counts.send(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))
            except BlockingIOError:
                return
            except OSError:  # too long for a datagram: in halves; a single one that cannot be sent is dropped
                if size > 1:
                    size = max(1, len(batch) // 2)
                    continue
            for _ in batch:
                self._waiting.popleft()


def parse_items(datagram: bytes) -> list[Item]:
    """The items of a datagram."""
    items: list[Any] = pickle.loads(datagram)  # noqa: S301 - from our own workers, see above
    return items
