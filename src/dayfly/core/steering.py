"""What follows from a CA's word on when to renew (agent.md 5, RFC 9773 4.2 and 4.3), for whoever keeps a certificate.

Rules: it is obeyed both ways, but never past the point where too little life is left; a CA is asked when its last
answer said so, and not more often than is good for it; one that asks for renewals over and over is not followed a third
time, so that its fault cannot use up what a loop breaker allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dayfly.core.renewing import Life
from dayfly.core.schedule import FLOOR, Timing, Window, due_point, renewal_window

LEAST_WAIT = timedelta(seconds=10)  # a certificate of a minute is asked about thrice before its time
MOST_WAIT = timedelta(hours=6)
MOST_FOLLOWED = 2  # of the three issuances in half a life that the agent's loop breaker allows


def steer(window: Window, life: Life, due: datetime, *, now: datetime, jitter: float) -> datetime | None:
    """The due point in the window that the CA names; None where the one that was drawn may stay.

    A CA that names the usual window moves nothing but what it moved before: what was drawn wider stays wide.
    """
    usual = renewal_window(life.begin, life.end)
    slack = max(timedelta(seconds=2), life.length / 100)
    if abs(window.start - usual.start) <= slack and abs(window.end - usual.end) <= slack:
        first = renewal_window(life.begin, life.end, first=True)
        if due >= first.start - slack:
            return None
        window = usual
    elif window.start <= due <= window.end:
        return None
    return min(max(due_point(window, jitter), now), life.end - life.length * FLOOR)


def wait_to_ask(timing: Timing, retry_after: float | None = None) -> timedelta:
    """How long to wait before the CA is asked again; `retry_after` in seconds is what it said, None where nothing."""
    usual = max(timing.ari_retry_after, LEAST_WAIT)
    asked = usual if retry_after is None else timedelta(seconds=retry_after)
    return min(max(asked, LEAST_WAIT), MOST_WAIT)


def followed_enough(issued: Sequence[datetime], life: timedelta, *, now: datetime) -> bool:
    """Were there so many certificates within half a life that a CA which asks for one more is not believed?"""
    return sum(timedelta() <= now - one < life / 2 for one in issued) >= MOST_FOLLOWED
