"""What only SQLite can get wrong: files, settings of the connection, schema, and turns at the write lock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dayfly.adapters.stores import open_store
from dayfly.adapters.stores import sqlite as engine_module
from dayfly.adapters.stores import writer as writer_module
from dayfly.adapters.stores.sqlite import SqliteStore, migrate
from dayfly.adapters.stores.statements import plan_writes
from dayfly.core.events import AccountCreated, Event
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.transparency.merkle import tree_head
from dayfly.errors import ConfigError, Conflict, DayflyError, NotFound, Unavailable
from dayfly.ports.changes import Changes, Receipt
from factories import NOW, account, certificate, order, ready_order

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


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["oracle:db", "dayfly.db", "", "SQLITE:dayfly.db", "postgresql://h/db"])
def test_unknown_scheme_is_a_config_error(tmp_path: Path, url: str) -> None:
    """The error names the key and lists the schemes that there are."""
    with pytest.raises(ConfigError) as caught:
        asyncio.run(open_store(url, home=tmp_path))
    assert caught.value.path == "database"
    assert "sqlite" in caught.value.message


def test_files_are_the_owners_alone__security_p0_10(tmp_path: Path) -> None:
    """Database, write-ahead log and shared memory are 0600, also under a lax umask."""

    async def scenario(store: SqliteStore) -> None:
        await store.commit(Changes(insert=(order(),)))
        files = {one.name: one.stat() for one in os.scandir(tmp_path)}
        modes = {name: found.st_mode & 0o777 for name, found in files.items()}
        assert modes == {NAME: 0o600, f"{NAME}-wal": 0o600, f"{NAME}-shm": 0o600}
        assert await store.size_bytes() == files[NAME].st_size + files[f"{NAME}-wal"].st_size

    before = os.umask(0)
    try:
        play(tmp_path, scenario)
    finally:
        os.umask(before)
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_file_that_others_can_read_is_refused__security_p0_10(tmp_path: Path) -> None:
    """The error says how to mend it."""
    play(tmp_path, _nothing)
    (tmp_path / NAME).chmod(0o640)
    with pytest.raises(ConfigError, match="0640"):
        asyncio.run(open_sqlite(tmp_path))


def test_link_in_the_databases_place_is_refused(tmp_path: Path) -> None:
    """A symbolic link is not followed."""
    (tmp_path / "elsewhere").touch(0o600)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        asyncio.run(open_sqlite(tmp_path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, or a pipe, in the database's place."""
    os.mkfifo(tmp_path / NAME, 0o600)
    with pytest.raises(Unavailable, match="no regular file"):
        asyncio.run(open_sqlite(tmp_path))


LOCK_ALL_READERS = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except BlockingIOError:
        sys.exit(7)
"""


def test_second_store_of_a_process_leaves_the_first_its_locks(tmp_path: Path) -> None:
    """POSIX drops all of a process's locks on a file when it closes any descriptor of it: nobody else may get in."""

    async def scenario(store: SqliteStore) -> None:
        other = await open_sqlite(tmp_path)
        try:
            command = [sys.executable, "-c", LOCK_ALL_READERS, str(tmp_path / NAME)]
            done = await asyncio.to_thread(subprocess.run, command, check=False, timeout=30)
            assert done.returncode == 7
            await store.check()
        finally:
            await other.close()

    play(tmp_path, scenario)


def test_missing_directory_is_told(tmp_path: Path) -> None:
    """The text names the path."""
    with pytest.raises(Unavailable, match=r"away/dayfly\.db cannot be opened"):
        asyncio.run(open_sqlite(tmp_path / "away"))


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is left as it is."""
    (tmp_path / NAME).touch(0o600)
    (tmp_path / NAME).write_bytes(b"no database" * 100)
    with pytest.raises(Unavailable, match="cannot be used"):
        asyncio.run(open_sqlite(tmp_path))
    assert (tmp_path / NAME).read_bytes() == b"no database" * 100


def test_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are STRICT, which SQLite before 3.37 does not know."""
    monkeypatch.setattr(engine_module, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(ConfigError, match="too old"):
        asyncio.run(open_sqlite(tmp_path))


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
    monkeypatch.setattr(engine_module, "PRAGMAS", ((pragma, wanted),))
    with pytest.raises(Unavailable, match="does not take"):
        asyncio.run(open_sqlite(tmp_path))


def test_connection_for_reading_that_cannot_be_had_leaves_none_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that fails halfway lets go of the file."""

    def no_reader(connection: sqlite3.Connection, _: object) -> None:
        connection.close()
        raise sqlite3.OperationalError("no reader")

    monkeypatch.setattr(engine_module, "Reader", no_reader)
    with pytest.raises(Unavailable, match="no reader"):
        asyncio.run(open_sqlite(tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


# --- the schema -------------------------------------------------------------------------------------------------------


def test_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A database of a newer Dayfly is not touched, and the text says what to run."""
    play(tmp_path, _nothing)
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
        monkeypatch.setattr(engine_module, "migrations", lambda: bad)
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection)
        assert tables(connection) == (["one"], 1)
        monkeypatch.setattr(engine_module, "migrations", lambda: good)
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


# --- the log and the write-ahead log ----------------------------------------------------------------------------------


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
def test_nothing_is_appended_to_a_broken_log__reliability_r16(tmp_path: Path, damage: str, *, running: bool) -> None:
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


@pytest.mark.parametrize(("restart", "limit"), [(60_000, 1 << 30), (1 << 30, 100_000)])
def test_write_ahead_log_stays_small__reliability_r6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart: int, limit: int
) -> None:
    """A reader that stays keeps it from beginning anew; once he is gone it is made to, or cut, and stops growing."""
    monkeypatch.setattr(engine_module, "CHECKPOINT_GROUPS", 1)
    monkeypatch.setattr(engine_module, "WAL_RESTART", restart)
    monkeypatch.setattr(engine_module, "WAL_LIMIT", limit)
    monkeypatch.setattr(engine_module, "FOLD_WAIT", 0.001)
    monkeypatch.setattr(engine_module, "FEW_FRAMES", 0)

    async def write(store: SqliteStore, numbers: range) -> int:
        for number in numbers:
            await store.commit(Changes(insert=(order(id=number + 1),), events=(created(number),)))
            if store._folding is not None:
                await store._folding
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
        assert store._folding is None
        await store.commit(Changes(insert=(order(id=99),)))
        assert store._folding is not None

    play(tmp_path, scenario)


def test_checkpoint_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The commits stand; the next checkpoint may have more luck."""
    monkeypatch.setattr(engine_module, "CHECKPOINT_GROUPS", 1)

    async def scenario(store: SqliteStore) -> None:
        store._path = tmp_path / "away" / NAME
        await store.commit(Changes(insert=(order(),)))
        assert store._folding is not None
        await store._folding
        assert "not folded back" in caplog.text
        assert await store.orders.order(order().id) == order()

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


async def _nothing(_: SqliteStore) -> None:
    """Open and close."""


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
