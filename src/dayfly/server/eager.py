"""Coroutines that begin at once: most requests wait for nothing, and need no task and no turn of the loop.

Rules: until it has waited once there is no current task, so no `asyncio.timeout` either.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any


def run_eagerly(
    handling: Coroutine[Any, None, None], loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]]
) -> None:
    """Run it up to where it waits, and from there as a task, which is one of `tasks` until it has ended."""
    try:
        waiting = handling.send(None)
    except StopIteration:
        return
    task = loop.create_task(_finish(handling, waiting))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _finish(handling: Coroutine[Any, None, None], waiting: object) -> None:
    """A coroutine in the eyes of every loop: from Python 3.12 on a generator is none."""
    await _rest(handling, waiting)


@types.coroutine
def _rest(handling: Coroutine[Any, None, None], waiting: object) -> Generator[Any, None, None]:
    """What is left of a coroutine that has begun and waits for `waiting`."""
    while True:
        try:
            yield waiting
        except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the coroutine
            try:
                waiting = handling.throw(error)
            except StopIteration:
                return
        else:
            break
    yield from handling
