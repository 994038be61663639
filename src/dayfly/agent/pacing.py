"""How the agent's waits follow the life of a certificate (agent.md 5 and 6); the arithmetic is core/schedule's.

Rules: a wait is min(constant, share of life); jitter is an argument; a Retry-After is obeyed up to the cap, and nothing
ever waits past the point where too little life is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.agent.clock import Clock
from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.installing import Meta

DEFAULT_LIFE = 86_400.0
_DELIVERY = (5.0, 15.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """The constants of agent.md 5 for one length of life."""

    life: float
    tick: timedelta
    look_every: timedelta
    verify_every: timedelta
    longest_verify: timedelta
    shortest_retry: timedelta


def pace_of(life: float) -> Pace:
    """The constants for a life of so many seconds; 0 stands for the default one."""
    life = life or DEFAULT_LIFE
    return Pace(
        life=life,
        tick=_least(20, life / 60),
        look_every=_least(300, life / 12),
        verify_every=_least(1, life / 60),
        longest_verify=timedelta(seconds=life / 3),
        shortest_retry=_least(30, life / 40),
    )


def _least(constant: float, share: float) -> timedelta:
    return timedelta(seconds=min(constant, share))


def draw_due(meta: Meta, *, now: datetime, jitter: float, first: bool) -> datetime:
    """The due point: random in [1/2, 2/3] of life, the first from 0.4; 0.4 of life from now or more, never past 7/8."""
    life = meta.not_after - meta.not_before
    begin, end = (0.4 if first else 0.5), 2 / 3
    due = meta.not_before + life * (begin + (end - begin) * jitter)
    return min(max(due, now + life * 0.4), meta.not_before + life * 7 / 8)


def is_at_floor(meta: Meta, now: datetime) -> bool:
    """Is less than 1/8 of life left? Then it renews, whatever else was said."""
    return meta.not_after - now < (meta.not_after - meta.not_before) / 8


def retry_delay(
    failure: Failure, number: int, pace: Pace, *, meta: Meta | None, now: datetime, clock: Clock
) -> timedelta:
    """How long to wait after the `number`-th failure in a row."""
    if failure.kind is FailureClass.DELIVERY:
        step = _DELIVERY[min(number, len(_DELIVERY)) - 1] if number else _DELIVERY[0]
        return _least(step, pace.life / 12)
    remaining = (meta.not_after - now).total_seconds() if meta and meta.not_after > now else 0.0
    least = pace.shortest_retry.total_seconds()
    if failure.kind is FailureClass.POLICY:
        least, most = min(900.0, pace.life / 20), min(3600.0, pace.life / 10)
    else:
        most = max(least, min(900.0, remaining / 8 if remaining else 900.0))
    step = min(most, least * 2.0 ** min(number - 1, 20))
    delay = step / 2 + step / 2 * clock.jitter()
    return timedelta(seconds=max(delay, min(failure.retry_after, 3600.0, max(most, remaining / 4))))
