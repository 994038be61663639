"""`ca start --workers N`: from the keys to the last child's end."""

from __future__ import annotations

import functools
import socket
from contextlib import ExitStack

from dayfly.adapters.serverlock import ServerLock
from dayfly.adapters.stores import keep_reserve
from dayfly.config.values import Config
from dayfly.wiring.keys import open_keys
from dayfly.wiring.listeners import bind_all
from dayfly.wiring.server import tell_ready
from dayfly.wiring.workers.children import Child, fork_worker, start_collector
from dayfly.wiring.workers.ground import Ground, make_ground
from dayfly.wiring.workers.handing import counts_pair
from dayfly.wiring.workers.supervisor import Supervisor, Wakeups


def run_workers(config: Config, password: bytes | None, *, workers: int, log_format: str | None) -> None:
    """Run the CA with so many workers until SIGTERM or SIGINT. DayflyError where it cannot start.

    1. Keys and certificates are opened, the lock is taken, the listeners are bound.
    2. What the workers share is made.
    3. Collector and workers begin; when all of them serve, the CA is ready.
    4. At the end each worker finishes its requests and signs a checkpoint; the collector goes last.
    """
    keys = open_keys(config, password)
    with ExitStack() as stack:
        lock = ServerLock(config.home)
        stack.callback(lock.release)
        keep_reserve(config.database, home=config.home)
        sockets = bind_all(config)
        counts = counts_pair() if sockets.metrics is not None else None
        for one in (*sockets.all(), *(counts or ())):
            stack.callback(one.close)
        wakeups = Wakeups()
        stack.callback(wakeups.close)
        ground = make_ground(config, keys, workers, listener=sockets.api, counts=counts[0] if counts else None)
        ground.crl = sockets.crl
        supervisor = Supervisor(ground, [], wakeups, lambda: tell_ready(config, keys.roots[0], workers=workers))
        kept = wakeups.sockets()
        if counts is not None and sockets.metrics is not None:
            supervisor.children.append(_collector(ground, sockets.metrics, counts[1], log_format))
            kept = (*kept, sockets.metrics, counts[1])
        supervisor.children += [_worker(supervisor, number, kept) for number in range(workers)]
        supervisor.run()


def _collector(ground: Ground, listener: socket.socket, counts: socket.socket, log_format: str | None) -> Child:
    begin = functools.partial(start_collector, ground, listener=listener, counts=counts, log_format=log_format)
    return Child("collector", begin, None)


def _worker(supervisor: Supervisor, number: int, kept: tuple[socket.socket, ...]) -> Child:
    def begin(end: socket.socket, ours: socket.socket) -> int:
        links = [child.link.socket for child in supervisor.children if child.link is not None]
        return fork_worker(supervisor.ground, number, end, forget=(*kept, ours, *links, supervisor.selector))

    return Child(f"worker {number}", begin, number)
