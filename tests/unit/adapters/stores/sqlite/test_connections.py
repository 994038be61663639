"""Connections have the settings that the promises rest on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dayfly.adapters.stores.sqlite import connections as connections_module
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.errors import Unavailable
from sqlite_world import open_sqlite, play


def test_connections_have_the_settings_that_the_promises_rest_on__security_p0_10(tmp_path: Path) -> None:
    """WAL, synchronous=FULL and foreign_keys on both connections; the loop waits for no lock; readers cannot write."""

    async def scenario(store: SqliteStore) -> None:
        for connection in (store._engine.connection, store._reader.connection):
            names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "busy_timeout")
            found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
            assert found == ["wal", 2, 1, 0, 0]
        with pytest.raises(sqlite3.OperationalError):
            store._reader.connection.execute("DELETE FROM orders")

    play(tmp_path, scenario)


@pytest.mark.parametrize(("pragma", "wanted"), [("synchronous=NORMAL", 2), ("journal_mode=DELETE", "wal")])
def test_setting_that_is_lost_is_no_start__security_p0_10(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, wanted: object
) -> None:
    """What was asked for is read back, and another answer refuses to run."""
    monkeypatch.setattr(connections_module, "PRAGMAS", ((pragma, wanted),))
    with pytest.raises(Unavailable, match="does not take"):
        asyncio.run(open_sqlite(tmp_path))
