"""Connections that are not served: counted by reason, told once a second, warned of once a minute.

Rules: a flood costs one number each, no line and no event; whoever watches the metrics, or reads the log, hears of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

WARN_EVERY = 60.0
"""Seconds between two warnings."""
_logger = logging.getLogger("dayfly.server")


class Shed(StrEnum):
    """Why a connection was refused, or closed before its time."""

    SHARE = "share"
    """Its peer has as many as it may."""
    RATE = "rate"
    """Its peer opens them faster than it may."""
    FULL = "full"
    """All places are taken, and nobody waits for a peer."""
    IDLE = "idle"
    """It had waited for its peer for longest when a place was needed."""
    HALF_OPEN = "half-open"
    """It was the oldest of too many without a handshake."""
    HANDSHAKE = "handshake"
    """It did not begin, or end, its handshake in time."""


class Shedding:
    """The counts of one listener."""

    def __init__(self, on_shed: Callable[[Mapping[Shed, int]], None]) -> None:
        """`on_shed` is told what is new, where something is."""
        self._on_shed = on_shed
        self._new: Counter[Shed] = Counter()
        self._unsaid: Counter[Shed] = Counter()
        self._said_at: float | None = None

    def note(self, reason: Shed) -> None:
        """One more."""
        self._new[reason] += 1

    def tell(self, now: float) -> None:
        """Pass on what is new at `now` (seconds, monotonic); where there is something and it is time, warn."""
        if self._new:
            self._on_shed(self._new)
            self._unsaid.update(self._new)
            self._new = Counter()
        if self._unsaid and (self._said_at is None or now - self._said_at >= WARN_EVERY):
            self._said_at = now
            what = ", ".join(f"{reason}: {count}" for reason, count in sorted(self._unsaid.items()))
            _logger.warning("connections were shed (%s); docs/reference/limits.md says what these are", what)
            self._unsaid.clear()
