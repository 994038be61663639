"""The limits on accounts, orders, and on what comes of them (acme.md part 13; security.md section 7).

Rules: an order that is the due renewal of a certificate is counted by none of them; an order is counted when it is
made, a certificate when it is issued, and neither where nothing came of the request, which counts as refused where
policy says so; a window is no longer than the life of the certificates, so that short lives are not throttled; one
account's failures never hold up another's names.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from dayfly.authority.context import Authority, Source
from dayfly.authority.limits import Use, rate_of, source_key
from dayfly.core.acme.objects import Account, Order
from dayfly.core.acme.ordering import MAX_NAMES, ORDER_LIFE
from dayfly.core.events import Throttled
from dayfly.core.identifiers import Identifier
from dayfly.core.ids import make_id, render_id
from dayfly.core.policy.limits import NEAR, Limit, Rate, pause_digest
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.problems import Refused

_LOG = logging.getLogger("dayfly.authority")
PAUSED_WAIT = 3600  # seconds; until somebody looks
WAIT = 60  # seconds, where a count is full and nobody knows when it will not be
WARN_EVERY = Rate(1, timedelta(days=1))
FIRST = Rate(1, ORDER_LIFE)  # an order that was made before the first was issued lives no longer


async def check_new_order(authority: Authority, account: Account, names: Iterable[Identifier], life: timedelta) -> None:
    """RateLimited where the account has too much open, or one of the names failed too often."""
    await _check_open(authority, account)
    await check_failures(authority, account, names, life)


async def check_failures(authority: Authority, account: Account, names: Iterable[Identifier], life: timedelta) -> None:
    """RateLimited where one of the names failed too often."""
    if not authority.limits.enabled:
        return
    now, rate = authority.clock.now(), authority.limits.figures.failed_validations.within(life)
    for name in names:
        await _check_pause(authority, account, name)
        authority.limits.failures.check(
            failure_key(account.id, name),
            rate,
            now,
            what=f"{name.value}: too many validations of this account failed for this name",
        )


async def _check_pause(authority: Authority, account: Account, name: Identifier) -> None:
    """RateLimited where this account failed with this name so often that nobody can mean it any more."""
    key, plain = failure_key(account.id, name), name.value.removeprefix("*.")
    most = authority.limits.figures.paused
    if authority.limits.in_a_row.count(key) < most:
        return
    if await authority.store.claims.is_claimed(pause_digest(account.id, plain)):
        _forget(authority, key)
        return
    raise authority.limits.refuse(
        Limit.PAUSED,
        f"{plain}: {most} validations of this account failed in a row for this name, so it is paused; mend the "
        f"client, then have it unpaused on the CA's host: dayfly ca limits unpause {render_id(account.id)} {plain}",
        wait=PAUSED_WAIT,
    )


async def _check_open(authority: Authority, account: Account) -> None:
    """Orders that have expired do not count, though their rows say pending until retention takes them."""
    caps, since = authority.caps, make_id(int((authority.clock.now() - ORDER_LIFE).timestamp() * 1000), 0, 0)
    if not caps.open_orders:
        return
    count = await authority.store.orders.count_open_orders(account.id, since=since)
    if count >= caps.open_orders:
        raise authority.limits.refuse(
            Limit.OPEN_ORDERS,
            f"the account has {caps.open_orders} orders that are neither finished nor expired; finish them or let them "
            "expire",
            wait=WAIT,
        )
    most = caps.pending_authorizations
    if count * MAX_NAMES < most:  # whatever names they have
        return
    if await authority.store.orders.count_open_authorizations(account.id, since=since) >= most:
        raise authority.limits.refuse(
            Limit.PENDING_AUTHORIZATIONS,
            f"the account's open orders have {most} authorizations; finish some of them or let them expire",
            wait=WAIT,
        )


@contextmanager
def counting_account(authority: Authority, source: Source | None, life: timedelta) -> Iterator[None]:
    """Around the making of an account; RateLimited. One that is there already is found without."""
    rate = rate_of(authority.limits.figures.new_accounts, source).within(life)
    use = Use(authority.limits.accounts, source_key(source), rate, "too many accounts were made from this address")
    with authority.limits.spending((use,), authority.clock.now()):
        yield


@contextmanager
def counting_order(authority: Authority, account: Account, life: timedelta) -> Iterator[None]:
    """Around the making of an order, or of an authorization before it; RateLimited."""
    rate = authority.limits.figures.new_orders.within(life)
    use = Use(authority.limits.orders, account.id, rate, "the account made too many orders")
    with authority.limits.spending((use,), authority.clock.now()):
        yield


class CountingRefused:
    """Around what policy says to a request; RateLimited before it where too many of the account's were refused.

    A class, since one is made for each order, and a generator takes longer.
    """

    __slots__ = ("_account", "_authority", "_rate")

    def __init__(self, authority: Authority, account: Account, life: timedelta) -> None:
        """Nothing is asked yet."""
        self._authority, self._account = authority, account
        self._rate = authority.limits.figures.refused_orders.within(life)

    def __enter__(self) -> None:
        """RateLimited."""
        now = self._authority.clock.now()
        what = "policy refused too many orders of the account"
        self._authority.limits.refused_orders.check(self._account.id, self._rate, now, what=what)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """A refusal is counted: to judge a hundred names, and to find what is nearest to each, is work."""
        if isinstance(error, Refused):
            self._authority.limits.refused_orders.use(self._account.id, self._rate, self._authority.clock.now())


@contextmanager
def counting_certificate(authority: Authority, order: Order, plan: IssuePlan) -> Iterator[None]:
    """Around the issuing for an order; RateLimited, and the order stays ready; the operator hears at a fifth.

    Of the orders that replace one certificate the first that is issued is not counted: each of theirs could be replaced
    as often, and soon nothing would be counted. A client chooses lifetimes, so there is a count for each window.
    """
    limits, now = authority.limits, authority.clock.now()
    if not limits.enabled:
        yield
        return
    replacing = Use(limits.replacements, ("issued", order.predecessor_id), FIRST, "this certificate is being replaced")
    if order.is_renewal and not limits.replacements.used(replacing.key, FIRST, now):
        with limits.spending((replacing,), now):
            yield
        return
    usual = limits.figures.certificates
    rate, names = usual.stepped(plan.validity.lifetime), sorted(str(one.value) for one in order.identifiers)
    key = (order.account_id, *names) if rate == usual else (order.account_id, str(rate), *names)
    use = Use(limits.certificates, key, rate, "the account got too many certificates for exactly these names")
    with limits.spending((use,), now):
        yield
    _warn(authority, order, plan, key=key, rate=rate, now=now)


def _warn(authority: Authority, order: Order, plan: IssuePlan, *, key: Hashable, rate: Rate, now: datetime) -> None:
    """Say once a day that a fifth of the limit is used: a client that renews in a loop is found early."""
    limits = authority.limits
    if limits.certificates.used(key, rate, now) < NEAR or limits.warnings.try_take(key, WARN_EVERY, now):
        return
    authority.observer.notify((Throttled(now, Limit.CERTIFICATES, near=True),))
    _LOG.warning(
        "an account used a fifth of its certificates for one set of names; does its client renew in a loop?",
        extra={
            "account": render_id(order.account_id),
            "names": ", ".join(one.value for one in order.identifiers)[:500],
            "owner": plan.allowed.owner,
            "limit": f"{rate.count} in {int(rate.window.total_seconds())} s",
        },
    )


def count_failure(authority: Authority, account_id: int, name: Identifier, life: timedelta) -> None:
    """A validation for this name failed for good."""
    rate = authority.limits.figures.failed_validations.within(life)
    key = failure_key(account_id, name)
    authority.limits.failures.use(key, rate, authority.clock.now())
    authority.limits.in_a_row.add(key)


def forget_failures(authority: Authority, account_id: int, name: Identifier) -> None:
    """A validation for this name succeeded: what failed before is forgotten."""
    _forget(authority, failure_key(account_id, name))


def _forget(authority: Authority, key: Hashable) -> None:
    authority.limits.failures.forget(key)
    authority.limits.in_a_row.forget(key)


def failure_key(account_id: int, name: Identifier) -> Hashable:
    """Who fails with what; a wildcard and its base fail together."""
    return account_id, name.value.removeprefix("*.")
