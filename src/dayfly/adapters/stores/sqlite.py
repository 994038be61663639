"""SQLite: the default store, one file for all processes of a host (architecture.md 6, reliability.md 5).

Rules: WAL and synchronous=FULL, asserted at open or no start; the file is 0600; the event loop never waits for the
write lock; conditions are tested before a set writes anything; a full disk rolls back and recovers, a failed sync
ends the store.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from dayfly.adapters.stores import migrations
from dayfly.adapters.stores.crls import CRLTable
from dayfly.adapters.stores.denials import DenialTable
from dayfly.adapters.stores.log import EMPTY_HEAD, Entry, broken_log, check_head, grow
from dayfly.adapters.stores.reads import (
    AccountTable,
    AuthorizationTable,
    CertificateTable,
    ClaimTable,
    ExternalKeyTable,
    LogTable,
    OrderTable,
    Reader,
    RenewalTable,
    SettingsTable,
)
from dayfly.adapters.stores.recent import RecentRows, count_changes, stop_counting
from dayfly.adapters.stores.statements import Writes, plan_writes
from dayfly.adapters.stores.writer import ConstraintBroken, Fatal, GroupWriter
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.events import Event
from dayfly.core.ids import make_id
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, Frontier
from dayfly.errors import ConfigError, Unavailable
from dayfly.ports.changes import Changes, Receipt, Record
from dayfly.ports.crls import CRLs
from dayfly.ports.denials import Denials
from dayfly.ports.log import LogHead, LogReads
from dayfly.ports.reads import (
    AccountReads,
    AuthorizationReads,
    CertificateReads,
    ClaimReads,
    ExternalKeyReads,
    OrderReads,
    RenewalReads,
    SettingsReads,
)

_LOG = logging.getLogger("dayfly.store")

OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
PAGE = 4096  # octets, SQLite's own choice for a new file
CACHE_KIB = 16 * 1024  # of pages that the writer keeps: what a busy CA reads is what it wrote just now
CHECKPOINT_GROUPS = 500  # groups between two checkpoints,
CHECKPOINT_ROWS = 512  # or rows, each of which takes one to two pages of the write-ahead log
FOLD_ROUNDS = 4  # measured at 64 clients: one large step has writers wait for 26 ms (p99), four rounds for 7
FEW_FRAMES = 100  # that remain, so that the last step is short
WAL_RESTART = 16 * 1024 * 1024  # octets; above it the log is made to begin anew,
WAL_LIMIT = 48 * 1024 * 1024  # and above this its file is cut, before it has 64 MiB (reliability.md R6)
FOLD_WAIT = 0.2  # seconds; a forced checkpoint holds the write lock while it waits for a long reader
FULL_FOR = 5.0  # seconds for which a full disk makes the store unusable, so that it is tried again
ROOM = 1024 * 1024  # octets; with less the store stays unusable after it
TURN_PAUSE = 0.0005  # seconds between two looks at the write lock, in the commit thread
OPEN_TRIES = 100  # of a statement that SQLite refuses while another process opens or leaves the file,
OPEN_PAUSE = 0.02  # seconds apart

PRAGMAS: tuple[tuple[str, object], ...] = (
    ("journal_mode=WAL", "wal"),
    ("synchronous=FULL", 2),
    ("foreign_keys=ON", 1),
    ("wal_autocheckpoint=0", 0),
)

Result = TypeVar("Result")

ID_TABLES = ("orders", "accounts", "certificates", "authorizations")

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def open_sqlite(
    place: str, *, home: Path, notify: Callable[[Sequence[Event]], None], on_fatal: Callable[[Exception], None]
) -> SqliteStore:
    """The store in a file, relative to the home; Unavailable where it cannot keep its promises."""
    path = home / place
    try:
        mode = _prepare_file(path)
    except OSError as error:
        raise Unavailable(
            f"the database {path} cannot be opened: {error.strerror}", hint="run as the user who owns the CA's home"
        ) from None
    if mode & 0o077:
        raise ConfigError("database", f"{path} has mode {mode:04o}: others can read it", hint=f"run: chmod 600 {path}")
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigError("database", f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
    try:
        return SqliteStore(path, notify=notify, on_fatal=on_fatal)
    except sqlite3.Error as error:
        raise Unavailable(f"the database {path} cannot be used: {error}") from None


def _prepare_file(path: Path) -> int:
    """The permissions of the database file, made if it is not there; OSError where it is none, or not to be written.

    A file that is there is not opened: POSIX lets go of all locks that this process has on it when any descriptor of it
    is closed, and another store of this process may hold some.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(found.st_mode) & 0o777


