"""The collector: a process of its own that has the metrics port, and no key, no password, no open database.

Rules: it is started by exec with three descriptors and nothing else of the supervisor's memory; it reads the names in
use once, at its start; it ends when the supervisor does.

    python -m dayfly.wiring.workers.collector HOME LOG-FORMAT WORKERS LISTENER COUNTS LINK
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.prometheus import Metrics
from dayfly.adapters.observers.state import State
from dayfly.adapters.stores import open_store
from dayfly.errors import DayflyError
from dayfly.server.app import Application
from dayfly.server.logs import configure_logging
from dayfly.server.metrics_routes import MetricsRoutes
from dayfly.server.run import serve
from dayfly.wiring.place import ALONE, RequestIds, load_fleet, quiet_collector
from dayfly.wiring.workers.handing import MAX_DATAGRAM, Handled, WorkerState, parse_items
from dayfly.wiring.workers.links import About, Beat, Ready, Upward, open_upward
from dayfly.wiring.workers.standing import ProcessFigures, Standing

BEAT_EVERY = 1.0  # seconds
_DATAGRAMS = 64  # taken in one turn of the loop


@dataclass(slots=True)
class Collector:
    """Counts what the workers hand over, and answers for them."""

    metrics: Metrics
    standing: Standing
    counts: socket.socket

    def take(self) -> None:
        """Count what has come."""
        for _ in range(_DATAGRAMS):
            try:
                datagram = self.counts.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            for item in parse_items(datagram):
                self._count(item)

    def _count(self, item: object) -> None:
        if isinstance(item, WorkerState):
            self.standing.note(item)
        elif isinstance(item, Handled):
            self.metrics.handled(
                item.op, item.provisioner, status=item.status, problem=item.problem, seconds=item.seconds
            )
        else:
            self.metrics.notify([item])  # type: ignore[list-item]  # an event: the only kind that is left

    async def checks(self) -> dict[str, bool]:
        """The checks of readiness of all workers."""
        self.take()
        return self.standing.checks()


def _state(standing: Standing) -> State:
    return State(
        now=time.time,
        checks=standing.checks,
        authorities=standing.authorities,
        inflight=standing.in_flight,
        log_size=standing.log_size,
        provisioners=standing.provisioners,
        crl=standing.crl,
    )


async def run_collector(home: Path, workers: int, listener: socket.socket, counts: socket.socket, link: Upward) -> None:
    """Serve until the supervisor ends, or says so by a signal."""
    about = await link.first()
    if not isinstance(about, About):
        raise DayflyError(f"the supervisor began with {type(about).__name__}")
    loop, stop, fleet = asyncio.get_running_loop(), asyncio.Event(), Fleet()
    standing = Standing(workers, time.monotonic)
    metrics = Metrics(fleet, authority=about.name)
    metrics.state = _state(standing)
    collector = Collector(metrics, standing, counts)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    registry.register(ProcessFigures(standing.pids))
    ids = RequestIds(ALONE)
    routes = MetricsRoutes(registry, collector.checks, standing.is_live).routes()
    loop.add_reader(counts, collector.take)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(_beat(link)),
            group.create_task(_until_end(link, stop)),
            group.create_task(_know_fleet(about.database, home, fleet)),
        ]
        await serve(
            Application(routes, new_request_id=ids.new),
            context=None,
            sockets=[listener],
            new_request_id=ids.new,
            stop=stop,
            signals=(),
            on_ready=lambda: _ready(link),
        )
        for task in beside:
            task.cancel()
    await link.close()


async def _know_fleet(database: str, home: Path, fleet: Fleet) -> None:
    """Read the names in use, and let go of the database again."""
    store = await open_store(database, home=home)
    try:
        await load_fleet(store, fleet)
    finally:
        await store.close()


def _ready(link: Upward) -> None:
    quiet_collector()
    link.send(Ready())


async def _beat(link: Upward) -> None:
    while True:
        await asyncio.sleep(BEAT_EVERY)
        link.send(Beat())


async def _until_end(link: Upward, stop: asyncio.Event) -> None:
    async for _ in link.messages():
        pass
    stop.set()


async def _main(home: Path, workers: int, listener: int, counts: int, link: int) -> int:
    upward = await open_upward(socket.socket(fileno=link))
    with socket.socket(fileno=listener) as listening, socket.socket(fileno=counts) as coming:
        try:
            await run_collector(home, workers, listening, coming, upward)
        except DayflyError as error:
            await upward.fail(error)
            return 1
    return 0


def main() -> None:
    """Run with the descriptors that the arguments name."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor hears them, and says what is to be done
    home, log_format, *numbers = sys.argv[1:]
    configure_logging(log_format or None, stream=sys.stderr)
    workers, listener, counts, link = map(int, numbers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_main(Path(home), workers, listener, counts, link)))


if __name__ == "__main__":
    main()
