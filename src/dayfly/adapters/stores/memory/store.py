"""The store in memory: the same contract, for tests and as the reference of what the contract says.

Rules: a change set is tested whole before any of it is written; what is durable here lives as long as the process, so
no CA runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from dayfly.adapters.stores.memory.accounts import MemoryAccounts, MemoryClaims, MemoryExternalKeys
from dayfly.adapters.stores.memory.certificates import MemoryCertificates, MemoryCRLs, MemoryRenewals, revoked_in_line
from dayfly.adapters.stores.memory.denials import MemoryDenials
from dayfly.adapters.stores.memory.log import MemoryLog
from dayfly.adapters.stores.memory.orders import MemoryAuthorizations, MemoryOrders
from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.objects import Account, Certificate, Order, SharedAuthorization
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.events import CertificateIssued, Event
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.core.settings.revisions import Settings, apply_change
from dayfly.errors import Claimed, Conflict
from dayfly.ports.changes import Changes, Receipt, Record


def open_memory(
    place: str, *, home: Path, notify: Callable[[Sequence[Event]], None], on_fatal: Callable[[Exception], None]
) -> MemoryStore:
    """An empty store; place and home do not matter."""
    del place, home, on_fatal
    return MemoryStore(notify)


class MemorySettings:
    """Provisioners, rules and owners."""

    def __init__(self) -> None:
        """Revision 0: nothing."""
        self.current = Settings()

    async def settings(self) -> Settings:
        """The settings of the newest revision."""
        return self.current


class MemoryStore:
    """All of it; a commit is one step of the event loop, so nothing can come between."""

    def __init__(self, notify: Callable[[Sequence[Event]], None]) -> None:
        """Empty; `notify` hears the events of each commit."""
        self._notify = notify
        self._accounts: dict[int, Account] = {}
        self._orders: dict[int, Order] = {}
        self._authorizations: dict[int, SharedAuthorization] = {}
        self._certificates: dict[int, Certificate] = {}
        self._external_keys: dict[int, ExternalAccountKey] = {}
        self._claims: dict[bytes, datetime] = {}
        self._compromised: set[str] = set()
        self.accounts = MemoryAccounts(self._accounts)
        self.orders = MemoryOrders(self._orders)
        self.authorizations = MemoryAuthorizations(self._authorizations)
        self.certificates = MemoryCertificates(self._certificates, self._compromised, self._accounts)
        self.renewals = MemoryRenewals(self._certificates)
        self.external_keys = MemoryExternalKeys(self._external_keys)
        self.claims = MemoryClaims(self._claims)
        self.settings = MemorySettings()
        self.log = MemoryLog()
        self.denials = MemoryDenials()
        self.crls = MemoryCRLs(self._certificates)

    async def commit(self, changes: Changes) -> Receipt:
        """Test every condition, then write; Conflict."""
        self._check(changes)
        for record in (*changes.insert, *(replace(one, version=one.version + 1) for one in changes.update)):
            self._put(record)
        self.renewals.changed += sum(isinstance(one, Certificate) for one in changes.update)
        self._claims.update((one.digest, one.expires) for one in changes.claims)
        self._compromised.update(changes.compromised_keys)
        if changes.settings is not None:
            self.settings.current = apply_change(self.settings.current, changes.settings)
        size = self.log.append(changes.events)
        if changes.events:
            self._notify(changes.events)
        return Receipt(size)

    async def prune(self, *, orders_before: datetime, claims_before: datetime, limit: int) -> int:
        """Remove orders, authorizations and claims that expired before a moment."""
        edge = make_id(int((orders_before - ORDER_LIFE).timestamp() * 1000), 0, 0)
        orders = sorted(key for key in self._orders if key < edge)[:limit]
        for key in orders:
            del self._orders[key]
        claims = [digest for digest, expires in self._claims.items() if expires < claims_before][:limit]
        for digest in claims:
            del self._claims[digest]
        old = [key for key, one in self._authorizations.items() if one.authorization.expires < orders_before][:limit]
        for key in old:
            del self._authorizations[key]
        return len(orders) + len(old) + len(claims)

    async def check(self) -> None:
        """It can always be used."""

    async def newest_id(self) -> int:
        """The highest row id there is."""
        return max((*self._accounts, *self._orders, *self._certificates, *self._authorizations), default=0)

    async def size_bytes(self) -> int:
        """It takes no space on a disk."""
        return 0

    async def close(self) -> None:
        """Nothing is under way."""

    def _check(self, changes: Changes) -> None:
        wanted = changes.settings.revision if changes.settings is not None else changes.settings_revision
        if wanted is not None and wanted != self.settings.current.revision:
            raise Conflict("the settings changed meanwhile")
        for record in (*changes.update, *changes.unchanged):
            stored = self._table(record).get(record.id)
            if stored is None or stored.version != record.version:
                raise Conflict(f"{type(record).__name__.lower()} {record.id:016x} changed meanwhile")
        keys = {(one.provisioner, one.thumbprint) for one in self._accounts.values()}
        for record in changes.insert:
            if record.id in self._table(record):
                raise Conflict(f"{type(record).__name__.lower()} {record.id:016x} is there already")
            if isinstance(record, Account) and (record.provisioner, record.thumbprint) in keys:
                raise Conflict("this key has an account already")
            if isinstance(record, ExternalAccountKey) and record.kid in {x.kid for x in self._external_keys.values()}:
                raise Conflict("there is an external account key of this kid")
        for record in changes.update:
            if isinstance(record, Account) and any(
                one.id != record.id and (one.provisioner, one.thumbprint) == (record.provisioner, record.thumbprint)
                for one in self._accounts.values()
            ):
                raise Conflict("another account has this key")
        if len({one.digest for one in changes.claims} - self._claims.keys()) < len(changes.claims):
            raise Claimed("this was used before")
        if any(revoked_in_line(self._certificates, one) for one in changes.unrevoked):
            raise Conflict("a certificate that was relied on, or one that it comes from, was revoked meanwhile")
        issued = {one.spki_hash for one in changes.events if isinstance(one, CertificateIssued)}
        if self._compromised & {*issued, *changes.sound_keys}:
            raise Conflict("the key was reported as compromised meanwhile")

    def _table(self, record: Record) -> Mapping[int, Record]:
        if isinstance(record, Account):
            return self._accounts
        if isinstance(record, SharedAuthorization):
            return self._authorizations
        if isinstance(record, ExternalAccountKey):
            return self._external_keys
        return self._orders if isinstance(record, Order) else self._certificates

    def _put(self, record: Record) -> None:
        if isinstance(record, Account):
            self._accounts[record.id] = record
        elif isinstance(record, Order):
            self._orders[record.id] = record
        elif isinstance(record, SharedAuthorization):
            self._authorizations[record.id] = record
        elif isinstance(record, ExternalAccountKey):
            self._external_keys[record.id] = record
        else:
            self._certificates[record.id] = record
