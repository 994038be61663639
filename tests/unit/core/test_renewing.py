"""When a renewal of the command line is due: once, and as a daemon, for a day's certificate and a minute's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.renewing import (
    Cadence,
    CadenceError,
    Failed,
    Life,
    check_cadence,
    is_due,
    parse_expires_in,
    plan_first,
    plan_next,
    plan_retry,
)
from factories import NOW

LIVES = {"day": timedelta(hours=24), "minute": timedelta(minutes=1)}


def life(length: timedelta = timedelta(hours=24)) -> Life:
    """A certificate that began at NOW."""
    return Life(NOW, NOW + length)


@pytest.mark.parametrize(
    ("text", "cadence"),
    [
        ("10h", Cadence(remaining=timedelta(hours=10))),
        ("1h15m", Cadence(remaining=timedelta(hours=1, minutes=15))),
        ("75%", Cadence(share=0.75)),
        ("0%", Cadence(share=0.0)),
        ("100%", Cadence(share=1.0)),
    ],
)
def test_expires_in_is_a_rest_of_life_or_a_share_of_it(text: str, cadence: Cadence) -> None:
    """Durations as step takes them, shares as its needs-renewal does."""
    assert parse_expires_in(text) == cadence


@pytest.mark.parametrize("text", ["", "%", "101%", "-1%", "7.5%", "١%", "soon", "5", "-1h"])
def test_expires_in_that_says_nothing_is_refused(text: str) -> None:
    """No guess is made."""
    with pytest.raises(CadenceError):
        parse_expires_in(text)


@pytest.mark.parametrize(
    "cadence",
    [Cadence(remaining=timedelta(hours=25)), Cadence(period=timedelta(hours=24)), Cadence(period=timedelta())],
)
def test_cadence_that_the_life_cannot_hold_is_refused(cadence: Cadence) -> None:
    """Longer than all of life, or without a pause."""
    with pytest.raises(CadenceError):
        check_cadence(cadence, life())


def test_cadence_within_life_is_taken() -> None:
    """The whole life may be asked for, and any period below it."""
    for cadence in (Cadence(remaining=timedelta(hours=24)), Cadence(period=timedelta(hours=23)), Cadence()):
        check_cadence(cadence, life())


@pytest.mark.parametrize(
    ("cadence", "hours", "jitter", "due"),
    [
        (Cadence(), 0, 0.0, True),
        (Cadence(remaining=timedelta(hours=8)), 15.9, 0.0, False),
        (Cadence(remaining=timedelta(hours=8)), 16, 0.0, True),
        (Cadence(remaining=timedelta(hours=8)), 15.7, 0.9, True),
        (Cadence(share=0.5), 11.9, 0.9, False),
        (Cadence(share=0.5), 12, 0.0, True),
    ],
)
def test_one_run_acts_when_its_point_in_life_has_come(cadence: Cadence, hours: float, jitter: float, due: bool) -> None:
    """Without a point it always acts; the jitter of step's makes it earlier, never later."""
    assert is_due(cadence, life(), now=NOW + timedelta(hours=hours), jitter=jitter) is due


@pytest.mark.parametrize("length", LIVES.values(), ids=LIVES)
@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_first_renewal_lies_in_the_agents_window(length: timedelta, jitter: float) -> None:
    """Half to two thirds of life, whatever its length; and at once where that has passed."""
    born = life(length)
    first = plan_first(Cadence(), born, now=NOW, jitter=jitter)
    assert NOW + length / 2 <= first <= NOW + length * 2 / 3
    late = NOW + length * 0.7
    assert plan_first(Cadence(), born, now=late, jitter=jitter) == late


@pytest.mark.parametrize(
    ("cadence", "hours", "first"),
    [
        (Cadence(remaining=timedelta(hours=8)), 0, 16.0),
        (Cadence(remaining=timedelta(hours=8)), 17, 17.0),
        (Cadence(share=0.25), 0, 6.0),
        (Cadence(period=timedelta(hours=10)), 0, 10.0),
        (Cadence(period=timedelta(hours=10)), 15, 15.0),
        (Cadence(remaining=timedelta(hours=1)), 22, 22.0),
        (Cadence(), 25, 25.0),
    ],
)
def test_first_renewal_is_where_it_was_asked_for(cadence: Cadence, hours: float, first: float) -> None:
    """Below an eighth of life, and after its end, it is at once."""
    planned = plan_first(cadence, life(), now=NOW + timedelta(hours=hours), jitter=0.0)
    assert planned == NOW + timedelta(hours=first)


@pytest.mark.parametrize("length", LIVES.values(), ids=LIVES)
@pytest.mark.parametrize(
    "cadence",
    [
        Cadence(),
        Cadence(share=0.0),
        Cadence(share=1.0),
        Cadence(remaining=timedelta(seconds=59)),
        Cadence(remaining=timedelta(0)),
        Cadence(period=timedelta(seconds=20)),
        Cadence(period=timedelta(seconds=59)),
    ],
)
@pytest.mark.parametrize("jitter", [0.0, 0.999])
def test_next_renewal_never_runs_hot_and_always_leaves_an_eighth(
    length: timedelta, cadence: Cadence, jitter: float
) -> None:
    """A daemon that got what it asked for waits, and comes back in time."""
    born = life(length)
    planned = plan_next(cadence, born, now=NOW, jitter=jitter)
    assert planned <= born.end - length / 8
    assert planned >= NOW + (cadence.period or length * 0.4) or planned == born.end - length / 8


@pytest.mark.parametrize("length", LIVES.values(), ids=LIVES)
def test_retry_doubles_to_a_cap_and_goes_on_after_expiry(length: timedelta) -> None:
    """A CA that is away for long is asked less often, and never forgotten."""
    born, now = life(length), NOW + length / 2
    waits = [plan_retry(Failed(attempt), born, now=now, jitter=0.0) - now for attempt in range(1, 12)]
    assert waits == sorted(waits)
    assert timedelta() < waits[0] <= timedelta(seconds=30)
    assert waits[-1] <= max(length / 16, timedelta(seconds=1))
    late = born.end + timedelta(hours=1)
    assert late < plan_retry(Failed(50), born, now=late, jitter=0.999) <= late + timedelta(minutes=15)


def test_refusal_waits_longer_than_an_outage() -> None:
    """A rule changes when a person changes it."""
    born, now = life(), NOW + timedelta(hours=12)
    outage = plan_retry(Failed(1), born, now=now, jitter=0.5)
    assert plan_retry(Failed(1, refused=True), born, now=now, jitter=0.5) > outage


@pytest.mark.parametrize(("asked", "most"), [(600, 600), (86_400, 3600)])
def test_retry_after_is_obeyed_up_to_a_bound(asked: float, most: float) -> None:
    """What the CA asks for counts, until it would cost the certificate."""
    born, now = life(), NOW + timedelta(hours=12)
    failed = Failed(1, retry_after=timedelta(seconds=asked))
    assert plan_retry(failed, born, now=now, jitter=0.0) == now + timedelta(seconds=most)
    late = NOW + timedelta(hours=23, minutes=59)
    assert plan_retry(failed, born, now=late, jitter=0.0) < born.end


@pytest.mark.parametrize(
    ("cadence", "is_chosen"),
    [
        (Cadence(), False),
        (Cadence(share=0.0), True),
        (Cadence(remaining=timedelta()), True),
        (Cadence(period=timedelta(hours=1)), True),
    ],
)
def test_point_that_somebody_chose_is_known(cadence: Cadence, *, is_chosen: bool) -> None:
    """A share of nothing is one too."""
    assert cadence.is_chosen is is_chosen
