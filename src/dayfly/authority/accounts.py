"""Accounts: created once per key, whatever races (RFC 8555 7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dayfly.authority.compromises import check_sound
from dayfly.authority.context import Authority, Source
from dayfly.authority.external_accounts import find_binding_key
from dayfly.authority.order_limits import counting_account
from dayfly.core.acme.accounts import (
    check_agreement,
    check_binding_is_there,
    check_usable,
    plan_account_update,
    plan_new_account,
)
from dayfly.core.acme.external_accounts import bind, parse_binding
from dayfly.core.acme.objects import Account, AccountStatus, Order, OrderStatus
from dayfly.core.acme.ordering import ORDER_LIFE, abandon_order, as_of
from dayfly.core.acme.payloads import AccountUpdate, NewAccount
from dayfly.core.acme.revoking import revoke_account
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.policy.limits import MOST_OPEN_ORDERS
from dayfly.core.problems import AccountDoesNotExist, ServiceUnavailable
from dayfly.errors import Conflict, Unavailable
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from dayfly.ports.system import Clock

TRIES = 10
OPERATOR = "the CA's operator"  # who ended an account, in the log
LIST_SLICES = 10


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks for an account: key that signed, URL that it signed for, address it came from, name of the client."""

    key: PublicKey
    url: str
    source: Source | None
    user_agent: str = ""


async def new_account(
    authority: Authority, provisioner: str, request: NewAccount, applicant: Applicant
) -> tuple[Account, bool]:
    """The account of this key, and whether it was created now (RFC 8555 7.3, 7.3.1, 7.3.4).

    1. A key that was reported as compromised gets none (BadPublicKey).
    2. A key that has an account gets that account, unchanged, whatever becomes of the key that bound it.
    3. With onlyReturnExisting an unknown key is AccountDoesNotExist.
    4. Terms of service, where there are some, are agreed to.
    5. Where external accounts are required, or one is named, its key binds the account.
    6. Account and use of that key are committed; the loser of a race starts over. The gate has judged the account's
       own key.
    """
    settings, grant = await authority.acme_grant(provisioner)
    for _ in range(TRIES):
        sound = await check_sound(authority, applicant.key)
        known = await authority.store.accounts.account_by_key(provisioner, applicant.key.thumbprint)
        if known is not None:
            check_usable(known)
            return known, False
        if request.only_return_existing:
            raise AccountDoesNotExist("no account of this provisioner has this key")
        found = settings.find_provisioner(provisioner)
        if found is not None:
            check_agreement(request, found.terms_of_service)
            check_binding_is_there(request, required=found.require_eab)
        try:
            with counting_account(authority, applicant.source, grant.lifetimes.default):
                return await _make_account(authority, provisioner, request, applicant, sound=sound), True
        except Conflict:
            continue
    raise ServiceUnavailable("others make accounts with this key; try again", retry_after=1)


async def _make_account(
    authority: Authority, provisioner: str, request: NewAccount, applicant: Applicant, *, sound: str
) -> Account:
    """A new account, bound where the request says so; Conflict where another came first."""
    now, key = authority.clock.now(), applicant.key
    account, event = plan_new_account(
        request,
        key,
        account_id=authority.ids.new(),
        provisioner=provisioner,
        now=now,
        user_agent=applicant.user_agent,
    )
    if request.external_account_binding is None:
        await authority.store.commit(Changes(insert=(account,), sound_keys=(sound,), events=(event,)))
        return account
    binding = parse_binding(request.external_account_binding, url=applicant.url, key=key)
    async with authority.binding.alone(hash(binding.kid)):  # else many of one key would meet each other at the commit
        external = await find_binding_key(authority, provisioner, binding, source=applicant.source)
        account, used, bound = bind(account, external, now=now)
        changes = Changes(insert=(account,), update=(used,), sound_keys=(sound,), events=(event, bound))
        await authority.store.commit(changes)
    return account


async def update_account(authority: Authority, account: Account, update: AccountUpdate) -> Account:
    """The account after an update of contacts or a deactivation, which ends its open orders (RFC 8555 7.3.2, 7.3.6)."""
    for _ in range(TRIES):
        plan = plan_account_update(account, update, now=authority.clock.now())
        if plan is None:
            return account
        updated, event = plan
        try:
            orders = await _orders_to_abandon(authority.store, updated)
            await authority.store.commit(Changes(update=(updated, *orders), events=(event,)))
        except Conflict:
            account = await authority.store.accounts.account(account.id)
            check_usable(account)
            continue
        return replace(updated, version=updated.version + 1)
    raise ServiceUnavailable("the account is being changed by others; try again", retry_after=1)


@dataclass(frozen=True, slots=True)
class OrderList:
    """A page of an account's orders, newest first, and the id to go on from; None where there are no more."""

    orders: tuple[Order, ...]
    following: int | None


async def list_orders(authority: Authority, account: Account, *, before: int | None) -> OrderList:
    """The account's orders that are not invalid as of now, with ids below `before` (RFC 8555 7.1.2.1).

    Those that have expired and are not stored as invalid are left out, at most some slices of them: a page may then be
    short of orders.
    """
    now, found, following = authority.clock.now(), list[Order](), before
    page = authority.caps.orders_page
    for _ in range(LIST_SLICES):
        slice_ = await authority.store.orders.orders_of(account.id, before=following, limit=page - len(found))
        found += [one for one in slice_.orders if as_of(one, now).status is not OrderStatus.INVALID]
        following = slice_.following
        if following is None or len(found) >= page:
            break
        await authority.sleep(0)  # others get their turn between slices
    return OrderList(tuple(found), following)


async def end_account(store: Store, clock: Clock, account_id: int) -> tuple[Account, int]:
    """The account once the CA's operator ended it, and how many open orders went with it; NotFound.

    One that was given up or ended before stays as it is.
    """
    for _ in range(TRIES):
        account = await store.accounts.account(account_id)
        if account.status is not AccountStatus.VALID:
            return account, 0
        ended, event = revoke_account(account, by=OPERATOR, now=clock.now())
        orders = await _orders_to_abandon(store, ended)
        try:
            await store.commit(Changes(update=(ended, *orders), events=(event,)))
        except Conflict:
            continue
        return replace(ended, version=ended.version + 1), len(orders)
    raise Unavailable("the account kept changing meanwhile", hint="run the command again")


async def open_orders_of(store: Store, account_id: int, now: datetime) -> int:
    """How many orders of the account are pending or ready as of now."""
    since = make_id(int((now - ORDER_LIFE).timestamp() * 1000), 0, 0)
    return await store.orders.count_open_orders(account_id, since=since)


async def _orders_to_abandon(store: Store, account: Account) -> tuple[Order, ...]:
    """The open orders of an account that is no longer valid; a validation that still runs cannot make them ready."""
    if account.status is AccountStatus.VALID:
        return ()
    found = await store.orders.open_orders(account.id, limit=MOST_OPEN_ORDERS)
    return tuple(abandon_order(one, account.status) for one in found)
