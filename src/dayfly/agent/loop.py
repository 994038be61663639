"""The loop: a task for each certificate, a watch over clocks, and an end within ten seconds (agent.md 5, 13, 17).

Rules: deadlines are wall-clock times and are looked at again every tick, so that a suspend delays nothing; what blocks
runs in a thread; an error in one task is said and never stops the others; at the end a thread that does not come back
is left behind, since every step may be cut off anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from dayfly.agent.clock import Clock
from dayfly.agent.metrics import Meters
from dayfly.agent.speaking import Say
from dayfly.agent.work import Worker
from dayfly.systemd import notify

Result = TypeVar("Result")

#: A step that takes longer is said to be late; hooks have 30 s, a look at a target 10 s.
_LATE = 300.0
_END_WITHIN = 7.0
_STEP = 2.0
_AT_ONCE = 16


@dataclass(slots=True)
class Rounds:
    """What the tasks share: the tick in seconds, the word to stop, and how often the wall clock has jumped."""

    clock: Clock
    meters: Meters
    say: Say
    stop: threading.Event
    tick: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    jumps: int = 0
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    def end(self) -> None:
        """Stop: hooks are ended, nobody begins anything new."""
        self.stop.set()
        self.stopping.set()


async def run_loop(workers: Sequence[Worker], rounds: Rounds) -> None:
    """Tend all certificates until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, rounds.end)
    tasks = [asyncio.create_task(_tend(worker, rounds), name=worker.name) for worker in workers]
    tasks.append(asyncio.create_task(_watch_clock(rounds), name="watch"))
    await rounds.stopping.wait()
    _, late = await asyncio.wait(tasks, timeout=_END_WITHIN)
    for task in late:
        task.cancel()
    rounds.say("stopped", text="asked to stop" if not late else f"asked to stop; {len(late)} step(s) cut off")


async def _tend(worker: Worker, rounds: Rounds) -> None:
    """One certificate, for ever."""
    wake, seen = rounds.clock.now(), rounds.jumps
    while not rounds.stopping.is_set():
        if rounds.clock.now() >= wake or rounds.jumps != seen:
            seen = rounds.jumps
            wake = await _step(worker, rounds)
        else:
            left = (wake - rounds.clock.now()).total_seconds()
            await _pause(rounds.stopping, min(rounds.tick, max(left, 0.001)))


async def _step(worker: Worker, rounds: Rounds) -> datetime:
    """One step in a thread; whatever it raises is said, and it is tried again at the shortest retry."""
    retry = rounds.clock.now() + timedelta(seconds=rounds.tick)
    try:
        async with rounds.at_once:
            future = in_thread(worker.step)
            while True:
                done, _ = await asyncio.wait({future}, timeout=_LATE)
                if done:
                    return future.result()
                rounds.say("late", certificate=worker.name, text=f"a step has taken {_LATE:g} s and goes on")
    except Exception as error:  # noqa: BLE001 - the edge of a task: an error here must not end the others
        rounds.say("error", certificate=worker.name, text=f"{type(error).__name__}: {error}")
        return retry


async def _watch_clock(rounds: Rounds) -> None:
    """Compare wall clock and boot clock every tick; a jump makes every task look at once. Tells systemd we live."""
    offset = _offset(rounds.clock)
    while not rounds.stopping.is_set():
        await _pause(rounds.stopping, rounds.tick)
        moved, offset = _offset(rounds.clock) - offset, _offset(rounds.clock)
        if abs(moved) > _STEP:
            rounds.meters.clock_steps.inc()
            rounds.say("clock-step", text=f"the wall clock moved by {moved:+.0f} s: everything due is looked at now")
            rounds.jumps += 1
        rounds.meters.loop_completed = rounds.clock.now()
        notify("WATCHDOG=1")


def _offset(clock: Clock) -> float:
    return clock.now().timestamp() - clock.boot_seconds()


async def _pause(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def in_thread(work: Callable[[], Result]) -> asyncio.Future[Result]:
    """The result of `work` in a daemon thread, which never keeps the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where Result is None

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as problem:  # noqa: BLE001 - handed to whoever waits for the result
            error = problem
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="step", daemon=True).start()
    return future