def _connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    """A connection with our settings, each read back: a lost one makes the promises untrue (security.md P0-10)."""
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        for pragma, wanted in PRAGMAS:
            _insist(connection, f"PRAGMA {pragma}")
            (found,) = connection.execute(f"PRAGMA {pragma.partition('=')[0]}").fetchone()
            _check_pragma(pragma, found, wanted)
    except (sqlite3.Error, Unavailable):
        connection.close()
        raise
    return connection


def _insist(connection: sqlite3.Connection, statement: str) -> None:
    """Run it, again while another process opens or leaves the file: SQLite's own wait does not cover those moments."""
    for _ in range(OPEN_TRIES):
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY:
                raise
            time.sleep(OPEN_PAUSE)
        else:
            return
    connection.execute(statement)


def _connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can write nothing, and through which the event loop waits for no lock."""
    connection = _connect(path, timeout=5.0)
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA busy_timeout=0")
    return connection


def _check_pragma(pragma: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Unavailable(f"the database does not take {pragma}: it says {found!r}", hint="use a local file system")


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [one.strip() for one in "\n".join(lines).split(";") if one.strip()]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each change in a transaction of its own; Unavailable for a newer one.

    Nothing is locked where nothing is to do: a command starts beside a busy server.
    """
    changes = migrations()
    version, newest = _schema_version(connection), changes[-1][0]
    if version > newest:
        raise Unavailable(
            f"the database has schema {version}, this Dayfly knows {newest}",
            hint="run the Dayfly that made it, or a newer one",
        )
    for number, script in changes:
        if version < number:
            _change_schema(connection, number, script)


