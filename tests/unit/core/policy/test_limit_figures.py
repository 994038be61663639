"""The figures of the limits as ca.toml has them (acme.md part 13)."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import msgspec
import pytest

from dayfly.core.frozen import replace
from dayfly.core.policy.limit_figures import FigureError, LimitsTable, parse_figures
from dayfly.core.policy.limits import DEFAULT_FIGURES, Limit, LimitFigures, Rate, spend
from factories import NOW

RATES = [one.name for one in fields(LimitFigures) if isinstance(getattr(DEFAULT_FIGURES, one.name), Rate)]
COUNTS = [one.name for one in fields(LimitFigures) if one.name not in RATES]


def table(**written: object) -> LimitsTable:
    """The table with these keys."""
    return msgspec.convert(written, LimitsTable)


def test_what_is_not_said_is_the_default__acme_13() -> None:
    """An empty table is the documented figures."""
    assert parse_figures(table()) == DEFAULT_FIGURES
    assert (str(DEFAULT_FIGURES.new_orders), DEFAULT_FIGURES.open_orders) == ("3000/3h", 1_000)


def test_every_limit_with_a_name_has_its_key__acme_13() -> None:
    """By its name with underscores; credits for replacing are no setting."""
    keys = {one.replace("-", "_") for one in set(Limit) - {Limit.REPLACEMENTS}}
    assert {one.name for one in fields(LimitFigures)} == keys
    assert set(LimitsTable.__struct_fields__) == {*keys, "enabled"}


@pytest.mark.parametrize("key", RATES)
def test_a_rate_is_taken_for_its_own_limit_alone(key: str) -> None:
    """A key changes the figure of its name and no other; durations may be as long as they are elsewhere."""
    expected = replace(DEFAULT_FIGURES, **{key: Rate(7, timedelta(minutes=90))})
    assert parse_figures(table(**{key: "7/1h30m"})) == expected


@pytest.mark.parametrize("key", COUNTS)
def test_a_count_is_taken_for_its_own_limit_alone(key: str) -> None:
    """A key changes the figure of its name and no other."""
    assert parse_figures(table(**{key: 7})) == replace(DEFAULT_FIGURES, **{key: 7})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "found '', expected COUNT/WINDOW"),
        ("3000", "found '3000', expected COUNT/WINDOW"),
        ("3000/", "found '3000/', expected COUNT/WINDOW"),
        ("/3h", "found '/3h', expected COUNT/WINDOW"),
        ("3_000/3h", "found '3_000/3h', expected COUNT/WINDOW"),
        ("03/3h", "found '03/3h', expected COUNT/WINDOW"),
        ("-3/3h", "found '-3/3h', expected COUNT/WINDOW"),
        ("3.5/3h", "found '3.5/3h', expected COUNT/WINDOW"),
        (" 3/3h", "found ' 3/3h', expected COUNT/WINDOW"),
        ("\u0663/3h", "found '\u0663/3h', expected COUNT/WINDOW"),
        ("3/3h\n", "found '3/3h\\n', expected COUNT/WINDOW"),
        ("9" * 5_000 + "/3h", "found '" + "9" * 80 + "', expected"),
        ("3/3 h", "found '3/3 h', and '3 h' is no duration"),
        ("3/h", "found '3/h', and 'h' is no duration"),
        ("3/3h/3h", "found '3/3h/3h', and '3h/3h' is no duration"),
        ("0/3h", "found a count of 0, expected 1 to 100000"),
        ("100001/3h", "found a count of 100001, expected 1 to 100000"),
        ("3/0s", "found a window of 0s, expected 1s to 30d in whole seconds"),
        ("3/999ms", "found a window of 999ms, expected 1s to 30d"),
        ("3/1500ms", "found a window of 1500ms, expected 1s to 30d"),
        ("3/30d1s", "found a window of 30d1s, expected 1s to 30d"),
        ("3/999999999d", "found a window of 999999999d, expected 1s to 30d"),
    ],
)
def test_a_rate_that_cannot_be_taken_says_why_and_how(text: str, says: str) -> None:
    """Which key, what was found, what was expected, and the default as the example."""
    with pytest.raises(FigureError) as caught:
        parse_figures(table(new_orders=text))
    assert str(caught.value).startswith(says)
    assert caught.value.key == "new_orders"
    assert 'new_orders = "3000/3h"' in caught.value.hint


@pytest.mark.parametrize("text", ["1/1s", "100000/1s", "1/30d", "100000/30d", "1/2592000s"])
def test_the_bounds_of_rates_are_inside(text: str) -> None:
    """One in a second, a hundred thousand in a month."""
    assert parse_figures(table(requests=text)).requests.count in {1, 100_000}


@pytest.mark.parametrize(
    ("key", "most"), [("open_orders", 10_000), ("pending_authorizations", 10**6), ("paused", 10**5)]
)
def test_counts_have_bounds(key: str, most: int) -> None:
    """None at all is not meant: that is `enabled = false`."""
    for count in (1, most):
        assert getattr(parse_figures(table(**{key: count})), key) == count
    for count in (0, -1, most + 1):
        with pytest.raises(FigureError, match=f"found a count of {count}, expected 1 to {most}") as caught:
            parse_figures(table(**{key: count}))
        assert f"{key} = {getattr(DEFAULT_FIGURES, key)};" in caught.value.hint


def test_the_largest_rate_still_limits() -> None:
    """A private source has ten times as many; the step of each use is a microsecond, not nothing."""
    rate = parse_figures(table(requests="100000/1s")).requests.times(10)
    assert spend(None, rate, NOW) == NOW + timedelta(microseconds=1)
    assert spend(NOW + rate.window, rate, NOW) is None
