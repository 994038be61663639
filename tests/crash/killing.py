"""Kills a CA at random moments while clients issue, and looks after each kill what became of it (reliability.md R1).

Rules: every moment comes from one seed, which is printed; the CA is killed by the id of a process that was started
here, with SIGKILL; some kills come before the CA is ready; the time to ready is that of the ready line.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ca_world import CA, environment, found
from crash.checking import Checker
from crash.ledger import LedgerReader
from crash.load import Job

NAMES = 50
TESTS = Path(__file__).parents[1]
WORKER = 0.5  # share of kills that meet one worker of several, and not the supervisor
GONE_WITHIN = 5.0  # seconds
BEGIN_WITHIN = 60.0  # seconds
EARLY = 0.1  # share of kills that come while the CA starts


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, from which seed, with how many clients, and how long after ready (seconds, from and to)."""

    rounds: int
    seed: int
    clients: int = 16
    pause: tuple[float, float] = (0.2, 2.0)
    workers: int = 1


@dataclass(slots=True)
class Figures:
    """What a run showed."""

    plan: Plan
    kills: int = 0
    children: int = 0
    ready: list[float] = field(default_factory=list)
    acknowledged: int = 0
    certificates: int = 0
    errors: int = 0
    log_size: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For a person."""
        ready = sorted(self.ready)
        yield f"seed {self.plan.seed}, {self.plan.clients} clients, {self.kills} kills in {self.seconds:.0f} s"
        if self.plan.workers > 1:
            yield f"{self.plan.workers} workers; {self.children} of the kills met one of them, or the collector"
        yield f"{self.certificates} certificates held by clients, {self.acknowledged} acknowledgements, all looked for"
        yield f"{self.errors} requests met a dead or starting CA and were asked again"
        yield f"{self.log_size} entries in the log"
        yield f"ready after {ready[len(ready) // 2]:.2f} s (median), {ready[-1]:.2f} s (most)"
        yield from (f"FAULT: {one}" for one in self.faults)
        yield f"{len(self.faults)} faults"


def found_for_load(where: Path) -> CA:
    """A CA whose limits are off and whose names all live on loopback."""
    ca = found(where, lifetime=())
    toml = ca.home / "ca.toml"
    hosts = ", ".join(f'"{name}" = "127.0.0.1"' for name in names())
    head, _, _ = toml.read_text("utf-8").partition("hosts = ")
    toml.write_text(f"{head}hosts = {{ {hosts} }}\n\n[limits]\nenabled = false\n", "utf-8")
    return ca


def names() -> list[str]:
    """What the clients ask for."""
    return [f"h{number}.internal.example" for number in range(NAMES)]


@contextmanager
def load(ca: CA, ledgers: Path, clients: int) -> Iterator[subprocess.Popen[bytes]]:
    """Clients in a process of their own, ended by SIGTERM; they must have lived until then."""
    ledgers.mkdir()
    job = Job(ca.directory, str(ca.root), ca.http_port, names(), str(ledgers), clients, ca.url, str(ca.home))
    variables = environment(ca.home.parent) | {"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}"}
    variables["PYTHONWARNINGS"] = "ignore::ResourceWarning"  # http.client leaves a socket whose handshake was cut
    said = (ledgers / "said").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "crash.load", msgspec.json.encode(job).decode()],
        env=variables, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + BEGIN_WITHIN
        while not list(ledgers.glob("*.ledger")):
            assert process.poll() is None, (ledgers / "said").read_text()
            assert time.monotonic() < deadline, "the clients did not begin"
            time.sleep(0.05)
        yield process
        assert process.poll() is None, (ledgers / "said").read_text()
        process.terminate()
        assert process.wait(timeout=30) == 0, (ledgers / "said").read_text()
        said_by_clients = (ledgers / "said").read_text()
        assert not said_by_clients, said_by_clients
    finally:
        said.close()
        if process.poll() is None:
            process.kill()
            process.wait()


def run(where: Path, plan: Plan, tell: Callable[[str], None] = lambda _: None) -> Figures:
    """1. A CA under load. 2. Kill, start, look, as often as planned. 3. Let the clients end, look at everything."""
    chance, figures, began = random.Random(plan.seed), Figures(plan), time.monotonic()  # noqa: S311 - replayable
    ca = found_for_load(where)
    _start(ca, plan)
    checker = Checker(ca.database, LedgerReader(where / "ledgers"))
    try:
        with load(ca, where / "ledgers", plan.clients):
            while figures.kills < plan.rounds:
                time.sleep(chance.uniform(*plan.pause))
                if plan.workers > 1 and chance.random() < WORKER:
                    _kill_child(ca, figures, chance)
                    checker.look()
                    continue
                _kill(ca, figures)
                while chance.random() < EARLY and figures.kills < plan.rounds:
                    _kill_early(ca, figures, chance.uniform(0.05, 0.8))
                figures.ready.append(_start(ca, plan))
                checker.look()
                tell(
                    f"kill {figures.kills}: ready after {figures.ready[-1]:.2f} s, {checker.certificates} certificates"
                )
        checker.look()
        figures.faults += checker.faults + _verify(ca)
    finally:
        if ca.process is not None:
            ca.stop()
    figures.acknowledged, figures.certificates = checker.acknowledged, checker.certificates
    figures.errors, figures.log_size = checker.errors, checker.size
    figures.seconds = time.monotonic() - began
    return figures


def _kill(ca: CA, figures: Figures) -> None:
    """Kill it; what it had started must be gone soon too, or nothing can take its place."""
    assert ca.process is not None
    left = children_of(ca.process.pid)
    status = ca.stop(signal.SIGKILL)
    figures.kills += 1
    if status != -signal.SIGKILL:
        figures.faults.append(f"the CA ended by itself with {status} before kill {figures.kills}")
    deadline = time.monotonic() + GONE_WITHIN
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        if time.monotonic() > deadline:
            figures.faults.append(f"kill {figures.kills}: a worker outlived its supervisor by {GONE_WITHIN:.0f} s")
            return
        time.sleep(0.01)


def _kill_early(ca: CA, figures: Figures, after: float) -> None:
    """Kill a CA that is starting."""
    ca.spawn()
    time.sleep(after)
    _kill(ca, figures)


def _kill_child(ca: CA, figures: Figures, chance: random.Random) -> None:
    """Kill one process that the supervisor keeps: a worker, or the collector of counts."""
    assert ca.process is not None
    with contextlib.suppress(ProcessLookupError):  # it may be between two of them
        os.kill(chance.choice(children_of(ca.process.pid) or [0]) or 2**22, signal.SIGKILL)
    figures.kills += 1
    figures.children += 1


def children_of(pid: int) -> list[int]:
    """The processes that a process started."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _start(ca: CA, plan: Plan) -> float:
    """Seconds to the ready line."""
    began = time.monotonic()
    ca.start(*(("--workers", str(plan.workers)) if plan.workers > 1 else ()))
    return time.monotonic() - began


def _verify(ca: CA) -> list[str]:
    report = ca.verify()
    return [] if report["ok"] else [f"the log does not verify: {json.dumps(report)[:500]}"]
