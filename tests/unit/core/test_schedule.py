"""When a certificate renews and how long it waits, from ten seconds of life to 398 days (agent.md 5 and 6)."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.schedule import (
    Failures,
    RetryClass,
    Timing,
    Window,
    due_point,
    longest_retry,
    must_renew_now,
    next_retry,
    plan_due,
    renewal_window,
    retry_wait,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MICRO = timedelta(microseconds=10)  # what rounding may take from a share of life

LIVES = st.integers(10, 398 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
JITTERS = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(1, 10_000)
LEFT = st.one_of(st.none(), st.integers(-(10**7), 4 * 10**7).map(lambda seconds: timedelta(seconds=seconds)))


def test_window_is_half_to_two_thirds_of_life__agent_5() -> None:
    """With 24 hours: from 12 to 16 hours; the first from 9 h 36 min."""
    assert renewal_window(NOW, NOW + DAY) == Window(NOW + 12 * HOUR, NOW + 16 * HOUR)
    assert renewal_window(NOW, NOW + DAY, first=True) == Window(NOW + 9.6 * HOUR, NOW + 16 * HOUR)


@given(LIVES, st.booleans(), JITTERS)
def test_due_point_is_in_its_window__agent_5(life: timedelta, first: bool, jitter: float) -> None:
    """Never later than two thirds of life, whatever the jitter."""
    window = renewal_window(NOW, NOW + life, first=first)
    assert window.start <= due_point(window, jitter) <= window.end
    assert due_point(window, 0.0) == window.start
    assert not must_renew_now(NOW, NOW + life, now=window.end)


@given(LIVES, JITTERS, st.booleans())
def test_plan_of_a_fresh_certificate_is_its_due_point(life: timedelta, jitter: float, first: bool) -> None:
    """The loop breaker changes nothing where all is well."""
    planned = plan_due(NOW, NOW + life, now=NOW, jitter=jitter, first=first)
    assert abs(planned - due_point(renewal_window(NOW, NOW + life, first=first), jitter)) <= MICRO


@given(LIVES, JITTERS, st.floats(0, 1))
def test_success_lasts_for_two_fifths_of_life__agent_5(life: timedelta, jitter: float, used: float) -> None:
    """A certificate that came used up is not renewed at once, nor after 7/8 of its life."""
    now = NOW + life * used
    planned = plan_due(NOW, NOW + life, now=now, jitter=jitter, first=False)
    latest = NOW + life - life / 8
    assert planned <= latest
    assert planned >= min(now + life * 0.4, latest)


def test_below_an_eighth_of_life_it_renews__agent_5() -> None:
    """With 24 hours: when less than three are left, and after the end."""
    answers = [
        must_renew_now(NOW, NOW + DAY, now=NOW + 21 * HOUR + extra) for extra in (-SECOND, 0 * SECOND, SECOND, DAY)
    ]
    assert answers == [False, False, True, True]


def test_constants_of_a_day__agent_5() -> None:
    """The left column of the table, as everybody knows it."""
    assert Timing.for_lifetime(DAY) == Timing(
        life=DAY,
        tick=20 * SECOND,
        probe_every=5 * MINUTE,
        report_every=5 * MINUTE,
        verify_every=SECOND,
        verify_within=8 * HOUR,
        shortest_retry=30 * SECOND,
        same_request=15 * MINUTE,
        ari_retry_after=DAY / 50,
        policy_shortest=15 * MINUTE,
        policy_longest=HOUR,
        page_after=10 * MINUTE,
    )


def test_constants_of_a_minute__agent_5() -> None:
    """The shares of life, as one-minute certificates need them."""
    assert Timing.for_lifetime(MINUTE) == Timing(
        life=MINUTE,
        tick=SECOND,
        probe_every=5 * SECOND,
        report_every=5 * SECOND,
        verify_every=SECOND,
        verify_within=20 * SECOND,
        shortest_retry=1.5 * SECOND,
        same_request=15 * SECOND,
        ari_retry_after=1.2 * SECOND,
        policy_shortest=3 * SECOND,
        policy_longest=6 * SECOND,
        page_after=6 * SECOND,
    )


@given(LIVES, LIVES)
def test_every_constant_shrinks_with_life__agent_1(one: timedelta, other: timedelta) -> None:
    """None is zero, none outlasts a third of life, and a shorter life never has a longer one."""
    short, long = (Timing.for_lifetime(life) for life in sorted((one, other)))
    for field in fields(Timing):
        assert timedelta() < getattr(short, field.name) <= getattr(long, field.name)
        assert field.name == "life" or getattr(short, field.name) <= short.life / 3
    assert short.shortest_retry <= short.policy_shortest <= short.policy_longest


def test_ari_is_asked_for_at_most_every_six_hours__agent_5() -> None:
    """Half an hour for a day, six hours for a year."""
    assert Timing.for_lifetime(365 * DAY).ari_retry_after == 6 * HOUR


def test_cap_of_a_wait_shrinks_with_what_is_left__agent_6() -> None:
    """An eighth of it, never under the shortest; 15 minutes when there is much, when it expired, and at the first."""
    lefts = (None, 8 * HOUR, 80 * MINUTE, MINUTE, 0 * SECOND, -HOUR)
    caps = [longest_retry(left, shortest=30 * SECOND) for left in lefts]
    assert caps == [15 * MINUTE, 15 * MINUTE, 10 * MINUTE, 30 * SECOND, 15 * MINUTE, 15 * MINUTE]


def test_step_doubles_and_half_of_it_is_random__agent_6() -> None:
    """Equal jitter: 30 s, 1 min, 2 min … to the longest."""

    def wait(attempt: int, jitter: float) -> timedelta:
        return next_retry(attempt, shortest=30 * SECOND, longest=15 * MINUTE, remaining=None, jitter=jitter)

    assert [wait(attempt, 0.0) / SECOND for attempt in range(1, 8)] == [15, 30, 60, 120, 240, 450, 450]
    assert wait(1, 0.5) == 22.5 * SECOND
    assert wait(10**9, 0.5) == 675 * SECOND


@given(LIVES, ATTEMPTS, LEFT, JITTERS)
def test_retry_is_between_half_the_shortest_and_the_longest(
    life: timedelta, attempt: int, left: timedelta | None, jitter: float
) -> None:
    """However many failures, however little is left."""
    shortest = Timing.for_lifetime(life).shortest_retry
    wait = next_retry(attempt, shortest=shortest, longest=15 * MINUTE, remaining=left, jitter=jitter)
    assert shortest / 2 - MICRO <= wait <= longest_retry(left, shortest=shortest) + MICRO


def tries_before_expiry(life: timedelta) -> int:
    """With the latest due point, the largest jitter and a CA that is dead."""
    timing, jitter = Timing.for_lifetime(life), 1 - 1e-9
    left = NOW + life - due_point(renewal_window(NOW, NOW + life), jitter)
    tries = 0
    while left > timedelta():
        tries += 1
        wait = retry_wait(RetryClass.TRANSIENT, Failures(tries, left, jitter), timing)
        assert wait is not None
        left -= wait
    return tries


def test_dead_ca_is_tried_often_enough__agent_18_32() -> None:
    """At least 20 times before a day's certificate ends, at least 10 times for one of a minute."""
    assert tries_before_expiry(DAY) >= 20
    assert tries_before_expiry(MINUTE) >= 10


