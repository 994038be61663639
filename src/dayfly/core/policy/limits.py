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


class Limit(StrEnum):
    """The limits by name, as refusals and metrics tell them."""

    NEW_ACCOUNTS = "new-accounts"
    REQUESTS = "requests"
    BAD_CREDENTIALS = "bad-credentials"
    BAD_BINDINGS = "bad-bindings"
    KEY_DOWNLOADS = "key-downloads"
    NEW_ORDERS = "new-orders"
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


BAD_CREDENTIALS = Rate(30, timedelta(minutes=1))  # per source
BAD_BINDINGS = Rate(30, timedelta(minutes=1))  # per source
KEY_DOWNLOADS = Rate(60, timedelta(minutes=1))  # per source
NEW_ACCOUNTS = Rate(60, timedelta(hours=1))  # per source, as Let's Encrypt has 10 in 3 h
REQUESTS = Rate(50, timedelta(seconds=1))  # per source: directory, newNonce, renewalInfo
NEW_ORDERS = Rate(3_000, timedelta(hours=3))  # per account
FAILED_VALIDATIONS = Rate(10, timedelta(hours=1))  # per account and name
CERTIFICATES = Rate(1_000, timedelta(days=1))  # per account and exact name set; 50 replicas of one name are normal
RENEWALS = Rate(6, timedelta(hours=1))  # per certificate, across its renewals
OPEN_ORDERS = 1_000  # per account, neither finished nor expired
PENDING_AUTHORIZATIONS = 10_000  # per account, in these orders
PAUSE_AFTER = 100  # failed validations in a row, for account and name; at ten an hour half a day of trying in vain
UNPAUSED_FOR = timedelta(days=7)  # after an operator said so nothing pauses it for so long
NEAR = 0.2  # share of CERTIFICATES at which the operator hears of it


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """What a person should know of a limit: how many, for each of what."""

    limit: Limit
    rate: Rate | None
    count: int
    each: str


FACTS = (
    LimitFacts(Limit.REQUESTS, REQUESTS, REQUESTS.count, "source; directory, newNonce and renewalInfo together"),
    LimitFacts(Limit.BAD_CREDENTIALS, BAD_CREDENTIALS, BAD_CREDENTIALS.count, "source"),
    LimitFacts(Limit.BAD_BINDINGS, BAD_BINDINGS, BAD_BINDINGS.count, "source"),
    LimitFacts(Limit.KEY_DOWNLOADS, KEY_DOWNLOADS, KEY_DOWNLOADS.count, "source"),
    LimitFacts(Limit.NEW_ACCOUNTS, NEW_ACCOUNTS, NEW_ACCOUNTS.count, "source"),
    LimitFacts(Limit.NEW_ORDERS, NEW_ORDERS, NEW_ORDERS.count, "account"),
    LimitFacts(Limit.OPEN_ORDERS, None, OPEN_ORDERS, "account"),
    LimitFacts(Limit.PENDING_AUTHORIZATIONS, None, PENDING_AUTHORIZATIONS, "account, in its open orders"),
    LimitFacts(Limit.FAILED_VALIDATIONS, FAILED_VALIDATIONS, FAILED_VALIDATIONS.count, "account and name"),
    LimitFacts(Limit.PAUSED, None, PAUSE_AFTER, "account and name, failures in a row"),
    LimitFacts(Limit.CERTIFICATES, CERTIFICATES, CERTIFICATES.count, "account and exact set of names"),
    LimitFacts(Limit.RENEWALS, RENEWALS, RENEWALS.count, "certificate and all that came of it"),
)
"""The limits that an operator hears of, in the order in which a client meets them."""


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
