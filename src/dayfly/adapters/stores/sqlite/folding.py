"""The write-ahead log, folded back into the database beside the work, so that it stays small (reliability.md R6).

Rules: in a thread and on a connection of its own; only the last step makes writers wait, and for little; one that fails
is a warning, since the next one does its work too.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from dayfly.adapters.stores.sqlite.reserve import Reserve

_LOG = logging.getLogger("dayfly.store")

PAGE = 4096  # octets, SQLite's own choice for a new file
FOLD_ROUNDS = 4  # measured at 64 clients: one large step has writers wait for 26 ms (p99), four rounds for 7
FEW_FRAMES = 100  # that remain, so that the last step is short
WAL_RESTART = 16 * 1024 * 1024  # octets; above it the log is made to begin anew,
WAL_LIMIT = 48 * 1024 * 1024  # and above this its file is cut, before it has 64 MiB (reliability.md R6)
FOLD_WAIT = 0.2  # seconds; a forced checkpoint holds the write lock while it waits for a long reader


class Folding:
    """Folds the log back when it is due, one time after the other."""

    def __init__(self, path: Path, is_due: Callable[[], bool]) -> None:
        """Nothing is under way; `is_due` is asked after each commit that finds nothing under way."""
        self._path = path
        self._is_due = is_due
        self._side = ThreadPoolExecutor(1, thread_name_prefix="dayfly-checkpoint")
        self.under_way: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None

    def fold_if_due(self) -> None:
        """Begin, where it is time and the last one has ended."""
        if (self.under_way is None or self.under_way.done()) and self._is_due():
            self.under_way = asyncio.get_running_loop().run_in_executor(self._side, fold_back, self._path)

    async def fold_now(self) -> None:
        """Have it folded back once what is under way has ended; whoever waits already waits for the same."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().run_in_executor(self._side, fold_back, self._path)
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """Wait for what is under way, and let go of the thread."""
        for one in (self.under_way, self._next):
            if one is not None:
                await one
        self._side.shutdown()


def fold_back(path: Path) -> None:
    """Copy the log back in rounds, each for what came during the one before; then let it begin anew.

    Where it is large enough, or the disk is full: then it must not grow at all.
    """
    wal = path.with_name(path.name + "-wal")
    try:
        with closing(sqlite3.connect(path, timeout=FOLD_WAIT, isolation_level=None)) as connection:
            for _ in range(FOLD_ROUNDS):
                _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if frames - copied < FEW_FRAMES:
                    break
            large = wal.stat().st_size > WAL_LIMIT
            if large or frames * PAGE > WAL_RESTART or Reserve(path).is_empty():
                connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if large else 'RESTART'})")
    except (sqlite3.Error, OSError) as error:
        _LOG.warning("the write-ahead log was not folded back: %s", error)
