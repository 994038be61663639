"""Denials in SQLite: one row for each that differs, bounded, whoever of the host's processes met it.

Rules: the ids of a set are tested before anything is written; equal denials are found and counted in the transaction
that writes, so that two processes make one row; a row that goes leaves its id behind, which is no other denial's for a
day, for somebody was told what it stands for.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.core.policy.denials import ID_REST, MOST_GONE, KeptDenial, once_more, share_of
from dayfly.errors import Conflict, NotFound

Write = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]

_OF_KEY = "SELECT document FROM denials WHERE key = ?"
_HAS_ID = "SELECT 1 FROM denials WHERE id = ?"
_PUT = "INSERT OR REPLACE INTO denials (id, key, last_at, document, first_by) VALUES (?, ?, ?, ?, ?)"
_OVER_SHARE = "SELECT id, key, first_by FROM denials WHERE first_by = ? ORDER BY last_at DESC, id LIMIT -1 OFFSET ?"
_OVER_ALL = "SELECT id, key, first_by FROM denials ORDER BY last_at DESC, id LIMIT -1 OFFSET ?"
_RESTS = "SELECT 1 FROM gone_denials WHERE id = ? AND key_digest != ? AND gone_at > ?"
_GONE_OF = "SELECT count(*) FROM gone_denials WHERE first_by = ? AND gone_at > ?"
_REMOVE = "DELETE FROM denials WHERE id = ?"
_PUT_GONE = "INSERT OR REPLACE INTO gone_denials (id, key_digest, first_by, gone_at) VALUES (?, ?, ?, ?)"
_BACK = "DELETE FROM gone_denials WHERE id = ?"
_RESTED = "DELETE FROM gone_denials WHERE gone_at <= ?"


class DenialTable:
    """Names that policy refused."""

    def __init__(self, reader: Reader, write: Write) -> None:
        """`write` carries one piece of work through the writer."""
        self._reader = reader
        self._write = write

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        """Store them, or count them up; their ids."""
        found: tuple[str, ...] = await self._write(lambda connection: _note(connection, denials, keep))
        return found

    async def denial(self, denial_id: str) -> KeptDenial:
        """The denial with this id; NotFound."""
        row = self._reader.one("SELECT document FROM denials WHERE id = ?", denial_id)
        if row is None:
            raise NotFound(f"no denial {denial_id}")
        return rows.parse_denial(row[0])

    async def newest(self, *, limit: int) -> tuple[KeptDenial, ...]:
        """Those met last, newest first."""
        found = self._reader.all("SELECT document FROM denials ORDER BY last_at DESC, id LIMIT ?", limit)
        return tuple(rows.parse_denial(row[0]) for row in found)


def _note(connection: sqlite3.Connection, denials: Sequence[KeptDenial], keep: int) -> tuple[str, ...]:
    """1. What is there already. 2. New ids are free. 3. Write. 4. The oldest go, of an asker's share and of all."""
    now = max((one.last_at for one in denials), default=None)
    if now is None:
        return ()
    rested = rows.microseconds(now - ID_REST)
    merged: dict[str, KeptDenial] = {}
    for one in denials:
        row = connection.execute(_OF_KEY, (one.key,)).fetchone()
        before = merged.get(one.key) or (None if row is None else rows.parse_denial(row[0]))
        if before is None:
            _check_new(connection, one, rested)
        merged[one.key] = one if before is None else once_more(before, one)
    if len({one.id for one in merged.values()}) < len(merged):
        raise Conflict("two new denials have the same id")
    connection.executemany(_PUT, map(rows.denial_row, merged.values()))
    connection.executemany(_BACK, [(one.id,) for one in merged.values()])
    connection.execute(_RESTED, (rested,))
    for asker in {one.first_by for one in merged.values()} - {""}:
        _let_go(connection, connection.execute(_OVER_SHARE, (asker, share_of(keep))).fetchall(), rows.microseconds(now))
    _let_go(connection, connection.execute(_OVER_ALL, (keep,)).fetchall(), rows.microseconds(now))
    return tuple(merged[one.key].id for one in denials)


def _check_new(connection: sqlite3.Connection, denial: KeptDenial, rested: int) -> None:
    """Conflict where the id is another's, or was until a moment ago, or the asker has used up too many."""
    if connection.execute(_HAS_ID, (denial.id,)).fetchone() is not None:
        raise Conflict(f"another denial has the id {denial.id}")
    if connection.execute(_RESTS, (denial.id, _digest(denial.key), rested)).fetchone() is not None:
        raise Conflict(f"another denial had the id {denial.id} not long ago")
    (gone,) = connection.execute(_GONE_OF, (denial.first_by, rested)).fetchone()
    if denial.first_by and gone >= MOST_GONE:
        raise Conflict(f"{denial.first_by} has used up {gone} ids of denials")


def _let_go(connection: sqlite3.Connection, found: Sequence[tuple[str, str, str]], now: int) -> None:
    connection.executemany(_REMOVE, [(id_,) for id_, _, _ in found])
    connection.executemany(_PUT_GONE, [(id_, _digest(key), asker, now) for id_, key, asker in found])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
