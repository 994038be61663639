"""What only SQLite can get wrong: durability, turns at the write lock, a log that another hand changed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from dayfly.adapters.stores import open_store
from dayfly.adapters.stores import writer as writer_module
from dayfly.adapters.stores.sqlite import store as store_module
from dayfly.adapters.stores.sqlite.statements import plan_writes
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.core.events import Event
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.transparency.merkle import tree_head
from dayfly.errors import ConfigError, Conflict, DayflyError, NotFound, Unavailable
from dayfly.ports.changes import Changes, Receipt
from factories import NOW, account, certificate, order, ready_order
from sqlite_world import LATER, NAME, created, edit, in_thread, open_sqlite, play

# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["oracle:db", "dayfly.db", "", "SQLITE:dayfly.db", "postgresql://h/db"])
def test_unknown_scheme_is_a_config_error(tmp_path: Path, url: str) -> None:
    """The error names the key and lists the schemes that there are."""
    with pytest.raises(ConfigError) as caught:
        asyncio.run(open_store(url, home=tmp_path))
    assert caught.value.path == "database"
    assert "sqlite" in caught.value.message


def test_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are STRICT, which SQLite before 3.37 does not know."""
    monkeypatch.setattr(store_module, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(ConfigError, match="too old"):
        asyncio.run(open_sqlite(tmp_path))


def test_connection_for_reading_that_cannot_be_had_leaves_none_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that fails halfway lets go of the file."""

    def no_reader(connection: sqlite3.Connection, _: object) -> None:
        connection.close()
        raise sqlite3.OperationalError("no reader")

    monkeypatch.setattr(store_module, "Reader", no_reader)
    with pytest.raises(Unavailable, match="no reader"):
        asyncio.run(open_sqlite(tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


# --- durability -------------------------------------------------------------------------------------------------------


def test_no_receipt_and_nothing_to_be_read_before_the_sync__reliability_1(tmp_path: Path) -> None:
    """While the commit is held nobody is answered, no observer hears, and readers see the state before."""
    gate, reached = threading.Event(), threading.Event()

    async def body() -> None:
        heard: list[Event] = []
        store = await open_sqlite(tmp_path, heard)
        commit = store._engine.commit

        def held() -> None:
            reached.set()
            assert gate.wait(LATER)
            commit()

        store._engine.commit = held  # type: ignore[method-assign]  # the sync, held open
        writing = asyncio.ensure_future(store.commit(Changes(insert=(order(),), events=(created(),))))
        await in_thread(reached.wait)
        assert not writing.done()
        assert heard == []
        with pytest.raises(NotFound):
            await store.orders.order(order().id)
        assert (await store.log.head()).size == 0
        gate.set()
        assert await writing == Receipt(1)
        assert heard == [created()]
        assert await store.orders.order(order().id) == order()
        await store.close()

    asyncio.run(body())


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    """Rows, settings and log come back; the log goes on where it was."""

    async def first(store: SqliteStore) -> None:
        change = SettingsChange(0, put=(Owner("team"),))
        await store.commit(Changes(insert=(order(), certificate()), settings=change, events=(created(1),)))

    async def second(store: SqliteStore) -> None:
        assert await store.orders.order(order().id) == order()
        assert await store.certificates.certificate(certificate().id) == certificate()
        assert (await store.settings.settings()).owners == (Owner("team"),)
        assert await store.commit(Changes(events=(created(2),))) == Receipt(2)
        leaves = [one.leaf_hash for one in await store.log.entries(0, limit=5)]
        assert (await store.log.head()).root == tree_head(leaves)

    play(tmp_path, first)
    play(tmp_path, second)


def test_every_kind_of_row_is_updated_whole(tmp_path: Path) -> None:
    """An update becomes the row, in every column, under version + 1."""
    mine = account()
    changed = (replace(mine, contacts=("mailto:a@internal.example",)), certificate(revoked_at=NOW, owner="other"))

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(mine, certificate())))
        await store.commit(Changes(update=changed))
        assert await store.accounts.account(mine.id) == replace(changed[0], version=1)
        assert await store.certificates.certificate(certificate().id) == replace(changed[1], version=1)

    play(tmp_path, scenario)


def test_key_change_to_a_taken_key_is_a_conflict_of_its_own__rfc8555_7_3_5(tmp_path: Path) -> None:
    """No condition foresees it, so the group is tried set by set, and the others go on."""
    mine, taken = account(id=1), account(id=2)

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(mine, taken)))
        change = Changes(update=(replace(mine, thumbprint=taken.thumbprint),), events=(created(1),))
        beside = Changes(insert=(order(),), events=(created(2),))
        results = await asyncio.gather(store.commit(change), store.commit(beside), return_exceptions=True)
        assert [type(one) for one in results] == [Conflict, Receipt]
        assert await store.accounts.account(1) == mine
        assert (await store.log.head()).size == 1

    play(tmp_path, scenario)


# --- turns ------------------------------------------------------------------------------------------------------------


def test_two_processes_write_one_log_in_one_order__reliability_r6(tmp_path: Path) -> None:
    """Two stores on one file take turns; every commit of both is there, and the log is one tree."""

    async def scenario(store: SqliteStore) -> None:
        other = await open_sqlite(tmp_path)
        sets = [
            one.commit(
                Changes(insert=(order(id=make_id(1_800_000_000_000, worker, number)),), events=(created(number),))
            )
            for number in range(60)
            for worker, one in enumerate((store, other))
        ]
        assert len(await asyncio.gather(*sets)) == 120
        leaves = [one.leaf_hash for one in await other.log.entries(0, limit=200)]
        head = await store.log.head()
        assert (head.size, head.root, len(leaves)) == (120, tree_head(leaves), 120)
        assert head == await other.log.head()
        await other.close()

    play(tmp_path, scenario)


def test_race_between_two_processes_has_one_winner(tmp_path: Path) -> None:
    """The commit decides: of two updates on one version in two processes one is a conflict."""

    async def scenario(store: SqliteStore) -> None:
        other = await open_sqlite(tmp_path)
        await store.commit(Changes(insert=(order(),)))
        change = Changes(update=(ready_order(),))
        results = await asyncio.gather(store.commit(change), other.commit(change), return_exceptions=True)
        assert sorted(type(one).__name__ for one in results) == ["Conflict", "Receipt"]
        await other.close()

    play(tmp_path, scenario)


def test_settings_of_another_process_are_seen(tmp_path: Path) -> None:
    """A change by a command is what the server's next request reads; its plan of before is a conflict."""

    async def scenario(store: SqliteStore) -> None:
        assert (await store.settings.settings()).revision == 0
        other = await open_sqlite(tmp_path)
        await other.commit(Changes(settings=SettingsChange(0, put=(Owner("team"),))))
        with pytest.raises(Conflict):
            await store.commit(Changes(insert=(order(),), settings_revision=0))
        assert (await store.settings.settings()).owners == (Owner("team"),)
        await other.close()

    play(tmp_path, scenario)


def test_loop_serves_while_another_process_has_the_lock__reliability_r6(tmp_path: Path) -> None:
    """Reads go on; the write is made once the other is done."""

    async def scenario(store: SqliteStore) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.ensure_future(store.commit(Changes(insert=(order(),))))
            for _ in range(20):
                assert await store.orders.open_orders(7, limit=1) == ()
                await asyncio.sleep(0)
            assert not writing.done()
            other.execute("ROLLBACK")
        assert await writing == Receipt(0)
        assert len(await store.orders.open_orders(7, limit=9)) == 1

    play(tmp_path, scenario)


def test_lock_that_is_never_given_back_is_unavailable__reliability_r6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the bound the group is refused; the store itself is well, and later writes succeed."""
    monkeypatch.setattr(writer_module, "LOCK_WAIT", 0.05)

    async def scenario(store: SqliteStore) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="another process"):
                await store.commit(Changes(insert=(order(),)))
            other.execute("ROLLBACK")
        assert await store.commit(Changes(insert=(order(),))) == Receipt(0)
        await store.check()

    play(tmp_path, scenario)


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM log_entries WHERE idx = 1",
        "DELETE FROM log_head",
        "DELETE FROM log_groups",
        "UPDATE log_head SET frontier = x'00'",
        "UPDATE log_head SET root = zeroblob(32)",
        "UPDATE log_head SET size = 1",
        "UPDATE log_groups SET root = zeroblob(32)",
        "INSERT INTO log_entries VALUES (2, zeroblob(32), x'00')",
    ],
)
@pytest.mark.parametrize("running", [True, False])
def testnothing_is_appended_to_a_broken_log__reliability_r16(tmp_path: Path, damage: str, *, running: bool) -> None:
    """No audit, no action: the commit is refused and nothing is written, and reads go on."""

    async def damaged(store: SqliteStore) -> None:
        with pytest.raises(Unavailable, match="broken log"):
            await store.commit(Changes(insert=(order(),), events=(created(3),)))
        with pytest.raises(NotFound):
            await store.orders.order(order().id)
        assert len(await store.certificates.certificates(after=0, limit=5)) == 1

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(certificate(),), events=(created(1), created(2))))
        if running and "log_head" in damage:  # what a running process notices by itself: a head that is not its own
            edit(tmp_path, damage)
            await damaged(store)

    play(tmp_path, scenario)
    if not running:
        edit(tmp_path, damage)
        play(tmp_path, damaged)


def test_entry_put_there_by_another_hand_is_not_written_over(tmp_path: Path) -> None:
    """A running process whose next index is taken refuses, and is not broken by it."""

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(events=(created(1),)))
        edit(tmp_path, "INSERT INTO log_entries VALUES (1, zeroblob(32), x'00')")
        for _ in range(2):
            with pytest.raises(Unavailable, match="broken log"):
                await store.commit(Changes(insert=(order(),), events=(created(2),)))
        edit(tmp_path, "DELETE FROM log_entries WHERE idx = 1")
        assert await store.commit(Changes(events=(created(2),))) == Receipt(2)

    play(tmp_path, scenario)


def test_database_that_lost_its_tables_is_unavailable_to_readers(tmp_path: Path) -> None:
    """Whatever SQLite says of a read is Unavailable, never an error of its own."""

    async def scenario(store: SqliteStore) -> None:
        edit(tmp_path, "DROP TABLE settings_revision", "DROP TABLE orders", "DROP TABLE log_entries")
        for read in (store.settings.settings(), store.orders.order(1), store.log.entries(0, limit=1)):
            with pytest.raises(Unavailable):
                await read

    play(tmp_path, scenario)


@pytest.mark.parametrize("table", ["orders", "log_groups", "log_head", "log_checkpoints"])
def test_write_that_meets_a_lost_table_ends_the_store(tmp_path: Path, table: str) -> None:
    """What is no full disk and no lost race leaves the file unknown: the process is told, later writes are refused."""
    fatal: list[Exception] = []

    async def body() -> None:
        store = await open_store(f"sqlite:{NAME}", home=tmp_path, on_fatal=fatal.append)
        await store.commit(Changes(events=(created(),)))
        edit(tmp_path, f"DROP TABLE {table}")
        for _ in range(2):
            with pytest.raises(Unavailable):
                await store.log.add_checkpoint(1, "note")
                await store.commit(Changes(insert=(order(),), events=(created(),)))
        with pytest.raises(Unavailable, match="failed"):
            await store.check()
        await store.close()

    asyncio.run(body())
    assert [isinstance(one, DayflyError) for one in fatal] == [True]


def test_checkpoint_that_no_column_takes_harms_nobody(tmp_path: Path) -> None:
    """A value of another type is a conflict of its own; the commit beside it goes on."""

    async def scenario(store: SqliteStore) -> None:
        note: Any = b"\xff"
        results = await asyncio.gather(
            store.log.add_checkpoint(1, note), store.commit(Changes(insert=(order(),))), return_exceptions=True
        )
        assert [type(one) for one in results] == [Conflict, Receipt]
        assert await store.log.checkpoints(0, limit=5) == ()

    play(tmp_path, scenario)


def test_fresh_row_is_read_beside_an_update(tmp_path: Path) -> None:
    """A reader on the file sees whole versions only."""

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(order(),)))
        for version in range(50):
            await store.commit(Changes(update=(ready_order(version=version),)))
            assert await store.orders.order(order().id) == replace(ready_order(), version=version + 1)

    play(tmp_path, scenario)


def test_row_of_an_open_group_is_read_by_nobody__architecture_6(tmp_path: Path) -> None:
    """While a group is written, and while it waits for its commit, reads see committed rows only; then all of it."""

    async def scenario(store: SqliteStore) -> None:
        committed, open_one = order(), order(id=order().id + 1)
        await store.commit(Changes(insert=(committed,)))
        assert store._engine.when_idle() is store._engine.connection
        assert store._engine.try_begin()
        store._engine.write(plan_writes(Changes(insert=(open_one,))))
        with pytest.raises(NotFound):
            await store.orders.order(open_one.id)
        assert await store.orders.order(committed.id) == committed
        store._engine.commit()
        assert await store.orders.order(open_one.id) == open_one

    play(tmp_path, scenario)


def test_row_that_another_process_changes_is_read_as_it_is__architecture_6(tmp_path: Path) -> None:
    """What this process has written and read is no older than what others have committed since."""

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(order(),)))
        await store.orders.order(order().id)
        edit(tmp_path, "UPDATE orders SET document = CAST(replace(document, 'pending', 'invalid') AS BLOB)")
        assert (await store.orders.order(order().id)).status == "invalid"

    play(tmp_path, scenario)


def test_group_that_was_given_up_is_read_by_nobody(tmp_path: Path) -> None:
    """After a rollback reads go on, and see nothing of it."""

    async def scenario(store: SqliteStore) -> None:
        assert store._engine.try_begin()
        store._engine.write(plan_writes(Changes(insert=(order(),))))
        assert store._engine.when_idle() is None
        store._engine.rollback()
        assert store._engine.when_idle() is store._engine.connection
        with pytest.raises(NotFound):
            await store.orders.order(order().id)

    play(tmp_path, scenario)
