"""What the agent asks of time: the wall clock, and a clock that also runs through a suspend.

Rules: every plan is made in wall-clock time, since certificates are; the second clock only tells that the first one
jumped. Tests give a clock of their own.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall clock, boot-time clock and jitter."""

    def now(self) -> datetime:
        """Now: aware, UTC."""
        ...

    def boot_seconds(self) -> float:
        """Seconds since boot, a suspend included; never set by anybody."""
        ...

    def jitter(self) -> float:
        """A number from 0 to 1, for spreading retries and due points."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Now: aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the agent's own clock, the one place of it

    def boot_seconds(self) -> float:
        """CLOCK_BOOTTIME: it goes on during a suspend."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def jitter(self) -> float:
        """Enough for spreading load; no secret depends on it."""
        return random.random()  # noqa: S311 - jitter, not a secret
