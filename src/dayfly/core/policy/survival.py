"""The lifetime that survives an outage of the CA (decision 0019).

Rules: clients renew at two thirds of life at the latest, so a third is left to whoever found the CA away just then; a
lifetime is three times the outage, rounded up to a step that people know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dayfly.core.policy.lifetimes import LONGEST, render_duration

PARTS = 3  # of life; one of them is left after the latest renewal (core/schedule.LATEST)

_MINUTES = (1, 2, 3, 5, 10, 15, 20, 30)
_HOURS = (1, 2, 3, 4, 6, 8, 12, 18, 24, 30, 36, 48, 60, 72, 96, 120, 144, 168)
STEPS = (*(timedelta(minutes=one) for one in _MINUTES), *(timedelta(hours=one) for one in _HOURS))


@dataclass(frozen=True, slots=True)
class Survival:
    """An outage, and the lifetime by which every certificate outlives it."""

    outage: timedelta
    lifetime: timedelta


def plan_survival(outage: timedelta) -> Survival:
    """The shortest step that is three outages long or more; ValueError for none, or one that no lifetime survives."""
    if outage <= timedelta():
        raise ValueError("an outage takes some time")
    needed = outage * PARTS
    for step in STEPS:
        if step >= needed:
            return Survival(outage, step)
    needs, longest = render_duration(needed), render_duration(LONGEST / PARTS)
    what = f"an outage of {render_duration(outage)} takes lifetimes of {needs}"
    raise ValueError(f"{what}; those above {LONGEST.days}d need a CRL, so {longest} is the longest")
