"""The lifetime that survives an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.policy.lifetimes import LONGEST
from dayfly.core.policy.survival import STEPS, plan_survival
from dayfly.core.schedule import renewal_window

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("outage", "lifetime"), [(8, 24), (9, 30), (1, 3), (12, 36), (56, 168), (48, 144)])
def test_lifetime_is_three_outages_rounded_up__readme(outage: int, lifetime: int) -> None:
    """Eight hours are a day; nine do not fit into one."""
    assert plan_survival(outage * HOUR).lifetime == lifetime * HOUR


@given(st.integers(1, 56 * 3600).map(lambda seconds: timedelta(seconds=seconds)))
def test_certificate_that_renews_as_late_as_it_may_outlives_the_outage(outage: timedelta) -> None:
    """The CA goes away the moment before the latest renewal: what is left of life is no shorter than the outage."""
    chosen = plan_survival(outage)
    latest = renewal_window(NOW, NOW + chosen.lifetime).end
    assert NOW + chosen.lifetime - latest >= outage - timedelta(microseconds=1)
    assert chosen.lifetime in STEPS
    shorter = [step for step in STEPS if step < chosen.lifetime]
    assert all(step / 3 < outage for step in shorter)


@pytest.mark.parametrize("outage", [timedelta(), -HOUR, 57 * HOUR, 400 * 24 * HOUR])
def test_outage_that_no_lifetime_survives_is_refused(outage: timedelta) -> None:
    """None at all, and one that would take lives above seven days."""
    with pytest.raises(ValueError, match=r"takes some time|is the longest"):
        plan_survival(outage)
    assert STEPS[-1] == LONGEST
