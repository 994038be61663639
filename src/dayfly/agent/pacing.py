"""How the agent's waits follow the life of a certificate (agent.md 5 and 6); the arithmetic is core/schedule's.

Rules: a wait is min(constant, share of life); jitter is an argument; a Retry-After is obeyed up to the cap, and nothing
ever waits past the point where too little life is left.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.agent.clock import Clock
from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.installing import Meta
from dayfly.core.schedule import (
    Failures,
    Timing,
    longest_retry,
    must_renew_now,
    plan_due,
    retry_wait,
)

DEFAULT_LIFE = 86_400.0  # seconds, where nobody said how long a certificate lives
MOST_OBEYED = timedelta(hours=1)  # a Retry-After above it is a mistake or a trap


def pace_of(life: float) -> Timing:
    """The constants for a life of so many seconds; 0 stands for the default one."""
    return Timing.for_lifetime(timedelta(seconds=life or DEFAULT_LIFE))


def draw_due(meta: Meta, *, now: datetime, jitter: float, first: bool) -> datetime:
    """The due point of the next renewal."""
    return plan_due(meta.not_before, meta.not_after, now=now, jitter=jitter, first=first)


def is_at_floor(meta: Meta, now: datetime) -> bool:
    """Is so little life left that it renews whatever else was said?"""
    return must_renew_now(meta.not_before, meta.not_after, now=now)


def retry_delay(
    failure: Failure, number: int, pace: Timing, *, meta: Meta | None, now: datetime, clock: Clock
) -> timedelta:
    """How long to wait after the `number`-th failure in a row; what the CA asked for counts where it is longer."""
    remaining = meta.not_after - now if meta else None
    wait = retry_wait(failure.kind, Failures(number, remaining, clock.jitter()), pace) or pace.shortest_retry
    if failure.kind is FailureClass.DELIVERY:
        return wait
    left = max(remaining or timedelta(), timedelta())
    most = max(longest_retry(remaining, shortest=pace.shortest_retry), left / 4)
    return max(wait, min(timedelta(seconds=failure.retry_after), MOST_OBEYED, most))
