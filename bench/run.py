"""The benchmark: complete ACME issuances against a real CA process, beside pebble and Caddy's acme_server.

`make bench` builds the load generator in ACMELOAD (Go), founds a CA in a scratch home with the limits off, starts the
peers (Debian's packages) as a user would, and drives all of them in turn, in a network of its own. What counts is
certificates per second of the server's CPU; compare ratios of one run only. All figures go to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import load
import report
import space
from halfopen import measure_half_open
from pending import ORDERS, measure_pending
from servers import Bare, Caddy, Dayfly, Pebble

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
PEERS = {"caddy": "caddy", "pebble": "pebble"}
PEER_CLIENTS = (8,)
ARI_CLIENTS = 32
PARTS = ("acme", "step", "ari", "workers", "halfopen", "pending")
Runs = dict[str, dict[int, list[dict[str, Any]]]]


def options() -> argparse.Namespace:
    """What is to be measured; `--quick` is for trying a change out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acmeload", type=Path, default=ROOT.parent / "shared/bench/acmeload")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--peers-at", type=int, nargs="*", default=list(PEER_CLIENTS), help="clients, for the peers")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=None)
    parser.add_argument("--pending", type=int, default=ORDERS, help="orders of one account, for that part")
    parser.add_argument("--quick", action="store_true", help="8 clients, 3 s, twice")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seconds, chosen.repeat, chosen.clients = 3, 2, [8]
    return chosen


def measure_acme(binary: Path, where: Path, chosen: argparse.Namespace, peers: list[str]) -> Runs:
    """Every server at every number of clients, in an order that moves on with each repetition."""
    found: Runs = {}
    alone: dict[str, Bare | Pebble] = {}
    with ExitStack() as stack:
        dayfly = stack.enter_context(Dayfly(where / "dayfly").running())
        caddy = stack.enter_context(Caddy(where / "caddy").running()) if "caddy" in peers else None
        alone["bare"] = Bare(where / "bare")  # these two are begun anew for each run
        if "pebble" in peers:
            alone["pebble"] = Pebble(where / "pebble")
        for repetition in range(chosen.repeat):
            for clients in chosen.clients:
                beside = ["bare", *peers] if clients in chosen.peers_at else []
                order = ["dayfly", *beside]
                order = order[repetition % len(order) :] + order[: repetition % len(order)]
                for name in order:
                    with ExitStack() as one:
                        target = {"dayfly": dayfly, "caddy": caddy}.get(name)
                        target = target or one.enter_context(alone[name].running())
                        _note(found, name, clients, binary, target, chosen.seconds)
    return found


def _note(found: Runs, name: str, clients: int, binary: Path, target: load.Target, seconds: float) -> None:
    """One run; one that fails is told and counts as none."""
    try:
        figures = load.run(binary, target, mode="acme", workers=clients, seconds=seconds)
    except load.LoadFailed as error:
        print(f"{name}: {error}", file=sys.stderr)
        return
    found.setdefault(name, {}).setdefault(clients, []).append(figures)


def measure_step(binary: Path, where: Path, chosen: argparse.Namespace) -> Runs:
    """`/sign` with a fresh token each, and `/renew` on a kept connection; what is not served is told."""
    found: Runs = {}
    with Dayfly(where / "step").running() as target:
        for mode in ("sign", "renew"):
            for clients in chosen.clients:
                try:
                    runs = [
                        load.run(binary, target, mode=mode, workers=clients, seconds=chosen.seconds)
                        for _ in range(chosen.repeat)
                    ]
                except load.LoadFailed as error:
                    print(f"{mode}: not measured: {error}", file=sys.stderr)
                    break
                found.setdefault(mode, {})[clients] = runs
    return found


def measure_ari(binary: Path, where: Path, chosen: argparse.Namespace) -> Runs:
    """Renewal information of 16 certificates, asked for again and again (RFC 9773 4.2)."""
    found: Runs = {}
    with Dayfly(where / "ari").running() as target:
        for _ in range(chosen.repeat):
            run = load.run(binary, target, mode="ari", workers=ARI_CLIENTS, seconds=chosen.seconds)
            found.setdefault("renewalInfo", {}).setdefault(ARI_CLIENTS, []).append(run)
    return found


def measure_workers(binary: Path, where: Path, chosen: argparse.Namespace) -> Runs:
    """One worker against two, in turn, at the largest number of clients."""
    found: Runs = {}
    clients = max(chosen.clients)
    ca = Dayfly(where / "workers")
    for _ in range(chosen.repeat):
        for workers in (1, 2):
            with ca.running(workers=workers) as target:
                _note(found, f"{workers} worker{'s' if workers > 1 else ''}", clients, binary, target, chosen.seconds)
    return found


def main() -> None:
    """Run, print, and keep the figures."""
    chosen = options()
    space.enter()
    parts = chosen.only or PARTS
    peers = [] if chosen.without_peers else sorted(PEERS)
    for program in space.missing({name: PEERS[name] for name in peers}):
        print(f"{program} is not there and is not measured. next: apt-get install {PEERS[program]}", file=sys.stderr)
        peers.remove(program)
    found: dict[str, Any] = {"python": sys.version, "machine": platform.platform(), "options": vars(chosen)}
    with tempfile.TemporaryDirectory(prefix="dayfly-bench-") as scratch:
        where = Path(scratch)
        binary = load.build(chosen.acmeload.resolve(), where)
        if "acme" in parts:
            found["acme"] = measure_acme(binary, where, chosen, peers)
            report.print_acme(found["acme"])
        if "step" in parts:
            found["step"] = measure_step(binary, where, chosen)
            report.print_plain(found["step"], "step API, operations")
        if "ari" in parts:
            found["ari"] = measure_ari(binary, where, chosen)
            report.print_plain(found["ari"], "renewal information, answers")
        if "workers" in parts:
            found["workers"] = measure_workers(binary, where, chosen)
            report.print_workers(found["workers"])
        if "halfopen" in parts:
            ca = Dayfly(where / "halfopen")
            found["halfopen"] = measure_half_open(binary, ca, seconds=chosen.seconds, repeat=chosen.repeat)
            report.print_half_open(found["halfopen"])
        if "pending" in parts:
            alone, ca = Dayfly(where / "alone"), Dayfly(where / "pending")
            found["pending"] = measure_pending(
                binary, alone, ca, seconds=chosen.seconds, repeat=chosen.repeat, orders=chosen.pending
            )
            report.print_pending(found["pending"])
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    target.write_text(json.dumps(found, indent=1, default=str), "utf-8")
    print(f"all figures: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
