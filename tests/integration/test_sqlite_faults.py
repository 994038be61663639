"""Faults of disk and process, on a real file: full, failing, read-only, and killed in the middle of a group."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dayfly.adapters.stores import open_store
from dayfly.adapters.stores.sqlite import engine as engine_module
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.core.events import AccountCreated
from dayfly.core.ids import make_id
from dayfly.core.transparency.merkle import tree_head
from dayfly.errors import NotFound, Unavailable
from dayfly.ports.changes import Changes, Receipt
from factories import NOW, certificate

URL = "sqlite:dayfly.db"
TESTS = Path(__file__).parents[1]


def changes(number: int, worker: int = 0) -> Changes:
    """A certificate with its entry; no two numbers of a worker give the same row."""
    row_id = make_id(1_800_000_000_000 + number, worker, 0)
    record = certificate(id=row_id, serial=row_id << 96 | 1, der=bytes(2000))
    return Changes(insert=(record,), events=(AccountCreated(NOW, row_id, "acme", f"worker-{worker}"),))


async def open_sqlite(home: Path) -> SqliteStore:
    """The store in a directory."""
    store = await open_store(URL, home=home)
    assert isinstance(store, SqliteStore)
    return store


async def check_whole(store: SqliteStore, *, at_least: int = 0) -> int:
    """The log is one tree, marks and head fit it, and each row has its entry; its size."""
    entries = await store.log.entries(0, limit=100_000)
    leaves = [one.leaf_hash for one in entries]
    head = await store.log.head()
    assert (head.size, head.root) == (len(leaves), tree_head(leaves))
    assert all(one.root == tree_head(leaves[: one.size]) for one in await store.log.groups(0, limit=100_000))
    rows = await store.certificates.certificates(after=0, limit=100_000)
    assert sorted(json.loads(one.body)["account_id"] for one in entries) == [one.id for one in rows]
    assert len(rows) >= at_least
    return len(rows)


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_full_disk_is_unavailable_and_recovers_by_itself__reliability_r4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLITE_FULL: the group is undone and refused, reads go on, and once there is room writes do too."""

    async def body() -> None:
        store = await open_sqlite(tmp_path)
        assert await store.commit(changes(0)) == Receipt(1)
        connection = store._engine.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        results = await asyncio.gather(*(store.commit(changes(n)) for n in range(1, 30)), return_exceptions=True)
        refused = [one for one in results if isinstance(one, Unavailable)]
        assert len(refused) == 29
        assert "full" in refused[0].message
        with pytest.raises(Unavailable):
            await store.check()
        assert await check_whole(store) == 1
        connection.execute("PRAGMA max_page_count=1073741823")
        assert await store.commit(changes(30)) == Receipt(2)
        monkeypatch.setattr(engine_module, "FULL_FOR", 0.0)
        await store.check()
        assert await check_whole(store) == 2
        await store.close()

    asyncio.run(body())


def test_database_that_became_read_only_is_unavailable_at_run_time__reliability_r5(tmp_path: Path) -> None:
    """SQLITE_READONLY refuses the write, not the process; reads go on."""

    async def body() -> None:
        store = await open_sqlite(tmp_path)
        await store.commit(changes(0))
        store._engine.connection.execute("PRAGMA query_only=ON")
        with pytest.raises(Unavailable, match="cannot be written"):
            await store.commit(changes(1))
        with pytest.raises(Unavailable):
            await store.check()
        store._engine.connection.execute("PRAGMA query_only=OFF")
        assert await store.commit(changes(1)) == Receipt(2)
        assert await check_whole(store) == 2
        await store.close()

    asyncio.run(body())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes what nobody may write")
def test_read_only_file_is_no_start__reliability_r5(tmp_path: Path) -> None:
    """The text names the file."""
    (tmp_path / "dayfly.db").touch(0o400)
    with pytest.raises(Unavailable, match=r"dayfly\.db cannot be opened"):
        asyncio.run(open_sqlite(tmp_path))


