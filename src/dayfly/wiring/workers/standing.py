"""How all workers stand, put together from what each has said last.

Rules: a worker that has been silent for five seconds counts as gone; a check passes when it passes at every worker;
what is counted in total never goes back because a worker is started anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dayfly.wiring.workers.handing import WorkerState

FRESH = 5.0  # seconds
LIVE = 30.0  # seconds without a word from any worker, after which the CA does not live


@dataclass(slots=True)
class Standing:
    """The states of so many workers; `monotonic` gives seconds."""

    workers: int
    monotonic: Callable[[], float]
    _heard: dict[int, tuple[float, WorkerState]] = field(default_factory=dict)

    def note(self, state: WorkerState) -> None:
        """A worker has said how it stands."""
        self._heard[state.worker] = (self.monotonic(), state)

    def states(self) -> list[WorkerState]:
        """Those that were heard of just now."""
        edge = self.monotonic() - FRESH
        return [state for at, state in self._heard.values() if at >= edge]

    def checks(self) -> dict[str, bool]:
        """Each check of readiness by its name, and whether every worker is there."""
        states = self.states()
        names = dict.fromkeys(name for _, state in self._heard.values() for name in state.checks)
        found = {name: bool(states) and all(state.checks.get(name, False) for state in states) for name in names}
        return {**found, "workers": len(states) == self.workers}

    def is_live(self) -> bool:
        """Has any worker been heard of lately?"""
        return any(at >= self.monotonic() - LIVE for at, _ in self._heard.values())

    def authorities(self) -> list[tuple[str, float, float]]:
        """The CA's own certificates; of the workers' TLS certificates the one that ends first."""
        soonest: dict[str, tuple[str, float, float]] = {}
        for row in (row for state in self.states() for row in state.authorities):
            if row[0] not in soonest or row[2] < soonest[row[0]][2]:
                soonest[row[0]] = row
        return list(soonest.values())

    def in_flight(self) -> int:
        """Requests under way at all workers."""
        return sum(state.in_flight for state in self.states())

    def log_size(self) -> int:
        """Entries of the log that any worker has seen."""
        return max((state.log_size for _, state in self._heard.values()), default=0)

    def provisioners(self) -> tuple[tuple[str, str, bool, float], ...]:
        """As the worker knows them that has seen the most of the log."""
        latest = max(self._heard.values(), key=lambda heard: heard[1].log_size, default=None)
        return () if latest is None else latest[1].provisioners

    def crl(self) -> tuple[float, float, int] | None:
        """As the worker knows the CRLs that was heard of last."""
        latest = max(self._heard.values(), key=lambda heard: heard[0], default=None)
        return None if latest is None else latest[1].crl

    def pids(self) -> list[int]:
        """Every process of the CA: the supervisor, this one, the workers."""
        return [os.getppid(), os.getpid(), *(state.pid for state in self.states())]


class ProcessFigures(Collector):
    """The `process_*` metrics of all processes together; the CPU seconds of ended ones stay counted."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        """`pids` gives the processes there are."""
        self._pids = pids
        self._ended = 0.0
        self._cpu: dict[int, float] = {}

    def collect(self) -> Iterator[Metric]:
        """Sums, and the start of the oldest."""
        found = {pid: figures for pid in self._pids() if (figures := _figures_of(pid))}
        for pid in [pid for pid in self._cpu if pid not in found]:
            self._ended += self._cpu.pop(pid)
        self._cpu.update((pid, figures["process_cpu_seconds_total"]) for pid, figures in found.items())
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "User and system CPU time of all processes of the CA.",
            value=self._ended + sum(self._cpu.values()),
        )
        for name, text in _SUMS.items():
            yield GaugeMetricFamily(name, text, value=sum(figures[name] for figures in found.values()))
        started = [figures["process_start_time_seconds"] for figures in found.values()]
        if started:
            yield GaugeMetricFamily("process_start_time_seconds", "Start of the oldest process.", value=min(started))


_SUMS = {
    "process_resident_memory_bytes": "Resident memory of all processes; what they share counts for each.",
    "process_virtual_memory_bytes": "Virtual memory of all processes.",
    "process_open_fds": "Open file descriptors of all processes.",
    "process_max_fds": "File descriptors that all processes may have.",
}


def _figures_of(pid: int) -> dict[str, float]:
    """The samples of one process by name; empty where it is gone."""
    families = ProcessCollector(pid=lambda: pid, registry=None).collect()
    found = {sample.name: sample.value for family in families for sample in family.samples}
    return found if found.keys() >= {"process_cpu_seconds_total", "process_start_time_seconds", *_SUMS} else {}
