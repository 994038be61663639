"""The append-only log, as committed.

Rules: entries and groups are only read here, for they are written by the commit that they tell of; checkpoints are
written, since they come after it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class LogHead(msgspec.Struct, frozen=True, gc=False):
    """The log as committed: number of entries, root hash (RFC 6962), and the bytes of the Merkle frontier."""

    size: int
    root: bytes
    frontier: bytes


class StoredEntry(msgspec.Struct, frozen=True, gc=False):
    """One row of the log: its index, canonical bytes, and leaf hash."""

    index: int
    body: bytes
    leaf_hash: bytes


class StoredGroup(msgspec.Struct, frozen=True, gc=False):
    """One commit's mark in the log: its size and root hash after the group."""

    size: int
    root: bytes


class LogReads(Protocol):
    """The append-only log, as committed."""

    async def head(self) -> LogHead:
        """The newest head."""
        ...

    async def entries(self, start: int, *, limit: int) -> tuple[StoredEntry, ...]:
        """Entries with index >= `start`, ascending, at most `limit`."""
        ...

    async def groups(self, after_size: int, *, limit: int) -> tuple[StoredGroup, ...]:
        """Group marks with size > `after_size`, ascending, at most `limit`."""
        ...

    async def checkpoints(self, after_size: int, *, limit: int) -> tuple[str, ...]:
        """Signed notes of checkpoints with size > `after_size`, ascending, at most `limit`."""
        ...

    async def add_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint; a second one of the same size replaces the first."""
        ...
