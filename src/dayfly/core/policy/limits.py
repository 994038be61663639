"""Rates: how often something may be done, as one moment per key (security.md section 7).

Rules: a rate is so many in so long, all at once if nothing was used; the state is the theoretical arrival time, the
moment by which all that was used will have been paid for (GCRA, ITU-T I.371); nothing here keeps state or a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `window`."""

    count: int
    window: timedelta

    def times(self, factor: int) -> Rate:
        """So many times as often."""
        return Rate(self.count * factor, self.window)

    def within(self, longest: timedelta) -> Rate:
        """The same count in a window that is no longer than `longest`, so that short lives are not throttled."""
        return self if self.window <= longest else Rate(self.count, longest)


def spend(paid_until: datetime | None, rate: Rate, now: datetime) -> datetime | None:
    """The new state after one use at `now`, or None where the rate does not allow it; a new key's state is None.

    A state that lies beyond the window was made before the clock was set back: it is forgotten, and locks nobody out.
    """
    begin = now if paid_until is None or not now <= paid_until <= now + rate.window else paid_until
    after = begin + rate.window / rate.count
    return None if after - now > rate.window else after


def retry_after(paid_until: datetime, rate: Rate, now: datetime) -> int:
    """Whole seconds, one at least, until `spend` will allow one more."""
    free = paid_until + rate.window / rate.count - rate.window
    return max(1, math.ceil((free - now).total_seconds()))
