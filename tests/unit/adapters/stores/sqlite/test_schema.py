"""The schema: a change is made once and whole."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from dayfly.adapters.stores.sqlite import schema as schema_module
from dayfly.adapters.stores.sqlite.schema import migrate
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.errors import Unavailable
from dayfly.ports.changes import Changes
from factories import order
from sqlite_world import NAME, edit, nothing, open_sqlite, play


def test_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A database of a newer Dayfly is not touched, and the text says what to run."""
    play(tmp_path, nothing)
    edit(tmp_path, "PRAGMA user_version=99")
    with pytest.raises(Unavailable, match="schema 99") as caught:
        asyncio.run(open_sqlite(tmp_path))
    assert "newer" in caught.value.hint
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


def test_migration_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails halfway leaves the schema before it; the same one can be made later, and then not again."""
    good = [(1, "CREATE TABLE one (a);"), (2, "-- two tables;\nCREATE TABLE two (a); CREATE TABLE three (a);")]
    bad = [good[0], (2, "CREATE TABLE two (a); CREATE NONSENSE;")]

    def tables(connection: sqlite3.Connection) -> tuple[list[str], int]:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema ORDER BY name")]
        return names, connection.execute("PRAGMA user_version").fetchone()[0]

    with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as connection:
        monkeypatch.setattr(schema_module, "migrations", lambda: bad)
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection)
        assert tables(connection) == (["one"], 1)
        monkeypatch.setattr(schema_module, "migrations", lambda: good)
        for _ in range(2):
            migrate(connection)
            assert tables(connection) == (["one", "three", "two"], 2)


def test_command_starts_while_a_server_writes(tmp_path: Path) -> None:
    """Opening a database of the newest schema takes no write lock."""

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(order(),)))
        with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            second = await open_sqlite(tmp_path)
            assert await second.orders.order(order().id) == order()
            other.execute("ROLLBACK")
            await second.close()

    play(tmp_path, scenario)