def run_here(code: str, home: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs one of the functions below."""
    path = f"{TESTS}:{TESTS / 'integration'}:{TESTS.parent / 'src'}"
    command = [sys.executable, "-c", f"import test_sqlite_faults as t; t.{code}", str(home), *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)


def child_with_a_failing_disk() -> None:
    """Commit, let the kernel refuse every further octet with EFBIG (SQLITE_IOERR to SQLite), and tell what happened."""
    import resource

    async def body() -> list[object]:
        fatal: list[Exception] = []
        store = await open_store(URL, home=Path(sys.argv[1]), on_fatal=fatal.append)
        await store.commit(changes(0))
        size = (Path(sys.argv[1]) / "dayfly.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        results = await asyncio.gather(*(store.commit(changes(n)) for n in (1, 2)), return_exceptions=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        later = await asyncio.gather(store.commit(changes(3)), store.check(), return_exceptions=True)
        await store.close()
        return [*(type(one).__name__ for one in (*results, *later)), len(fatal), str(fatal[0])]

    print(json.dumps(asyncio.run(body())))  # noqa: T201 - the parent reads it


def test_failed_write_ends_the_store_and_a_restart_is_clean__reliability_r3(tmp_path: Path) -> None:
    """SQLITE_IOERR: no success is answered after it, also when the disk works again; a new start finds it whole."""
    child = run_here("child_with_a_failing_disk()", tmp_path)
    output, _ = child.communicate(timeout=60)
    assert json.loads(output) == [*["Unavailable"] * 4, 1, "the database failed: disk I/O error"]

    async def after() -> None:
        store = await open_sqlite(tmp_path)
        assert await check_whole(store) in {1, 3}  # its commit's outcome was unknown: all of its group, or nothing
        await store.commit(changes(9))
        await store.close()

    asyncio.run(after())


# --- the process ------------------------------------------------------------------------------------------------------


def child_that_writes_for_ever() -> None:
    """Commit in 32 coroutines; each writes the number of a set down only after its receipt."""

    async def body() -> None:
        worker = int(sys.argv[2])
        store = await open_store(URL, home=Path(sys.argv[1]))
        numbers = iter(range(1_000_000))

        async def client() -> None:
            for number in numbers:
                await store.commit(changes(number, worker))
                os.write(1, b"%d\n" % number)

        await asyncio.gather(*(client() for _ in range(32)))

    asyncio.run(body())


def acknowledged(child: subprocess.Popen[str], least: int) -> list[int]:
    """Read receipts until there are `least`, kill, and read the rest; a torn last line was not acknowledged."""
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(least)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    assert child.wait(timeout=30) == -signal.SIGKILL
    child.stdout.close()
    return [int(one) for one in lines if one.endswith("\n")]


@pytest.mark.parametrize("least", [1, 100, 700])
def test_killed_process_loses_nothing_acknowledged__reliability_r1(tmp_path: Path, least: int) -> None:
    """Each receipt that was seen has its row and its entry; the log is whole and goes on."""
    seen = acknowledged(run_here("child_that_writes_for_ever()", tmp_path, "0"), least)
    assert len(seen) >= least

    async def after() -> None:
        store = await open_sqlite(tmp_path)
        await check_whole(store, at_least=len(seen))
        for number in seen:
            await store.certificates.certificate(make_id(1_800_000_000_000 + number, 0, 0))
        with pytest.raises(NotFound):
            await store.certificates.certificate(make_id(1_900_000_000_000, 0, 0))
        size = (await store.log.head()).size
        assert await store.commit(changes(0, worker=9)) == Receipt(size + 1)
        await store.close()

    asyncio.run(after())


def test_two_processes_write_one_log_and_one_is_killed__reliability_r6(tmp_path: Path) -> None:
    """Both take turns at the file while this one reads and writes beside them; nothing acknowledged is lost."""
    children = [run_here("child_that_writes_for_ever()", tmp_path, str(worker)) for worker in (1, 2)]

    async def beside() -> None:
        store = await open_sqlite(tmp_path)
        for number in range(20):
            assert (await store.commit(changes(number, worker=3))).log_size > number
            assert (await store.log.head()).size > number
        await store.close()

    seen = []
    for child in children:
        assert child.stdout is not None
        seen.append([int(child.stdout.readline())])
    asyncio.run(beside())
    seen = [first + acknowledged(child, 50) for first, child in zip(seen, children, strict=True)]

    async def after() -> None:
        store = await open_sqlite(tmp_path)
        await check_whole(store, at_least=sum(map(len, seen)) + 20)
        for worker, numbers in enumerate(seen, start=1):
            for number in numbers:
                await store.certificates.certificate(make_id(1_800_000_000_000 + number, worker, 0))
        await store.close()

    asyncio.run(after())
