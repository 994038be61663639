"""Faults of the disk under a CA that runs (reliability.md R3 to R5): what clients see, what stays, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from ca_world import CA, NAME, dayfly, environment
from contracts.test_store import issued_event
from crash.checking import Checker
from crash.disk import Disk, ext4_disk, small_disk
from crash.injecting import SYNCS, WRITES, Injection, traced
from crash.killing import found_for_load
from crash.ledger import LedgerReader
from crash.one import Client, one_client
from dayfly.adapters.stores import keep_reserve, open_store
from dayfly.adapters.stores.sqlite import engine as engine_module
from dayfly.adapters.stores.sqlite.reserve import SIZE
from dayfly.core.acme.objects import Certificate
from dayfly.core.events import CertificateRevoked, LogStarted
from dayfly.core.frozen import replace
from dayfly.errors import Unavailable
from dayfly.ports.changes import Changes
from factories import NOW, certificate
from replies import Reply

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk and attaching to a process take root")

DEADLINE = 20.0  # seconds
RECOVERY = 5.0  # seconds, from room on the disk to a certificate
OUTCOME_PAUSE = 8.0  # seconds at most between two tries to record what a validation found


@dataclass(slots=True)
class Scene:
    """A CA on a small disk of its own, a client, and what checks them."""

    ca: CA
    disk: Disk
    client: Client
    checker: Checker
    where: Path
    errors: LedgerReader
    told: list[str] = field(default_factory=list)
    begin: int = 0
    certificates: int = 0

    def new(self) -> None:
        """A test begins: what was said, told and issued before does not count."""
        if self.ca.process is None:
            self.ca.start()
        self.client.issue()
        self.check()
        self.hear()
        self.told.clear()
        self.begin, self.certificates = self.ca.log.stat().st_size, self.checker.certificates

    def hear(self) -> list[str]:
        """The errors that clients were told since the test began."""
        self.told += [line.error for line in self.errors.new_lines() if line.what == "error"]
        return self.told

    def met_the_fault(self) -> bool:
        """A client was told; or an outcome could not be recorded, and the client waits for it."""
        return any(" 503: " in one for one in self.hear()) or "outcome not stored" in self.ca.said(self.begin)

    def lines(self) -> list[dict[str, object]]:
        """The CA's log lines since then."""
        return [json.loads(line) for line in self.ca.said(self.begin).splitlines() if line.startswith("{")]

    def check(self, *, issued: int | None = None) -> None:
        """Nothing acknowledged is missing, the log verifies, and so many certificates came since the test began."""
        self.checker.look()
        assert self.checker.faults == []
        assert self.ca.verify()["ok"]
        assert issued is None or self.checker.certificates - self.certificates == issued

    def join(self, issuing: threading.Thread, *, within: float = DEADLINE) -> None:
        """The client comes to its certificate."""
        issuing.join(within)
        assert not issuing.is_alive(), f"no certificate within {within:.0f} s"

    def died(self) -> None:
        """The process ends with 1; another takes its place."""
        assert self.ca.process is not None
        assert self.ca.process.wait(DEADLINE) == 1
        self.ca.process = None

    @property
    def pid(self) -> int:
        """The CA's process."""
        assert self.ca.process is not None
        return self.ca.process.pid

    def refused_start(self) -> str:
        """What a start says that must not succeed."""
        result = self.ca.dayfly("ca", "start", "--password-file", str(self.disk.path / "password"), check=False)
        assert result.returncode == 1
        return result.stderr


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str]) -> Iterator[Scene]:
    """One CA for all faults: each of them must leave it whole."""
    where = tmp_path_factory.mktemp("disk")
    with small_disk(where / "disk", program) as disk:
        ca, ledgers = found_for_load(disk.path), where / "ledgers"
        with one_client(ca, ledgers) as client:
            yield Scene(ca, disk, client, Checker(ca.database, LedgerReader(ledgers)), where, LedgerReader(ledgers))
        if ca.process is not None:
            ca.stop()


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """It runs, and has issued."""
    stage.new()
    yield stage
    stage.disk.empty()


