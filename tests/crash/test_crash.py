"""A CA that is killed under load, as `make crash` does it, and a checker that can say no (reliability.md R1)."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from ca_world import CA
from crash.checking import Checker
from crash.killing import Plan, found_for_load, load, run
from crash.large import fill
from crash.ledger import Ledger, LedgerReader

KILLS = 50
READY_WITHIN = 2.0  # seconds; the median, since the clients take the processors from a CA that starts


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_ca_loses_nothing_that_a_client_holds__reliability_r1(tmp_path: Path) -> None:
    """After each of 50 kills all that was acknowledged is stored and logged, once; the CA is soon ready again."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    figures = run(tmp_path, Plan(KILLS, seed, clients=8, pause=(0.2, 0.5)))
    print(*figures.lines(), sep="\n")  # noqa: T201 - the seed and the figures, shown when it fails
    assert figures.faults == []
    assert figures.kills == KILLS
    assert figures.certificates > KILLS
    assert sorted(figures.ready)[len(figures.ready) // 2] < READY_WITHIN


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not os.environ.get("LARGE_STORE"), reason="filling a large store takes a minute: LARGE_STORE=1")
def test_start_is_soon_ready_with_100000_live_certificates__reliability_r1(tmp_path: Path) -> None:
    """The fleet is read at a start; the best of three starts counts, on a machine that has nothing else to do."""
    ca = found_for_load(tmp_path)
    fill(ca, 100_000)
    times = []
    for _ in range(3):
        began = time.monotonic()
        ca.start()
        times.append(time.monotonic() - began)
        assert ca.stop() == 0
    assert min(times) < READY_WITHIN, times


# --- a checker that can say no ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> CA:
    """A CA that issued for two clients and was stopped; its ledgers lie beside it."""
    where = tmp_path_factory.mktemp("loaded")
    ca = found_for_load(where)
    ca.start()
    reader = LedgerReader(where / "ledgers")
    with load(ca, where / "ledgers", clients=2):
        issued: set[str] = set()
        while issued != {"0", "1"}:  # the first by ACME, the second by tokens
            issued |= {line.id.partition("-")[0] for line in reader.new_lines() if line.what == "certificate"}
    assert ca.stop() == 0
    return ca


@pytest.fixture
def damaged(loaded: CA, tmp_path: Path) -> CA:
    """A copy of it, to be damaged."""
    shutil.copytree(loaded.home.parent, tmp_path / "copy")
    return CA(tmp_path / "copy" / "ca", loaded.port, loaded.metrics, loaded.http_port)


def faults(ca: CA) -> list[str]:
    """What a checker that sees all of it for the first time finds."""
    checker = Checker(ca.database, LedgerReader(ca.home.parent / "ledgers"))
    checker.look()
    assert checker.acknowledged > 0
    return checker.faults


def test_checker_finds_no_fault_where_there_is_none(damaged: CA) -> None:
    """What the clients hold is there."""
    assert faults(damaged) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DELETE FROM certificates WHERE order_id IS NOT NULL", "acknowledged to client"),
        ("DELETE FROM accounts", "acknowledged to client"),
        ("DELETE FROM orders", "acknowledged to client"),
        ("UPDATE certificates SET der = x'00'", "acknowledged to client"),
        ("UPDATE orders SET status = 'processing'", "stuck in processing"),
        ("UPDATE orders SET status = 'pending'", "acknowledged to client"),
        ("UPDATE certificates SET serial = (SELECT max(serial) FROM certificates)", "a serial stands twice"),
        ("UPDATE certificates SET order_id = (SELECT max(id) FROM orders)", "an order has two certificates"),
        ("DELETE FROM log_entries WHERE idx = (SELECT max(idx) FROM log_entries)", "the log's head"),
        ("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE idx = 3", "is not the one that belongs"),
    ],
)
def test_checker_finds_damage__reliability_r1(damaged: CA, damage: str, says: str) -> None:
    """Each thing that must not happen is noticed when it happens."""
    damaged.sql(damage)
    assert any(says in one for one in faults(damaged)), faults(damaged)


def test_checker_believes_no_ledger_without_a_row(damaged: CA) -> None:
    """A certificate that a client holds and the CA does not know is a fault; so is an answer that no CA may give."""
    ledger = Ledger(damaged.home.parent / "ledgers" / "client-99.ledger")
    ledger.add("99-0", "certificate", serial="abc", digest="00")
    ledger.add("99-1", "error", error="serverInternal 500: it failed")
    ledger.add("99-2", "used", digest="00")
    ledger.add("99-3", "error", error="a token was accepted twice")
    os.close(ledger.descriptor)
    found = faults(damaged)
    assert len(found) == 4
    assert "abc" in found[0]
    assert "serverInternal" in found[1]
    assert "used" in found[2]
    assert "accepted twice" in found[3]


def test_torn_ledger_line_was_not_acknowledged(tmp_path: Path) -> None:
    """A line without its end is read when it is whole, and not before."""
    path = tmp_path / "client-00.ledger"
    reader = LedgerReader(tmp_path)
    path.write_bytes(b'{"id":"a","at":1.0,"what":"order"}\n{"id":"b","at"')
    assert [line.id for line in reader.new_lines()] == ["a"]
    with path.open("ab") as file:
        file.write(b':2.0,"what":"order"}\n')
    assert [line.id for line in reader.new_lines()] == ["b"]
    assert list(reader.new_lines()) == []
