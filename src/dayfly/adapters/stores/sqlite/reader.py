"""How committed rows are read, on the event loop.

Rules: a read takes microseconds, or a page.

Single rows are read through the writer's connection while that is in no transaction: SQLite drops the page cache of
every other connection at each commit, so there a row takes 70 us, and here 15 at most. What another process commits,
SQLite sees on either. Pages of rows go through a connection of their own: they shall not fill that cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from dayfly.errors import Unavailable

FEW = 32  # rows
TOP = (1 << 63) - 1  # above every id


class Reader:
    """Reads committed rows."""

    def __init__(self, connection: sqlite3.Connection, idle: Callable[[], sqlite3.Connection | None]) -> None:
        """Nobody else uses `connection`; `idle` gives the writer's while it is in no transaction and no thread."""
        self.connection = connection
        self._idle = idle

    def one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """The first row; Unavailable."""
        try:
            connection = self._idle() or self.connection
            row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise Unavailable(f"the database cannot be read: {error}") from error
        return row

    def few(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a statement that gives no more than FEW; Unavailable."""
        return self._all(self._idle() or self.connection, statement, values)

    def all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows; Unavailable."""
        return self._all(self.connection, statement, values)

    @staticmethod
    def _all(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the database cannot be read: {error}") from error
        return found
