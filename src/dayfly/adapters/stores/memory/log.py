"""The log in memory.

Rules: logged events become entries with the same arithmetic as on a disk.
"""

from __future__ import annotations

from collections.abc import Sequence

from dayfly.core.events import Event, LoggedEvent
from dayfly.core.transparency.entries import render_entry
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, extend, leaf_hash, render_frontier, root_hash
from dayfly.ports.log import LogHead, StoredEntry, StoredGroup


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
