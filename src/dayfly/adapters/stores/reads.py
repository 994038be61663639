"""The read side of SQLite: what is committed, on the event loop.

Rules: a read takes microseconds, or a page; nothing here writes but `add_checkpoint`, which goes through the writer.

Single rows are read through the writer's connection while that is in no transaction: SQLite drops the page cache of
every other connection at each commit, so there a row takes 70 us, and here 15 at most. What another process commits,
SQLite sees on either. Pages of rows go through a connection of their own: they shall not fill that cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.recent import RecentRows
from dayfly.adapters.stores.statements import (
    CERTIFICATE_CHANGES,
    IS_COMPROMISED,
    IS_REPLACED,
    ISSUANCES,
    KEY_BARS,
    REVOKED_IN_LINE,
)
from dayfly.core.acme.external_accounts import NOBODY, ExternalAccountKey
from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import Account, Certificate, Order, SharedAuthorization
from dayfly.core.identifiers import Identifier
from dayfly.core.ids import make_id
from dayfly.core.policy.lifetimes import LONGEST
from dayfly.core.settings.documents import parse_document
from dayfly.core.settings.revisions import Settings, make_settings
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, EMPTY_ROOT, render_frontier
from dayfly.errors import NotFound, Unavailable
from dayfly.ports.log import LogHead, StoredEntry, StoredGroup
from dayfly.ports.reads import LIVE_ONES, KeyBar, OrderSlice

FEW = 32  # rows
TOP = (1 << 63) - 1  # above every id
LONGEST_LIFE = LONGEST + timedelta(days=1)  # of what is not in the index of long ones, and a day of margin
LIVES_LONG = f"not_after - not_before >= {int(LONGEST.total_seconds())}"  # both ends are inside


class Reader:
    """Reads committed rows."""

    def __init__(self, connection: sqlite3.Connection, idle: Callable[[], sqlite3.Connection | None]) -> None:
        """Nobody else uses `connection`; `idle` gives the writer's while it is in no transaction and no thread."""
        self.connection = connection
        self._idle = idle

    def one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """The first row; Unavailable."""
        try:
            connection = self._idle() or self.connection
            row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise Unavailable(f"the database cannot be read: {error}") from error
        return row

    def few(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a statement that gives no more than FEW; Unavailable."""
        return self._all(self._idle() or self.connection, statement, values)

    def all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows; Unavailable."""
        return self._all(self.connection, statement, values)

    @staticmethod
    def _all(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the database cannot be read: {error}") from error
        return found


class AccountTable:
    """Accounts."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not among the recent ones."""
        self._reader = reader
        self._recent = recent

    async def account(self, account_id: int) -> Account:
        """The account with this id; NotFound."""
        known = self._recent.account(account_id)
        if known is not None:
            return known
        row = self._reader.one("SELECT document FROM accounts WHERE id = ?", account_id)
        if row is None:
            raise NotFound(f"no account {account_id:016x}")
        account = rows.parse_account(row[0])
        self._recent.keep(account)
        return account

    async def account_by_key(self, provisioner: str, thumbprint: str) -> Account | None:
        """The account of this provisioner with this key."""
        statement = "SELECT document FROM accounts WHERE provisioner = ? AND thumbprint = ?"
        row = self._reader.one(statement, provisioner, thumbprint)
        return None if row is None else rows.parse_account(row[0])

    async def accounts_of_key(self, thumbprint: str) -> tuple[Account, ...]:
        """The accounts of all provisioners with this key."""
        statement = "SELECT document FROM accounts WHERE thumbprint = ?"
        return tuple(rows.parse_account(row[0]) for row in self._reader.all(statement, thumbprint))

    async def accounts(self, *, after: int, limit: int) -> tuple[Account, ...]:
        """A page of accounts by id."""
        found = self._reader.all("SELECT document FROM accounts WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return tuple(rows.parse_account(row[0]) for row in found)


class OrderTable:
    """Orders."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not among the recent ones."""
        self._reader = reader
        self._recent = recent

    async def order(self, order_id: int) -> Order:
        """The order with this id; NotFound."""
        known = self._recent.order(order_id)
        if known is not None:
            return known
        row = self._reader.one("SELECT document FROM orders WHERE id = ?", order_id)
        if row is None:
            raise NotFound(f"no order {order_id:016x}")
        order = rows.parse_order(row[0])
        self._recent.keep(order)
        return order

    async def open_orders(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """The account's pending and ready orders, newest first; a few are read where single rows are."""
        read = self._reader.few if limit <= FEW else self._reader.all
        statement = (
            "SELECT document FROM orders WHERE account_id = ? AND status IN ('pending', 'ready') "
            "ORDER BY id DESC LIMIT ?"
        )
        return tuple([rows.parse_order(row[0]) for row in read(statement, account_id, limit)])

    async def count_open_orders(self, account_id: int, *, since: int) -> int:
        """How many orders of the account with ids from `since` on are pending or ready."""
        statement = "SELECT count(*) FROM orders WHERE account_id = ? AND id >= ? AND status IN ('pending', 'ready')"
        return int((self._reader.one(statement, account_id, since) or (0,))[0])

    async def count_open_authorizations(self, account_id: int, *, since: int) -> int:
        """How many authorizations these orders have together; reads them all."""
        statement = (
            "SELECT sum(json_array_length(CAST(document AS TEXT), '$.authorizations')) FROM orders "
            "WHERE account_id = ? AND id >= ? AND status IN ('pending', 'ready')"
        )
        return int((self._reader.one(statement, account_id, since) or (None,))[0] or 0)

    async def orders_of(self, account_id: int, *, before: int | None, limit: int) -> OrderSlice:
        """A slice of the account's orders."""
        statement = (
            "SELECT document FROM orders WHERE account_id = ? AND id < ? AND status != 'invalid' "
            "ORDER BY id DESC LIMIT ?"
        )
        found = self._reader.all(statement, account_id, TOP if before is None else before, limit)
        orders = tuple(rows.parse_order(row[0]) for row in found)
        return OrderSlice(orders, orders[-1].id if len(orders) == limit else None)

    async def account_orders(self, account_id: int, *, since: int, below: int, limit: int) -> tuple[Order, ...]:
        """The account's orders with ids from `since` on and below `below`, newest first."""
        statement = (
            "SELECT document FROM orders INDEXED BY orders_of_account WHERE account_id = ? AND id >= ? AND id < ? "
            "ORDER BY id DESC LIMIT ?"
        )
        return tuple(rows.parse_order(row[0]) for row in self._reader.all(statement, account_id, since, below, limit))

    async def orders(self, *, before: int | None, limit: int) -> tuple[Order, ...]:
        """A page of all orders, newest first."""
        statement = "SELECT document FROM orders WHERE id < ? ORDER BY id DESC LIMIT ?"
        found = self._reader.all(statement, TOP if before is None else before, limit)
        return tuple(rows.parse_order(row[0]) for row in found)

    async def order_counts(self) -> dict[str, int]:
        """How many orders there are in each status."""
        return dict(self._reader.all("SELECT status, count(*) FROM orders GROUP BY status"))


class AuthorizationTable:
    """Authorizations in rows of their own."""

    _LIVE = (
        "SELECT document FROM authorizations WHERE account_id = ? AND identifier = ? AND expires > ? "
        "AND status IN ('pending', 'valid') ORDER BY id DESC LIMIT ?"
    )

    def __init__(self, reader: Reader) -> None:
        """Read through `reader`."""
        self._reader = reader

    async def authorization(self, row_id: int) -> SharedAuthorization:
        """The one with this id; NotFound."""
        row = self._reader.one("SELECT document FROM authorizations WHERE id = ?", row_id)
        if row is None:
            raise NotFound(f"no authorization {row_id:016x}")
        return rows.parse_authorization(row[0])

    async def live_authorizations(
        self, account_id: int, identifiers: Sequence[Identifier], *, now: datetime
    ) -> tuple[SharedAuthorization, ...]:
        """The account's pending and valid ones for these names that end after `now`."""
        found: list[tuple[Any, ...]] = []
        for one in identifiers:
            name = rows.identifier_column(one)
            found += self._reader.all(self._LIVE, account_id, name, int(now.timestamp()), LIVE_ONES)
        return tuple(rows.parse_authorization(row[0]) for row in found)

    async def count_pending(self, account_id: int, *, now: datetime) -> int:
        """How many of the account's are pending and end after `now`."""
        statement = (
            "SELECT count(*) FROM authorizations WHERE account_id = ? AND expires > ? "
            "AND status IN ('pending', 'valid') AND status = 'pending'"
        )
        return int((self._reader.one(statement, account_id, int(now.timestamp())) or (0,))[0])


class CertificateTable:
    """Certificates."""

    _SELECT = f"SELECT {rows.CERTIFICATE_COLUMNS} FROM certificates"  # noqa: S608 - a constant of ours

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not among the recent ones."""
        self._reader = reader
        self._recent = recent

    async def certificate(self, certificate_id: int) -> Certificate:
        """The certificate with this row id; NotFound."""
        known = self._recent.certificate(certificate_id)
        if known is not None:
            return known
        row = self._reader.one(f"{self._SELECT} WHERE id = ?", certificate_id)
        if row is None:
            raise NotFound(f"no certificate {certificate_id:016x}")
        certificate = rows.parse_certificate(row)
        self._recent.keep(certificate)
        return certificate

    async def certificates(self, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of certificates by id."""
        found = self._reader.all(f"{self._SELECT} WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return tuple(map(rows.parse_certificate, found))

    async def live_certificates(self, now: datetime, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of those that live at `now`; ids tell when they were issued, so nothing older than a life is read.

        What may live longer than that is found by an index of its own.
        """
        edge, moment = make_id(int((now - LONGEST_LIFE).timestamp() * 1000), 0, 0), int(now.timestamp())
        living = "not_after >= ? AND revoked_at IS NULL"
        found = []
        if after < edge:
            long = f"{self._SELECT} INDEXED BY long_certificates WHERE {LIVES_LONG} AND id > ? AND id <= ?"
            found = self._reader.all(f"{long} AND {living} ORDER BY id LIMIT ?", after, edge, moment, limit)
        if len(found) < limit:
            rest = f"{self._SELECT} WHERE id > ? AND {living} ORDER BY id LIMIT ?"
            found += self._reader.all(rest, max(edge, after), moment, limit - len(found))
        return tuple(map(rows.parse_certificate, found))

    async def issuances(self, *, limit: int) -> tuple[Issuance, ...]:
        """What accounts were given of the newest `limit` certificates."""
        return tuple(map(rows.parse_issuance, self._reader.all(ISSUANCES, limit)))

    async def line_revoked_at(self, certificate_id: int) -> datetime | None:
        """When this certificate, or one that it was renewed from, was revoked."""
        row = self._reader.one(REVOKED_IN_LINE, certificate_id)
        return None if row is None else datetime.fromtimestamp(row[0], UTC)

    async def is_compromised(self, spki_hash: str) -> bool:
        """Does this key get no certificate any more?"""
        return self._reader.one(IS_COMPROMISED, spki_hash) is not None

    async def key_bar(self, spki_hash: str, thumbprint: str) -> KeyBar | None:
        """Why this key gets no certificate."""
        row = self._reader.one(KEY_BARS, spki_hash, thumbprint)
        return None if row is None else KeyBar(row[0])


class RenewalTable:
    """What renewal information rests on beside the certificates."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not known."""
        self._reader = reader
        self._recent = recent

    async def is_replaced(self, certificate_id: int) -> bool:
        """Was a certificate issued to an order that named this one?"""
        return self._reader.one(IS_REPLACED, certificate_id) is not None

    async def changes(self) -> int:
        """How many rows were changed after they were made."""
        known = self._recent.changes()
        if known is None:
            (known,) = self._reader.one(CERTIFICATE_CHANGES) or (0,)
            self._recent.keep_changes(known)
        return known


class ExternalKeyTable:
    """Keys for external account bindings."""

    _SELECT = "SELECT secret, scope, document FROM external_keys"
    _NOBODY = rows.external_key_row(NOBODY)[4:]

    def __init__(self, reader: Reader) -> None:
        """Read through `reader`."""
        self._reader = reader

    async def external_key(self, kid: str) -> ExternalAccountKey:
        """The key of this `kid`; NotFound."""
        row = self._reader.one(f"{self._SELECT} WHERE kid = ?", kid)
        found = rows.parse_external_key(*(row or self._NOBODY))  # a miss takes the time of a hit
        if row is None:
            raise NotFound("no such external account key")
        return found

    async def external_keys(self, *, after: int, limit: int) -> tuple[ExternalAccountKey, ...]:
        """A page of keys by row id."""
        found = self._reader.all(f"{self._SELECT} WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return tuple(rows.parse_external_key(*row) for row in found)


class ClaimTable:
    """What was used up."""

    def __init__(self, reader: Reader) -> None:
        """Read through `reader`."""
        self._reader = reader

    async def is_claimed(self, digest: bytes) -> bool:
        """Was it used before?"""
        return self._reader.one("SELECT 1 FROM claims WHERE digest = ?", digest) is not None


class SettingsTable:
    """Provisioners, rules and owners of the newest revision, parsed once."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._recent = recent
        self._settings = Settings()

    async def settings(self) -> Settings:
        """The settings of the newest committed revision."""
        known = self._recent.settings()
        if known is not None:
            return known
        row = self._reader.one("SELECT revision FROM settings_revision")
        revision = 0 if row is None else row[0]
        if revision != self._settings.revision:
            self._settings = self._load()
        self._recent.keep_settings(self._settings)
        return self._settings

    def _load(self) -> Settings:
        """All documents and their revision, as of one moment; a revision without any document has one empty row."""
        statement = "SELECT revision, kind, name, body FROM settings_revision LEFT JOIN settings ORDER BY kind, name"
        found = self._reader.all(statement)
        documents = tuple(parse_document(kind, body) for _, kind, _, body in found if kind is not None)
        return make_settings(found[0][0] if found else 0, documents)


class LogTable:
    """The append-only log."""

    def __init__(self, reader: Reader, write: Callable[[str, Sequence[object]], Any]) -> None:
        """`write` carries one statement through the writer."""
        self._reader = reader
        self._write = write

    async def head(self) -> LogHead:
        """The newest head."""
        row = self._reader.one("SELECT size, root, frontier FROM log_head")
        return LogHead(0, EMPTY_ROOT, render_frontier(EMPTY_FRONTIER)) if row is None else LogHead(*row)

    async def entries(self, start: int, *, limit: int) -> tuple[StoredEntry, ...]:
        """Entries from `start` on."""
        statement = "SELECT idx, body, leaf_hash FROM log_entries WHERE idx >= ? ORDER BY idx LIMIT ?"
        return tuple(StoredEntry(*row) for row in self._reader.all(statement, start, limit))

    async def groups(self, after_size: int, *, limit: int) -> tuple[StoredGroup, ...]:
        """Group marks above `after_size`."""
        statement = "SELECT size, root FROM log_groups WHERE size > ? ORDER BY size LIMIT ?"
        return tuple(StoredGroup(*row) for row in self._reader.all(statement, after_size, limit))

    async def checkpoints(self, after_size: int, *, limit: int) -> tuple[str, ...]:
        """Signed notes of sizes above `after_size`."""
        statement = "SELECT note FROM log_checkpoints WHERE size > ? ORDER BY size LIMIT ?"
        return tuple(row[0] for row in self._reader.all(statement, after_size, limit))

    async def add_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint."""
        await self._write("INSERT OR REPLACE INTO log_checkpoints (size, note) VALUES (?, ?)", (size, note))
