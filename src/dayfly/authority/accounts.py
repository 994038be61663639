"""Accounts: created once per key, whatever races (RFC 8555 7.3)."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.authority.compromises import check_sound
from dayfly.authority.context import Authority
from dayfly.core.acme.accounts import check_agreement, check_usable, plan_account_update, plan_new_account
from dayfly.core.acme.messages import AccountUpdate, NewAccount
from dayfly.core.acme.objects import Account, AccountStatus, Order, OrderStatus
from dayfly.core.acme.ordering import abandon_order, as_of
from dayfly.core.frozen import replace
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.problems import AccountDoesNotExist, ExternalAccountRequired, ServiceUnavailable
from dayfly.errors import Conflict
from dayfly.ports import Changes

TRIES = 3
LIST_SLICES = 10
MOST_ORDERS = 10_000  # open ones of an account; the cap on them is 1,000 where limits are on


async def new_account(
    authority: Authority, provisioner: str, request: NewAccount, key: PublicKey
) -> tuple[Account, bool]:
    """The account of this key, and whether it was created now (RFC 8555 7.3, 7.3.1).

    1. A key that was reported as compromised gets none (BadPublicKey).
    2. A key that has an account gets that account, unchanged.
    3. With onlyReturnExisting an unknown key is AccountDoesNotExist.
    4. Terms of service, where there are some, are agreed to (7.3.3).
    5. The account is committed; the loser of a race gets the winner's. The gate has judged the key.
    """
    settings, _ = await authority.acme_grant(provisioner)
    sound = await check_sound(authority, key)
    known = await authority.store.accounts.account_by_key(provisioner, key.thumbprint)
    if known is not None:
        check_usable(known)
        return known, False
    if request.only_return_existing:
        raise AccountDoesNotExist("no account of this provisioner has this key")
    found = settings.find_provisioner(provisioner)
    if found is not None:
        check_agreement(request, found.terms_of_service)
        if found.require_eab:
            raise ExternalAccountRequired("this provisioner wants an external account binding")
    now = authority.clock.now()
    account, event = plan_new_account(request, key, account_id=authority.ids.new(), provisioner=provisioner, now=now)
    try:
        await authority.store.commit(Changes(insert=(account,), sound_keys=(sound,), events=(event,)))
    except Conflict:
        await check_sound(authority, key)
        winner = await authority.store.accounts.account_by_key(provisioner, key.thumbprint)
        if winner is None:
            raise
        return winner, False
    return account, True


async def update_account(authority: Authority, account: Account, update: AccountUpdate) -> Account:
    """The account after an update of contacts or a deactivation, which ends its open orders (RFC 8555 7.3.2, 7.3.6)."""
    for _ in range(TRIES):
        plan = plan_account_update(account, update, now=authority.clock.now())
        if plan is None:
            return account
        updated, event = plan
        try:
            orders = await _orders_to_abandon(authority, updated)
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

    A CA with many accounts is looked through in slices, of a bounded number: a page may then be short of orders.
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


async def _orders_to_abandon(authority: Authority, account: Account) -> tuple[Order, ...]:
    """The open orders of an account that is no longer valid; a validation that still runs cannot make them ready."""
    if account.status is AccountStatus.VALID:
        return ()
    return tuple(map(abandon_order, await authority.store.orders.open_orders(account.id, limit=MOST_ORDERS)))
