"""Group commit: what arrives while one group is being synced is the next group (architecture.md section 6).

Rules: no timer; in a group each set's conditions are tested before it writes, and one that fails is left out and hears
`Conflict`, the others go on; nobody gets an answer before the sync of the group that holds his writes; a failed sync of
unknown outcome ends the store, because what is on disk is then unknown.

The statements run on the event loop, only BEGIN under contention and COMMIT in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from dayfly.adapters.stores.thread import Beside
from dayfly.core.events import Event
from dayfly.errors import Conflict, StoreError, Unavailable

_LOG = logging.getLogger("dayfly.store")

MAX_GROUP = 256  # sets; a group is a few milliseconds of the event loop at most
GATHER_TURNS = 4  # of the event loop, before a group begins
MAX_WAITING = 4096  # sets; some seconds of work on a slow disk
LOCK_WAIT = 5.0  # seconds for another process's turn at the write lock


class Fatal(StoreError):
    """What is on disk is unknown."""


class Engine(Protocol):
    """What the writer needs of a database; every method but `rollback` may raise Unavailable or Fatal."""

    def try_begin(self) -> bool:
        """Open a transaction with the write lock; False where another process has it."""
        ...

    def wait_begin(self, seconds: float) -> None:
        """The same, waiting; called in the thread."""
        ...

    def begun(self) -> None:
        """The lock is held: look where the log ends; called on the event loop, as all that is not said to be."""
        ...

    def finish(self) -> int:
        """Write the group's log entries and head; the log's size."""
        ...

    def commit(self) -> None:
        """Make it durable; called in the thread."""
        ...

    def committed(self) -> None:
        """It is durable, and nobody has heard of it yet."""
        ...

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""
        ...


class _Waiting(msgspec.Struct):
    """One piece of work, and who waits for it."""

    work: Callable[[], Any]
    events: tuple[Event, ...]
    answer: asyncio.Future[tuple[Any, int]]


class GroupWriter:
    """Collects work and carries it out in groups."""

    def __init__(
        self,
        engine: Engine,
        *,
        notify: Callable[[Sequence[Event]], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """`notify` hears the events of each group after its commit."""
        self._engine = engine
        self._notify = notify
        self._on_fatal = on_fatal
        self._waiting: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._beside = Beside("dayfly-commit")
        self._closed = False
        self.broken: Exception | None = None

    async def write(self, work: Callable[[], Any], events: tuple[Event, ...] = ()) -> tuple[Any, int]:
        """Do `work` in the next group; its result and the log's size. Conflict, Unavailable."""
        if self.broken is not None:
            raise _failed()
        if self._closed:
            raise Unavailable("the store is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable(f"{MAX_WAITING} writes are waiting already", hint="try again in a second")
        loop = asyncio.get_running_loop()
        item = _Waiting(work, events, loop.create_future())
        self._waiting.append(item)
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await item.answer

    async def close(self) -> None:
        """Take no more, finish what is waiting, then stop the thread."""
        self._closed = True
        while self._running is not None:
            await asyncio.wait([self._running])
        self._beside.close()

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                group = [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]
                await self._guard(group)
        finally:
            self._running = None

    async def _gather(self) -> None:
        """Let what has arrived already come into the group: turns of the loop while each brings more, a few at most.

        A commit costs the same for one set and for ten. Without it a group had 2.7 sets at 8 clients, with it 4.5; a
        single client waits for one empty turn of the loop.
        """
        for _ in range(GATHER_TURNS):
            seen = len(self._waiting)
            await _turn()
            if len(self._waiting) == seen:
                return

    async def _guard(self, group: list[_Waiting]) -> None:
        """Write a group; where even giving up failed, the store ends, and nobody waits for ever."""
        try:
            await self._write_group(group)
        except Exception as error:  # noqa: BLE001 - handed to `on_fatal`, which ends the process
            self._break(group, error)

    async def _write_group(self, group: list[_Waiting]) -> None:
        """1. Begin. 2. Each set by itself. 3. The log's head. 4. Commit. 5. Answers, then observers.

        Who lost against a set of the same group hears it after the commit too: before that nothing is decided.
        """
        size = 0
        try:
            if not self._engine.try_begin():
                await self._beside.run(partial(self._engine.wait_begin, LOCK_WAIT))
            self._engine.begun()
            done, lost = self._apply(group)
            if done:
                size = self._engine.finish()
                await self._beside.run(self._engine.commit)
                self._engine.committed()
            else:
                self._engine.rollback()
        except Fatal as error:
            self._break(group, error)
        except Unavailable as error:
            self._engine.rollback()
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - what one set met, its caller hears, and nobody else
            self._engine.rollback()
            await self._one_by_one(group, error)
        else:
            self._answer(done, size)
            for item, conflict in lost:
                _fail([item], conflict)

    async def _one_by_one(self, group: list[_Waiting], error: Exception) -> None:
        """Something that no condition foresaw: each set alone, so that only its own one hears of it."""
        if len(group) == 1:
            _fail(group, Conflict(str(error)) if isinstance(error, ConstraintBroken) else error)
            return
        for item in group:
            if self.broken is None:
                await self._write_group([item])
            else:
                _fail([item], _failed())

    @staticmethod
    def _apply(group: list[_Waiting]) -> tuple[list[tuple[_Waiting, Any]], list[tuple[_Waiting, Conflict]]]:
        """The sets that were written, with their results, and those that lost; ConstraintBroken."""
        done, lost = [], []
        for item in group:
            try:
                done.append((item, item.work()))
            except Conflict as error:
                lost.append((item, error))
        return done, lost

    def _answer(self, done: list[tuple[_Waiting, Any]], size: int) -> None:
        events: list[Event] = []
        for item, result in done:
            if not item.answer.done():
                item.answer.set_result((result, size))
            events.extend(item.events)
        if events:
            self._tell(events)

    def _tell(self, events: list[Event]) -> None:
        try:
            self._notify(events)
        except Exception:  # noqa: BLE001 - the contract: an error in an observer harms nobody
            _LOG.exception("an observer failed; the commit stands")

    def _break(self, group: list[_Waiting], error: Exception) -> None:
        self.broken = error
        _fail([*group, *self._waiting], _failed())
        self._waiting.clear()
        self._on_fatal(error)


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let everybody else run once, as `asyncio.sleep(0)` does with less beside it."""
    yield


class ConstraintBroken(StoreError):
    """A set met a constraint that its conditions did not foresee."""


def _failed() -> Unavailable:
    return Unavailable("the database failed; this process is ending")


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for item in group:
        if not item.answer.done():
            item.answer.set_exception(error)
