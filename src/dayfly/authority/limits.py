"""Limits by rate: who has used how much.

Rules: what is used up is checked and spent together, and given back where nothing came of it; a refusal is RateLimited,
names the limit that frees last and says when; memory is bounded; where the workers of a host share their buckets the
counts are the host's, and a restart forgets them. No limit fails open: what cannot be counted is an error.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from dayfly.core.policy.limits import DEFAULT_FIGURES, Limit, LimitFigures, Rate, retry_after, share_used, spend
from dayfly.core.problems import RateLimited
from dayfly.ports.limits import Buckets, Step

MOST_KEYS = 100_000
PRIVATE_FACTOR = 10
PRIVATE_NETWORKS = tuple(
    ip_network(one) for one in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
"""Our own table, because `ipaddress.is_private` means much more (security.md 8); the front has the same."""

Source = IPv4Address | IPv6Address
Refused = Callable[[Limit], None]

_BEGINNING, _ONE = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class LocalBuckets:
    """Buckets of one process; the key that was used longest ago goes first (ports.Buckets)."""

    def __init__(self, *, most: int = MOST_KEYS) -> None:
        """Nothing is used yet."""
        self._most = most
        self._moments: OrderedDict[tuple[str, Hashable], datetime] = OrderedDict()

    def look(self, limit: str, key: Hashable) -> datetime | None:
        """The moment; None where nothing is known."""
        return self._moments.get((limit, key))

    def change(self, limit: str, key: Hashable, step: Step) -> None:
        """Let `step` make the new moment of the present one; where it gives None nothing changes."""
        after = step(self._moments.get((limit, key)))
        if after is None:
            return
        self._moments[limit, key] = after
        self._moments.move_to_end((limit, key))
        if len(self._moments) > self._most:
            self._moments.popitem(last=False)

    def forget(self, limit: str, key: Hashable) -> None:
        """Nothing is known of this key any more."""
        self._moments.pop((limit, key), None)

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._moments)


class RateLimiter:
    """One limit for many keys."""

    def __init__(self, limit: Limit, buckets: Buckets, *, enabled: bool = True, refused: Refused | None = None) -> None:
        """One that is not `enabled` allows everything and remembers nothing; `refused` hears of refusals."""
        self._limit = limit
        self._buckets = buckets
        self._enabled = enabled
        self._refused = refused

    def take(self, key: Hashable, rate: Rate, now: datetime, *, what: str) -> None:
        """Count one use; RateLimited, and nothing is used, where the rate does not allow it."""
        wait = self.try_take(key, rate, now)
        if wait:
            raise self.refusal(what, wait)

    def try_take(self, key: Hashable, rate: Rate, now: datetime) -> int:
        """Count one use, and 0; or nothing, and the seconds to wait."""
        waits: list[int] = []

        def step(paid_until: datetime | None) -> datetime | None:
            after = spend(paid_until, rate, now)
            if after is None and paid_until is not None:
                waits.append(retry_after(paid_until, rate, now))
            return after

        if self._enabled:
            self._buckets.change(self._limit, key, step)
        return waits[0] if waits else 0

    def give_back(self, key: Hashable, rate: Rate) -> None:
        """Undo one use: what it was for did not happen."""
        if self._enabled:
            self._buckets.change(
                self._limit, key, lambda held: None if held is None else held - rate.window / rate.count
            )

    def check(self, key: Hashable, rate: Rate, now: datetime, *, what: str) -> None:
        """Raise RateLimited where one more use would not be allowed; nothing is used."""
        paid_until = self._buckets.look(self._limit, key) if self._enabled else None
        if paid_until is not None and spend(paid_until, rate, now) is None:
            raise self.refusal(what, retry_after(paid_until, rate, now))

    def use(self, key: Hashable, rate: Rate, now: datetime) -> None:
        """Count one use; past the rate it stays where it is."""
        self.try_take(key, rate, now)

    def used(self, key: Hashable, rate: Rate, now: datetime) -> float:
        """The share of the rate that is used, from 0 to 1."""
        return share_used(self._buckets.look(self._limit, key), rate, now) if self._enabled else 0.0

    def forget(self, key: Hashable) -> None:
        """Nothing was used, as if it were new."""
        if self._enabled:
            self._buckets.forget(self._limit, key)

    def refusal(self, what: str, wait: int) -> RateLimited:
        """The refusal, which is counted."""
        if self._refused is not None:
            self._refused(self._limit)
        return RateLimited(f"{what} ({self._limit}); try again in {wait} s", retry_after=wait, limit=self._limit)


class InARow:
    """How often something failed since it last succeeded, kept where the buckets are."""

    def __init__(self, limit: Limit, buckets: Buckets) -> None:
        """Nothing failed yet."""
        self._limit = limit
        self._buckets = buckets

    def add(self, key: Hashable) -> None:
        """It failed once more; a count is kept as so many microseconds after the beginning of time."""
        self._buckets.change(self._limit, key, lambda held: (held or _BEGINNING) + _ONE)

    def count(self, key: Hashable) -> int:
        """How often."""
        held = self._buckets.look(self._limit, key)
        return 0 if held is None else (held - _BEGINNING) // _ONE

    def forget(self, key: Hashable) -> None:
        """It succeeded."""
        self._buckets.forget(self._limit, key)


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


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a limit: of which, by whom, at what rate; `what` begins the refusal."""

    limiter: RateLimiter
    key: Hashable
    rate: Rate
    what: str


