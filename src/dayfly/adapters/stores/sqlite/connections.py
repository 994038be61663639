"""Connections to the database, with the settings that the promises rest on.

Rules: WAL and synchronous=FULL, asserted at open or no start; a reader can write nothing, and waits for no lock.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from dayfly.errors import Unavailable

OPEN_TRIES = 100  # of a statement that SQLite refuses while another process opens or leaves the file,
OPEN_PAUSE = 0.02  # seconds apart

PRAGMAS: tuple[tuple[str, object], ...] = (
    ("journal_mode=WAL", "wal"),
    ("synchronous=FULL", 2),
    ("foreign_keys=ON", 1),
    ("wal_autocheckpoint=0", 0),
)

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def connect(path: Path, *, timeout: float) -> sqlite3.Connection:
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
            if error.sqlite_errorcode & 0xFF not in BUSY:
                raise
            time.sleep(OPEN_PAUSE)
        else:
            return
    connection.execute(statement)


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can write nothing, and through which the event loop waits for no lock."""
    connection = connect(path, timeout=5.0)
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA busy_timeout=0")
    return connection


def _check_pragma(pragma: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Unavailable(f"the database does not take {pragma}: it says {found!r}", hint="use a local file system")


def code_of(error: sqlite3.Error) -> int:
    """The primary result code; 0 where the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
