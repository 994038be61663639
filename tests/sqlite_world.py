"""One SQLite store in a directory, for tests of what only SQLite can get wrong."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from dayfly.adapters.stores import open_store
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.core.events import AccountCreated, Event
from factories import NOW

NAME = "dayfly.db"
LATER = 10.0  # seconds that no test takes


async def open_sqlite(home: Path, heard: list[Event] | None = None) -> SqliteStore:
    """The store in a directory."""
    store = await open_store(f"sqlite:{NAME}", home=home, notify=(heard if heard is not None else []).extend)
    assert isinstance(store, SqliteStore)
    return store


def play(home: Path, scenario: Callable[[SqliteStore], Awaitable[None]]) -> None:
    """Run a scenario against a fresh store."""

    async def body() -> None:
        store = await open_sqlite(home)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(body())


def created(number: int = 0) -> AccountCreated:
    """A logged event."""
    return AccountCreated(NOW, number, "acme", "t")


def edit(home: Path, *statements: str) -> None:
    """Change the file behind the store's back."""
    with contextlib.closing(sqlite3.connect(home / NAME, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def in_thread(call: Callable[[float], object]) -> None:
    """Wait for a thread, and let the loop serve on."""
    assert await asyncio.get_running_loop().run_in_executor(None, call, LATER)


async def nothing(_: SqliteStore) -> None:
    """Open and close."""
