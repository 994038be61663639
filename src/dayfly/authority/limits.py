"""Limits by rate: who has used how much, in the memory of this process, bounded.

Rules: the oldest key goes when there are too many, so a stranger with many addresses costs memory that is known before;
a refusal is RateLimited with the seconds to wait; each worker counts for itself; a restart forgets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from dayfly.core.policy.limits import Rate, retry_after, spend
from dayfly.core.problems import RateLimited

BAD_CREDENTIALS = Rate(30, timedelta(minutes=1))  # per source
BAD_BINDINGS = Rate(30, timedelta(minutes=1))  # per source
KEY_DOWNLOADS = Rate(60, timedelta(minutes=1))  # per source
RENEWALS = Rate(6, timedelta(hours=1))  # per certificate, across its renewals
MOST_KEYS = 100_000


class RateLimiter:
    """The state of one rate for many keys."""

    def __init__(self, *, enabled: bool = True, most: int = MOST_KEYS) -> None:
        """Nothing is used yet; a limiter that is not `enabled` allows everything and remembers nothing."""
        self._enabled = enabled
        self._most = most
        self._paid_until: OrderedDict[Hashable, datetime] = OrderedDict()

    def take(self, key: Hashable, rate: Rate, now: datetime, *, what: str) -> None:
        """Count one use; RateLimited, and nothing is used, where the rate does not allow it."""
        self.check(key, rate, now, what=what)
        self.use(key, rate, now)

    def give_back(self, key: Hashable, rate: Rate) -> None:
        """Undo one use: what it was for did not happen."""
        if key in self._paid_until:
            self._paid_until[key] -= rate.window / rate.count

    def check(self, key: Hashable, rate: Rate, now: datetime, *, what: str) -> None:
        """Raise RateLimited where one more use would not be allowed; nothing is used."""
        paid_until = self._paid_until.get(key)
        if paid_until is not None and spend(paid_until, rate, now) is None:
            wait = retry_after(paid_until, rate, now)
            raise RateLimited(f"{what}; try again in {wait} s", retry_after=wait)

    def use(self, key: Hashable, rate: Rate, now: datetime) -> None:
        """Count one use; past the rate it stays where it is."""
        if not self._enabled:
            return
        after = spend(self._paid_until.get(key), rate, now)
        if after is not None:
            self._paid_until[key] = after
            self._paid_until.move_to_end(key)
            if len(self._paid_until) > self._most:
                self._paid_until.popitem(last=False)

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._paid_until)


class Lineages:
    """Which certificate began the line that another belongs to, as far as this process looked; bounded."""

    def __init__(self, *, most: int = MOST_KEYS) -> None:
        """Nothing is known yet."""
        self._most = most
        self._first: OrderedDict[int, int] = OrderedDict()

    def first(self, certificate_id: int) -> int | None:
        """The first of the line; None where nobody has looked."""
        return self._first.get(certificate_id)

    def add(self, certificate_id: int, first: int) -> None:
        """A certificate joined the line of `first`."""
        self._first[certificate_id] = first
        if len(self._first) > self._most:
            self._first.popitem(last=False)


class Limits:
    """All rates of one process."""

    def __init__(self, *, enabled: bool = True) -> None:
        """`[limits] enabled = false` turns all of them off."""
        self.enabled = enabled
        self.credentials = RateLimiter(enabled=enabled)
        self.bindings = RateLimiter(enabled=enabled)
        self.downloads = RateLimiter(enabled=enabled)
        self.renewals = RateLimiter(enabled=enabled)
        self.replacements = RateLimiter(enabled=enabled)
        self.lineages = Lineages()


def source_key(source: IPv4Address | IPv6Address | None) -> Hashable:
    """Whom an address stands for: an IPv4 address for itself, an IPv6 address for its /64."""
    return IPv6Network((source, 64), strict=False) if isinstance(source, IPv6Address) else source
