"""The store in memory: the same contract, for tests and as the reference of what the contract says.

Rules: a change set is tested whole before any of it is written; logged events become entries with the same
arithmetic; what is durable here lives as long as the process, so no CA runs on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import (
    Account,
    AuthorizationStatus,
    Certificate,
    Order,
    OrderStatus,
    SharedAuthorization,
)
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.events import CertificateIssued, Event, LoggedEvent
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier
from dayfly.core.ids import make_id
from dayfly.core.policy.denials import ID_REST, MOST_GONE, KeptDenial, once_more, share_of
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.settings.revisions import Settings, apply_change
from dayfly.core.transparency.entries import render_entry
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, extend, leaf_hash, render_frontier, root_hash
from dayfly.core.x509.crl import RevokedLeaf
from dayfly.core.x509.partitions import needs_crl
from dayfly.core.x509.reasons import SUPERSEDED
from dayfly.errors import Claimed, Conflict, NotFound
from dayfly.ports.changes import Changes, Receipt, Record
from dayfly.ports.crls import CRLHead, StoredCRL
from dayfly.ports.log import LogHead, StoredEntry, StoredGroup
from dayfly.ports.reads import LIVE_ONES, KeyBar, OrderSlice

_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.READY})
_LIVE_AUTHORIZATIONS = frozenset({AuthorizationStatus.PENDING, AuthorizationStatus.VALID})
_LISTED = frozenset(OrderStatus) - {OrderStatus.INVALID}


def open_memory(
    place: str, *, home: Path, notify: Callable[[Sequence[Event]], None], on_fatal: Callable[[Exception], None]
) -> MemoryStore:
    """An empty store; place and home do not matter."""
    del place, home, on_fatal
    return MemoryStore(notify)


class MemoryAccounts:
    """Accounts."""

    def __init__(self, rows: dict[int, Account]) -> None:
        """Read these rows."""
        self._rows = rows

    async def account(self, account_id: int) -> Account:
        """The account with this id; NotFound."""
        if account_id not in self._rows:
            raise NotFound(f"no account {account_id:016x}")
        return self._rows[account_id]

    async def account_by_key(self, provisioner: str, thumbprint: str) -> Account | None:
        """The account of this provisioner with this key."""
        wanted = (provisioner, thumbprint)
        return next((one for one in self._rows.values() if (one.provisioner, one.thumbprint) == wanted), None)

    async def accounts_of_key(self, thumbprint: str) -> tuple[Account, ...]:
        """The accounts of all provisioners with this key."""
        return tuple(one for one in self._rows.values() if one.thumbprint == thumbprint)

    async def accounts(self, *, after: int, limit: int) -> tuple[Account, ...]:
        """A page of accounts by id."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key > after)[:limit]