def _change_schema(connection: sqlite3.Connection, number: int, script: str) -> None:
    """One change, unless another process came first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _schema_version(connection) < number:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


class SqliteEngine:
    """The write side: one transaction at a time, on a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Open and migrate."""
        self.connection = _connect(path, timeout=5.0)
        self._path = path
        self._names = str(path), f"{path}-wal"
        try:
            migrate(self.connection)
            self.connection.execute("PRAGMA busy_timeout=0")
            self.connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._files = _files_of(*self._names)
            self._counter = count_changes(path)
        except (sqlite3.Error, Unavailable):
            self.connection.close()
            raise
        self.recent = RecentRows(self._counter)
        self._written: list[Record] = []
        self._settings_changed = False
        self._entries: list[Entry] = []
        self._head: LogHead = EMPTY_HEAD
        self._frontier: Frontier | None = None
        self._groups = self._rows = 0
        self._idle = True
        self.full_at: float | None = None

    def when_idle(self) -> sqlite3.Connection | None:
        """The connection while it is in no transaction and no thread works on it: what is read then is committed."""
        return self.connection if self._idle else None

    def try_begin(self) -> bool:
        """Take the write lock if it is free."""
        self._idle = False
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if _code(error) in _BUSY:
                return False
            raise self._classify(error) from error
        return True

    def wait_begin(self, seconds: float) -> None:
        """Take the write lock, waiting for another process's turn to end.

        SQLite's own wait sleeps for longer each time, up to 100 ms, and comes too late turn after turn: with two
        processes that write all the time it makes a p99 of 200 ms where looking every half millisecond makes one of 30.
        """
        deadline = time.monotonic() + seconds
        while not self.try_begin():
            if time.monotonic() >= deadline:
                raise Unavailable(f"another process held the database for {seconds:.0f} s")
            time.sleep(TURN_PAUSE)

    def begun(self) -> None:
        """The head inside the transaction: whoever wrote last, entries have one order. Unavailable, Fatal."""
        self._entries.clear()
        self._written.clear()
        self._settings_changed = False
        self.check_files()
        if self.recent.begun() and self._frontier is not None:
            return  # nobody else has written, so the head is the one that this process left
        try:
            self._read_head()
        except sqlite3.Error as error:
            if _code(error) in _BUSY:
                raise Unavailable("another process holds the database", hint="try again") from None
            raise self._classify(error) from error

    def _read_head(self) -> None:
        """A head that is not the one that this process left is held against the entries first (R16)."""
        row = self.connection.execute("SELECT size, root, frontier FROM log_head").fetchone()
        head = EMPTY_HEAD if row is None else LogHead(*row)
        if self._frontier is None or head != self._head:
            (highest,) = self.connection.execute("SELECT max(idx) FROM log_entries").fetchone()
            marked = self.connection.execute("SELECT size, root FROM log_groups ORDER BY size DESC LIMIT 1").fetchone()
            self._frontier = check_head(head, highest=highest, marked=marked)
            self._head = head

    def write(self, writes: Writes) -> None:
        """One change set, its conditions first. Conflict, ConstraintBroken, Unavailable, Fatal."""
        try:
            for condition in writes.conditions:
                if self.connection.execute(condition.question, condition.values).fetchone() != condition.answer:
                    raise condition.broken()
            for statement, values in writes.statements:
                self.connection.execute(statement, values)
        except sqlite3.IntegrityError as error:
            raise ConstraintBroken(str(error)) from None
        except sqlite3.Error as error:
            raise self._classify(error) from error
        self._entries.extend(writes.entries)
        self._written.extend(writes.records)
        self._settings_changed = self._settings_changed or writes.changes_settings
        self._rows += len(writes.statements) + len(writes.entries)

    def run(self, statement: str, values: Sequence[object]) -> int:
        """One writing statement; how many rows it changed. ConstraintBroken, Unavailable, Fatal."""
        return self.work(lambda connection: connection.execute(statement, values).rowcount)

    def work(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Statements that depend on each other, in the open transaction; what `work` gives, and the same errors.

        Whatever `work` raises of its own, such as Conflict, it raises before it writes.
        """
        try:
            return work(self.connection)
        except sqlite3.IntegrityError as error:
            raise ConstraintBroken(str(error)) from None
        except sqlite3.Error as error:
            raise self._classify(error) from error

    def finish(self) -> int:
        """The group's entries, its mark, and the head."""
        if not self._entries:
            return self._head.size
        growth = grow(self._frontier or EMPTY_FRONTIER, self._entries)
        head = growth.head
        try:
            self.connection.executemany("INSERT INTO log_entries (idx, leaf_hash, body) VALUES (?, ?, ?)", growth.rows)
            self.connection.execute("INSERT INTO log_groups (size, root) VALUES (?, ?)", (head.size, head.root))
            self.connection.execute(
                "INSERT OR REPLACE INTO log_head (one, size, root, frontier) VALUES (1, ?, ?, ?)",
                (head.size, head.root, head.frontier),
            )
        except sqlite3.IntegrityError:  # somebody else has put entries there
            raise broken_log() from None
        except sqlite3.Error as error:
            raise self._classify(error) from error
        self._head, self._frontier = head, growth.frontier
        return head.size

    def commit(self) -> None:
        """Sync."""
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._classify(error) from error
        self.full_at = None
        self._groups += 1
        self._idle = True

    def committed(self) -> None:
        """What was written is known from now on."""
        self.recent.committed(self._written, settings_changed=self._settings_changed)

    def rollback(self) -> None:
        """Undo; a transaction that SQLite has undone by itself is undone."""
        self._frontier = None  # what this process thought to have left is not there
        self.recent.rolled_back()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._idle = True

    def close(self) -> None:
        """Let go of the file; the last of this store's connections to do so."""
        self.connection.close()
        stop_counting(self._counter)

    def wants_checkpoint(self) -> bool:
        """Is it time to fold the write-ahead log back? Asked once, it is not until as much was written again."""
        if self._groups < CHECKPOINT_GROUPS and self._rows < CHECKPOINT_ROWS:
            return False
        self._groups = self._rows = 0
        return True

    def check_files(self) -> None:
        """Unavailable when the file or its write-ahead log is not the one that was opened.

        What is written to a file without a name is gone with this process: nothing may be acknowledged on it (R5).
        """
        if _files_of(*self._names) != self._files:
            raise Unavailable(
                "the database file was replaced, moved or removed under the running CA",
                hint="stop the CA, put the right file and its -wal in place, then start it again",
            )

    def check_room(self) -> None:
        """Unavailable from a write that found no room until one succeeds, or there is room again."""
        if self.full_at is None:
            return
        if time.monotonic() - self.full_at < FULL_FOR or not _has_room(self._path):
            raise Unavailable("the database could not be written just now")

    def _classify(self, error: sqlite3.Error) -> Unavailable | Fatal:
        """A full or read-only disk is undone and may end; whatever else fails in a write leaves the disk unknown."""
        code = _code(error)
        read_only = code == sqlite3.SQLITE_READONLY or (code == sqlite3.SQLITE_IOERR and _is_read_only(self._path))
        if code != sqlite3.SQLITE_FULL and not read_only:
            return Fatal(f"the database failed: {error}")
        self.rollback()
        self.full_at = time.monotonic()
        if read_only:
            return Unavailable(f"the database cannot be written: {error}", hint="make its file system writable")
        return Unavailable("the database cannot be written: the disk is full", hint="make room on the disk")


def _files_of(database: str, log: str) -> tuple[tuple[int, int] | None, ...]:
    """Device and inode of the file and of its write-ahead log; None for one that is not there."""
    return _identity(database), _identity(log)


