"""The system's clock, randomness and row ids; only the agent and the wirings read a clock too."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from dayfly.core.ids import SEQUENCES, id_milliseconds, make_id


class SystemClock:
    """The system's time."""

    def now(self) -> datetime:
        """Now: aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the place


class SystemEntropy:
    """The system's CSPRNG."""

    def octets(self, count: int) -> bytes:
        """`count` random octets."""
        return os.urandom(count)


class TimeOrderedIds:
    """Ids that only go up, also when a millisecond is full or the clock steps back, in this life or between two."""

    def __init__(self, worker: int = 0, *, floor: int = 0) -> None:
        """`worker` tells the processes of one database apart; all ids lie above `floor`, the newest id there is."""
        self._worker = worker
        self._milliseconds = id_milliseconds(floor)
        self._sequence = SEQUENCES - 1  # that millisecond is over

    def new(self) -> int:
        """The next id."""
        milliseconds = time.time_ns() // 1_000_000
        if milliseconds > self._milliseconds:
            self._milliseconds, self._sequence = milliseconds, 0
        else:
            self._sequence += 1
            if self._sequence == SEQUENCES:  # 65,536 in one millisecond, or a clock that went back: go on from the next
                self._milliseconds, self._sequence = self._milliseconds + 1, 0
        return make_id(self._milliseconds, self._worker, self._sequence)