class MemoryOrders:
    """Orders."""

    def __init__(self, rows: dict[int, Order]) -> None:
        """Read these rows."""
        self._rows = rows

    async def order(self, order_id: int) -> Order:
        """The order with this id; NotFound."""
        if order_id not in self._rows:
            raise NotFound(f"no order {order_id:016x}")
        return self._rows[order_id]

    async def open_orders(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """The account's pending and ready orders, newest first."""
        return tuple(sorted(self._open(account_id), key=lambda one: -one.id)[:limit])

    async def count_open_orders(self, account_id: int, *, since: int) -> int:
        """How many orders of the account with ids from `since` on are pending or ready."""
        return sum(one.id >= since for one in self._open(account_id))

    async def count_open_authorizations(self, account_id: int, *, since: int) -> int:
        """How many authorizations these orders have together."""
        return sum(len(one.authorizations) for one in self._open(account_id) if one.id >= since)

    async def orders_of(self, account_id: int, *, before: int | None, limit: int) -> OrderSlice:
        """All of the account's orders that are asked for, at one look."""
        mine = [one for one in self._rows.values() if one.account_id == account_id and one.status in _LISTED]
        below = sorted((one for one in mine if before is None or one.id < before), key=lambda one: -one.id)
        orders = tuple(below[:limit])
        return OrderSlice(orders, orders[-1].id if len(orders) == limit else None)

    async def account_orders(self, account_id: int, *, since: int, below: int, limit: int) -> tuple[Order, ...]:
        """The account's orders with ids from `since` on and below `below`, newest first."""
        found = [one for one in self._rows.values() if one.account_id == account_id and since <= one.id < below]
        return tuple(sorted(found, key=lambda one: -one.id)[:limit])

    async def orders(self, *, before: int | None, limit: int) -> tuple[Order, ...]:
        """A page of all orders, newest first."""
        keys = sorted((key for key in self._rows if before is None or key < before), reverse=True)
        return tuple(self._rows[key] for key in keys[:limit])

    async def order_counts(self) -> dict[str, int]:
        """How many orders there are in each status."""
        return dict(Counter(one.status.value for one in self._rows.values()))

    def _open(self, account_id: int) -> list[Order]:
        return [one for one in self._rows.values() if one.account_id == account_id and one.status in _OPEN]


class MemoryAuthorizations:
    """Authorizations in rows of their own."""

    def __init__(self, rows: dict[int, SharedAuthorization]) -> None:
        """Read these rows."""
        self._rows = rows

    async def authorization(self, row_id: int) -> SharedAuthorization:
        """The one with this id; NotFound."""
        if row_id not in self._rows:
            raise NotFound(f"no authorization {row_id:016x}")
        return self._rows[row_id]

    async def live_authorizations(
        self, account_id: int, identifiers: Sequence[Identifier], *, now: datetime
    ) -> tuple[SharedAuthorization, ...]:
        """The account's pending and valid ones for these names that end after `now`."""
        found: list[SharedAuthorization] = []
        for name in identifiers:
            mine = [one for one in self._live(account_id, now) if one.authorization.identifier == name]
            found += sorted(mine, key=lambda one: -one.id)[:LIVE_ONES]
        return tuple(found)

    async def count_pending(self, account_id: int, *, now: datetime) -> int:
        """How many of the account's are pending and end after `now`."""
        return sum(one.authorization.status == "pending" for one in self._live(account_id, now))

    def _live(self, account_id: int, now: datetime) -> list[SharedAuthorization]:
        mine = [one for one in self._rows.values() if one.account_id == account_id]
        return [
            one for one in mine if one.authorization.expires > now and one.authorization.status in _LIVE_AUTHORIZATIONS
        ]


class MemoryCertificates:
    """Certificates."""

    def __init__(self, rows: dict[int, Certificate], compromised: set[str], accounts: dict[int, Account]) -> None:
        """Read these rows, these hashes of keys, and the keys of these accounts."""
        self._rows = rows
        self._compromised = compromised
        self._accounts = accounts

    async def certificate(self, certificate_id: int) -> Certificate:
        """The certificate with this row id; NotFound."""
        if certificate_id not in self._rows:
            raise NotFound(f"no certificate {certificate_id:016x}")
        return self._rows[certificate_id]

    async def certificates(self, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of certificates by id."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key > after)[:limit]

    async def live_certificates(self, now: datetime, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of those that live at `now`."""
        everything = await self.certificates(after=after, limit=len(self._rows))
        return tuple(one for one in everything if one.not_after >= now and one.revoked_at is None)[:limit]

    async def issuances(self, *, limit: int) -> tuple[Issuance, ...]:
        """What accounts were given of the newest `limit` certificates."""
        newest = [self._rows[key] for key in sorted(self._rows, reverse=True)[:limit]]
        return tuple(
            Issuance(one.account_id, frozenset(name.value for name in one.names), one.not_before, one.not_after)
            for one in newest
            if one.account_id is not None and one.revoked_at is None
        )

    async def line_revoked_at(self, certificate_id: int) -> datetime | None:
        """When this certificate, or one that it was renewed from, was revoked."""
        return revoked_in_line(self._rows, certificate_id)

    async def is_compromised(self, spki_hash: str) -> bool:
        """Does this key get no certificate any more?"""
        return spki_hash in self._compromised

    async def key_bar(self, spki_hash: str, thumbprint: str) -> KeyBar | None:
        """Why this key gets no certificate."""
        if spki_hash in self._compromised:
            return KeyBar.COMPROMISED
        return KeyBar.ACCOUNT if thumbprint in {one.thumbprint for one in self._accounts.values()} else None


def revoked_in_line(rows: dict[int, Certificate], certificate_id: int) -> datetime | None:
    """When the first that is revoked was, from this certificate back; superseded ones before it do not count.

    The line begins with the certificate that an order gave: that owes nothing to the key of the one before.
    """
    at: int | None = certificate_id
    while at is not None and at in rows:
        one = rows[at]
        if one.revoked_at is not None and (at == certificate_id or one.revocation_reason != SUPERSEDED):
            return one.revoked_at
        at = one.parent_id if one.order_id is None else None
    return None


class MemoryRenewals:
    """What renewal information rests on beside the certificates."""

    def __init__(self, rows: dict[int, Certificate]) -> None:
        """Read these rows; none was changed yet."""
        self._rows = rows
        self.changed = 0

    async def is_replaced(self, certificate_id: int) -> bool:
        """Was a certificate issued to an order that named this one?"""
        return any(one.parent_id == certificate_id and one.order_id is not None for one in self._rows.values())

    async def changes(self) -> int:
        """How many rows were changed after they were made."""
        return self.changed


class MemoryExternalKeys:
    """Keys for external account bindings."""

    def __init__(self, rows: dict[int, ExternalAccountKey]) -> None:
        """Read these rows."""
        self._rows = rows

    async def external_key(self, kid: str) -> ExternalAccountKey:
        """The key of this `kid`; NotFound."""
        for one in self._rows.values():
            if one.kid == kid:
                return one
        raise NotFound("no such external account key")

    async def external_keys(self, *, after: int, limit: int) -> tuple[ExternalAccountKey, ...]:
        """A page of keys by row id."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key > after)[:limit]


class MemoryClaims:
    """What was used up."""

    def __init__(self, rows: dict[bytes, datetime]) -> None:
        """Read these rows."""
        self._rows = rows

    async def is_claimed(self, digest: bytes) -> bool:
        """Was it used before?"""
        return digest in self._rows


class MemoryDenials:
    """Names that policy refused."""

    def __init__(self) -> None:
        """None yet."""
        self._rows: dict[str, KeptDenial] = {}
        self._gone: dict[str, tuple[KeptDenial, datetime]] = {}

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        """Store them, or count them up; their ids."""
        merged = dict(self._rows)
        now = max((one.last_at for one in denials), default=datetime.max.replace(tzinfo=UTC))
        resting = {id_: one for id_, (one, at) in self._gone.items() if at > now - ID_REST}
        for one in denials:
            if one.key not in merged:
                _check_new(one, resting)
            merged[one.key] = once_more(merged[one.key], one) if one.key in merged else one
        if len({one.id for one in merged.values()}) < len(merged):
            raise Conflict("another denial has this id")
        kept = sorted(merged.values(), key=_newest_first)
        for asker in {merged[one.key].first_by for one in denials} - {""}:
            over = [one for one in kept if one.first_by == asker][share_of(keep) :]
            kept = [one for one in kept if one not in over]
        self._rows = {one.key: one for one in kept[:keep]}
        there = {one.id for one in self._rows.values()}
        self._gone = {id_: self._gone[id_] for id_ in resting if id_ not in there}
        self._gone.update((one.id, (one, now)) for one in merged.values() if one.id not in there)
        return tuple(merged[one.key].id for one in denials)

    async def denial(self, denial_id: str) -> KeptDenial:
        """The denial with this id; NotFound."""
        for one in self._rows.values():
            if one.id == denial_id:
                return one
        raise NotFound(f"no denial {denial_id}")

    async def newest(self, *, limit: int) -> tuple[KeptDenial, ...]:
        """Those met last, newest first."""
        return tuple(sorted(self._rows.values(), key=_newest_first)[:limit])


def _check_new(denial: KeptDenial, resting: Mapping[str, KeptDenial]) -> None:
    """Conflict where the id was another's a moment ago, or the asker has used up too many."""
    if denial.id in resting and resting[denial.id].key != denial.key:
        raise Conflict("another denial had this id not long ago")
    if denial.first_by and sum(one.first_by == denial.first_by for one in resting.values()) >= MOST_GONE:
        raise Conflict("the asker has used up too many ids of denials")


def _newest_first(denial: KeptDenial) -> tuple[float, str]:
    return -denial.last_at.timestamp(), denial.id


class MemoryCRLs:
    """The newest CRL of each partition."""

    def __init__(self, certificates: dict[int, Certificate]) -> None:
        """None yet; revoked leaves are among these rows."""
        self._certificates = certificates
        self._rows: dict[int, StoredCRL] = {}

    async def crl(self, partition: int) -> StoredCRL | None:
        """The newest of this partition."""
        return self._rows.get(partition)

    async def heads(self) -> tuple[CRLHead, ...]:
        """Those of all partitions."""
        return tuple(self._rows[one].head for one in sorted(self._rows))

    async def revoked(self, begin: datetime, end: datetime) -> tuple[RevokedLeaf, ...]:
        """The revoked leaves that need a CRL and end in this span."""
        return tuple(
            RevokedLeaf(one.serial, one.revoked_at.replace(microsecond=0), one.revocation_reason or 0)
            for one in self._certificates.values()
            if one.revoked_at is not None
            and begin <= one.not_after < end
            and needs_crl(Validity(one.not_before, one.not_after))
        )

    async def keep(self, crl: StoredCRL, *, after: int) -> None:
        """Put it in place of number `after`."""
        newest = self._rows.get(crl.head.partition)
        if (newest.head.number if newest is not None else 0) != after:
            raise Conflict("another CRL of this partition was made meanwhile")
        self._rows[crl.head.partition] = crl

    async def drop(self, before: int) -> int:
        """Forget partitions below `before`."""
        gone = [one for one in self._rows if one < before]
        for one in gone:
            del self._rows[one]
        return len(gone)


class MemorySettings:
    """Provisioners, rules and owners."""

    def __init__(self) -> None:
        """Revision 0: nothing."""
        self.current = Settings()

    async def settings(self) -> Settings:
        """The settings of the newest revision."""
        return self.current


class MemoryLog:
    """The append-only log."""

    def __init__(self) -> None:
        """Empty."""
        self._frontier = EMPTY_FRONTIER
        self._entries: list[StoredEntry] = []
        self._groups: list[StoredGroup] = []
        self._notes: dict[int, str] = {}

    def append(self, events: Sequence[Event]) -> int:
        """Entries for the logged ones, and one mark; the log's size."""
        bodies = [render_entry(event) for event in events if isinstance(event, LoggedEvent)]
        if bodies:
            start = self._frontier.size
            added = [StoredEntry(start + at, body, leaf_hash(body)) for at, body in enumerate(bodies)]
            self._entries += added
            self._frontier = extend(self._frontier, [one.leaf_hash for one in added])
            self._groups.append(StoredGroup(self._frontier.size, root_hash(self._frontier)))
        return self._frontier.size

    async def head(self) -> LogHead:
        """The newest head."""
        return LogHead(self._frontier.size, root_hash(self._frontier), render_frontier(self._frontier))

    async def entries(self, start: int, *, limit: int) -> tuple[StoredEntry, ...]:
        """Entries from `start` on."""
        return tuple(self._entries[start : start + limit])

    async def groups(self, after_size: int, *, limit: int) -> tuple[StoredGroup, ...]:
        """Group marks above `after_size`."""
        return tuple(one for one in self._groups if one.size > after_size)[:limit]

    async def checkpoints(self, after_size: int, *, limit: int) -> tuple[str, ...]:
        """Signed notes of sizes above `after_size`."""
        return tuple(self._notes[size] for size in sorted(self._notes) if size > after_size)[:limit]

    async def add_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint."""
        self._notes[size] = note


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
