"""The CA dies at a chosen system call of one issuance (reliability.md R2): not issued, or issued and recorded."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ca_world import CA
from crash.checking import Checker
from crash.injecting import SYNCS, WRITES, Injection, count_calls, traced, wait_until_held
from crash.killing import found_for_load
from crash.ledger import LedgerReader
from crash.one import Client, one_client

SAMPLE = 4  # writes that are tried; EVERY_POINT=1 tries all
DEADLINE = 20.0  # seconds, for the CA to meet its fault


@dataclass(slots=True)
class Scene:
    """A CA, a client, and what checks them."""

    ca: CA
    client: Client
    checker: Checker
    strace: str
    where: Path

    @property
    def pid(self) -> int:
        """The CA's process."""
        assert self.ca.process is not None
        return self.ca.process.pid

    def wait_for_death(self) -> None:
        """The CA dies of the fault, and of nothing else."""
        assert self.ca.process is not None
        assert self.ca.process.wait(DEADLINE) == -signal.SIGKILL
        self.ca.process = None


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str]) -> Iterator[Scene]:
    """One CA for all points: each death is followed by a start."""
    strace, where = program("strace"), tmp_path_factory.mktemp("points")
    if os.geteuid() != 0:
        pytest.skip("attaching to a process may need root")
    ca = found_for_load(where)
    ca.start()
    with one_client(ca, where / "ledgers") as client:
        yield Scene(ca, client, Checker(ca.database, LedgerReader(where / "ledgers")), strace, where)
    if ca.process is not None:
        assert ca.stop() == 0


@pytest.fixture(scope="module")
def calls(scene: Scene) -> tuple[int, int]:
    """How many syncs and writes one issuance takes."""
    with traced(scene.strace, scene.pid, scene.where / "trace"):
        scene.client.issue()
    found = (count_calls(scene.where / "trace", SYNCS), count_calls(scene.where / "trace", WRITES))
    assert found[0] >= 3, "account, validation and finalize each wait for a sync"
    return found


def survive(scene: Scene, issuing: threading.Thread) -> None:
    """After the death: a start, a look, the client's end, and another look."""
    scene.ca.start()
    scene.checker.look()
    issuing.join(DEADLINE)
    assert not issuing.is_alive(), "the client did not come to its certificate"
    scene.checker.look()
    assert scene.checker.faults == []


def die_at(scene: Scene, injection: Injection) -> None:
    """One issuance, killed when the CA enters the call."""
    before = scene.checker.certificates
    with traced(scene.strace, scene.pid, scene.where / "trace", injection):
        issuing = scene.client.begin()
        scene.wait_for_death()
    survive(scene, issuing)
    assert scene.checker.certificates > before


@pytest.mark.slow
def test_death_before_a_sync_is_not_issued_or_recorded__reliability_r2(scene: Scene, calls: tuple[int, int]) -> None:
    """At every sync of an issuance: the client asks again, and has one certificate that is stored and logged."""
    for number in range(1, calls[0] + 1):
        die_at(scene, Injection(SYNCS, "signal=SIGKILL", str(number)))


@pytest.mark.slow
def test_death_at_a_write_is_not_issued_or_recorded__reliability_r2(scene: Scene, calls: tuple[int, int]) -> None:
    """The same at sampled writes of it; the seed is printed."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    points = range(1, calls[1] + 1)
    chosen = list(points) if os.environ.get("EVERY_POINT") else random.Random(seed).sample(points, SAMPLE)  # noqa: S311 - replayable
    print(f"seed {seed}: writes {chosen} of {calls[1]}")  # noqa: T201 - shown when it fails
    for number in chosen:
        die_at(scene, Injection(WRITES, "signal=SIGKILL", str(number)))


@pytest.mark.slow
def test_death_between_sync_and_answer_is_recorded__reliability_r2(scene: Scene, calls: tuple[int, int]) -> None:
    """Committed and not acknowledged: the client reads its order, and finds the certificate that was made."""
    held = 1_000_000  # microseconds, in which the sync is done and nobody knows
    for number in range(1, calls[0] + 1):
        with traced(
            scene.strace, scene.pid, scene.where / "trace", Injection(SYNCS, f"delay_exit={held}", str(number))
        ):
            issuing = scene.client.begin()
            wait_until_held(scene.pid, within=DEADLINE)
            os.kill(scene.pid, signal.SIGKILL)
            scene.wait_for_death()
        survive(scene, issuing)
