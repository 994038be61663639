"""The CA as a service manager meets it: sd_notify, credentials, SIGHUP, SIGTERM (interfaces.md 4, R18)."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

import pytest

from ca_world import CA, PASSWORD, found
from dayfly.client.solving import StandaloneSolver
from wire_client import Client, Wire, wires_to_each_worker
from wire_load import Load

both = pytest.mark.parametrize("workers", [1, 2])
HOSTS = [f"h{number}.internal.example" for number in range(4)]


class Manager:
    """The socket of a service manager, and what came over it, in order, with the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                text = self._socket.recv(4096).decode()
                self.heard.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._socket.close()

    def said(self, key: str, since: int = 0) -> list[str]:
        """The values of a key, from a message on."""
        return [message[key] for _, message in self.heard[since:] if key in message]

    def times(self, key: str) -> list[float]:
        """When it was said."""
        return [at for at, message in self.heard if key in message]


def eventually(what: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A service manager that listens."""
    one = Manager(tmp_path / "notify")
    yield one
    one.close()


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[CA]:
    """A CA that was founded; it is stopped at the end."""
    one = found(tmp_path, hosts=HOSTS)
    yield one
    if one.process is not None:
        one.stop()


def reload_with(ca: CA, manager: Manager, change: Callable[[str], str]) -> str:
    """Edit ca.toml, send SIGHUP, wait until the manager hears that it is over; what the log says of it."""
    assert ca.process is not None
    toml, begin, since = ca.home / "ca.toml", len(ca.said()), len(manager.heard)
    toml.write_text(change(toml.read_text()))
    ca.process.send_signal(SIGHUP)
    eventually(lambda: manager.said("READY", since))
    (reloading,) = [message for _, message in manager.heard[since:] if "RELOADING" in message]
    assert abs(int(reloading["MONOTONIC_USEC"]) / 1e6 - time.monotonic()) < 20
    return ca.said()[begin:]


def outcomes(ca: CA, workers: int, *, name: str) -> set[str]:
    """What becomes of a challenge for this name at each worker; its answer is in place."""
    found: set[str] = set()
    for wire in wires_to_each_worker(ca, workers=workers):
        with contextlib.closing(wire.connection), StandaloneSolver("127.0.0.1", ca.http_port) as solver:
            client = Client(ca)
            client.register(wire)
            challenge = client.challenge(wire, client.order(wire, name))
            solver.present(challenge["token"], client.proof(challenge["token"]))
            client.post(wire, challenge["url"], {})
            settled = client.poll(wire, challenge["url"], lambda one: one["status"] in {"valid", "invalid"})
            found.add(settled["status"])
    return found


@both
def test_started_as_the_unit_does__interfaces_4(ca: CA, manager: Manager, tmp_path: Path, workers: int) -> None:
    """Password from the credentials directory; READY once, STATUS, WATCHDOG in time, STOPPING, exit 0 within 10 s."""
    (tmp_path / "credentials").mkdir(mode=0o700)
    (tmp_path / "credentials" / "key-password").write_text(PASSWORD + "\n")
    ca.start(
        "--workers",
        str(workers),
        NOTIFY_SOCKET=str(manager.path),
        WATCHDOG_USEC="1000000",
        CREDENTIALS_DIRECTORY=str(tmp_path / "credentials"),
    )
    eventually(lambda: manager.said("READY"))
    eventually(lambda: len(manager.said("WATCHDOG")) >= 5)
    times = manager.times("WATCHDOG")
    assert max(after - before for before, after in itertools.pairwise(times)) < 1.0
    eventually(lambda: manager.said("STATUS"))
    assert re.search("serv", manager.said("STATUS")[-1])
    begin = time.monotonic()
    assert ca.stop(SIGTERM) == 0
    assert time.monotonic() - begin < 10
    assert manager.said("READY") == manager.said("STOPPING") == ["1"]
    assert PASSWORD not in ca.said()


@both
def test_reload_takes_up_what_can_change__r18(ca: CA, manager: Manager, workers: int) -> None:
    """Validation and limits change at every worker without a restart; the rest is named; a bad file changes nothing."""
    ca.start("--workers", str(workers), NOTIFY_SOCKET=str(manager.path))
    assert outcomes(ca, workers, name=HOSTS[0]) == {"valid"}
    said = reload_with(ca, manager, lambda text: text.replace('allow = ["127.0.0.0/8"]', "allow = []"))
    assert '"changed": "validation"' in said
    assert outcomes(ca, workers, name=HOSTS[1]) == {"invalid"}
    good = (ca.home / "ca.toml").read_text().replace("allow = []", 'allow = ["127.0.0.0/8"]')
    for breaking, says in (("port = 1 = 2\n", "not valid TOML"), ("speed = 9\n", "speed: unknown key")):
        said = reload_with(ca, manager, lambda _, breaking=breaking: breaking + good)  # type: ignore[misc]  # bound
        assert says in said
        assert "stays as it was" in said
        assert '"next"' in said
        assert outcomes(ca, workers, name=HOSTS[2]) == {"invalid"}
    said = reload_with(ca, manager, lambda _: good.replace("Test CA", "Other CA") + "\n[limits]\nenabled = false\n")
    assert '"changed": "limits.enabled, validation"' in said
    assert "needs a restart" in said
    assert '"keys": "name"' in said
    assert outcomes(ca, workers, name=HOSTS[3]) == {"valid"}
    assert '"changed": "nothing"' in reload_with(ca, manager, lambda text: text)


@both
def test_figures_of_limits_hold_from_the_start_and_change_with_a_reload__acme_13(
    ca: CA, manager: Manager, workers: int
) -> None:
    """Ten directories a month from loopback, at all workers together; after the reload as many as usual."""
    toml = ca.home / "ca.toml"
    plain = toml.read_text()
    toml.write_text(plain + '\n[limits]\nrequests = "1/30d"\n')
    ca.start("--workers", str(workers), NOTIFY_SOCKET=str(manager.path))
    eventually(lambda: manager.said("READY"))
    assert directories(ca, workers) == [200] * 10 + [429] * (11 * workers - 10)
    said = reload_with(ca, manager, lambda _: plain)
    assert '"changed": "limits"' in said
    assert directories(ca, workers) == [200] * 11 * workers


def directories(ca: CA, workers: int) -> list[int]:
    """What eleven requests to each worker are answered, in turn."""
    wires = wires_to_each_worker(ca, workers=workers)
    with contextlib.ExitStack() as stack:
        for wire in wires:
            stack.callback(wire.close)
        return [wire.send("GET", "/acme/acme/directory").status for _ in range(11) for wire in wires]


@both
def test_sigterm_under_load_ends_in_time_and_loses_nothing__r18(ca: CA, workers: int) -> None:
    """What was under way is finished or dropped before its commit: exit 0, every certificate given is there."""
    ca.start("--workers", str(workers))
    with StandaloneSolver("127.0.0.1", ca.http_port) as solver, Load(ca, solver, threads=4) as load:
        eventually(lambda: len(load.urls) >= 8)
        begin = time.monotonic()
        assert ca.stop(SIGTERM) == 0
        assert time.monotonic() - begin < 10
    rows = {f"{row[0]:016x}" for row in ca.sql("SELECT id FROM certificates")}
    assert {url.rpartition("/")[2] for url in load.urls} <= rows
    assert ca.sql("SELECT count(*) FROM orders WHERE status = 'processing'") == [(0,)]
    report = ca.verify()
    assert report["ok"] is True
    assert report["size"] == ca.sql("SELECT max(size) FROM log_checkpoints")[0][0]


def test_connection_that_is_kept_does_not_hold_the_stop_up(ca: CA) -> None:
    """An idle connection is closed at once."""
    ca.start("--workers", "2")
    wire: Any = Wire(ca)
    with contextlib.closing(wire.connection):
        assert wire.send("GET", "/health").status == 200
        begin = time.monotonic()
        assert ca.stop() == 0
        assert time.monotonic() - begin < 5