@given(LIVES)
def test_every_life_gets_ten_tries_in_its_last_third(life: timedelta) -> None:
    """From ten seconds to 398 days."""
    assert tries_before_expiry(life) >= 10


@given(st.sampled_from(RetryClass), LIVES, ATTEMPTS, LEFT, JITTERS)
def test_only_identity_waits_for_a_person__agent_6(
    kind: RetryClass, life: timedelta, attempt: int, left: timedelta | None, jitter: float
) -> None:
    """All others try again, expired or not, within an hour."""
    wait = retry_wait(kind, Failures(attempt, left, jitter), Timing.for_lifetime(life))
    if kind is RetryClass.IDENTITY:
        assert wait is None
    else:
        assert wait is not None
        assert timedelta() < wait <= HOUR


@given(LIVES, ATTEMPTS, LEFT, JITTERS)
def test_local_failures_wait_like_transient_ones__agent_6(
    life: timedelta, attempt: int, left: timedelta | None, jitter: float
) -> None:
    """The same wait; what differs is that nothing is sent."""
    timing, failures = Timing.for_lifetime(life), Failures(attempt, left, jitter)
    assert retry_wait(RetryClass.LOCAL, failures, timing) == retry_wait(RetryClass.TRANSIENT, failures, timing)


def test_refusal_by_policy_waits_a_quarter_of_an_hour_to_an_hour__agent_6() -> None:
    """Whatever is left; equal jitter here too."""
    timing = Timing.for_lifetime(DAY)
    waits = [retry_wait(RetryClass.POLICY, Failures(attempt, MINUTE, 0.0), timing) for attempt in (1, 2, 3, 4, 10**9)]
    assert waits == [7.5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE]


@pytest.mark.parametrize(("life", "waits"), [(DAY, [5, 15, 60, 300, 300]), (MINUTE, [5, 5, 5, 5, 5])])
def test_delivery_waits_in_fixed_steps__agent_6(life: timedelta, waits: list[int]) -> None:
    """5 s, 15 s, 1 min, then every 5 min, each at most a twelfth of life; no jitter, as it is one host's service."""
    timing = Timing.for_lifetime(life)
    found = [retry_wait(RetryClass.DELIVERY, Failures(attempt, None, 0.7), timing) for attempt in range(1, 6)]
    assert found == [wait * SECOND for wait in waits]
