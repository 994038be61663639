"""Requests that begin at once, and go on as tasks where they wait."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dayfly.server.eager import run_eagerly


class Loop(asyncio.SelectorEventLoop):
    """A loop as strict about coroutines as those of Python 3.12 and newer are."""

    def create_task(self, coro: Any, **given: Any) -> asyncio.Task[Any]:
        """A task of a coroutine, and of nothing that only behaves like one."""
        assert inspect.iscoroutine(coro)
        return super().create_task(coro, **given)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(scenario())


def test_eager_makes_no_task_of_what_waits_for_nothing() -> None:
    """It is done before the call returns."""

    async def scenario() -> None:
        done = []

        async def handling() -> None:
            done.append(1)

        tasks: set[asyncio.Task[None]] = set()
        run_eagerly(handling(), asyncio.get_running_loop(), tasks)
        assert (done, tasks) == ([1], set())

    run(scenario)


def test_eager_goes_on_as_a_task_from_where_it_waited() -> None:
    """Every wait is waited for, once, and the task is forgotten at the end."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        said = []

        async def handling() -> None:
            said.append("begun")
            said.append(await first)
            said.append(await second)

        tasks: set[asyncio.Task[None]] = set()
        run_eagerly(handling(), loop, tasks)
        assert (said, len(tasks)) == (["begun"], 1)
        first.set_result("one")
        await asyncio.sleep(0)
        second.set_result("two")
        await asyncio.wait(tasks, timeout=20)
        assert (said, tasks) == (["begun", "one", "two"], set())

    run(scenario)


@pytest.mark.parametrize("survives", [False, True])
def test_eager_hands_a_cancellation_to_the_coroutine(*, survives: bool) -> None:
    """At its first wait too: what it does then is its own."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        never, later = loop.create_future(), loop.create_future()
        said = []

        async def handling() -> None:
            try:
                await never
            except asyncio.CancelledError:
                said.append("cancelled")
                if not survives:
                    raise
            said.append(await later)

        tasks: set[asyncio.Task[None]] = set()
        run_eagerly(handling(), loop, tasks)
        (task,) = tasks
        await asyncio.sleep(0)
        task.cancel()
        later.set_result("later")
        await asyncio.wait([task], timeout=20)
        assert said == (["cancelled", "later"] if survives else ["cancelled"])
        assert task.cancelled() is not survives

    run(scenario)
