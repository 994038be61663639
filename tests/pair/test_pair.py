"""Two services talk mutual TLS to each other while the agent renews both: no handshake fails (reliability.md G2)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from ca_world import CA, environment, found, free_ports
from pair.service import Job, Report

NAMES = {"one": "b.internal.example", "two": "c.internal.example"}
SHORTEST = 10  # seconds, what a provisioner may give at least
LIFETIME = 12  # two more, for the way of the request
RENEWALS = int(os.environ.get("PAIR_RENEWALS", "10"))  # of each service
TESTS = Path(__file__).parents[1]
SRC = str(TESTS.parent / "src")


@dataclass(slots=True)
class Pair:
    """Two services and their agent."""

    where: Path
    jobs: dict[str, Job]
    services: dict[str, subprocess.Popen[bytes]]
    agent: subprocess.Popen[bytes]

    def said(self, name: str) -> str:
        """What a process wrote."""
        return (self.where / f"{name}.log").read_text()

    def status(self) -> dict[str, dict[str, object]]:
        """The agent's certificates by name."""
        result = subprocess.run(
            [sys.executable, "-m", "dayfly", "agent", "status", "--home", str(self.where / "agent"), "--json"],
            env=environment(self.where), capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return {str(one["name"]): one for one in json.loads(result.stdout)["certificates"]}

    def wait(self, *, generation: int, within: float) -> None:
        """Until both services were seen to serve a generation, or a later one."""
        deadline = time.monotonic() + within
        while True:
            assert self.agent.poll() is None, self.said("agent")
            seen = [self.served(name) for name in NAMES]
            if min(seen) >= generation:
                return
            assert time.monotonic() < deadline, (seen, self.said("agent")[-3000:])
            time.sleep(0.2)

    def served(self, name: str) -> int:
        """How many generations of a certificate were seen served: what the agent wrote down."""
        lines = [json.loads(line) for line in self.said("agent").splitlines() if line.startswith("{")]
        return sum(line.get("certificate") == name and line.get("state") == "served" for line in lines)

    def reports(self) -> dict[str, Report]:
        """End both services at once, and read what they saw."""
        for process in self.services.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self.services.items():
            assert process.wait(timeout=10) == 0, self.said(name)
        return {
            name: msgspec.json.decode(Path(job.report).read_bytes(), type=Report) for name, job in self.jobs.items()
        }


def agent_toml(ca: CA, where: Path, jobs: dict[str, Job]) -> str:
    """Two certificates, their challenges answered below one web server's root."""
    head = f'[ca]\ndirectory = "{ca.directory}"\nroot = "{ca.root}"\n'
    tables = [
        f"""
[cert.{name}]
names = ["{NAMES[name]}"]
lifetime = "{LIFETIME}s"
challenge = {{ type = "http-01", webroot = "{where / "web"}" }}
reload = {{ signal = "HUP", pid_file = "{job.pid_file}" }}
targets = ["127.0.0.1:{job.port}"]
verify = {{ matches = 2, within = "3s" }}
"""
        for name, job in jobs.items()
    ]
    return head + "".join(tables)


@contextlib.contextmanager
def process(where: Path, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, from enter to exit; what it says goes to a file."""
    variables = environment(where) | {"PYTHONPATH": f"{TESTS}:{SRC}", "PYTHONUNBUFFERED": "1"}
    with (where / f"{name}.log").open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *command], env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(timeout=10)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """CA, web server, two services, and the agent that keeps both."""
    ca = found(tmp_path, lifetime=("--x509-min-dur", f"{SHORTEST}s"))
    ports = dict(zip(NAMES, free_ports(2), strict=True))
    jobs = {
        name: Job(
            port=ports[name], pair=str(tmp_path / "agent" / "certs" / name / "current"), root=str(ca.root),
            pid_file=str(tmp_path / f"{name}.pid"), peer_port=ports[peer], peer=NAMES[peer],
            report=str(tmp_path / f"{name}.json"), go=str(tmp_path / "go"),
        )
        for name, peer in (("one", "two"), ("two", "one"))
    }  # fmt: skip
    (tmp_path / "web").mkdir()
    (tmp_path / "agent").mkdir(mode=0o700)
    (tmp_path / "agent" / "agent.toml").write_text(agent_toml(ca, tmp_path, jobs))
    web = ("http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path / "web"), str(ca.http_port))
    ca.start()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(process(tmp_path, "web", *web))
            services = {
                name: stack.enter_context(process(tmp_path, name, "pair.service", msgspec.json.encode(job).decode()))
                for name, job in jobs.items()
            }
            agent = stack.enter_context(
                process(tmp_path, "agent", "dayfly", "agent", "run", "--home", str(tmp_path / "agent"))
            )
            yield Pair(tmp_path, jobs, services, agent)
    finally:
        assert ca.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_handshake_fails_through_20_renewals__reliability_g2(pair: Pair) -> None:
    """Each service calls the other all the time, with a new handshake each, while each is renewed ten times.

    PAIR_RENEWALS=20 renews each of them twenty times.
    """
    pair.wait(generation=1, within=30)
    (pair.where / "go").touch()
    pair.wait(generation=1 + RENEWALS, within=40 + 8.0 * RENEWALS)
    reports = pair.reports()
    for name, report in reports.items():
        assert report.failures == [], name
        assert pair.said(name) == ""
        assert report.strangers == 0
        assert len(report.serials) > RENEWALS, "calls met every generation"
        assert report.calls > 20 * RENEWALS
    print({name: (report.calls, len(report.serials)) for name, report in reports.items()})  # noqa: T201 - the figures


def test_service_refuses_who_is_not_its_peer(pair: Pair) -> None:
    """The pair would notice: a call under another name and one without a certificate fail, and are counted."""
    import ssl
    import urllib.error
    import urllib.request

    pair.wait(generation=1, within=30)
    job = pair.jobs["one"]
    context = ssl.create_default_context(cafile=job.root)
    context.check_hostname = False
    with pytest.raises((OSError, urllib.error.URLError)):
        urllib.request.urlopen(f"https://127.0.0.1:{job.port}/", context=context, timeout=5).read()
    context.load_cert_chain(Path(job.pair) / "fullchain.pem", Path(job.pair) / "key.pem")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"https://127.0.0.1:{job.port}/", context=context, timeout=5)
    assert pair.reports()["one"].strangers == 1
