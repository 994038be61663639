"""Recent rows: served from memory only while nobody else has written, whatever the order of things."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.adapters.stores import open_store
from dayfly.adapters.stores.sqlite.recent import KEPT, ChangeCounter, RecentRows, count_changes, stop_counting
from dayfly.adapters.stores.sqlite.store import SqliteStore
from dayfly.core.acme.objects import Order, OrderStatus
from dayfly.core.frozen import replace
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.errors import NotFound
from dayfly.ports.changes import Changes
from factories import NOW, account, certificate, order


@dataclass
class Database:
    """One order in a file that counts its commits; `ours` is what our open transaction will write."""

    version: int = 0
    counter: int = 0
    ours: int | None = None
    committing: bool = False
    stale_until_committed: set[int] = field(default_factory=set)

    def stored(self) -> Order:
        """The row."""
        return replace(order(), version=self.version)


class Actor:
    """Plays steps in any order that SQLite's write lock allows, and looks at every read."""

    def __init__(self) -> None:
        self.database = Database()
        self.recent = RecentRows(lambda: self.database.counter)
        self.hits = 0
        self.last_commit = self.committed_at = -1

    def read(self) -> None:
        """What is read is what is stored; during our own COMMIT it may be what was stored before it."""
        known = self.recent.order(order().id)
        if known is None:
            self.recent.keep(self.database.stored())
            return
        self.hits += 1
        assert known.version in {self.database.version, *self.database.stale_until_committed}

    def begin(self) -> None:
        """We take the lock."""
        if self.database.ours is None and not self.database.committing:
            alone = self.recent.begun()
            assert not alone or self.database.counter == self.last_commit
            self.database.ours = self.database.version + 1

    def commit(self) -> None:
        """COMMIT returns in its thread; the loop has not heard of it."""
        one = self.database
        if one.ours is not None:
            one.stale_until_committed = {one.version}
            one.version, one.counter, one.ours, one.committing = one.ours, one.counter + 1, None, True
            self.committed_at = one.counter

    def committed(self) -> None:
        """The loop hears of it."""
        one = self.database
        if one.committing:
            written = replace(order(), version=max(one.stale_until_committed) + 1)
            self.recent.committed([written], settings_changed=False)
            one.committing, one.stale_until_committed = False, set()
            self.last_commit = self.committed_at

    def roll_back(self) -> None:
        """We give up before COMMIT."""
        if self.database.ours is not None:
            self.database.ours = None
            self.recent.rolled_back()

    def others(self) -> None:
        """Another process writes, if nobody has the lock; from then on the old row is never right."""
        if self.database.ours is None:
            self.database.version += 1
            self.database.counter += 1
            if self.database.committing:
                self.database.stale_until_committed = {self.database.stale_until_committed.pop()}
                self.saw_others_while_committing = True

    saw_others_while_committing = False


