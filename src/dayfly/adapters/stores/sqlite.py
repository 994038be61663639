"""SQLite: the default store, one file for all processes of a host (architecture.md 6, reliability.md 5).

Rules: WAL and synchronous=FULL, asserted at open or no start; the file is 0600; the event loop never waits for the
write lock; conditions are tested before a set writes anything; a full disk rolls back and recovers, a failed sync
ends the store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.reads import AccountTable, CertificateTable, LogTable, OrderTable, Reader, SettingsTable
from dayfly.adapters.stores.writer import ConstraintBroken, Fatal, GroupWriter
from dayfly.core.acme.objects import Account, Certificate, Order
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.events import Event, LoggedEvent
from dayfly.core.ids import make_id
from dayfly.core.settings.documents import (
    SettingsChange,
    document_kind,
    document_name,
    render_document,
)
from dayfly.core.transparency.entries import render_entry
from dayfly.core.transparency.merkle import (
    EMPTY_FRONTIER,
    extend,
    leaf_hash,
    parse_frontier,
    render_frontier,
    root_hash,
)
from dayfly.errors import ConfigError, Conflict, Unavailable
from dayfly.ports import Changes, Receipt, Record

_LOG = logging.getLogger("dayfly.store")

WAL_LIMIT = 64 * 1024 * 1024  # octets; above it the log is folded back by force
CHECKPOINT_AFTER = 500  # groups between two passive checkpoints
FULL_FOR = 5.0  # seconds for which a full disk makes the store unusable, so that it is tried again

_FULL = frozenset({sqlite3.SQLITE_FULL})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def open_sqlite(
    place: str, *, home: Path, notify: Callable[[Sequence[Event]], None], on_fatal: Callable[[Exception], None]
) -> SqliteStore:
    """The store in a file, relative to the home; Unavailable where it cannot keep its promises."""
    path = home / place
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        mode = os.fstat(descriptor).st_mode & 0o777
        os.close(descriptor)
    except OSError as error:
        raise Unavailable(
            f"the database {path} cannot be opened: {error.strerror}", hint="run as the user who owns the CA's home"
        ) from None
    if mode & 0o077:
        raise ConfigError("database", f"{path} has mode {mode:04o}: others can read it", hint=f"run: chmod 600 {path}")
    try:
        return SqliteStore(path, notify=notify, on_fatal=on_fatal)
    except sqlite3.Error as error:
        raise Unavailable(f"the database {path} cannot be used: {error}") from None


def _connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    """A connection with our settings, each read back: a lost one makes the promises untrue."""
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    for pragma, wanted in (
        ("journal_mode=WAL", "wal"),
        ("synchronous=FULL", 2),
        ("foreign_keys=ON", 1),
        ("wal_autocheckpoint=0", 0),
    ):
        name = pragma.partition("=")[0]
        connection.execute(f"PRAGMA {pragma}")
        (found,) = connection.execute(f"PRAGMA {name}").fetchone()
        if found != wanted:
            connection.close()
            raise Unavailable(f"the database does not take {pragma}: it says {found!r}", hint="use a local file system")
    return connection


def _migrations() -> list[tuple[int, str]]:
    """Numbers and texts of all schema changes, in order."""
    folder = resources.files("dayfly.adapters.stores") / "migrations"
    files = sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql"))
    return [(int(name[:4]), (folder / name).read_text("utf-8")) for name in files]


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [one.strip() for one in "\n".join(lines).split(";") if one.strip()]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each change in a transaction of its own; Unavailable for a newer one."""
    for number, script in _migrations():
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < number:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = _migrations()[-1][0]
    if version > newest:
        raise Unavailable(
            f"the database has schema {version}, this Dayfly knows {newest}",
            hint="run the Dayfly that made it, or a newer one",
        )


