"""The log as SQLite has it.

Rules: nothing here writes but `add_checkpoint`, which goes through the writer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, EMPTY_ROOT, render_frontier
from dayfly.ports.log import LogHead, StoredEntry, StoredGroup


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