class Limits:
    """All rates, over the buckets of this process or of the host; `figures` is how much each allows."""

    def __init__(
        self,
        figures: LimitFigures = DEFAULT_FIGURES,
        *,
        enabled: bool = True,
        buckets: Buckets | None = None,
        refused: Refused | None = None,
    ) -> None:
        """`[limits] enabled = false` turns all of them off; `refused` hears of each refusal but those of credits."""
        self.figures = figures
        self.enabled = enabled
        self._buckets: Buckets = LocalBuckets() if buckets is None else buckets
        self._refused = refused
        self.requests = self._limiter(Limit.REQUESTS)
        self.accounts = self._limiter(Limit.NEW_ACCOUNTS)
        self.credentials = self._limiter(Limit.BAD_CREDENTIALS)
        self.bindings = self._limiter(Limit.BAD_BINDINGS)
        self.downloads = self._limiter(Limit.KEY_DOWNLOADS)
        self.orders = self._limiter(Limit.NEW_ORDERS)
        self.refused_orders = self._limiter(Limit.REFUSED_ORDERS)
        self.failures = self._limiter(Limit.FAILED_VALIDATIONS)
        self.in_a_row = InARow(Limit.PAUSED, self._buckets)
        self.certificates = self._limiter(Limit.CERTIFICATES)
        self.warnings = RateLimiter(Limit.CERTIFICATES, LocalBuckets(), enabled=enabled)
        self.renewals = self._limiter(Limit.RENEWALS)
        self.replacements = RateLimiter(Limit.REPLACEMENTS, self._buckets, enabled=enabled)
        self.lineages = Lineages()

    def _limiter(self, limit: Limit) -> RateLimiter:
        return RateLimiter(limit, self._buckets, enabled=self.enabled, refused=self._refused)

    def switched(self, *, enabled: bool, figures: LimitFigures | None = None) -> Limits:
        """The same buckets, on or off, with these figures or those of before; what was counted so far stays."""
        return Limits(figures or self.figures, enabled=enabled, buckets=self._buckets, refused=self._refused)

    def refuse(self, limit: Limit, detail: str, *, wait: int) -> RateLimited:
        """The refusal by a limit that is counted and not timed."""
        if self._refused is not None:
            self._refused(limit)
        return RateLimited(f"{detail} ({limit})", retry_after=wait, limit=limit)

    @contextmanager
    def spending(self, uses: Sequence[Use], now: datetime) -> Iterator[None]:
        """Around work that uses several limits: all are spent, or none and RateLimited; given back where it fails.

        The refusal is that of the limit which frees last.
        """
        waits = [one.limiter.try_take(one.key, one.rate, now) for one in uses]
        taken = [one for one, wait in zip(uses, waits, strict=True) if not wait]
        if len(taken) < len(uses):
            _give_back(taken)
            last = uses[waits.index(max(waits))]
            raise last.limiter.refusal(last.what, max(waits))
        try:
            yield
        except BaseException:
            _give_back(taken)
            raise


def _give_back(taken: Sequence[Use]) -> None:
    for one in taken:
        one.limiter.give_back(one.key, one.rate)


def rate_of(rate: Rate, source: Source | None) -> Rate:
    """The rate as it is for this source: ten times for a private one, since many may sit behind it."""
    private = source is not None and any(source in network for network in PRIVATE_NETWORKS)
    return rate.times(PRIVATE_FACTOR) if private else rate


def source_key(source: Source | None) -> Hashable:
    """Whom an address stands for: an IPv4 address for itself, an IPv6 address for its /64."""
    return IPv6Network((source, 64), strict=False) if isinstance(source, IPv6Address) else source
