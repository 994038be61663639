"""What a machine gives: the time, randomness, ids.

Rules: these answer at once and cannot fail.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Now: aware, UTC, with microseconds."""
        ...


class Entropy(Protocol):
    """Randomness from the system's CSPRNG."""

    def octets(self, count: int) -> bytes:
        """`count` random octets, for serials, tokens and jitter."""
        ...


class Ids(Protocol):
    """Row ids."""

    def new(self) -> int:
        """A new time-ordered id (core/ids): never one that this worker gave before, also when the clock steps back."""
        ...
