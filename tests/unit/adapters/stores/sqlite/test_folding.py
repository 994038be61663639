"""The write-ahead log stays small beside the work."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from dayfly.adapters.stores.sqlite import engine as engine_module
from dayfly.adapters.stores.sqlite import folding as folding_module
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.ports.changes import Changes
from factories import order
from sqlite_world import NAME, created, play


@pytest.mark.parametrize(("restart", "limit"), [(60_000, 1 << 30), (1 << 30, 100_000)])
def test_write_ahead_log_stays_small__reliability_r6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart: int, limit: int
) -> None:
    """A reader that stays keeps it from beginning anew; once he is gone it is made to, or cut, and stops growing."""
    monkeypatch.setattr(engine_module, "CHECKPOINT_GROUPS", 1)
    monkeypatch.setattr(folding_module, "WAL_RESTART", restart)
    monkeypatch.setattr(folding_module, "WAL_LIMIT", limit)
    monkeypatch.setattr(folding_module, "FOLD_WAIT", 0.001)
    monkeypatch.setattr(folding_module, "FEW_FRAMES", 0)

    async def write(store: SqliteStore, numbers: range) -> int:
        for number in numbers:
            await store.commit(Changes(insert=(order(id=number + 1),), events=(created(number),)))
            if store._folding.under_way is not None:
                await store._folding.under_way
        return sum(one.stat().st_size for one in os.scandir(tmp_path) if one.name.endswith("-wal"))

    async def scenario(store: SqliteStore) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM orders").fetchone()
            grown = await write(store, range(100))
            assert grown > 1_000_000
            reader.execute("ROLLBACK")
        assert await write(store, range(100, 200)) <= (grown if restart < limit else limit) + 50_000

    play(tmp_path, scenario)


def test_many_rows_ask_for_a_checkpoint_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large groups fill the write-ahead log as well as many small ones."""
    monkeypatch.setattr(engine_module, "CHECKPOINT_ROWS", 20)

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=tuple(order(id=number) for number in range(1, 20))))
        assert store._folding.under_way is None
        await store.commit(Changes(insert=(order(id=99),)))
        assert store._folding.under_way is not None

    play(tmp_path, scenario)


def test_checkpoint_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The commits stand; the next checkpoint may have more luck."""
    monkeypatch.setattr(engine_module, "CHECKPOINT_GROUPS", 1)

    async def scenario(store: SqliteStore) -> None:
        store._folding._path = tmp_path / "away" / NAME
        await store.commit(Changes(insert=(order(),)))
        assert store._folding.under_way is not None
        await store._folding.under_way
        assert "not folded back" in caplog.text
        assert await store.orders.order(order().id) == order()

    play(tmp_path, scenario)
