"""The survival clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.fleet.forecast import QUANTILES, Life, NameState, forecast

NOW = 1_000_000.0
DAY = 86_400.0


def life(used: float) -> Life:
    """A day's certificate of which this share is used."""
    begin = NOW - used * DAY
    return Life(begin, begin + DAY - 1)


def test_empty_fleet_has_no_clock() -> None:
    """What has no value has no series."""
    assert dict(forecast([], NOW).expiry) == {}


@pytest.mark.parametrize(
    ("used", "state"),
    [(0.1, NameState.UNSEEN), (0.7, NameState.UNSEEN), (0.73, NameState.OVERDUE), (1.1, NameState.NONE)],
)
def test_state_of_a_name_by_its_age(used: float, state: NameState) -> None:
    """Overdue is two thirds of life and 5 % more; none is expired."""
    assert forecast([life(used)], NOW).names[state] == 1


def test_quantiles_count_at_least_three_names() -> None:
    """One sleeping laptop moves quantile 0 only."""
    figures = forecast([life(0.9), *(life(0.1) for _ in range(9))], NOW)
    assert figures.expiry[0.0] == life(0.9).not_after
    assert figures.expiry[0.01] == life(0.1).not_after


def test_rate_is_one_renewal_per_planned_due_point() -> None:
    """A day's certificate renews after seven twelfths of a day."""
    assert forecast([life(0.1)], NOW).expected_renewals_per_second == pytest.approx(1 / (DAY * 7 / 12))


def test_name_is_due_from_two_thirds_of_life_to_its_end() -> None:
    """Who enrolled an hour ago owes no renewal, and who has expired is counted elsewhere."""
    assert [forecast([life(used)], NOW).due for used in (0.1, 0.66, 0.67, 0.99, 1.1)] == [0, 0, 1, 1, 0]


def test_retired_name_is_silent_past_two_lifetimes() -> None:
    """After that nobody waits for it."""
    assert life(0.5).is_retired(NOW) is False
    assert Life(NOW - 3.2 * DAY, NOW - 2.1 * DAY).is_retired(NOW) is False
    assert Life(NOW - 4.2 * DAY, NOW - 3.2 * DAY).is_retired(NOW) is True


@given(st.lists(st.floats(min_value=0, max_value=2), min_size=1, max_size=60))
def test_quantiles_rise_and_horizons_count(shares: list[float]) -> None:
    """Later quantiles are never earlier; every name is in one state; nothing within a day is missed."""
    figures = forecast([life(used) for used in shares], NOW)
    moments = [figures.expiry[share] for share in QUANTILES] if figures.expiry else []
    assert moments == sorted(moments)
    assert sum(figures.names.values()) == len(shares)
    assert figures.expiring[86400] == sum(1 for used in shares if life(used).not_after > NOW)
