"""What is printed: medians and ranges, ratios within the run, and how busy the rest of the machine was."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Run = Mapping[str, Any]
Runs = Mapping[str, Mapping[int, Sequence[Run]]]
MIB = 1024 * 1024
MOST = 1.5  # times the quiet p99 that a crowd may make of it


def rate(runs: Sequence[Run]) -> float:
    """The median of operations per second of server CPU."""
    return _median(runs, lambda run: run["ops_per_server_cpu_s"])


def print_acme(found: Runs) -> None:
    """The table of issuances, then ratios to the peers at the same number of clients."""
    _print_heading("complete ACME issuances, certificates")
    _print_rows(found)
    ours = found.get("dayfly", {})
    for name, by_clients in found.items():
        if name != "dayfly":
            for clients, runs in by_clients.items():
                if clients in ours:
                    print(f"dayfly / {name} at {clients} clients: {rate(ours[clients]) / rate(runs):.2f}")


def print_plain(found: Runs, what: str) -> None:
    """A table without peers."""
    _print_heading(what)
    _print_rows(found)


def print_workers(found: Runs) -> None:
    """Two workers against one: certificates per second count here, as long as the load leaves them a core each."""
    _print_heading("workers, certificates")
    _print_rows(found)
    for clients in found.get("2 workers", {}):
        one, two = found["1 worker"][clients], found["2 workers"][clients]
        ratio = _median(two, _wall) / _median(one, _wall)
        print(f"two workers / one at {clients} clients: {ratio:.2f} by wall clock, {rate(two) / rate(one):.2f} by CPU")


def print_pending(found: Mapping[str, Any]) -> None:
    """The flow of somebody else, alone, beside pending orders, and beside half-open connections too, in turn."""
    print(f"\npending: {found['orders']} orders of one account, made in {found['order_seconds']:.1f} s")
    for one in found["rounds"]:
        print(
            f"pending: {one['held']} connections held half open; a flow beside all of it has a p99 of "
            f"{one['loaded_ms']:.1f} ms, {one['pending_ms']:.1f} ms beside the orders, {one['quiet_ms']:.1f} ms alone: "
            f"{one['ratio']:.2f} times; errors {one['errors']}"
        )
    _print_median("pending", found["rounds"])


def print_half_open(rounds: Sequence[Mapping[str, Any]]) -> None:
    """The flow of somebody else, alone and beside half-open connections, in turn."""
    print()
    for one in rounds:
        print(
            f"half open: {one['held']} connections held open, {one['opened']} opened; a flow beside them takes "
            f"{one['loaded_ms']:.1f} ms (p99), alone {one['quiet_ms']:.1f} ms: {one['ratio']:.2f} times; "
            f"errors {one['errors']}; descriptors {one['descriptors']}"
        )
    _print_median("half open", rounds)


def _print_median(what: str, rounds: Sequence[Mapping[str, Any]]) -> None:
    ratios = sorted(one["ratio"] for one in rounds)
    median = statistics.median(ratios)
    verdict = "within" if median <= MOST else "ABOVE"
    print(f"{what}, median: {median:.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}), {verdict} {MOST}")


def _print_heading(what: str) -> None:
    print(f"\n{what} per server-CPU-second, median (range); Python {platform.python_version()}")
    print(f"{'server':12s} {'clients':>7s} {'per CPU-s':>9s} {'range':>13s} {'per s':>7s} {'p99 ms':>8s} "
          f"{'errors':>6s} {'RSS MiB':>8s} {'KiB each':>9s} {'others_busy_s':>13s}")  # fmt: skip


def _print_rows(found: Runs) -> None:
    for name, by_clients in found.items():
        for clients, runs in sorted(by_clients.items()):
            print(_row(name, clients, runs))


def _row(name: str, clients: int, runs: Sequence[Run]) -> str:
    rates = sorted(run["ops_per_server_cpu_s"] for run in runs)
    p99 = _median(runs, lambda run: run["steps"]["total"]["p99_ms"])
    memory = max(run["server"]["rss_hwm_bytes"] for run in runs) / MIB
    errors = sum(run["errors_total"] for run in runs)
    growth = [run["db"]["apparent_bytes_per_op"] / 1024 for run in runs if run.get("db")]
    grown = f"{statistics.median(growth):9.1f}" if growth else f"{'-':>9s}"
    busy = _median(runs, lambda run: run["system"]["others_busy_s"])
    return (
        f"{name:12s} {clients:7d} {statistics.median(rates):9.0f} {f'{rates[0]:.0f} to {rates[-1]:.0f}':>13s} "
        f"{_median(runs, _wall):7.0f} {p99:8.1f} {errors:6d} {memory:8.0f} {grown} {busy:13.1f}"
    )


def _median(runs: Sequence[Run], pick: Callable[[Run], float]) -> float:
    return statistics.median(pick(run) for run in runs)


def _wall(run: Run) -> float:
    value: float = run["ops_per_s"]
    return value