class SqliteEngine:
    """The write side: one transaction at a time, on a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Open and migrate."""
        self.path = path
        self.connection = _connect(path, timeout=5.0)
        try:
            migrate(self.connection)
        except sqlite3.Error:
            self.connection.close()
            raise
        self.connection.execute("PRAGMA busy_timeout=0")
        self._entries: list[tuple[int, bytes, bytes]] = []
        self._frontier = EMPTY_FRONTIER
        self.groups = 0
        self.full_at = float("-inf")

    def try_begin(self) -> bool:
        """Take the write lock if it is free."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in _BUSY:
                return False
            raise self._classify(error) from error
        self._read_head()
        return True

    def wait_begin(self, seconds: float) -> None:
        """Take the write lock, waiting for another process's turn to end."""
        try:
            self.connection.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in _BUSY:
                raise Unavailable(f"another process held the database for {seconds:.0f} s") from None
            raise self._classify(error) from error
        finally:
            self.connection.execute("PRAGMA busy_timeout=0")
        self._read_head()

    def _read_head(self) -> None:
        """The head inside the transaction: whoever wrote last, entries have one order."""
        self._entries.clear()
        row = self.connection.execute("SELECT frontier FROM log_head").fetchone()
        self._frontier = EMPTY_FRONTIER if row is None else parse_frontier(row[0])

    def append(self, events: tuple[Event, ...]) -> None:
        """Entries for the logged ones among these events, written with the group."""
        for event in events:
            if isinstance(event, LoggedEvent):
                body = render_entry(event)
                index = self._frontier.size + len(self._entries)
                self._entries.append((index, leaf_hash(body), body))

    def finish(self) -> int:
        """The group's entries, its mark, and the head."""
        if not self._entries:
            return self._frontier.size
        frontier = extend(self._frontier, [leaf for _, leaf, _ in self._entries])
        root = root_hash(frontier)
        try:
            self.connection.executemany(
                "INSERT INTO log_entries (idx, leaf_hash, body) VALUES (?, ?, ?)", self._entries
            )
            self.connection.execute("INSERT INTO log_groups (size, root) VALUES (?, ?)", (frontier.size, root))
            self.connection.execute(
                "INSERT OR REPLACE INTO log_head (one, size, root, frontier) VALUES (1, ?, ?, ?)",
                (frontier.size, root, render_frontier(frontier)),
            )
        except sqlite3.IntegrityError as error:
            raise self._classify(error) from error
        except sqlite3.Error as error:
            raise self._classify(error) from error
        return frontier.size

    def commit(self) -> None:
        """Sync; then fold the write-ahead log back when it has grown."""
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._classify(error) from error
        self.groups += 1

    def rollback(self) -> None:
        """Undo; a transaction that SQLite has undone by itself is undone."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def wants_checkpoint(self) -> bool:
        """Is it time to fold the write-ahead log back?"""
        return self.groups >= CHECKPOINT_AFTER

    def run(self, statement: str, values: Sequence[object]) -> int:
        """One writing statement; how many rows it changed. ConstraintBroken, Unavailable, Fatal."""
        try:
            return self.connection.execute(statement, values).rowcount
        except sqlite3.IntegrityError as error:
            raise ConstraintBroken(str(error)) from None
        except sqlite3.Error as error:
            raise self._classify(error) from error

    def one(self, statement: str, values: Sequence[object]) -> tuple[Any, ...] | None:
        """The first row, as the open transaction sees it."""
        row: tuple[Any, ...] | None = self.connection.execute(statement, values).fetchone()
        return row

    def _classify(self, error: sqlite3.Error) -> Unavailable | Fatal:
        """A full disk is undone and may end; whatever else fails in a write leaves the disk unknown."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL or code in _BUSY or code == sqlite3.SQLITE_READONLY:
            self.rollback()
            self.full_at = time.monotonic()
            what = "the disk is full" if code in _FULL else str(error)
            return Unavailable(f"the database cannot be written: {what}", hint="make room on the disk")
        return Fatal(f"the database failed: {error}")