STEPS = ["read", "begin", "commit", "committed", "roll_back", "others", "read"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_a_row_that_somebody_else_changed_is_never_served(steps: list[str]) -> None:
    """Reads, our transactions and other writers in any order: once nobody is committing, what is served is stored."""
    actor = Actor()
    for step in steps:
        getattr(actor, step)()
    actor.roll_back()
    actor.commit()
    actor.committed()
    actor.database.stale_until_committed = set()
    actor.read()


@pytest.mark.parametrize(
    "steps",
    [
        "read others read",
        "begin commit committed others read",
        "begin commit others committed read",
        "begin commit others read committed read",
        "begin commit read others committed read",
        "begin commit others read others committed read",
    ],
)
def test_others_are_noticed_at_every_moment(steps: str) -> None:
    """After somebody else's commit the next read is the file's."""
    actor = Actor()
    for step in steps.split():
        getattr(actor, step)()
    known = actor.recent.order(order().id)
    assert known is None or known.version == actor.database.version


def test_transaction_is_told_whether_others_wrote_since_the_last_one() -> None:
    """Also where a read has noticed them in between; the log's head is read again then."""
    actor = Actor()
    for step in ["begin", "commit", "committed"]:
        getattr(actor, step)()
    assert actor.recent.begun()
    actor.recent.rolled_back()
    actor.others()
    actor.read()
    assert not actor.recent.begun()


def test_own_writes_are_known_without_reading() -> None:
    """Right after our commit, and during the next one."""
    actor = Actor()
    for step in ["begin", "commit", "committed", "read", "begin", "read", "commit", "read", "committed", "read"]:
        getattr(actor, step)()
    assert actor.hits == 4


def test_settings_are_known_until_they_change() -> None:
    """A commit that changes them forgets them; the next one does not."""
    recent = RecentRows(lambda: 0)
    assert recent.settings() is None
    recent.keep_settings(Settings(5))
    assert recent.settings() == Settings(5)
    counts = iter((0, 1, 1))
    recent = RecentRows(lambda: next(counts))
    recent.begun()
    recent.keep_settings(Settings(5))
    recent.committed([account(), certificate()], settings_changed=True)
    assert recent.settings() is None


def test_memory_is_bounded() -> None:
    """The row that was put there first makes room."""
    recent = RecentRows(lambda: 0)
    assert recent.order(1) is None
    for number in range(KEPT + 1):
        recent.keep(replace(order(), id=number))
    assert recent.order(0) is None
    assert recent.order(KEPT) is not None


def test_counter_that_cannot_be_read_serves_nothing(tmp_path: Path) -> None:
    """Without shared memory every look is a new one."""
    counter = count_changes(tmp_path / "nothing.db")
    recent = RecentRows(counter)
    recent.keep(order())
    assert recent.order(order().id) is None
    recent.keep(order())
    assert recent.order(order().id) is None
    stop_counting(counter)


# --- on a real file ---------------------------------------------------------------------------------------------------


def play(tmp_path: Path, scenario: Callable[[SqliteStore, SqliteStore], object]) -> None:
    """Two stores on one file, as two processes have them."""

    async def body() -> None:
        one, two = [await open_store("sqlite:test.db", home=tmp_path) for _ in range(2)]
        assert isinstance(one, SqliteStore)
        assert isinstance(two, SqliteStore)
        await scenario(one, two)  # type: ignore[misc]  # scenarios are coroutine functions
        await one.close()
        await two.close()

    asyncio.run(body())


def test_counter_counts_everybody_s_commits(tmp_path: Path) -> None:
    """Ours, another process's, and not what changes nothing."""

    async def scenario(one: SqliteStore, two: SqliteStore) -> None:
        counter = count_changes(tmp_path / "test.db")
        assert isinstance(counter, ChangeCounter)
        before = counter() % (1 << 32)
        await one.commit(Changes(insert=(order(),)))
        assert counter() % (1 << 32) == before + 1
        await two.commit(Changes(insert=(account(),)))
        assert counter() % (1 << 32) == before + 2
        assert await one.prune(orders_before=NOW, claims_before=NOW, limit=5) == 1
        assert await one.prune(orders_before=NOW, claims_before=NOW, limit=5) == 0
        assert counter() % (1 << 32) == before + 3
        stop_counting(counter)

    play(tmp_path, scenario)


def test_counter_that_begins_anew_is_noticed(tmp_path: Path) -> None:
    """SQLite makes the WAL-index anew after a writer that died in it: the same count is then another state."""

    async def scenario(one: SqliteStore, two: SqliteStore) -> None:
        counter = count_changes(tmp_path / "test.db")
        await one.commit(Changes(insert=(order(),)))
        assert (await one.orders.order(order().id)).status is not OrderStatus.READY
        before = counter()
        with (tmp_path / "test.db-shm").open("r+b") as file, mmap.mmap(file.fileno(), 96) as shared:
            shared[40:48] = bytes(8)  # the checksum of the first copy of the header, as a torn write leaves it
            await two.commit(Changes(update=(replace(order(), status=OrderStatus.READY),)))
            assert counter() % (1 << 32) < before % (1 << 32), "SQLite did not begin anew"
            number = 100
            while counter() % (1 << 32) != before % (1 << 32):
                number += 1
                await two.commit(Changes(insert=(replace(order(), id=number),)))
            assert (await one.orders.order(order().id)).status is OrderStatus.READY
            assert counter() != before
        stop_counting(counter)

    play(tmp_path, scenario)


def test_what_another_store_writes_is_read_at_once(tmp_path: Path) -> None:
    """Rows, removals and settings; ours are the same objects until then."""

    async def scenario(one: SqliteStore, two: SqliteStore) -> None:
        await one.commit(Changes(insert=(order(), account(), certificate())))
        assert await one.orders.order(order().id) is await one.orders.order(order().id)
        await two.commit(Changes(update=(replace(order(), status=OrderStatus.READY),)))
        assert (await one.orders.order(order().id)).status is OrderStatus.READY
        revoked = replace(certificate(), revoked_at=NOW, revocation_reason=1)
        await two.commit(Changes(update=(revoked,)))
        assert (await one.certificates.certificate(certificate().id)).revoked_at == NOW
        assert (await one.settings.settings()).revision == 0
        await two.commit(Changes(settings=SettingsChange(0, put=(Owner("a"),))))
        assert (await one.settings.settings()).owners == (Owner("a"),)
        assert await one.settings.settings() is await one.settings.settings()
        assert await two.prune(orders_before=NOW, claims_before=NOW, limit=5) == 1
        for store in (one, two):
            with pytest.raises(NotFound):
                await store.orders.order(order().id)

    play(tmp_path, scenario)


def test_known_rows_are_served_without_a_statement(tmp_path: Path) -> None:
    """What was just written needs no read: the reader's connection may be gone."""

    async def scenario(one: SqliteStore, two: SqliteStore) -> None:
        del two
        await one.commit(Changes(insert=(order(), account(), certificate())))
        await one.settings.settings()
        one._reader.connection.close()
        assert await one.orders.order(order().id) == order()
        assert await one.accounts.account(7) is not None
        assert await one.certificates.certificate(certificate().id) == certificate()
        assert (await one.settings.settings()).revision == 0

    play(tmp_path, scenario)


def is_locked(path: Path) -> bool:
    """Has somebody a lock on the file?"""
    held = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
    return any(fields[5].endswith(f":{path.stat().st_ino}") for fields in held if fields[1] != "->")


def test_stores_of_one_process_share_the_descriptors(tmp_path: Path) -> None:
    """Closing one store does not take the other one's locks away: nobody can cut the shared memory then."""

    async def scenario(one: SqliteStore, two: SqliteStore) -> None:
        assert one._engine._counter is two._engine._counter
        three = await open_store("sqlite:test.db", home=tmp_path)
        await three.close()
        assert is_locked(tmp_path / "test.db-shm")
        await one.commit(Changes(insert=(order(),)))
        assert await two.orders.order(order().id) == order()

    play(tmp_path, scenario)
