"""When `ca renew` and `ca rekey` act: once, or for as long as they run (step-compat.md part 14, agent.md 5 and 6).

Rules: `--expires-in` is what is left, as a duration, or what has passed, as a share of life, as step's
`needs-renewal` counts it; without it the window of the agent holds, in shares of life; `now` and `jitter` in [0, 1)
are arguments; below an eighth of life it is time, whatever was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.schedule import (
    Failures,
    RetryClass,
    Timing,
    due_point,
    longest_retry,
    must_renew_now,
    plan_due,
    renewal_window,
    retry_wait,
)

SPREAD = 20  # step adds up to this part of --expires-in, so that many hosts do not come at once
MOST_OBEYED = timedelta(hours=1)  # a Retry-After above it is a mistake or a trap


class CadenceError(ValueError):
    """What was asked for cannot be kept with this certificate; the text says why."""


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a certificate is valid; UTC, aware."""

    begin: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """All of it."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Cadence:
    """When to act: with `remaining` left, or once the `share` has passed, or each `period`; or by the window."""

    remaining: timedelta | None = None
    share: float | None = None
    period: timedelta | None = None

    @property
    def is_bound(self) -> bool:
        """Was a point in life asked for, before which nothing happens?"""
        return self.remaining is not None or self.share is not None

    @property
    def is_chosen(self) -> bool:
        """Did somebody choose when, in place of the usual window?"""
        return self.is_bound or self.period is not None


def parse_expires_in(text: str) -> Cadence:
    """`10h`: with so much left; `75%`: once so much of its life has passed. CadenceError."""
    if text.endswith("%"):
        digits = text[:-1]
        if not digits.isascii() or not digits.isdigit() or not 0 <= int(digits) <= 100:
            raise CadenceError(f"{text[:20]!r} is no share of life from 0% to 100%")
        return Cadence(share=int(digits) / 100)
    try:
        return Cadence(remaining=parse_duration(text))
    except ValueError as error:
        raise CadenceError(str(error)) from None


def check_cadence(cadence: Cadence, life: Life) -> None:
    """Raise CadenceError where the certificate does not live that long."""
    if cadence.remaining is not None and cadence.remaining > life.length:
        raise CadenceError("the time to expiry that is asked for is longer than the certificate's whole life")
    if cadence.period is not None and not timedelta() < cadence.period < life.length:
        raise CadenceError("the period is not within the certificate's life")


def is_due(cadence: Cadence, life: Life, *, now: datetime, jitter: float) -> bool:
    """Is it time, for a command that runs once? Without a point in life that was asked for, always."""
    if not cadence.is_bound:
        return True
    return now >= _point(cadence, life) - _spread(cadence) * jitter


def plan_first(cadence: Cadence, life: Life, *, now: datetime, jitter: float) -> datetime:
    """When a daemon that starts at `now` acts for the first time."""
    if must_renew_now(life.begin, life.end, now=now):
        return now
    if cadence.period is not None:
        return now if life.end - now <= cadence.period else now + cadence.period
    if cadence.is_bound:
        return max(now, _point(cadence, life) - _earlier(life) * jitter)
    return max(now, due_point(renewal_window(life.begin, life.end), jitter))


def plan_next(cadence: Cadence, life: Life, *, now: datetime, jitter: float) -> datetime:
    """When a daemon acts again, after it got a certificate of this `life` at `now`.

    A certificate that is born due would make it run without a pause: two fifths of life lie between two successes,
    but where a period asks for less, and an eighth is always left.
    """
    if cadence.period is not None:
        return min(now + cadence.period, life.end - life.length / 8)
    usual = plan_due(life.begin, life.end, now=now, jitter=jitter, first=False)
    if not cadence.is_bound:
        return usual
    asked = _point(cadence, life) - _earlier(life) * jitter
    return min(max(asked, now + life.length * 0.4), life.end - life.length / 8)


@dataclass(frozen=True, slots=True)
class Failed:
    """A renewal that did not work: the `attempt`-th in a row, what the CA asked to wait, and did it refuse?"""

    attempt: int
    refused: bool = False
    retry_after: timedelta = timedelta()


def plan_retry(failed: Failed, life: Life, *, now: datetime, jitter: float) -> datetime:
    """When to try again: a doubling wait that knows how much life is left, and the CA's own word up to a bound."""
    remaining = life.end - now
    kind = RetryClass.POLICY if failed.refused else RetryClass.TRANSIENT
    timing = Timing.for_lifetime(life.length)
    wait = retry_wait(kind, Failures(failed.attempt, remaining, jitter), timing) or timing.shortest_retry
    most = max(longest_retry(remaining, shortest=timing.shortest_retry), remaining / 4)
    return now + max(wait, min(failed.retry_after, MOST_OBEYED, most))


def _point(cadence: Cadence, life: Life) -> datetime:
    if cadence.share is not None:
        return life.begin + life.length * cadence.share
    return life.end - (cadence.remaining or timedelta())


def _spread(cadence: Cadence) -> timedelta:
    return (cadence.remaining or timedelta()) / SPREAD


def _earlier(life: Life) -> timedelta:
    return life.length / SPREAD
