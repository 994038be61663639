"""Denials in SQLite: one row for each that differs, bounded, whoever of the host's processes met it.

Rules: the ids of a set are tested before anything is written; equal denials are found and counted in the transaction
that writes, so that two processes make one row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.reads import Reader
from dayfly.core.policy.denials import KeptDenial, once_more
from dayfly.errors import Conflict, NotFound

Write = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]

_OF_KEY = "SELECT document FROM denials WHERE key = ?"
_HAS_ID = "SELECT 1 FROM denials WHERE id = ?"
_PUT = "INSERT OR REPLACE INTO denials (id, key, last_at, document) VALUES (?, ?, ?, ?)"
_OLDEST_OUT = "DELETE FROM denials WHERE id IN (SELECT id FROM denials ORDER BY last_at DESC, id LIMIT -1 OFFSET ?)"


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
    """1. What is there already. 2. New ids are free. 3. Write. 4. The oldest go."""
    merged: dict[str, KeptDenial] = {}
    for one in denials:
        row = connection.execute(_OF_KEY, (one.key,)).fetchone()
        before = merged.get(one.key) or (None if row is None else rows.parse_denial(row[0]))
        if before is None and connection.execute(_HAS_ID, (one.id,)).fetchone() is not None:
            raise Conflict(f"another denial has the id {one.id}")
        merged[one.key] = one if before is None else once_more(before, one)
    if len({one.id for one in merged.values()}) < len(merged):
        raise Conflict("two new denials have the same id")
    connection.executemany(_PUT, map(rows.denial_row, merged.values()))
    connection.execute(_OLDEST_OUT, (keep,))
    return tuple(merged[one.key].id for one in denials)
