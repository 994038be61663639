"""What follows from a CA's word on when to renew (agent.md 5, RFC 9773)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.renewing import Life
from dayfly.core.schedule import Timing, Window
from dayfly.core.steering import followed_enough, steer, wait_to_ask
from factories import NOW

HOUR = timedelta(hours=1)
LIFE = Life(NOW, NOW + 24 * HOUR)
USUAL = Window(NOW + 12 * HOUR, NOW + 16 * HOUR)


def window(begin: float, end: float) -> Window:
    """From so many hours of life to so many."""
    return Window(NOW + begin * HOUR, NOW + end * HOUR)


@pytest.mark.parametrize("due", [0.41, 0.5, 0.66])
def test_usual_window_leaves_what_was_drawn__agent_5(due: float) -> None:
    """What was drawn wider for a fleet that was enrolled in one afternoon, too."""
    assert steer(USUAL, LIFE, NOW + LIFE.length * due, now=NOW, jitter=0.5) is None


def test_window_that_is_taken_back_is_drawn_anew__agent_5() -> None:
    """After a reissue that was cancelled the usual window counts again."""
    assert steer(USUAL, LIFE, NOW + HOUR, now=NOW, jitter=0.0) == USUAL.start


@pytest.mark.parametrize(
    ("named", "due", "moved"),
    [
        (window(1, 3), 13.0, 2.0),
        (window(1, 3), 2.5, None),
        (window(-5, -3), 13.0, 0.0),
        (window(18, 20), 13.0, 19.0),
        (window(30, 40), 13.0, 21.0),
    ],
    ids=["earlier", "within", "past: now", "later", "after its end: an eighth of life before it"],
)
def test_other_window_is_obeyed_both_ways_within_life__agent_5(named: Window, due: float, moved: float | None) -> None:
    """Drawn in it, never before now, never past 7/8 of life."""
    expected = None if moved is None else NOW + moved * HOUR
    assert steer(named, LIFE, NOW + due * HOUR, now=NOW, jitter=0.5) == expected


@given(begin=st.floats(-1e4, 1e4), length=st.floats(0.001, 1e4), due=st.floats(0, 24), jitter=st.floats(0, 0.999))
def test_no_word_of_a_ca_lets_a_certificate_end__agent_5(
    begin: float, length: float, due: float, jitter: float
) -> None:
    """Whatever the window, an eighth of life is left."""
    moved = steer(window(begin, begin + length), LIFE, NOW + due * HOUR, now=NOW, jitter=jitter)
    assert moved is None or NOW <= moved <= LIFE.end - LIFE.length / 8


@pytest.mark.parametrize(
    ("life", "said", "waits"),
    [(24 * HOUR, None, 1728.0), (24 * HOUR, 60.0, 60.0), (24 * HOUR, 1.0, 10.0), (24 * HOUR, 1e9, 21600.0),
     (timedelta(minutes=1), None, 10.0)],
)  # fmt: skip
def test_ca_is_asked_when_it_said_so_within_bounds__rfc9773_4_3(
    life: timedelta, said: float | None, waits: float
) -> None:
    """A fiftieth of life where it did not; ten seconds at least, six hours at most."""
    assert wait_to_ask(Timing.for_lifetime(life), said) == timedelta(seconds=waits)


def test_third_renewal_in_half_a_life_is_not_asked_for_by_a_ca__agent_5() -> None:
    """Those of half a life ago count no more, nor does one from the future."""
    recent, old, ahead = NOW - HOUR, NOW - 12 * HOUR, NOW + HOUR
    assert followed_enough([recent, recent], LIFE.length, now=NOW)
    assert not followed_enough([recent, old, ahead], LIFE.length, now=NOW)
