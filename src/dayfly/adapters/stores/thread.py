"""The thread in which commits are synced: one call at a time, and the loop hears of its end in one step.

Rules: calls are carried out in the order in which they were asked for; whoever stopped waiting is not told; after
`close` there is no thread.

An executor of the standard library does the same through two futures with a lock each, at a hundred calls of Python
for each hand-over; here it is ten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

_Call = tuple[Callable[[], None], asyncio.AbstractEventLoop, asyncio.Future[None]]


class Beside:
    """A thread of its own, which begins with the first call."""

    def __init__(self, name: str) -> None:
        """`name` is the thread's."""
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def run(self, call: Callable[[], None]) -> None:
        """Carry it out beside the loop; whatever it raises."""
        if self._thread is None:
            # it must not hold up an end that did not close the store: a commit may be cut off at any instruction
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._calls.put((call, loop, done))
        await done

    def close(self) -> None:
        """Finish what was asked for, and end."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, loop, done = asked
            error: BaseException | None = None
            try:
                call()
            except BaseException as failure:  # noqa: BLE001 - whoever asked hears it
                error = failure
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(_tell, done, error)


def _tell(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
