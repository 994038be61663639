"""`ca start` with one process: from its keys to its last checkpoint."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.prometheus import Metrics
from dayfly.adapters.observers.state import State
from dayfly.adapters.serverlock import ServerLock
from dayfly.adapters.stores import keep_reserve, open_store
from dayfly.config.values import Config
from dayfly.server.app import Application
from dayfly.server.metrics_routes import MetricsRoutes
from dayfly.server.run import serve
from dayfly.systemd import notify
from dayfly.wiring.building import build_process
from dayfly.wiring.keys import Keys, open_keys
from dayfly.wiring.listeners import Listening, bind_all
from dayfly.wiring.place import load_fleet, quiet_collector
from dayfly.wiring.process import Fatal, Process, authorities_of
from dayfly.wiring.reload import Reloading
from dayfly.wiring.standing_by import tell_systemd

_LOG = logging.getLogger("dayfly.server")


async def run_server(config: Config, password: bytes | None) -> None:
    """Run the CA until SIGTERM or SIGINT.

    1. Keys and certificates are opened; the root's key is never read.
    2. The lock is taken and the listeners are bound.
    3. The database is opened; the fleet is read.
    4. The own certificate is issued; the server is ready.
    5. At the end requests under way are finished, a last checkpoint is signed, the database is closed.
    """
    keys = open_keys(config, password)
    lock = ServerLock(config.home)
    try:
        keep_reserve(config.database, home=config.home)
        sockets = bind_all(config)
        try:
            await _run_bound(config, keys, sockets)
        finally:
            for listening in sockets.all():
                listening.close()
    finally:
        lock.release()


async def _run_bound(config: Config, keys: Keys, sockets: Listening) -> None:
    fleet = Fleet()
    metrics = Metrics(fleet, authority=config.name)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _too_early)
    fatal = Fatal(stop)
    store = await open_store(config.database, home=config.home, notify=metrics.notify, on_fatal=fatal.happened)
    try:
        process = await build_process(config, keys, store, counting=metrics, nonces=RingNonces(), stop=stop)
        metrics.state = _state(process)
        loop.add_signal_handler(signal.SIGHUP, Reloading(process.authority, config))
        await _listen(config, keys, process, metrics, sockets, load_fleet(store, fleet))
    finally:
        await store.close()
    fatal.raise_if_happened()


def _too_early() -> None:
    _LOG.info("ca.toml is not read again while the CA starts")


def _state(process: Process) -> State:
    """What the collector reads at a scrape; the settings are those that the last check saw."""
    health = process.health
    return State(
        now=time.time,
        checks=lambda: health.last,
        authorities=lambda: [
            (role, begin.timestamp(), end.timestamp()) for role, begin, end in authorities_of(process)
        ],
        inflight=lambda: process.app.in_flight,
        log_size=lambda: health.log_size,
        provisioners=lambda: health.provisioners,
        crl=lambda: health.crl,
    )


def tell_ready(config: Config, root: bytes, *, workers: int) -> None:
    """The ready line on standard error, and READY to systemd (interfaces.md 4)."""
    line = {
        "event": "ready",
        "url": config.base_urls[0],
        "metrics": f"http://{config.metrics}" if config.metrics else "",
        "fingerprint": hashlib.sha256(root).hexdigest(),
        "pid": os.getpid(),
        "workers": workers,
    }
    sys.stderr.write(msgspec.json.encode(line).decode() + "\n")
    sys.stderr.flush()
    notify("READY=1")


async def _listen(
    config: Config,
    keys: Keys,
    process: Process,
    metrics: Metrics,
    sockets: Listening,
    loading: Coroutine[Any, Any, None],
) -> None:
    """Serve until the stop; both listeners end together, and what is still `loading`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    beside = Application(MetricsRoutes(registry, process.health.checks).routes(), new_request_id=process.new_request_id)

    def ready() -> None:
        quiet_collector()
        tell_ready(config, keys.roots[0], workers=1)

    async with asyncio.TaskGroup() as group:
        tasks = (group.create_task(tell_systemd(process.health)), group.create_task(loading))
        group.create_task(_until_stop(process, tasks))
        if sockets.metrics is not None:
            group.create_task(
                serve(
                    beside,
                    context=None,
                    sockets=[sockets.metrics],
                    new_request_id=process.new_request_id,
                    stop=process.stop,
                    signals=(),
                )
            )
        group.create_task(process.run(sockets.api, ready, crl=sockets.crl))


async def _until_stop(process: Process, beside: tuple[asyncio.Task[None], ...]) -> None:
    """From the stop on systemd hears only that."""
    await process.stop.wait()
    for task in beside:
        task.cancel()
    notify("STOPPING=1")
