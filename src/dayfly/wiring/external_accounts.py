"""External account keys and accounts of a CA, for commands: beside its running server or without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from dayfly.adapters.system import SystemClock
from dayfly.authority.account_scopes import change_account_scope
from dayfly.authority.accounts import end_account, open_orders_of
from dayfly.authority.external_accounts import add_external_key, revoke_external_key
from dayfly.config.values import Config
from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.habits import MOST_ISSUANCES, Advice, Conduct, advice_for, conduct_of
from dayfly.core.acme.objects import Account
from dayfly.core.ids import render_id
from dayfly.core.policy.scopes import Scope
from dayfly.errors import ConfigError, NotFound
from dayfly.ports.store import Store
from dayfly.wiring.commands import certificates_of, opened

PAGE = 500


async def add_key_of(config: Config, key: ExternalAccountKey) -> None:
    """Store a key; ConfigError where it cannot be as it is asked for."""
    async with opened(config) as store:
        await add_external_key(store, key)


async def keys_of(config: Config) -> tuple[ExternalAccountKey, ...]:
    """All keys, those first that were made first."""
    found: list[ExternalAccountKey] = []
    async with opened(config) as store:
        while page := await store.external_keys.external_keys(after=found[-1].id if found else 0, limit=PAGE):
            found += page
    return tuple(found)


async def revoke_key_of(config: Config, *, provisioner: str, kid: str) -> ExternalAccountKey:
    """Take a key back; ConfigError where there is none."""
    async with opened(config) as store:
        return await revoke_external_key(store, SystemClock(), provisioner=provisioner, kid=kid)


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account and what hangs on it: the key that bound it, how many open orders and living certificates.

    `advice` is what is to be told of its client.
    """

    account: Account
    external_key: ExternalAccountKey | None
    open_orders: int
    certificates: int
    advice: Advice | None


async def accounts_of(config: Config, now: datetime) -> tuple[tuple[Account, Advice | None], ...]:
    """All accounts, those first that were made first, each with what is to be told of its client."""
    found: list[Account] = []
    async with opened(config) as store:
        while page := await store.accounts.accounts(after=found[-1].id if found else 0, limit=PAGE):
            found += page
        conducts = await _conducts(store, now)
    return tuple((one, advice_for(one, conducts)) for one in found)


async def _conducts(store: Store, now: datetime) -> dict[int, Conduct]:
    return conduct_of(await store.certificates.issuances(limit=MOST_ISSUANCES), now)


async def view_account_of(config: Config, account_id: int, now: datetime) -> AccountView:
    """One account; ConfigError where there is none."""
    certificates = sum([one.account_id == account_id async for one in certificates_of(config, now, everything=False)])
    async with opened(config) as store:
        try:
            account = await store.accounts.account(account_id)
        except NotFound:
            raise _no_account(account_id) from None
        key = await store.external_keys.external_key(account.external_key) if account.external_key else None
        orders, advice = await open_orders_of(store, account_id, now), advice_for(account, await _conducts(store, now))
        return AccountView(account, key, orders, certificates, advice)


async def end_account_of(config: Config, account_id: int) -> tuple[Account, int]:
    """The account once it was ended, and how many open orders went with it; ConfigError where there is none."""
    async with opened(config) as store:
        try:
            return await end_account(store, SystemClock(), account_id)
        except NotFound:
            raise _no_account(account_id) from None


async def change_scope_of(config: Config, account_id: int, change: Callable[[Scope], Scope]) -> tuple[Account, bool]:
    """The account under the scope that `change` makes of its own, and whether it is another; ConfigError."""
    async with opened(config) as store:
        try:
            return await change_account_scope(store, SystemClock(), account_id, change)
        except NotFound:
            raise _no_account(account_id) from None


def _no_account(account_id: int) -> ConfigError:
    return ConfigError("", f"there is no account {render_id(account_id)}", hint="list them: dayfly ca account list")