def ask(ca: CA, path: str) -> Reply:
    """GET over a new connection that trusts the root alone."""
    context = ssl.create_default_context(cafile=str(ca.root))
    connection = HTTPSConnection("127.0.0.1", ca.port, context=context, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def wait_for(condition: Callable[[], bool], *, within: float = DEADLINE) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, "it did not come"
        time.sleep(0.05)
    return time.monotonic() - began


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [0, 2, 6, 11])
def test_full_disk_refuses_and_recovers_without_a_restart__reliability_r4(scene: Scene, pages: int) -> None:
    """From whatever write on: 503 with Retry-After, reads go on; with room the waiting client has its certificate."""
    scene.disk.fill(leave=pages * 4096)
    issuing = scene.client.begin()
    wait_for(scene.met_the_fault)
    health = ask(scene.ca, "/health")
    assert (health.status, health.headers["retry-after"].isdigit()) == (503, True)
    assert ask(scene.ca, "/acme/acme/directory").status == 200
    assert ask(scene.ca, f"/root/{scene.ca.init['fingerprint']}").status == 200
    scene.disk.empty()
    scene.join(issuing, within=RECOVERY + OUTCOME_PAUSE)
    wait_for(lambda: ask(scene.ca, "/health").status == 200, within=RECOVERY)
    scene.check(issued=1)
    assert all(" 503: " in one for one in scene.hear())


def test_revocations_and_their_entries_fit_on_a_full_disk__reliability_r4(scene: Scene) -> None:
    """Over the wire and by a command, while nothing is issued; with room the reserve is whole again."""
    ((known,),) = scene.ca.sql("SELECT serial FROM certificates WHERE order_id IS NOT NULL ORDER BY id DESC LIMIT 1")
    password = scene.ca.home / "secrets" / "provisioner_password"
    ca = ("--ca-url", scene.ca.url, "--root", str(scene.ca.root))
    key = ("--provisioner", "platform-team", "--provisioner-password-file", str(password))
    crt, private = str(scene.where / "api.crt"), str(scene.where / "api.key")
    dayfly("ca", "certificate", NAME, crt, private, *ca, *key, home=scene.where)
    reserve = Path(f"{scene.ca.database}-reserve")
    assert reserve.stat().st_blocks * 512 >= SIZE
    scene.disk.fill()
    issuing = scene.client.begin()
    wait_for(scene.met_the_fault)
    assert reserve.stat().st_size == 0
    dayfly("ca", "revoke", "--cert", crt, "--key", private, *ca, home=scene.where)
    scene.ca.dayfly("ca", "revoke", str(int(known, 16)))
    assert scene.ca.sql("SELECT count(*) FROM certificates WHERE revoked_at IS NOT NULL") == [(2,)]
    assert issuing.is_alive()
    assert ask(scene.ca, "/health").status == 503
    scene.disk.empty()
    scene.join(issuing, within=RECOVERY + OUTCOME_PAUSE)
    assert reserve.stat().st_size == SIZE
    scene.check(issued=1)
    assert scene.ca.stop() == 0  # its write-ahead log has room within itself now, which other tests do not expect


def test_full_disk_takes_one_line_a_request_and_no_stack__reliability_r4(scene: Scene) -> None:
    """The operator reads why, and what next."""
    scene.disk.fill()
    issuing = scene.client.begin()
    wait_for(lambda: len(scene.hear()) >= 2)
    scene.disk.empty()
    scene.join(issuing)
    refused = [line for line in scene.lines() if "cannot be done for the moment" in str(line["event"])]
    assert len(refused) == len(scene.hear())
    assert {line["detail"] for line in refused} == {"the database cannot be written: the disk is full"}
    assert {line["next"] for line in refused} == {"make room on the disk"}
    assert not any("stack" in line for line in scene.lines())


