"""When a certificate renews, and how long everything around it waits (agent.md 5 and 6, RFC 9773).

Rules: every time is min(constant, share of life), so that one-minute certificates work; `jitter` in [0, 1) is an
argument, as is every moment; a retry knows how much life is left, and goes on after the end of it; below an eighth of
life a certificate renews, whatever else was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

EARLIEST = 0.5  # shares of life
EARLIEST_FIRST = 0.4  # drawn wider, so that a fleet enrolled in one afternoon does not renew in one
LATEST = 2 / 3
SUCCESS_LASTS = 0.4  # the loop breaker: no due point nearer than this after a success
FLOOR = 1 / 8

_LONGEST = timedelta(minutes=15)
_DELIVERY_STEPS = (5.0, 15.0, 60.0, 300.0)  # seconds
_DOUBLINGS = 20  # far past every cap; a larger shift would overflow


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when a renewal is asked for; UTC, aware."""

    start: datetime
    end: datetime


def renewal_window(not_before: datetime, not_after: datetime, *, first: bool = False) -> Window:
    """[1/2, 2/3] of life; of a certificate's first generation [0.4, 2/3]."""
    life = not_after - not_before
    return Window(not_before + life * (EARLIEST_FIRST if first else EARLIEST), not_before + life * LATEST)


def due_point(window: Window, jitter: float) -> datetime:
    """The moment in `window` at the share `jitter` of it; drawn once per generation."""
    return window.start + (window.end - window.start) * jitter


def plan_due(not_before: datetime, not_after: datetime, *, now: datetime, jitter: float, first: bool) -> datetime:
    """The due point after a success at `now`: as drawn, but 0.4 of life from now or more, and never past 7/8."""
    life = not_after - not_before
    drawn = due_point(renewal_window(not_before, not_after, first=first), jitter)
    return min(max(drawn, now + life * SUCCESS_LASTS), not_after - life * FLOOR)


def must_renew_now(not_before: datetime, not_after: datetime, *, now: datetime) -> bool:
    """Is less than 1/8 of life left? Then it renews whatever ARI says (agent.md 5)."""
    return not_after - now < (not_after - not_before) * FLOOR


@dataclass(frozen=True, slots=True)
class Timing:
    """The constants of agent.md 5 and 6 for one length of life.

    `verify_every` spaces the looks after a reload, which end after `verify_within` at most; `same_request` is how long
    the same request gives the same certificate; `page_after` is when a failed delivery wakes somebody.
    """

    life: timedelta
    tick: timedelta
    probe_every: timedelta
    report_every: timedelta
    verify_every: timedelta
    verify_within: timedelta
    shortest_retry: timedelta
    same_request: timedelta
    ari_retry_after: timedelta
    policy_shortest: timedelta
    policy_longest: timedelta
    page_after: timedelta

    @classmethod
    def for_lifetime(cls, life: timedelta) -> Timing:
        """The one place where constants meet shares of life; `life` is above zero."""
        return cls(
            life=life,
            tick=_least(life, 20, 60),
            probe_every=_least(life, 300, 12),
            report_every=_least(life, 300, 12),
            verify_every=_least(life, 1, 60),
            verify_within=life / 3,
            shortest_retry=_least(life, 30, 40),
            same_request=_least(life, 900, 4),
            ari_retry_after=_least(life, 21_600, 50),
            policy_shortest=_least(life, 900, 20),
            policy_longest=_least(life, 3600, 10),
            page_after=_least(life, 600, 10),
        )


def _least(life: timedelta, seconds: float, part: int) -> timedelta:
    return min(timedelta(seconds=seconds), life / part)


def longest_retry(remaining: timedelta | None, *, shortest: timedelta) -> timedelta:
    """The cap of a wait: min(15 min, remaining/8), never under the shortest; 15 min when expired, or at the first."""
    if remaining is None or remaining <= timedelta():
        return max(shortest, _LONGEST)
    return max(shortest, min(_LONGEST, remaining / 8))


def next_retry(
    attempt: int, *, shortest: timedelta, longest: timedelta, remaining: timedelta | None, jitter: float
) -> timedelta:
    """The wait after the `attempt`-th failure in a row (from 1): half of the step, plus a random half (agent.md 6).

    The step doubles from `shortest` to `longest`; an eighth of the `remaining` life caps it further, None standing for
    no certificate yet.
    """
    cap = max(shortest, min(longest, longest_retry(remaining, shortest=shortest)))
    step = min(cap, shortest * (1 << min(max(attempt - 1, 0), _DOUBLINGS)))
    return step / 2 + step / 2 * jitter


class RetryClass(StrEnum):
    """Who mends what went wrong (agent.md 6)."""

    TRANSIENT = "transient"
    LOCAL = "local"
    POLICY = "policy"
    IDENTITY = "identity"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Failures:
    """What a wait depends on: failures in a row (from 1), the life that is left (None: no certificate), jitter."""

    attempt: int
    remaining: timedelta | None
    jitter: float


def retry_wait(kind: RetryClass, failures: Failures, timing: Timing) -> timedelta | None:
    """How long to wait before the next attempt; None where a person is needed first."""
    return _BACKOFFS[kind](failures, timing)


def _transient(failures: Failures, timing: Timing) -> timedelta:
    return next_retry(
        failures.attempt,
        shortest=timing.shortest_retry,
        longest=_LONGEST,
        remaining=failures.remaining,
        jitter=failures.jitter,
    )


def _policy(failures: Failures, timing: Timing) -> timedelta:
    """Between its own bounds whatever is left: a rule changes when a person changes it, and that is an event."""
    step = min(timing.policy_longest, timing.policy_shortest * (1 << min(max(failures.attempt - 1, 0), _DOUBLINGS)))
    return step / 2 + step / 2 * failures.jitter


def _delivery(failures: Failures, timing: Timing) -> timedelta:
    """No jitter: it is one host's own service."""
    step = _DELIVERY_STEPS[min(max(failures.attempt, 1), len(_DELIVERY_STEPS)) - 1]
    return _least(timing.life, step, 12)


def _never(_failures: Failures, _timing: Timing) -> None:
    """Stop: the certificate is `stuck`."""


_BACKOFFS: Mapping[RetryClass, Callable[[Failures, Timing], timedelta | None]] = {
    RetryClass.TRANSIENT: _transient,
    RetryClass.LOCAL: _transient,
    RetryClass.POLICY: _policy,
    RetryClass.IDENTITY: _never,
    RetryClass.DELIVERY: _delivery,
}
