"""Rows that this process wrote or read a moment ago, and the settings: what a request needs is mostly among them.

Rules: a row is served from here only while nobody else has written to the database since it was put here; whoever
writes, in this process or another, raises the change counter of SQLite's WAL-index, which is one word of shared memory
to read (sqlite.org/walformat.html, "iChange"), where asking SQLite takes two locks of a file; what the counter cannot
explain by our own commits empties everything. Memory is bounded.

A WAL-index that is made anew, as after a process that died while it wrote to it, counts from nought. So the length of
the write-ahead log, its checksum and its salts are read with the counter: all of them together never come again.

How our own commits are told apart: no other process commits between `begun`, when we hold the write lock, and the end
of our COMMIT. From then on until `committed`, the counter may be one higher and no more; at `committed` it must be
exactly one higher, or somebody came in between.
"""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dayfly.core.acme.objects import Account, Certificate, Order
from dayfly.core.settings.revisions import Settings
from dayfly.ports.changes import Record

KEPT = 4096  # rows of a kind
_STATE = slice(8, 40)  # the header's octets from iChange to aSalt: with mxFrame, nPage and aFrameCksum
_WORDS = 1 << 32
_HEADER = 48  # octets

Row = TypeVar("Row", Account, Order, Certificate)


class ChangeCounter:
    """The state of a database in WAL mode; its lowest 32 bits are the number of commits, by whatever process.

    POSIX lets go of all locks that a process has on a file when *any* descriptor of it is closed, SQLite's too, and
    then another process may cut the file under our feet. So there is one counter for a file, however many stores this
    process has on it, and its descriptors are closed after the last of them has closed its connections.
    """

    def __init__(self, path: str) -> None:
        """`path` is the shared memory's file."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._shared = mmap.mmap(self._descriptor, _HEADER, prot=mmap.PROT_READ)
        self.users = 0

    def __call__(self) -> int:
        """The state now; one that is read while somebody writes it is no state, and differs from the next.

        SQLite writes the header in the machine's own order: on a big-endian one no commit looks like the one after
        another, so nothing is served from here, which is slow and never wrong.
        """
        return int.from_bytes(self._shared[_STATE], "little")

    def close(self) -> None:
        """Let go of the memory."""
        self._shared.close()
        os.close(self._descriptor)


_COUNTERS: dict[tuple[int, int], ChangeCounter] = {}


def count_changes(database: Path) -> Callable[[], int]:
    """The database's state; where the shared memory cannot be read, one that never stands still.

    A connection to the database is open, and has read. `stop_counting` is called after the last one is closed.
    """
    path = f"{database}-shm"
    try:
        found = os.stat(path)  # noqa: PTH116 - its name is a string
        counter = _COUNTERS.get((found.st_dev, found.st_ino)) or ChangeCounter(path)
    except (OSError, ValueError):
        return itertools.count().__next__
    _COUNTERS[found.st_dev, found.st_ino] = counter
    counter.users += 1
    return counter


def stop_counting(counter: Callable[[], int]) -> None:
    """This store has closed its connections."""
    if not isinstance(counter, ChangeCounter):
        return
    counter.users -= 1
    if not counter.users:
        _COUNTERS.pop(next(key for key, one in _COUNTERS.items() if one is counter))
        counter.close()


class RecentRows:
    """What is known without asking."""

    def __init__(self, counter: Callable[[], int]) -> None:
        """Nothing is known yet."""
        self._counter = counter
        self._known: int | None = None
        self._ours: int | None = None  # the state after our last commit
        self._writing = self._spoilt = False
        self._accounts: dict[int, Account] = {}
        self._orders: dict[int, Order] = {}
        self._certificates: dict[int, Certificate] = {}
        self._settings: Settings | None = None
        self._changes: int | None = None

    # --- reading ------------------------------------------------------------------------------------------------------

    def account(self, row_id: int) -> Account | None:
        """The account, if it is known."""
        self._check()
        return self._accounts.get(row_id)

    def order(self, row_id: int) -> Order | None:
        """The order, if it is known."""
        self._check()
        return self._orders.get(row_id)

    def certificate(self, row_id: int) -> Certificate | None:
        """The certificate, if it is known."""
        self._check()
        return self._certificates.get(row_id)

    def settings(self) -> Settings | None:
        """The settings of the newest revision, if they are known."""
        self._check()
        return self._settings

    def changes(self) -> int | None:
        """How many certificates' rows were changed after they were made, if that is known."""
        self._check()
        return self._changes

    def keep(self, record: Record) -> None:
        """A row that was just read, right after it was found missing here; external account keys are not kept."""
        if isinstance(record, Order):
            _put(self._orders, record)
        elif isinstance(record, Account):
            _put(self._accounts, record)
        elif isinstance(record, Certificate):
            _put(self._certificates, record)

    def keep_settings(self, settings: Settings) -> None:
        """The same for the settings."""
        self._settings = settings

    def keep_changes(self, count: int) -> None:
        """The same for the count of changes."""
        self._changes = count

    def forget(self) -> None:
        """Know nothing any more."""
        self._accounts.clear()
        self._orders.clear()
        self._certificates.clear()
        self._settings = None
        self._changes = None

    def _check(self) -> None:
        """Forget everything where somebody else has written."""
        now = self._counter()
        if now == self._known or (self._writing and not self._spoilt and self._is_after_ours(now)):
            return
        self.forget()
        self._known, self._spoilt = now, True

    def _is_after_ours(self, now: int) -> bool:
        """Is it one commit later? A log that begins anew changes all the rest, so the counter decides."""
        return self._known is not None and (now - self._known - 1) % _WORDS == 0

    # --- writing ------------------------------------------------------------------------------------------------------

    def begun(self) -> bool:
        """We hold the write lock; has nobody else written since our last commit?"""
        self._writing = False
        self._check()
        self._writing, self._spoilt = True, False
        return self._known == self._ours

    def committed(self, records: Sequence[Record], *, settings_changed: bool) -> None:
        """Our commit is durable, and these rows stand as they are here; called before anybody hears of it."""
        self._writing = False
        now = self._counter()
        if self._spoilt or not self._is_after_ours(now):
            self.forget()
            self._known = self._ours = None
            return
        self._known = self._ours = now
        for record in records:
            self.keep(record)
            if isinstance(record, Certificate) and record.version:
                self._changes = None
        if settings_changed:
            self._settings = None

    def rolled_back(self) -> None:
        """Our transaction is over, and nothing was written."""
        self._writing = False


def _put(table: dict[int, Row], record: Row) -> None:
    """Keep a row; the one that was put there first makes room."""
    table.pop(record.id, None)
    if len(table) >= KEPT:
        del table[next(iter(table))]
    table[record.id] = record