def test_stop_on_a_full_disk_is_clean_and_a_start_says_why__reliability_r4(scene: Scene) -> None:
    """SIGTERM ends with 0; a start needs room for its own certificate, names the disk, and has no stack."""
    scene.disk.fill()
    assert scene.ca.stop() == 0
    scene.disk.fill()  # the write-ahead log gave its room back
    said = scene.refused_start()
    assert "disk is full" in said
    assert "make room on the disk" in said
    scene.disk.empty()
    scene.ca.start()
    scene.client.issue()
    scene.check(issued=1)


def test_store_is_not_well_again_because_time_has_passed__reliability_r4(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a write that found no room the store stays unusable until there is some, though nobody writes."""
    monkeypatch.setattr(engine_module, "FULL_FOR", 0.0)

    async def body() -> None:
        (scene.disk.path / "other").mkdir()
        store = await open_store("sqlite:other/dayfly.db", home=scene.disk.path)
        scene.disk.fill()
        with pytest.raises(Unavailable):
            await store.commit(Changes(events=(LogStarted(NOW, "test"),)))
        with pytest.raises(Unavailable):
            await store.check()
        scene.disk.empty()
        await store.check()
        await store.commit(Changes(events=(LogStarted(NOW, "test"),)))
        await store.close()

    asyncio.run(body())


def test_reserve_has_room_for_hundreds_of_revocations__reliability_r4(scene: Scene) -> None:
    """One after the other and a hundred at once, for the log is begun anew; nothing else is written meanwhile."""
    rows = [certificate(id=number, serial=number << 96 | 1, order_id=None, der=bytes(700)) for number in range(1, 701)]

    def revoking(row: Certificate) -> Changes:
        revoked = CertificateRevoked(NOW, row.id, row.serial, 1, "an admin on the CA's host")
        return Changes(update=(replace(row, revoked_at=NOW, revocation_reason=1),), events=(revoked,))

    async def body() -> None:
        (scene.disk.path / "large").mkdir()
        keep_reserve("sqlite:large/dayfly.db", home=scene.disk.path)
        store = await open_store("sqlite:large/dayfly.db", home=scene.disk.path)
        issued = tuple(issued_event(row, f"{row.id:064x}") for row in rows)
        await store.commit(Changes(insert=tuple(rows), events=issued))
        scene.disk.fill()
        for row in rows[:600]:
            await store.commit(revoking(row))
        await asyncio.gather(*(store.commit(revoking(row)) for row in rows[600:]))
        with pytest.raises(Unavailable, match="the disk is full"):
            await store.commit(Changes(events=(LogStarted(NOW, "test"),)))
        assert (await store.log.head()).size == 2 * len(rows)
        scene.disk.empty()
        await asyncio.sleep(1.1)  # it looks for room once in a second
        await store.check()
        await store.close()
        shutil.rmtree(scene.disk.path / "large")

    asyncio.run(body())


# --- a failing disk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
def test_failed_sync_ends_the_process_at_once__reliability_r3(
    scene: Scene, program: Callable[..., str], number: int
) -> None:
    """EIO at a sync: no success after it, exit 1 within a second whatever peers do, and a start finds it whole."""
    assert scene.ca.process is not None
    context = ssl.create_default_context(cafile=str(scene.ca.root))
    address, fault = ("127.0.0.1", scene.ca.port), Injection(SYNCS, "error=EIO", f"{number}+")
    with (
        socket.create_connection(address),
        context.wrap_socket(socket.create_connection(address), server_hostname="127.0.0.1") as idle,
        context.wrap_socket(socket.create_connection(address), server_hostname="127.0.0.1") as slow,
        traced(program("strace"), scene.pid, scene.where / "trace", fault),
    ):
        slow.sendall(b"POST /acme/acme/new-order HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert idle.version() == "TLSv1.3"
        issuing = scene.client.begin()
        wait_for(lambda: "this process ends" in scene.ca.said(scene.begin))
        began = time.monotonic()
        scene.died()
        assert time.monotonic() - began < 1.0
    scene.ca.start()
    scene.join(issuing)
    scene.check(issued=1)
    assert not any("stack" in line for line in scene.lines())


def test_failed_write_ends_the_process_too__reliability_r3(scene: Scene, program: Callable[..., str]) -> None:
    """EIO at a write is no full disk: the same end."""
    with traced(program("strace"), scene.pid, scene.where / "trace", Injection(WRITES, "error=EIO", "4")):
        issuing = scene.client.begin()
        scene.died()
    scene.ca.start()
    scene.join(issuing)
    scene.check(issued=1)


# --- a disk that is not ours ------------------------------------------------------------------------------------------


def test_read_only_disk_is_a_clear_refusal_at_start__reliability_r5(scene: Scene) -> None:
    """Exit 1, a text that says so, no stack; with a writable disk everything is as before."""
    assert scene.ca.stop() == 0
    scene.disk.make("ro")
    try:
        assert "Read-only file system" in scene.refused_start()
    finally:
        scene.disk.make("rw")
    scene.ca.start()
    scene.client.issue()
    scene.check(issued=1)


def test_disk_that_becomes_read_only_is_503_at_run_time__reliability_r5(
    tmp_path: Path, program: Callable[..., str]
) -> None:
    """A file system that met an error: no write, no end of the process; reads go on, health says so, no stack."""
    ca = found_for_load(tmp_path)
    database = ca.database.read_bytes()
    ca.database.unlink()
    with ext4_disk(ca.database.parent, tmp_path / "image", program) as fail:
        ca.database.touch(mode=0o600)
        ca.database.write_bytes(database)
        ca.start()
        with one_client(ca, tmp_path / "ledgers") as client:
            client.issue()
            fail()
            issuing = client.begin()
            reader = LedgerReader(tmp_path / "ledgers")
            told: list[str] = []

            def refused() -> bool:
                told.extend(line.error for line in reader.new_lines() if line.what == "error")
                return len(told) >= 2

            wait_for(refused)
            client.stop.set()
            issuing.join(DEADLINE)
        assert all(" 503: " in one for one in told)
        assert ask(ca, "/acme/acme/directory").status == 200
        assert ask(ca, "/health").status == 503
        assert '"stack"' not in ca.said()
        assert ca.stop() == 0


@pytest.mark.parametrize("how", ["replaced", "removed", "write-ahead log removed"])
def test_database_that_was_taken_away_is_refused_at_run_time__reliability_r5(scene: Scene, how: str) -> None:
    """Nothing is acknowledged on a file without a name: 503, reads go on, health says so; put back, it goes on."""
    kept, database = scene.disk.path / "kept", scene.ca.database
    kept.mkdir(exist_ok=True)
    taken = Path(f"{database}-wal") if how == "write-ahead log removed" else database
    if how == "replaced":
        shutil.copy(database, kept / "other")
    taken.rename(kept / "taken")
    if how == "replaced":
        (kept / "other").rename(database)
    issuing = scene.client.begin()
    wait_for(lambda: any(" 503: " in one for one in scene.hear()))
    assert ask(scene.ca, "/health").status == 503
    assert ask(scene.ca, "/acme/acme/directory").status == 200
    assert any("replaced, moved or removed" in str(line.get("detail")) for line in scene.lines())
    (kept / "taken").rename(taken)
    scene.join(issuing, within=RECOVERY)
    scene.check(issued=1)


STRANGER = """
import os, sys
import dayfly.cli.ca_start, dayfly.wiring.server
from dayfly.cli.main import run
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(run(["ca", "start", "--home", sys.argv[1]]))
"""


def test_home_of_another_user_is_a_clear_refusal_at_start__reliability_r5(scene: Scene) -> None:
    """A user who may not read the home gets exit 1 and a text, never a stack."""
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, str(scene.ca.home)],
        env=environment(scene.where), capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert "Permission denied" in result.stderr
    assert "Traceback" not in result.stderr
