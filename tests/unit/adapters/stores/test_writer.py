"""The group writer over an engine that does what it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from dayfly.adapters.stores import writer as writer_module
from dayfly.adapters.stores.writer import MAX_GROUP, ConstraintBroken, Fatal, GroupWriter
from dayfly.core.events import Event, OrderCreated
from dayfly.errors import Conflict, Unavailable
from factories import NOW


def event(number: int = 0) -> Event:
    """An event that a number tells apart."""
    return OrderCreated(NOW, "acme", number)


@dataclass
class Engine:
    """A database in three lists: the open group, what is durable, and the errors to come; commits may be held."""

    group: list[str] = field(default_factory=list)
    durable: list[list[str]] = field(default_factory=list)
    commit_errors: list[Exception] = field(default_factory=list)
    rollback_errors: list[Exception] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    busy: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    committing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def try_begin(self) -> bool:
        self.group = []
        return not self.busy

    def wait_begin(self, seconds: float) -> None:
        if not self.gate.wait(seconds):
            raise Unavailable("another process held the database")

    def begun(self) -> None:
        self.told.append("begun")

    def committed(self) -> None:
        self.told.append("committed")

    def finish(self) -> int:
        return sum(map(len, self.durable)) + len(self.group)

    def commit(self) -> None:
        self.committing.set()
        assert self.gate.wait(10)
        if self.commit_errors:
            raise self.commit_errors.pop(0)
        self.durable.append(self.group)

    def rollback(self) -> None:
        self.group = []
        if self.rollback_errors:
            raise self.rollback_errors.pop(0)


@dataclass
class World:
    """A writer, its engine, and who heard what."""

    engine: Engine = field(default_factory=Engine)
    heard: list[Event] = field(default_factory=list)
    fatal: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = GroupWriter(self.engine, notify=self.heard.extend, on_fatal=self.fatal.append)

    def start(self, name: str, *, error: Exception | None = None, number: int = 0) -> asyncio.Task[tuple[object, int]]:
        """A set that writes its name, or meets an error halfway."""

        def work() -> str:
            if isinstance(error, Conflict):
                raise error
            self.engine.group.append(name)
            if error is not None:
                raise error
            return name

        return asyncio.ensure_future(self.writer.write(work, (event(number),)))

    async def hold(self) -> asyncio.Task[tuple[object, int]]:
        """Start a set, and stop its group in its commit."""
        self.engine.gate.clear()
        first = self.start("first")
        await asyncio.get_running_loop().run_in_executor(None, self.engine.committing.wait, 10)
        return first


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    """Run a scenario against a fresh writer."""

    async def body() -> None:
        world = World()
        try:
            await scenario(world)
        finally:
            world.engine.gate.set()
            await world.writer.close()

    asyncio.run(body())


async def outcomes(*tasks: asyncio.Task[tuple[object, int]]) -> list[object]:
    """What became of some sets: their results, or the types of their errors."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one[0] for one in results]


def test_what_arrives_while_a_group_is_synced_is_the_next_group() -> None:
    """No timer: one group is under way, and all that wait meanwhile share the next commit."""

    async def scenario(world: World) -> None:
        first = await world.hold()
        rest = [world.start(str(number)) for number in range(10)]
        await asyncio.sleep(0)
        world.engine.gate.set()
        assert await outcomes(first, *rest) == ["first", *map(str, range(10))]
        assert world.engine.durable == [["first"], [*map(str, range(10))]]
        assert [(await one)[1] for one in rest] == [11] * 10

    play(scenario)


def test_nobody_hears_anything_before_the_sync__reliability_1() -> None:
    """While the commit runs there is no receipt, no event, and no word for who lost in the same group either."""

    async def scenario(world: World) -> None:
        first = await world.hold()
        await asyncio.sleep(0)
        assert not first.done()
        assert world.heard == []
        world.engine.gate.set()
        await first
        assert world.heard == [event()]
        world.engine.committing.clear()
        world.engine.gate.clear()
        pair = world.start("winner"), world.start("loser", error=Conflict("lost"))
        await asyncio.get_running_loop().run_in_executor(None, world.engine.committing.wait, 10)
        assert [one.done() for one in pair] == [False, False]
        world.engine.gate.set()
        assert await outcomes(*pair) == ["winner", Conflict]

    play(scenario)


def test_group_has_a_bound() -> None:
    """More sets than a group takes are spread over groups, in their order."""

    async def scenario(world: World) -> None:
        first = await world.hold()
        names = [str(number) for number in range(MAX_GROUP + 5)]
        rest = [world.start(name) for name in names]
        await asyncio.sleep(0)
        world.engine.gate.set()
        await outcomes(first, *rest)
        assert world.engine.durable[1:] == [names[:MAX_GROUP], names[MAX_GROUP:]]

    play(scenario)


