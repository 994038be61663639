"""Rates: how often something may be done, as one moment per key (security.md section 7).

Rules: a rate is so many in so long, all at once if nothing was used; the state is the theoretical arrival time, the
moment by which all that was used will have been paid for (GCRA, ITU-T I.371); a window is no longer than the life of
what it counts, so that short lives are not throttled; nothing here keeps state or a clock.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

STEPS = tuple(timedelta(seconds=one) for one in (10, 30, 60, 300, 900, 3_600, 21_600, 43_200, 86_400, 604_800))
"""The windows that a rate may be cut to where clients choose the lifetime."""

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


class Limit(StrEnum):
    """The limits by name, as refusals and metrics tell them."""

    NEW_ACCOUNTS = "new-accounts"
    REQUESTS = "requests"
    BAD_CREDENTIALS = "bad-credentials"
    BAD_BINDINGS = "bad-bindings"
    KEY_DOWNLOADS = "key-downloads"
    NEW_ORDERS = "new-orders"
    REFUSED_ORDERS = "refused-orders"
    OPEN_ORDERS = "open-orders"
    PENDING_AUTHORIZATIONS = "pending-authorizations"
    FAILED_VALIDATIONS = "failed-validations"
    PAUSED = "paused"
    CERTIFICATES = "certificates"
    RENEWALS = "renewals"
    REPLACEMENTS = "replacements"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `window`."""

    count: int
    window: timedelta

    def times(self, factor: int) -> Rate:
        """So many times as often."""
        return Rate(self.count * factor, self.window)

    def within(self, longest: timedelta) -> Rate:
        """The same count in a window that is no longer than `longest`, so that short lives are not throttled."""
        return self if self.window <= longest else Rate(self.count, longest)

    def stepped(self, longest: timedelta) -> Rate:
        """The same in one of few windows, none above `longest`, which a client has chosen.

        Counts of two windows are two counts: who could choose any window had as many as there are.
        """
        if self.window <= longest:
            return self
        return Rate(self.count, max((one for one in STEPS if one <= longest), default=STEPS[0]))

    def __str__(self) -> str:
        """The rate as ca.toml has it, for a window of whole seconds: `3000/3h`."""
        seconds = self.window // timedelta(seconds=1)
        unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
        return f"{self.count}/{seconds // size}{unit}"


@dataclass(frozen=True, slots=True)
class LimitFigures:
    """How much each limit allows; the defaults are those of a CA whose certificates live a day.

    `requests` (directory, newNonce, renewalInfo), `bad_credentials`, `bad_bindings`, `key_downloads` and `new_accounts`
    are per source; `new_orders`, and `refused_orders` by policy, per account; `failed_validations` per account and
    name, of which so many in a row as `paused` says pause the pair; `certificates` per account and exact name set;
    `renewals` per certificate, across its renewals; `open_orders`, neither finished nor expired, and the
    `pending_authorizations` in them per account.
    """

    requests: Rate = Rate(50, timedelta(seconds=1))
    bad_credentials: Rate = Rate(30, timedelta(minutes=1))
    bad_bindings: Rate = Rate(30, timedelta(minutes=1))
    key_downloads: Rate = Rate(60, timedelta(minutes=1))
    new_accounts: Rate = Rate(60, timedelta(hours=1))  # Let's Encrypt has 10 in 3 h
    new_orders: Rate = Rate(3_000, timedelta(hours=3))
    refused_orders: Rate = Rate(300, timedelta(hours=1))  # one of a hundred names takes 30 ms to judge
    failed_validations: Rate = Rate(10, timedelta(hours=1))
    certificates: Rate = Rate(1_000, timedelta(days=1))  # 50 replicas of one name are normal
    renewals: Rate = Rate(6, timedelta(hours=1))
    open_orders: int = 1_000
    pending_authorizations: int = 10_000
    paused: int = 100  # at ten failures an hour half a day of trying in vain


DEFAULT_FIGURES = LimitFigures()
UNPAUSED_FOR = timedelta(days=7)  # after an operator said so nothing pauses it for so long
NEAR = 0.2  # share of `certificates` at which the operator hears of it
MOST_OPEN_ORDERS = 10_000  # whatever the configuration says; what ends an account's orders takes so many at once


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """What a person should know of a limit: how many, for each of what."""

    limit: Limit
    rate: Rate | None
    count: int
    each: str


def facts_of(figures: LimitFigures) -> tuple[LimitFacts, ...]:
    """The limits that an operator hears of, in the order in which a client meets them."""
    return (
        _rated(Limit.REQUESTS, figures.requests, "source; directory, newNonce and renewalInfo together"),
        _rated(Limit.BAD_CREDENTIALS, figures.bad_credentials, "source"),
        _rated(Limit.BAD_BINDINGS, figures.bad_bindings, "source"),
        _rated(Limit.KEY_DOWNLOADS, figures.key_downloads, "source"),
        _rated(Limit.NEW_ACCOUNTS, figures.new_accounts, "source"),
        _rated(Limit.NEW_ORDERS, figures.new_orders, "account"),
        _rated(Limit.REFUSED_ORDERS, figures.refused_orders, "account; orders that policy refuses"),
        LimitFacts(Limit.OPEN_ORDERS, None, figures.open_orders, "account"),
        LimitFacts(Limit.PENDING_AUTHORIZATIONS, None, figures.pending_authorizations, "account, in its open orders"),
        _rated(Limit.FAILED_VALIDATIONS, figures.failed_validations, "account and name"),
        LimitFacts(Limit.PAUSED, None, figures.paused, "account and name, failures in a row"),
        _rated(Limit.CERTIFICATES, figures.certificates, "account and exact set of names"),
        _rated(Limit.RENEWALS, figures.renewals, "certificate and all that came of it"),
    )


def _rated(limit: Limit, rate: Rate, each: str) -> LimitFacts:
    return LimitFacts(limit, rate, rate.count, each)


def pause_digest(account_id: int, name: str) -> bytes:
    """What a claim says that lifts the pause of an account and a name, which is no wildcard."""
    return hashlib.sha256(f"unpause {account_id} {name}".encode()).digest()


def spend(paid_until: datetime | None, rate: Rate, now: datetime) -> datetime | None:
    """The new state after one use at `now`, or None where the rate does not allow it; a new key's state is None.

    A state that lies beyond the window was made before the clock was set back: it is forgotten, and locks nobody out.
    """
    begin = now if paid_until is None or not now <= paid_until <= now + rate.window else paid_until
    after = begin + rate.window / rate.count
    return None if after - now > rate.window else after


def retry_after(paid_until: datetime, rate: Rate, now: datetime) -> int:
    """Whole seconds, one at least, until `spend` will allow one more."""
    free = paid_until + rate.window / rate.count - rate.window
    return max(1, math.ceil((free - now).total_seconds()))


def share_used(paid_until: datetime | None, rate: Rate, now: datetime) -> float:
    """How much of the rate is used at `now`, from 0 to 1."""
    if paid_until is None or not now <= paid_until <= now + rate.window:
        return 0.0
    return (paid_until - now) / rate.window
