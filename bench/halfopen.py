"""Half-open connections: 2,000 peers that connect and say nothing, and the flow of somebody who works.

Rules: loopback only; a connection that the server drops is opened again, at a bounded rate; it ends by itself. The
crowd has addresses of its own: from one address it would take the rate of the flow that is measured, or be held by it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

import load
from servers import Dayfly

WANTED = 2_000
RATE = 1_000  # connections opened in a second
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 9)]
CLIENT_HELLO = bytes.fromhex("160301020001")  # the first octets of a handshake that never goes on


def measure_half_open(binary: Path, ca: Dayfly, *, seconds: float, repeat: int) -> list[dict[str, Any]]:
    """p99 of a complete flow alone, then beside the half-open connections, and their ratio; so many times."""
    with ca.running() as target:
        load.run(binary, target, mode="acme", workers=1, seconds=1)
        return [_round(binary, target, seconds=seconds) for _ in range(repeat)]


def _round(binary: Path, target: load.Target, *, seconds: float) -> dict[str, Any]:
    quiet = load.run(binary, target, mode="acme", workers=1, seconds=seconds)
    with crowd(target) as counts:
        loaded = load.run(binary, target, mode="acme", workers=1, seconds=seconds)
        held, opened = counts()
    quiet_ms, loaded_ms = (run["steps"]["total"]["p99_ms"] for run in (quiet, loaded))
    return {
        "held": held,
        "opened": opened,
        "quiet_ms": quiet_ms,
        "loaded_ms": loaded_ms,
        "ratio": loaded_ms / quiet_ms,
        "errors": loaded["errors_total"],
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE),
        "runs": (quiet, loaded),
    }


@contextmanager
def crowd(target: load.Target) -> Iterator[Callable[[], tuple[int, int]]]:
    """The half-open connections, while the block runs; asked, how many are held and how many were opened."""
    stop = multiprocessing.Event()
    told: multiprocessing.Queue[tuple[int, int]] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_crowd, args=(urlsplit(target.directory).port, stop, told))
    process.start()
    try:
        _wait_for_crowd(told)
        yield lambda: _last(told)
    finally:
        stop.set()
        process.join(10)
        if process.is_alive():
            process.kill()


def _wait_for_crowd(told: multiprocessing.Queue[tuple[int, int]]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(Empty):
            if told.get(timeout=1)[1] >= WANTED:
                return


def _last(told: multiprocessing.Queue[tuple[int, int]]) -> tuple[int, int]:
    found = told.get(timeout=5)
    with contextlib.suppress(Empty):
        while True:
            found = told.get_nowait()
    return found


def _crowd(port: int, stop: Event, told: multiprocessing.Queue[tuple[int, int]]) -> None:
    """Hold up to 2,000 connections, every second one with the beginning of a handshake; tell once a second."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED + 64, max(WANTED + 64, _hard_limit())))
    watch = selectors.DefaultSelector()
    held: set[socket.socket] = set()
    opened, said = 0, time.monotonic()
    while not stop.is_set():
        for _ in range(min(RATE // 50, WANTED - len(held))):
            one = socket.socket()
            one.setblocking(False)  # noqa: FBT003 - the standard library's signature
            one.bind((ADDRESSES[opened % len(ADDRESSES)], 0))
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
            watch.register(one, selectors.EVENT_READ)
            held.add(one)
            opened += 1
            if opened // len(ADDRESSES) % 2:
                with contextlib.suppress(OSError):
                    one.send(CLIENT_HELLO)
        for key, _ in watch.select(timeout=0.02):
            _let_go(key.fileobj, watch, held)
        if time.monotonic() - said > 1:
            said = time.monotonic()
            told.put((len(held), opened))
        time.sleep(0.02)


def _let_go(one: Any, watch: selectors.BaseSelector, held: set[socket.socket]) -> None:  # noqa: ANN401 - a file object
    watch.unregister(one)
    held.discard(one)
    one.close()


def _hard_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
