"""The thread beside the loop: in order, with its errors, and gone at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from dayfly.adapters.stores.thread import Beside


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Play it, for twenty seconds at most."""
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_calls_are_carried_out_beside_the_loop_in_order() -> None:
    """One thread, not the loop's, first come first served."""

    async def scenario() -> None:
        beside, seen = Beside("test-beside"), list[tuple[int, str]]()
        calls = [lambda number=number: seen.append((number, threading.current_thread().name)) for number in range(20)]
        await asyncio.gather(*(beside.run(call) for call in calls))
        assert seen == [(number, "test-beside") for number in range(20)]
        beside.close()

    run(scenario())


def test_error_is_raised_to_whoever_asked() -> None:
    """And the thread goes on."""

    async def scenario() -> None:
        beside, seen = Beside("test-beside"), list[int]()

        def fail() -> None:
            raise OSError("of its own")

        with pytest.raises(OSError, match="of its own"):
            await beside.run(fail)
        await beside.run(lambda: seen.append(1))
        assert seen == [1]
        beside.close()

    run(scenario())


@pytest.mark.parametrize("error", [None, OSError("late")])
def test_who_stopped_waiting_is_not_told(error: Exception | None) -> None:
    """The call is carried out all the same, and what comes after it too."""

    async def scenario() -> None:
        beside, go, seen = Beside("test-beside"), threading.Event(), list[int]()

        def slow() -> None:
            go.wait(20)
            seen.append(1)
            if error is not None:
                raise error

        waiting = asyncio.create_task(beside.run(slow))
        await asyncio.sleep(0)
        waiting.cancel()
        go.set()
        await beside.run(lambda: seen.append(2))
        assert seen == [1, 2]
        assert waiting.cancelled()
        beside.close()

    run(scenario())


def test_close_finishes_what_was_asked_for_and_ends_the_thread() -> None:
    """No thread stays behind; one that was never needed was never begun."""
    Beside("test-never").close()
    beside, seen = Beside("test-beside"), list[int]()

    async def scenario() -> None:
        waiting = asyncio.create_task(beside.run(lambda: seen.append(1)))
        await asyncio.sleep(0)
        beside.close()
        await waiting

    run(scenario())
    assert seen == [1]
    assert not {"test-beside", "test-never"} & {one.name for one in threading.enumerate()}


def test_end_of_the_loop_before_the_call_s_is_borne() -> None:
    """Nobody is there to be told, and the thread still ends when it is asked to."""
    beside, go = Beside("test-beside"), threading.Event()

    def wait() -> None:
        go.wait(20)

    async def scenario() -> None:
        waiting = asyncio.create_task(beside.run(wait))
        await asyncio.sleep(0)
        waiting.cancel()

    run(scenario())
    go.set()
    beside.close()
    assert "test-beside" not in {one.name for one in threading.enumerate()}