class SqliteStore:
    """The store in one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        notify: Callable[[Sequence[Event]], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """Open, migrate, and check what the promises rest on."""
        self._path = path
        self._engine = SqliteEngine(path)
        self._reader = Reader(_connect(path, timeout=5.0))
        self._writer = GroupWriter(self._engine, notify=notify, on_fatal=on_fatal)
        self._side = ThreadPoolExecutor(1, thread_name_prefix="dayfly-checkpoint")
        self._folding: asyncio.Future[None] | None = None
        self.accounts = AccountTable(self._reader)
        self.orders = OrderTable(self._reader)
        self.certificates = CertificateTable(self._reader)
        self.settings = SettingsTable(self._reader)
        self.log = LogTable(self._reader, self._write)

    async def commit(self, changes: Changes) -> Receipt:
        """Write the change set durably, with its log entries."""
        _, size = await self._writer.write(lambda: self._apply(changes), changes.events)
        self._fold_back()
        return Receipt(size)

    async def prune(self, *, orders_before: datetime, limit: int) -> int:
        """Remove orders that expired before a moment; their ids say when they were made."""
        edge = make_id(int((orders_before - ORDER_LIFE).timestamp() * 1000), 0, 0)
        if self._reader.one("SELECT 1 FROM orders WHERE id < ? LIMIT 1", edge) is None:
            return 0
        statement = "DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE id < ? ORDER BY id LIMIT ?)"
        return int(await self._write(statement, (edge, limit)))

    async def check(self) -> None:
        """Raise Unavailable when the store cannot be read, failed, or met a full disk just now."""
        self._reader.one("SELECT 1 FROM settings_revision")
        if self._writer.broken is not None:
            raise Unavailable("the database failed")
        if time.monotonic() - self._engine.full_at < FULL_FOR:
            raise Unavailable("the database could not be written just now")

    async def size_bytes(self) -> int:
        """The files' sizes together."""
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(one.stat().st_size for one in files if one.exists())

    async def close(self) -> None:
        """Finish what is under way, fold the write-ahead log back, let go of the file."""
        await self._writer.close()
        if self._folding is not None:
            await self._folding
        self._side.shutdown()
        self._reader.connection.close()
        self._engine.connection.close()

    async def _write(self, statement: str, values: Sequence[object]) -> int:
        result, _ = await self._writer.write(lambda: self._engine.run(statement, values))
        return int(result)

    # --- one change set -----------------------------------------------------------------------------------------------

    def _apply(self, changes: Changes) -> None:
        """1. Every condition. 2. Every row. 3. The log entries."""
        self._check_conditions(changes)
        for record in changes.insert:
            self._insert(record)
        for record in changes.update:
            self._update(record)
        if changes.settings is not None:
            self._put_settings(changes.settings)
        self._engine.append(changes.events)

    def _check_conditions(self, changes: Changes) -> None:
        wanted = changes.settings.revision if changes.settings is not None else changes.settings_revision
        if wanted is not None:
            row = self._engine.one("SELECT revision FROM settings_revision", ())
            if row is None or row[0] != wanted:
                raise Conflict("the settings changed meanwhile")
        for record in changes.update:
            row = self._engine.one(f"SELECT version FROM {_TABLES[type(record)]} WHERE id = ?", (record.id,))  # noqa: S608
            if row is None or row[0] != record.version:
                raise Conflict(f"{type(record).__name__.lower()} {record.id:016x} changed meanwhile")
        for record in changes.insert:
            if isinstance(record, Account):
                self._check_account_is_new(record)

    def _check_account_is_new(self, account: Account) -> None:
        statement = "SELECT 1 FROM accounts WHERE provisioner = ? AND thumbprint = ?"
        if self._engine.one(statement, (account.provisioner, account.thumbprint)) is not None:
            raise Conflict("this key has an account already")

    def _insert(self, record: Record) -> None:
        if isinstance(record, Order):
            self._engine.run(
                "INSERT INTO orders (id, account_id, status, version, document) VALUES (?, ?, ?, ?, ?)",
                rows.order_row(record),
            )
        elif isinstance(record, Certificate):
            self._engine.run(_INSERT_CERTIFICATE, rows.certificate_row(record))
        else:
            self._engine.run(
                "INSERT INTO accounts (id, provisioner, thumbprint, version, document) VALUES (?, ?, ?, ?, ?)",
                rows.account_row(record),
            )

    def _update(self, record: Record) -> None:
        """Write the row under the next version; its condition was tested in this transaction."""
        newer = replace(record, version=record.version + 1)
        if isinstance(newer, Order):
            _, _, status, version, document = rows.order_row(newer)
            statement = "UPDATE orders SET status = ?, version = ?, document = ? WHERE id = ?"
            self._engine.run(statement, (status, version, document, newer.id))
        elif isinstance(newer, Account):
            _, provisioner, thumbprint, version, document = rows.account_row(newer)
            statement = "UPDATE accounts SET provisioner = ?, thumbprint = ?, version = ?, document = ? WHERE id = ?"
            self._engine.run(statement, (provisioner, thumbprint, version, document, newer.id))
        else:
            revoked_at, reason, version = rows.certificate_row(newer)[12:15]
            statement = "UPDATE certificates SET revoked_at = ?, revocation_reason = ?, version = ? WHERE id = ?"
            self._engine.run(statement, (revoked_at, reason, version, newer.id))

    def _put_settings(self, change: SettingsChange) -> None:
        for kind, name in change.remove:
            self._engine.run("DELETE FROM settings WHERE kind = ? AND name = ?", (kind, name))
        for document in change.put:
            self._engine.run(
                "INSERT OR REPLACE INTO settings (kind, name, body) VALUES (?, ?, ?)",
                (document_kind(document), document_name(document), render_document(document)),
            )
        self._engine.run("UPDATE settings_revision SET revision = revision + 1", ())

    # --- the write-ahead log ------------------------------------------------------------------------------------------

    def _fold_back(self) -> None:
        """Copy the write-ahead log back beside the work, now and then; a large one waits for nobody."""
        if self._engine.wants_checkpoint() and (self._folding is None or self._folding.done()):
            self._engine.groups = 0
            self._folding = asyncio.get_running_loop().run_in_executor(self._side, self._fold)

    def _fold(self) -> None:
        wal = self._path.with_name(self._path.name + "-wal")
        large = wal.exists() and wal.stat().st_size > WAL_LIMIT
        connection = sqlite3.connect(self._path, timeout=2.0, isolation_level=None)
        try:
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if large else 'PASSIVE'})")
        except sqlite3.Error as error:
            _LOG.warning("the write-ahead log was not folded back: %s", error)
        finally:
            connection.close()


_TABLES: dict[type, str] = {Account: "accounts", Order: "orders", Certificate: "certificates"}
_INSERT_CERTIFICATE = f"INSERT INTO certificates ({rows.CERTIFICATE_COLUMNS}) VALUES ({', '.join('?' * 17)})"  # noqa: S608 - constants of ours
