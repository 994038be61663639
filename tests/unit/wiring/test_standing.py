"""How workers' counts reach the collector, and how their states become one (observability.md 3)."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dayfly.core.events import OrderCreated
from dayfly.wiring.workers.handing import KEPT, Handing, Handled, WorkerState, counts_pair, parse_items
from dayfly.wiring.workers.standing import FRESH, LIVE, ProcessFigures, Standing
from factories import NOW


def state(worker: int, **changes: Any) -> WorkerState:
    """How a worker that is well stands."""
    facts: dict[str, Any] = {
        "pid": os.getpid(),
        "checks": {"db": True, "disk": True},
        "authorities": (("tls", 0.0, 100.0 + worker),),
        "in_flight": 3,
        "log_size": 10,
        "provisioners": (("acme", "ACME", True, 60.0),),
    }
    return WorkerState(worker=worker, **{**facts, **changes})


@pytest.fixture
def clock() -> list[float]:
    """Seconds, to be moved."""
    return [1000.0]


@pytest.fixture
def standing(clock: list[float]) -> Standing:
    """Two workers that have just said that they are well."""
    one = Standing(2, lambda: clock[0])
    one.note(state(0))
    one.note(state(1))
    return one


def test_check_passes_when_it_passes_everywhere(standing: Standing) -> None:
    """And every worker is there."""
    assert standing.checks() == {"db": True, "disk": True, "workers": True}
    standing.note(state(1, checks={"db": True, "disk": False}))
    assert standing.checks() == {"db": True, "disk": False, "workers": True}


def test_silent_worker_is_missing_and_then_the_ca_is_dead(standing: Standing, clock: list[float]) -> None:
    """After five seconds it counts as gone; when none has said a word for thirty the CA does not live."""
    clock[0] += FRESH - 1
    standing.note(state(0))
    assert standing.checks()["workers"] is True
    clock[0] += 2
    assert standing.checks() == {"db": True, "disk": True, "workers": False}
    assert standing.in_flight() == 3
    clock[0] += LIVE - 2
    assert standing.checks() == {"db": False, "disk": False, "workers": False}
    assert standing.is_live()
    clock[0] += 1
    assert not standing.is_live()
    assert not Standing(2, lambda: 0.0).is_live()


def test_figures_of_all_workers_become_one(standing: Standing, clock: list[float]) -> None:
    """Requests add up, the log is the longest seen, the TLS certificate the one that ends first."""
    standing.note(state(1, log_size=12, provisioners=(("new", "JWK", True, 1.0),)))
    assert standing.in_flight() == 6
    assert standing.authorities() == [("tls", 0.0, 100.0)]
    assert standing.log_size() == 12
    assert standing.provisioners() == (("new", "JWK", True, 1.0),)
    clock[0] += 100
    assert standing.log_size() == 12  # it never goes back because a worker is started anew
    assert Standing(2, lambda: 0.0).provisioners() == ()


def test_cpu_seconds_of_ended_processes_stay_counted() -> None:
    """The counter never goes back, whoever is started anew."""
    child = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    pids = [os.getpid(), child.pid]
    figures = ProcessFigures(lambda: pids)

    def cpu() -> float:
        return next(family for family in figures.collect() if family.name == "process_cpu_seconds").samples[0].value

    own = ProcessFigures(lambda: [os.getpid()])
    try:
        while cpu() < next(iter(own.collect())).samples[0].value + 0.1:
            pass
        before = cpu()
    finally:
        child.kill()
        child.wait()
    assert cpu() >= before
    pids.remove(child.pid)
    assert cpu() >= before
    names = {family.name for family in figures.collect()}
    assert {"process_resident_memory_bytes", "process_start_time_seconds"} <= names


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The workers' end and the collector's."""
    writing, reading = counts_pair()
    with writing, reading:
        yield writing, reading


def received(reading: socket.socket) -> list[object]:
    """All that has come."""
    items: list[object] = []
    while True:
        try:
            items += parse_items(reading.recv(1 << 20))
        except BlockingIOError:
            return items


def created(number: int, provisioner: str = "acme") -> OrderCreated:
    """An event to be counted."""
    return OrderCreated(NOW, provisioner, number)


def test_counts_arrive_whole_and_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    """Events, answers and states, however many."""
    writing, reading = pair
    handing = Handing(writing)
    handing.notify([created(number) for number in range(1000)])
    handing.handled("sign", "team", status=201, problem=None, seconds=0.1)
    handing.tell(state(0))
    handing.flush()
    items = received(reading)
    assert items[:1000] == [created(number) for number in range(1000)]
    assert [type(one).__name__ for one in items[1000:]] == ["Handled", "WorkerState"]


def test_counts_wait_for_a_collector_that_does_not_read(pair: tuple[socket.socket, socket.socket]) -> None:
    """Nobody is held up, nothing is lost within the bound, and the oldest go beyond it."""
    writing, reading = pair
    handing = Handing(writing)
    handing.notify([created(number, "p" * 200) for number in range(KEPT + 5)])
    handing.flush()
    found: list[object] = []
    while batch := received(reading):
        found += batch
        handing.flush()
    assert found == [created(number, "p" * 200) for number in range(5, KEPT + 5)]


def test_datagram_that_is_too_long_goes_in_halves(pair: tuple[socket.socket, socket.socket]) -> None:
    """And a single count that no datagram can carry is dropped, with those behind it going on."""
    writing, reading = pair
    writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    handing = Handing(writing)
    handing.notify([created(1), *[created(number, "p" * 3000) for number in range(2, 6)], created(6, "p" * 100_000)])
    handing.notify([created(7)])
    found: list[object] = []
    for _ in range(20):
        handing.flush()
        found += received(reading)
    assert [getattr(one, "names", None) for one in found] == [1, 2, 3, 4, 5, 7]


def test_label_is_never_longer_than_a_name(pair: tuple[socket.socket, socket.socket]) -> None:
    """A provisioner's has 63 characters at most, so what is cut is nobody's; the collector is sent no more."""
    writing, reading = pair
    handing = Handing(writing)
    handing.handled("sign", "p" * 7000, status=415, problem="malformed", seconds=0.1)
    handing.flush()
    (item,) = received(reading)
    assert isinstance(item, Handled)
    assert item.provisioner == "p" * 64


def test_nothing_is_kept_where_nobody_collects() -> None:
    """With the metrics off."""
    handing = Handing(None)
    handing.notify([created(1)])
    handing.handled("sign", "team", status=201, problem=None, seconds=0.1)
    handing.tell(state(0))
    handing.flush()
    assert not handing._waiting
