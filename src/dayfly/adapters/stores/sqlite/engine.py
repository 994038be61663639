"""The write side of SQLite: the groups of the writer as transactions of one connection.

Rules: the event loop never waits for the write lock; conditions are tested before a set writes anything; a full disk
rolls back and recovers, a failed sync ends the store.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dayfly.adapters.stores.log import EMPTY_HEAD, Entry, broken_log, check_head, grow
from dayfly.adapters.stores.sqlite.connections import BUSY, code_of, connect
from dayfly.adapters.stores.sqlite.files import files_of, full, has_room, is_read_only
from dayfly.adapters.stores.sqlite.recent import RecentRows, count_changes, stop_counting
from dayfly.adapters.stores.sqlite.reserve import Reserve
from dayfly.adapters.stores.sqlite.schema import migrate
from dayfly.adapters.stores.sqlite.statements import Writes
from dayfly.adapters.stores.writer import ConstraintBroken, Fatal
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, Frontier
from dayfly.errors import Unavailable
from dayfly.ports.changes import Record
from dayfly.ports.log import LogHead

CACHE_KIB = 16 * 1024  # of pages that the writer keeps: what a busy CA reads is what it wrote just now
CHECKPOINT_GROUPS = 500  # groups between two checkpoints,
CHECKPOINT_ROWS = 512  # or rows, each of which takes one to two pages of the write-ahead log
FULL_FOR = 5.0  # seconds for which a full disk makes the store unusable, so that it is tried again
TURN_PAUSE = 0.0005  # seconds between two looks at the write lock, in the commit thread

Result = TypeVar("Result")


class SqliteEngine:
    """The write side: one transaction at a time, on a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Open and migrate."""
        self.connection = connect(path, timeout=5.0)
        self._path = path
        self._names = str(path), f"{path}-wal"
        try:
            migrate(self.connection)
            self.connection.execute("PRAGMA busy_timeout=0")
            self.connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._files = files_of(*self._names)
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
        self.reserve = Reserve(path)

    def when_idle(self) -> sqlite3.Connection | None:
        """The connection while it is in no transaction and no thread works on it: what is read then is committed."""
        return self.connection if self._idle else None

    def try_begin(self) -> bool:
        """Take the write lock if it is free."""
        self._idle = False
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if code_of(error) in BUSY:
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
            if code_of(error) in BUSY:
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
        if files_of(*self._names) != self._files:
            raise Unavailable(
                "the database file was replaced, moved or removed under the running CA",
                hint="stop the CA, put the right file and its -wal in place, then start it again",
            )

    def check_reserve(self) -> None:
        """Unavailable while the reserve is spent: what is left of it is not for everything."""
        if self.reserve.is_spent():
            raise full()

    def check_room(self) -> None:
        """Unavailable from a write that found no room until one succeeds or there is room, for the reserve too."""
        self.check_reserve()
        if self.full_at is None:
            return
        if time.monotonic() - self.full_at < FULL_FOR or not has_room(self._path):
            raise Unavailable("the database could not be written just now")

    def _classify(self, error: sqlite3.Error) -> Unavailable | Fatal:
        """A full or read-only disk is undone and may end; whatever else fails in a write leaves the disk unknown."""
        code = code_of(error)
        read_only = code == sqlite3.SQLITE_READONLY or (code == sqlite3.SQLITE_IOERR and is_read_only(self._path))
        if code != sqlite3.SQLITE_FULL and not read_only:
            return Fatal(f"the database failed: {error}")
        self.rollback()
        self.full_at = time.monotonic()
        if read_only:
            return Unavailable(f"the database cannot be written: {error}", hint="make its file system writable")
        self.reserve.release()
        return full()
