"""A worker: one serving process among several, from its fork to its last checkpoint.

Rules: it takes what it may change from the ground alone; it says that it lives every second; the end of the link is
the end of the supervisor, and then its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from dataclasses import dataclass

import uvloop

from dayfly.adapters.buckets import SharedBuckets
from dayfly.adapters.marks import SharedMarks
from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.shared import Slots
from dayfly.adapters.stores import open_store
from dayfly.errors import DayflyError
from dayfly.wiring.building import build_process
from dayfly.wiring.place import Place, quiet_collector
from dayfly.wiring.process import Fatal, Process, authorities_of
from dayfly.wiring.reload import apply_change, plan_change
from dayfly.wiring.workers.ground import Ground
from dayfly.wiring.workers.handing import Handing, WorkerState
from dayfly.wiring.workers.links import Beat, Ready, Reload, Reloaded, Upward, open_upward

_LOG = logging.getLogger("dayfly.server")
BEAT_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Share:
    """This worker's share of the connections (server/run.py)."""

    slots: Slots
    number: int

    def publish(self, connections: int) -> None:
        """How many connections this worker has."""
        self.slots.publish(self.number, connections)

    def is_lightest(self) -> bool:
        """Has no other worker fewer?"""
        return self.slots.is_lightest(self.number)


def run_worker(ground: Ground, number: int, end: socket.socket) -> int:
    """Serve until a signal or the supervisor's end; the exit status."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(ground, number, end))


async def _main(ground: Ground, number: int, end: socket.socket) -> int:
    link = await open_upward(end)
    try:
        await _serve(ground, Place(number, ground.workers), link)
    except DayflyError as error:
        _LOG.error("this worker ends", extra={"detail": error.message})
        await link.fail(error)
        return 1
    await link.close()
    return 0


async def _serve(ground: Ground, place: Place, link: Upward) -> None:
    """1. Stop on signals. 2. Open the store. 3. Build. 4. Serve, listening to the link. 5. Hand the last counts."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    handing, fatal = Handing(ground.counts), Fatal(stop)
    config = ground.config
    store = await open_store(config.database, home=config.home, notify=handing.notify, on_fatal=fatal.happened)
    try:
        process = await build_process(
            config,
            ground.keys,
            store,
            counting=handing,
            nonces=RingNonces(ground.rings, place.number),
            stop=stop,
            place=place,
            board=SharedMarks(ground.marks, place.number),
            buckets=SharedBuckets(ground.buckets),
        )
        process.share = Share(ground.slots, place.number)
        worker = _Worker(ground, place, link, process, handing)
        await worker.run()
    finally:
        await store.close()
        handing.flush()
    fatal.raise_if_happened()


@dataclass(slots=True)
class _Worker:
    ground: Ground
    place: Place
    link: Upward
    process: Process
    handing: Handing

    async def run(self) -> None:
        """Serve; beside it beat, hand counts on, and listen to the supervisor."""
        beside = [asyncio.create_task(one) for one in (self._beat(), self.handing.run(), self._listen())]
        try:
            await self.process.run(self.ground.listener, self._ready, crl=self.ground.crl)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _ready(self) -> None:
        quiet_collector()
        self._tell()
        self.link.send(Ready())

    def _tell(self) -> None:
        """Tell supervisor and collector how this worker stands."""
        health = self.process.health
        rows = [(role, begin.timestamp(), end.timestamp()) for role, begin, end in authorities_of(self.process)]
        self.handing.tell(
            WorkerState(
                worker=self.place.number,
                pid=os.getpid(),
                checks=dict(health.last),
                authorities=tuple(rows),
                in_flight=self.process.app.in_flight,
                log_size=health.log_size,
                provisioners=health.provisioners,
                crl=health.crl,
            )
        )
        self.link.send(Beat(tuple(name for name, passed in health.last.items() if not passed)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            await self.process.health.checks()
            self._tell()

    async def _listen(self) -> None:
        """Take up what the supervisor says; its end is this worker's end."""
        async for message in self.link.messages():
            if isinstance(message, Reload):
                config = self.ground.config
                change = plan_change(config, message.text)
                self.ground.config = change.config
                apply_change(self.process.authority, change.config, self.place)
                self.link.send(Reloaded(message.number))
        _LOG.warning("the supervisor is gone; this worker ends", extra={"worker": self.place.number})
        self.process.stop.set()
