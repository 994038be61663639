"""Lifetimes: to the second, within the provisioner's bounds and the issuer's (acme.md part 10)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.policy.lifetimes import (
    LifetimeError,
    Lifetimes,
    check_lifetimes,
    parse_duration,
    plan_validity,
    render_duration,
    short_duration,
    shrink,
)
from dayfly.core.problems import Malformed, ServiceUnavailable
from factories import NOW

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAILY = Lifetimes(5 * MINUTE, DAY, DAY)
FAR = NOW + 3650 * DAY


@pytest.mark.parametrize("seconds", [10, 60, 3600, 86_400, 7 * 86_400])
def test_validity_is_the_lifetime_to_the_second__s2(seconds: int) -> None:
    """NotAfter is notBefore + lifetime - 1 s; the start lies back by min(1 min, lifetime/10)."""
    life = timedelta(seconds=seconds)
    found = plan_validity(NOW, lifetimes=Lifetimes(life, life, life), issuer_not_after=FAR)
    assert found.lifetime == life
    assert found.not_after == found.not_before + life - SECOND
    assert NOW - found.not_before == min(MINUTE, timedelta(seconds=seconds // 10))


def test_certificate_never_outlives_its_issuer__s41() -> None:
    """The end is cut to the issuer's; where that leaves less than the shortest lifetime nothing is issued."""
    soon = NOW + 2 * HOUR
    assert plan_validity(NOW, lifetimes=DAILY, issuer_not_after=soon).not_after == soon
    with pytest.raises(ServiceUnavailable, match="issuing certificate ends"):
        plan_validity(NOW, lifetimes=DAILY, issuer_not_after=NOW + MINUTE)


def test_asked_times_are_exact__rfc8555_7_4() -> None:
    """What a client asks for within the bounds it gets, to the second, without back-dating an asked start."""
    found = plan_validity(
        NOW,
        lifetimes=DAILY,
        issuer_not_after=FAR,
        requested_not_before=NOW + MINUTE,
        requested_not_after=NOW + 2 * HOUR,
    )
    assert (found.not_before, found.not_after) == (NOW + MINUTE, NOW + 2 * HOUR)


def test_asked_end_alone_keeps_the_back_dating() -> None:
    """An unasked start lies back, and that counts for no bound."""
    found = plan_validity(NOW, lifetimes=DAILY, issuer_not_after=FAR, requested_not_after=NOW + DAY)
    assert found.not_after == NOW + DAY
    assert found.not_before == NOW - MINUTE


@pytest.mark.parametrize("days", [6, 7, 8])
def test_back_dating_takes_no_life_beyond_seven_days__rfc9608(days: int) -> None:
    """What was asked for within them needs no CRL; what was not is back-dated as ever."""
    lifetimes = Lifetimes(MINUTE, DAY, 30 * DAY)
    end = NOW + days * DAY - SECOND
    found = plan_validity(NOW, lifetimes=lifetimes, issuer_not_after=NOW + 99 * DAY, requested_not_after=end)
    assert found.not_after == end
    assert found.not_before == (NOW if days == 7 else NOW - MINUTE)


def test_asked_start_alone_has_the_default_end() -> None:
    """The default lifetime counts from the asked start."""
    found = plan_validity(NOW, lifetimes=DAILY, issuer_not_after=FAR, requested_not_before=NOW + HOUR)
    assert found.not_after == NOW + HOUR + DAY - SECOND


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (NOW - 2 * HOUR, None, "notBefore lies in the past"),
        (NOW + 2 * DAY, None, "too far in the future"),
        (None, NOW - SECOND, "notAfter lies in the past"),
        (NOW + 2 * HOUR, NOW + HOUR, "before notBefore"),
        (None, NOW + MINUTE, "below the shortest"),
        (None, NOW + 2 * DAY, "above the longest"),
    ],
)
def test_asked_times_out_of_bounds_are_refused__o11(start: object, end: object, says: str) -> None:
    """Past, inverted, too short, too long: never changed silently."""
    with pytest.raises(Malformed, match=says):
        plan_validity(
            NOW,
            lifetimes=DAILY,
            issuer_not_after=FAR,
            requested_not_before=start,  # type: ignore[arg-type]  # a moment or None
            requested_not_after=end,  # type: ignore[arg-type]  # the same
        )


def test_asked_end_beyond_the_issuers_is_refused() -> None:
    """It could not be given exactly."""
    with pytest.raises(Malformed, match="beyond the issuing"):
        plan_validity(NOW, lifetimes=DAILY, issuer_not_after=NOW + HOUR, requested_not_after=NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("lifetimes", "says"),
    [
        (Lifetimes(DAY, HOUR, DAY), "must rise"),
        (Lifetimes(SECOND, HOUR, DAY), "floor is 10s"),
        (Lifetimes(MINUTE, HOUR, 399 * DAY), "ceiling is 398d"),
    ],
)
def test_lifetimes_that_do_not_fit_are_refused(lifetimes: Lifetimes, says: str) -> None:
    """Out of order, below the floor, or longer than any leaf may live."""
    with pytest.raises(LifetimeError, match=says):
        check_lifetimes(lifetimes)


@pytest.mark.parametrize(
    ("text", "found"),
    [("30s", 30 * SECOND), ("1h30m", 90 * MINUTE), ("7d", 7 * DAY), ("500ms", SECOND / 2), ("1.5h", 90 * MINUTE)],
)
def test_duration_is_read_as_go_writes_it(text: str, found: timedelta) -> None:
    """Hours, minutes, seconds, fractions; and days."""
    assert parse_duration(text) == found


@pytest.mark.parametrize("text", ["", "30", "s", "-5m", "1h ", "5 m", "1w", "٣s", "9" * 20 + "s", "1..5s", "x" * 100])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Signs, spaces, unknown units, other digits, nothing at all."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_huge_duration_is_refused() -> None:
    """More days than a calendar has."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration("999999999d" * 6)


@given(st.integers(0, 10**7))
def test_rendered_duration_is_read_again(seconds: int) -> None:
    """What we write we read."""
    assert parse_duration(render_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_rendered_fraction() -> None:
    """Fractions of a second stay."""
    assert render_duration(timedelta(milliseconds=1500)) == "1.5s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (30 * 86400, "30d"),
        (86400, "24h"),
        (90 * 60, "1h30m"),
        (600, "10m"),
        (20, "20s"),
        (3605, "1h0m5s"),
        (2.5, "2.5s"),
    ],
)
def test_short_duration_is_what_a_person_writes(seconds: float, text: str) -> None:
    """In its largest units, and read again as the same."""
    assert short_duration(timedelta(seconds=seconds)) == text
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_constants_shrink_with_life() -> None:
    """The smaller of the constant and the share."""
    assert shrink(HOUR, 12, DAY) == HOUR
    assert shrink(HOUR, 12, MINUTE) == 5 * SECOND
