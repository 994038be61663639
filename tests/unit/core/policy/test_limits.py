"""Rates as one moment per key (security.md section 7)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.policy.limits import (
    DEFAULT_FIGURES,
    Limit,
    LimitFigures,
    Rate,
    facts_of,
    pause_digest,
    retry_after,
    share_used,
    spend,
)
from factories import NOW

SIX = Rate(6, timedelta(hours=1))


def used(times: int, now: datetime = NOW) -> datetime:
    """The state after so many uses at once."""
    state: datetime | None = None
    for _ in range(times):
        state = spend(state, SIX, now)
        assert state is not None
    assert state is not None
    return state


def test_all_at_once_and_then_one_by_one__security_7() -> None:
    """Six at once; the seventh ten minutes later, and the text before says when."""
    state = used(6)
    assert spend(state, SIX, NOW) is None
    wait = retry_after(state, SIX, NOW)
    assert wait == 600
    assert spend(state, SIX, NOW + timedelta(seconds=wait - 1)) is None
    assert spend(state, SIX, NOW + timedelta(seconds=wait)) is not None


def test_what_was_not_used_does_not_pile_up() -> None:
    """After a day it is six again, not more."""
    assert used(6, NOW + timedelta(days=1)) > NOW
    state = spend(used(1), SIX, NOW + timedelta(days=1))
    for _ in range(5):
        assert state is not None
        state = spend(state, SIX, NOW + timedelta(days=1))
    assert state is not None
    assert spend(state, SIX, NOW + timedelta(days=1)) is None


def test_a_window_shrinks_to_a_short_life__security_7() -> None:
    """Six within a minute for leaves that live a minute; longer lives change nothing."""
    assert SIX.within(timedelta(minutes=1)) == Rate(6, timedelta(minutes=1))
    assert SIX.within(timedelta(hours=24)) is SIX


@pytest.mark.parametrize(
    ("life", "window"), [(10, 10), (299, 60), (300, 300), (3_599, 900), (5, 10)], ids=lambda one: f"{one}s"
)
def test_window_that_a_client_chooses_is_one_of_few__security_7(life: int, window: int) -> None:
    """The longest step that is no longer than the life; a rate whose window is short enough stays as it is."""
    assert SIX.stepped(timedelta(seconds=life)) == Rate(6, timedelta(seconds=window))
    assert SIX.stepped(timedelta(hours=24)) is SIX
    assert SIX.times(10) == Rate(60, timedelta(hours=1))


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (Rate(3_000, timedelta(hours=3)), "3000/3h"),
        (Rate(1, timedelta(days=30)), "1/30d"),
        (Rate(6, timedelta(minutes=90)), "6/90m"),
        (Rate(50, timedelta(seconds=1)), "50/1s"),
    ],
)
def test_a_rate_is_written_as_it_is_configured(rate: Rate, text: str) -> None:
    """In the largest unit that divides the window."""
    assert str(rate) == text


def test_the_facts_are_those_of_the_figures__acme_13() -> None:
    """Each limit that has a figure once, with that figure; credits have none."""
    facts = {one.limit: one for one in facts_of(LimitFigures(renewals=SIX.times(7), open_orders=11))}
    assert set(facts) == set(Limit) - {Limit.REPLACEMENTS}
    assert (facts[Limit.RENEWALS].rate, facts[Limit.RENEWALS].count) == (Rate(42, SIX.window), 42)
    assert (facts[Limit.OPEN_ORDERS].rate, facts[Limit.OPEN_ORDERS].count) == (None, 11)
    for limit, one in facts.items():
        changed = limit in {Limit.RENEWALS, Limit.OPEN_ORDERS}
        assert changed or getattr(DEFAULT_FIGURES, limit.replace("-", "_")) == (one.rate or one.count)


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    """What was used in a future that is none any more does not count."""
    assert spend(used(6), SIX, NOW - timedelta(days=1)) is not None
    assert spend(used(6), SIX, NOW - timedelta(seconds=1)) is not None


def test_a_wait_is_a_second_at_least() -> None:
    """Retry-After is whole seconds, and never zero."""
    assert retry_after(NOW - timedelta(days=1), SIX, NOW) == 1


def test_share_of_a_rate_falls_as_time_pays__security_7() -> None:
    """None of it unused, all of it at once, half of it after half a window, none after a whole one."""
    assert share_used(None, SIX, NOW) == 0.0
    assert [share_used(used(times), SIX, NOW) for times in (1, 3, 6)] == [1 / 6, 0.5, 1.0]
    assert share_used(used(6), SIX, NOW + SIX.window / 2) == 0.5
    assert share_used(used(6), SIX, NOW + SIX.window) == 0.0
    assert share_used(used(6), SIX, NOW + 2 * SIX.window) == 0.0


def test_a_clock_that_is_set_back_leaves_nothing_used() -> None:
    """As `spend` forgets what was used in a future that is none any more."""
    assert share_used(used(6), SIX, NOW - timedelta(seconds=1)) == 0.0


def test_pause_is_lifted_for_one_account_and_one_name() -> None:
    """The claims of others, and of other names, have other digests; the same has the same."""
    digests = {pause_digest(account, name) for account in (7, 8, 71) for name in ("a.example", "1a.example")}
    assert len(digests) == 6
    assert pause_digest(7, "a.example") in digests
    assert all(len(one) == 32 for one in digests)


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=60))
def test_no_window_ever_sees_more_than_twice_the_count(pauses: list[int]) -> None:
    """A burst and what trickles after it: at most two windows' worth in any one window."""
    state, now, taken = None, NOW, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        after = spend(state, SIX, now)
        if after is not None:
            state = after
            taken.append(now)
    for begin in taken:
        assert sum(begin <= one <= begin + SIX.window for one in taken) <= 2 * SIX.count