def test_queue_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes to a full queue is turned away at once, and says when to come back."""
    monkeypatch.setattr(writer_module, "MAX_WAITING", 3)

    async def scenario(world: World) -> None:
        first = await world.hold()
        rest = [world.start(str(number)) for number in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:
            await rest[3]
        assert caught.value.hint == "try again in a second"
        world.engine.gate.set()
        assert await outcomes(first, *rest[:3]) == ["first", "0", "1", "2"]

    play(scenario)


def test_group_in_which_all_lost_commits_nothing() -> None:
    """Where no condition held there is nothing to sync."""

    async def scenario(world: World) -> None:
        assert await outcomes(world.start("a", error=Conflict("lost"))) == [Conflict]
        assert world.engine.durable == []

    play(scenario)


@pytest.mark.parametrize(
    ("error", "heard"), [(ConstraintBroken("unique"), Conflict), (OverflowError("too large"), OverflowError)]
)
def test_error_halfway_is_heard_by_its_own_set_only(error: Exception, heard: type) -> None:
    """The group is undone and every set is tried alone, so half a set is never durable."""

    async def scenario(world: World) -> None:
        tasks = world.start("a", number=1), world.start("bad", error=error), world.start("c", number=3)
        assert await outcomes(*tasks) == ["a", heard, "c"]
        assert world.engine.durable == [["a"], ["c"]]
        assert world.heard == [event(1), event(3)]
        assert world.fatal == []

    play(scenario)


def test_commit_that_was_undone_is_unavailable_and_the_next_one_goes_on() -> None:
    """A full disk fails the group that met it, and nothing else."""

    async def scenario(world: World) -> None:
        world.engine.commit_errors = [Unavailable("full")]
        assert await outcomes(world.start("a"), world.start("b")) == [Unavailable, Unavailable]
        assert await outcomes(world.start("c")) == ["c"]
        assert world.heard == [event()]
        assert world.fatal == []

    play(scenario)


def test_commit_of_unknown_outcome_ends_the_store__reliability_r3() -> None:
    """All who wait and all who come later are refused, nobody hears an event, and `on_fatal` is called once."""
    error = Fatal("disk I/O error")

    async def scenario(world: World) -> None:
        world.engine.commit_errors = [error]
        first = await world.hold()
        second = world.start("second")
        await asyncio.sleep(0)
        world.engine.gate.set()
        assert await outcomes(first, second) == [Unavailable, Unavailable]
        assert await outcomes(world.start("late")) == [Unavailable]
        assert world.fatal == [error]
        assert world.heard == []
        assert world.engine.durable == []

    play(scenario)


def test_store_that_ends_while_sets_are_tried_alone_answers_them_all() -> None:
    """Sets that are still to be tried are refused, not tried on a disk of unknown state."""

    async def scenario(world: World) -> None:
        world.engine.commit_errors = [Fatal("disk I/O error")]
        tasks = world.start("a"), world.start("bad", error=ConstraintBroken("unique")), world.start("c")
        assert await outcomes(*tasks) == [Unavailable, Unavailable, Unavailable]
        assert len(world.fatal) == 1
        assert world.engine.durable == []

    play(scenario)


def test_group_that_cannot_be_undone_ends_the_store() -> None:
    """Nobody waits for ever when even the rollback fails."""
    error = RuntimeError("no rollback")

    async def scenario(world: World) -> None:
        world.engine.rollback_errors = [error]
        assert await outcomes(world.start("a", error=OverflowError())) == [Unavailable]
        assert world.fatal == [error]

    play(scenario)


def test_event_loop_serves_while_another_process_has_the_lock__reliability_r6(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is waited for in the thread, with a bound; after it the group is refused and the next may have luck."""
    monkeypatch.setattr(writer_module, "LOCK_WAIT", 0.05)

    async def scenario(world: World) -> None:
        world.engine.busy = True
        world.engine.gate.clear()
        waiting = world.start("a")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert await outcomes(waiting) == [Unavailable]
        world.engine.gate.set()
        assert await outcomes(world.start("b")) == ["b"]

    play(scenario)


def test_observer_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The commit stands, who lost in the same group hears it, and the error is in the process's log."""

    def fail(_: object) -> None:
        raise RuntimeError("an observer's bug")

    async def scenario(world: World) -> None:
        world.writer._notify = fail
        assert await outcomes(world.start("a"), world.start("b", error=Conflict("lost"))) == ["a", Conflict]
        assert world.engine.durable == [["a"]]
        assert "an observer failed" in caplog.text

    play(scenario)


def test_caller_that_gives_up_harms_nobody() -> None:
    """A cancelled request's set may be written all the same; the others get their receipts."""

    async def scenario(world: World) -> None:
        first = await world.hold()
        gone, stays = world.start("gone"), world.start("stays")
        await asyncio.sleep(0)
        gone.cancel()
        world.engine.gate.set()
        assert await outcomes(first, stays) == ["first", "stays"]
        world.engine.commit_errors = [Unavailable("full")]
        again = world.start("again")
        await asyncio.sleep(0)
        again.cancel()
        assert await outcomes(world.start("last")) in ([Unavailable], ["last"])

    play(scenario)


def test_close_finishes_what_waits_and_takes_no_more() -> None:
    """What began before the close is written; what comes after it is refused."""

    async def scenario(world: World) -> None:
        first = await world.hold()
        second = world.start("second")
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(world.writer.close())
        await asyncio.sleep(0)
        assert not closing.done()
        world.engine.gate.set()
        await closing
        assert await outcomes(first, second) == ["first", "second"]
        assert await outcomes(world.start("late")) == [Unavailable]

    play(scenario)


def test_group_takes_what_arrives_in_the_turn_of_its_begin() -> None:
    """Sets that come within the same turn of the loop share a group, though the first found nobody waiting."""

    async def scenario(world: World) -> None:
        first = world.start("first")
        await asyncio.sleep(0)  # the writer is under way
        second = world.start("second")
        assert await outcomes(first, second) == ["first", "second"]
        assert world.engine.durable == [["first", "second"]]

    play(scenario)


def test_group_begins_though_more_keeps_arriving() -> None:
    """A steady stream of sets cannot put a group off: it waits a few turns at most."""

    async def scenario(world: World) -> None:
        started = [world.start("0")]
        for number in range(1, 20):
            await asyncio.sleep(0)
            started.append(world.start(str(number)))
        await outcomes(*started)
        assert 1 <= len(world.engine.durable[0]) <= writer_module.GATHER_TURNS + 2

    play(scenario)
