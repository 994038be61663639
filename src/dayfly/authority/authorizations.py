"""Authorizations in rows of their own: newAuthz, and what serves further orders (RFC 8555 7.4.1, 7.5.2).

Rules: they are looked for only where the provisioner's switches are on, so that all other orders cost no question more;
an order counts as its rows say, whatever its copies are; a row that changes takes the account's open orders along, and
what a race leaves behind is found when the order is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from dayfly.authority.context import Authority, Source
from dayfly.authority.denials import noting_denials
from dayfly.authority.external_accounts import grant_of_account
from dayfly.authority.order_limits import CountingRefused, check_failures, counting_order
from dayfly.core.acme.authorizations import (
    in_own_rows,
    is_given_again,
    is_reusable,
    parse_asked_identifier,
    plan_new_authorization,
    row_as_of,
    row_ids_of,
    use_again,
    with_rows,
)
from dayfly.core.acme.objects import Account, AuthorizationStatus, Order, SharedAuthorization
from dayfly.core.acme.ordering import give_up
from dayfly.core.acme.payloads import NewAuthorization
from dayfly.core.frozen import replace
from dayfly.core.ids import render_id
from dayfly.core.policy.denials import Asker
from dayfly.core.policy.grant import Grant, check_granted
from dayfly.core.policy.limits import MOST_OPEN_ORDERS
from dayfly.core.problems import NoSuchResource, RateLimited, ServiceUnavailable
from dayfly.core.x509.constraints import check_constraints
from dayfly.errors import Conflict, NotFound
from dayfly.ports.changes import Changes, Record

TRIES = 4


# --- orders and their rows --------------------------------------------------------------------------------------------


async def rows_of(authority: Authority, order: Order) -> tuple[SharedAuthorization, ...]:
    """The rows that an order relies on, as stored; those that retention has taken are not among them."""
    found = []
    for row_id in row_ids_of(order):
        try:
            found.append(await authority.store.authorizations.authorization(row_id))
        except NotFound:
            continue
    return tuple(found)


def as_rows_say(authority: Authority, order: Order, rows: tuple[SharedAuthorization, ...]) -> Order:
    """The order as of now, by its rows as of now."""
    now = authority.clock.now()
    return with_rows(order, {one.id: row_as_of(one, now) for one in rows}, now)


async def shared_by(
    authority: Authority, order: Order, grant: Grant
) -> tuple[Order, tuple[SharedAuthorization, ...], tuple[SharedAuthorization, ...]]:
    """A new order with the account's valid authorizations in it; the rows that it relies on, and those that it makes.

    Where nothing is shared, nobody is asked, and the order is as it was.
    """
    if not grant.pre_authorization and not grant.authorization_reuse:
        return order, (), ()
    now = authority.clock.now()
    live = await authority.store.authorizations.live_authorizations(order.account_id, order.identifiers, now=now)
    fitting = {
        row.authorization.identifier: row
        for row in reversed(live)  # the newest of a name is put last
        if is_reusable(row, profile=order.profile, grant=grant, now=now) and authority.uses_again()
    }
    shared = use_again(order, fitting.values())
    if not grant.authorization_reuse:
        return shared, tuple(fitting.values()), ()
    shared, made = in_own_rows(shared, row_ids=_ids(authority), good_for=grant.authorization_reuse)
    return shared, tuple(fitting.values()), made


def _ids(authority: Authority) -> Iterator[int]:
    while True:
        yield authority.ids.new()


# --- the rows themselves ----------------------------------------------------------------------------------------------


async def new_authorization(
    authority: Authority, account: Account, payload: NewAuthorization, *, source: Source | None
) -> tuple[SharedAuthorization, bool]:
    """The authorization for what is asked, and whether it was made now: a name that has a live one gets that again.

    1. The provisioner lets clients authorize names beforehand, else there is no such resource.
    2. The name is well formed and no wildcard; policy gives it; the issuer can vouch for it.
    3. A live one of the account is given again, so that a loop fills no table; new ones are limited like orders.
    4. It is committed on the account and the settings as they were read.
    """
    settings, grant, keys = await grant_of_account(authority, account)
    if not grant.pre_authorization:
        raise NoSuchResource("this provisioner authorizes no names beforehand; make an order")
    identifier = parse_asked_identifier(payload)
    asker = Asker(account.provisioner, f"account {render_id(account.id)}", source)
    life = grant.lifetimes.default
    with CountingRefused(authority, account, life):
        async with noting_denials(authority, asker):
            check_granted(grant, (identifier,), source=source)
            check_constraints(authority.signer.issuer.constraints, (identifier,))
    now = authority.clock.now()
    live = await authority.store.authorizations.live_authorizations(account.id, (identifier,), now=now)
    for one in live:
        if is_given_again(one, grant, now):
            return one, False
    await _check_pending(authority, account)
    await check_failures(authority, account, (identifier,), life)
    row = plan_new_authorization(
        identifier,
        row_id=authority.ids.new(),
        account=account,
        tokens=iter(authority.token, ""),
        grant=grant,
        offers=authority.offers,
        now=now,
    )
    with counting_order(authority, account, life):
        await authority.store.commit(
            Changes(insert=(row,), unchanged=(account, *keys), settings_revision=settings.revision)
        )
    return row, True


async def _check_pending(authority: Authority, account: Account) -> None:
    cap, now = authority.caps.open_orders, authority.clock.now()
    if cap and await authority.store.authorizations.count_pending(account.id, now=now) >= cap:
        raise RateLimited(
            f"the account has {cap} pending authorizations; prove them, give them up, or let them expire",
            retry_after=60,
        )


async def load_row(authority: Authority, account: Account, row_id: int) -> SharedAuthorization:
    """The account's own, as of now; NoSuchResource for another's too (RFC 8555 10.5)."""
    try:
        row = await authority.store.authorizations.authorization(row_id)
    except NotFound:
        raise NoSuchResource("there is no such authorization") from None
    if row.account_id != account.id:
        raise NoSuchResource("there is no such authorization")
    return row_as_of(row, authority.clock.now())


async def give_up_row(authority: Authority, account: Account, row_id: int) -> SharedAuthorization:
    """The row once its owner gave it up, and with it every open order that relies on it (RFC 8555 7.5.2)."""
    for _ in range(TRIES):
        row = await load_row(authority, account, row_id)
        changed = replace(row, authorization=give_up(row.authorization))
        try:
            await authority.store.commit(Changes(update=await with_orders(authority, changed)))
        except Conflict:
            continue
        return replace(changed, version=changed.version + 1)
    raise ServiceUnavailable("the authorization is being changed by others; try again", retry_after=1)


async def with_orders(authority: Authority, row: SharedAuthorization) -> tuple[Record, ...]:
    """A row that has changed, and the open orders of its account that change with it."""
    if row.authorization.status is AuthorizationStatus.PENDING:
        return (row,)
    orders = await authority.store.orders.open_orders(row.account_id, limit=MOST_OPEN_ORDERS)
    relying = [one for one in orders if row.id in row_ids_of(one)]
    changed = [(one, as_rows_say(authority, one, (row,))) for one in relying]
    return (row, *(after for before, after in changed if after.status is not before.status))
