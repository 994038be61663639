"""The survival clock: when which share of the names has expired if nothing renews from now on.

Rules: figures count names, each by the best certificate it has, never rows; moments are absolute, so that they
outlive the CA; a share counts at least three names (0: the first); due is two thirds of life, overdue that and 5 % of
life.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 1.0)
HORIZONS = (3600, 14400, 28800, 43200, 86400)  # seconds
DUE = 2 / 3
OVERDUE = DUE + 0.05
PLANNED = 7 / 12  # the middle of the window from 1/2 to 2/3
LEAST_NAMES = 3
RETIRED_AFTER = 2.0  # lifetimes past notAfter: nobody waits for this name any more


class NameState(StrEnum):
    """How a name stands; `served` and `not_served` need somebody who looks, and come with the CA's probes."""

    SERVED = "served"
    UNSEEN = "unseen"
    OVERDUE = "overdue"
    NOT_SERVED = "not_served"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Life:
    """The best certificate of a name: notBefore and notAfter in Unix seconds."""

    not_before: float
    not_after: float

    @property
    def seconds(self) -> float:
        """The lifetime, never below one second."""
        return max(self.not_after - self.not_before + 1, 1.0)

    def used(self, moment: float) -> float:
        """The share of life that is over at `moment`; above 1 after expiry."""
        return (moment - self.not_before) / self.seconds

    def is_retired(self, moment: float) -> bool:
        """Has the name been silent past two lifetimes?"""
        return moment > self.not_after + RETIRED_AFTER * self.seconds


@dataclass(frozen=True, slots=True)
class Forecast:
    """The fleet at one moment; `expiry` maps a share to Unix seconds, `expiring` a horizon in seconds to names.

    `due` counts live names past two thirds of life: a fleet that was enrolled in one hour has none for long, and then
    no renewals are missed, whatever the mean rate says.
    """

    names: Mapping[NameState, int]
    expiry: Mapping[float, float]
    expiring: Mapping[int, int]
    expected_renewals_per_second: float
    due: int


def forecast(lives: Iterable[Life], now: float) -> Forecast:
    """The figures for these names as of `now` (Unix seconds)."""
    names = dict.fromkeys((NameState.UNSEEN, NameState.OVERDUE, NameState.NONE), 0)
    ends: list[float] = []
    rate, due = 0.0, 0
    for life in lives:
        names[_state(life, now)] += 1
        if life.not_after > now:
            ends.append(life.not_after)
            rate += 1 / (PLANNED * life.seconds)
            due += life.used(now) >= DUE
    ends.sort()
    return Forecast(
        names=names,
        expiry={share: ends[_rank(share, len(ends))] for share in QUANTILES} if ends else {},
        expiring={horizon: _count_before(ends, now + horizon) for horizon in HORIZONS},
        expected_renewals_per_second=rate,
        due=due,
    )


def _state(life: Life, now: float) -> NameState:
    if life.not_after <= now:
        return NameState.NONE
    return NameState.OVERDUE if life.used(now) > OVERDUE else NameState.UNSEEN


def _rank(share: float, count: int) -> int:
    """The index of the name with whose end this share is gone."""
    if share == 0:
        return 0
    return min(max(math.ceil(share * count), LEAST_NAMES), count) - 1


def _count_before(ends: list[float], moment: float) -> int:
    return sum(1 for end in ends if end <= moment)