def _identity(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 - a string is quicker, and this runs for each group
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_read_only(path: Path) -> bool:
    """Has the file's file system become read-only, as one that met an error does? Its flags do not always say so."""
    try:
        os.utime(path)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _has_room(path: Path) -> bool:
    """Is there room for a few groups, and may it be written?"""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= ROOM and not _is_read_only(path)


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 where the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


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
        try:
            self._reader = Reader(_connect_reader(path), self._engine.when_idle)
        except (sqlite3.Error, Unavailable):
            self._engine.close()
            raise
        self._writer = GroupWriter(self._engine, notify=notify, on_fatal=on_fatal)
        self._side = ThreadPoolExecutor(1, thread_name_prefix="dayfly-checkpoint")
        self._folding: asyncio.Future[None] | None = None
        recent = self._engine.recent
        self.accounts: AccountReads = AccountTable(self._reader, recent)
        self.orders: OrderReads = OrderTable(self._reader, recent)
        self.authorizations: AuthorizationReads = AuthorizationTable(self._reader)
        self.certificates: CertificateReads = CertificateTable(self._reader, recent)
        self.renewals: RenewalReads = RenewalTable(self._reader, recent)
        self.external_keys: ExternalKeyReads = ExternalKeyTable(self._reader)
        self.claims: ClaimReads = ClaimTable(self._reader)
        self.settings: SettingsReads = SettingsTable(self._reader, recent)
        self.log: LogReads = LogTable(self._reader, self._write)
        self.denials: Denials = DenialTable(self._reader, self._work)
        self.crls: CRLs = CRLTable(self._reader, self._work)

    async def commit(self, changes: Changes) -> Receipt:
        """Write the change set durably, with its log entries."""
        writes = plan_writes(changes)
        _, size = await self._writer.write(lambda: self._engine.write(writes), changes.events)
        self._fold_back()
        return Receipt(size)

    async def prune(self, *, orders_before: datetime, claims_before: datetime, limit: int) -> int:
        """Remove orders that expired before a moment, whose ids say when they were made, authorizations, claims."""
        edge = make_id(int((orders_before - ORDER_LIFE).timestamp() * 1000), 0, 0)
        ended = int(orders_before.timestamp())
        gone = await self._prune("orders", "id", edge, limit)
        gone += await self._prune("authorizations", "expires", ended, limit)
        return gone + await self._prune("claims", "expires", int(claims_before.timestamp()), limit)

    async def _prune(self, table: str, column: str, edge: int, limit: int) -> int:
        """Remove rows of a table below an edge; a table without any is not written to."""
        if self._reader.one(f"SELECT 1 FROM {table} WHERE {column} < ? LIMIT 1", edge) is None:  # noqa: S608 - ours
            return 0
        chosen = f"SELECT rowid FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT ?"  # noqa: S608 - ours
        gone = await self._write(f"DELETE FROM {table} WHERE rowid IN ({chosen})", (edge, limit))  # noqa: S608 - ours
        self._engine.recent.forget()
        return gone

    async def check(self) -> None:
        """Raise Unavailable when the store cannot be read, failed, or met a full disk just now."""
        self._reader.one("SELECT 1 FROM settings_revision")
        if self._writer.broken is not None:
            raise Unavailable("the database failed")
        self._engine.check_files()
        self._engine.check_room()

    async def newest_id(self) -> int:
        """The highest row id there is."""
        newest = (self._reader.one(f"SELECT max(id) FROM {table}") for table in ID_TABLES)  # noqa: S608 - ours
        return max(row[0] or 0 for row in newest if row is not None)

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
        self._engine.close()

    async def _write(self, statement: str, values: Sequence[object]) -> int:
        result, _ = await self._writer.write(lambda: self._engine.run(statement, values))
        return int(result)

    async def _work(self, work: Callable[[sqlite3.Connection], Any]) -> Any:  # noqa: ANN401 - what `work` gives
        result, _ = await self._writer.write(lambda: self._engine.work(work))
        self._fold_back()
        return result

    # --- the write-ahead log ------------------------------------------------------------------------------------------

    def _fold_back(self) -> None:
        """Copy the write-ahead log back beside the work, now and then."""
        if (self._folding is None or self._folding.done()) and self._engine.wants_checkpoint():
            self._folding = asyncio.get_running_loop().run_in_executor(self._side, self._fold)

    def _fold(self) -> None:
        """Copy the log back in rounds, each for what came during the one before; then let it begin anew.

        Only the last step makes writers wait, and for little.
        """
        wal = self._path.with_name(self._path.name + "-wal")
        try:
            with closing(sqlite3.connect(self._path, timeout=FOLD_WAIT, isolation_level=None)) as connection:
                for _ in range(FOLD_ROUNDS):
                    _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if frames - copied < FEW_FRAMES:
                        break
                large = wal.stat().st_size > WAL_LIMIT
                if large or frames * PAGE > WAL_RESTART:
                    connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if large else 'RESTART'})")
        except (sqlite3.Error, OSError) as error:
            _LOG.warning("the write-ahead log was not folded back: %s", error)
