"""Two services talk mutual TLS to each other while the agent renews both: no handshake fails (reliability.md G2)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from ca_world import CA, dayfly, environment, found, free_ports
from pair.service import Job, Report

NAMES = {"one": "b.internal.example", "two": "c.internal.example"}
SHORTEST = 10  # seconds, what a provisioner may give at least
LIFETIME = 20  # seconds, of what the agent keeps
RENEWALS = int(os.environ.get("PAIR_RENEWALS", "3"))  # of each service by the agent
AT_ONCE = 10  # renewals of each service by the command, one after the other
TESTS = Path(__file__).parents[1]
SRC = str(TESTS.parent / "src")


@dataclass(slots=True)
class Pair:
    """Two services that want to talk to each other, and the CA that gives them their names."""

    ca: CA
    where: Path
    jobs: dict[str, Job]
    services: dict[str, subprocess.Popen[bytes]]

    def said(self, name: str) -> str:
        """What a process wrote."""
        return (self.where / f"{name}.log").read_text()

    def talk(self) -> None:
        """Let both call each other, from now on."""
        (self.where / "go").touch()

    def reload(self, name: str) -> None:
        """Tell a service to load its pair."""
        self.services[name].send_signal(signal.SIGHUP)

    def reports(self) -> dict[str, Report]:
        """Let the calls end, then both services, and read what they saw."""
        go = self.where / "go"
        if go.exists():
            go.unlink()
            wait_for(lambda: all(Path(job.report).exists() for job in self.jobs.values()))
        for process in self.services.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self.services.items():
            assert process.wait(timeout=10) == 0, self.said(name)
        return {
            name: msgspec.json.decode(Path(job.report).read_bytes(), type=Report) for name, job in self.jobs.items()
        }

    def check(self, *, renewals: int) -> None:
        """No call failed in either direction, and the calls met every generation."""
        for name, report in self.reports().items():
            assert report.failures == [], name
            assert self.said(name) == ""
            assert report.strangers == 0
            assert len(report.serials) == renewals + 1
            assert report.calls > 5 * renewals
            sys.stdout.write(
                f"{name}: {report.calls} handshakes through {renewals} renewals of its peer, none failed\n"
            )

    def served(self, name: str) -> int:
        """How many generations of a certificate the agent saw served: what it wrote down."""
        lines = [json.loads(line) for line in self.said("agent").splitlines() if line.startswith("{")]
        return sum(line.get("certificate") == name and line.get("state") == "served" for line in lines)


def wait_for(condition: Callable[[], bool], *, within: float = 30) -> None:
    """Until it holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


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
    """CA, a web server for challenges, and two services that have no certificate yet."""
    ca = found(tmp_path, lifetime=("--x509-min-dur", f"{SHORTEST}s"))
    with (ca.home / "ca.toml").open("a") as toml:
        toml.write("\n[limits]\nenabled = false\n")
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
    web = ("http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path / "web"), str(ca.http_port))
    ca.start()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(process(tmp_path, "web", *web))
            services = {
                name: stack.enter_context(process(tmp_path, name, "pair.service", msgspec.json.encode(job).decode()))
                for name, job in jobs.items()
            }
            wait_for(lambda: all(Path(job.pid_file).exists() for job in jobs.values()))
            yield Pair(ca, tmp_path, jobs, services)
    finally:
        assert ca.stop() == 0


@contextlib.contextmanager
def agent_of(pair: Pair) -> Iterator[None]:
    """The agent that keeps both services' certificates; both were seen served once."""
    home = pair.where / "agent"
    home.mkdir(mode=0o700)
    (home / "agent.toml").write_text(agent_toml(pair.ca, pair.where, pair.jobs))
    with process(pair.where, "agent", "dayfly", "agent", "run", "--home", str(home)) as agent:
        wait_for(lambda: min(map(pair.served, NAMES)) >= 1)
        yield
        assert agent.poll() is None, pair.said("agent")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_handshake_fails_while_the_agent_renews_both__reliability_g2(pair: Pair) -> None:
    """Each service calls the other all the time, with a new handshake each; PAIR_RENEWALS=20 renews each 20 times."""
    with agent_of(pair):
        pair.talk()
        wait_for(lambda: min(map(pair.served, NAMES)) > RENEWALS, within=60 + LIFETIME * RENEWALS)
        generations = {name: pair.served(name) for name in NAMES}
    reports = pair.reports()
    for name, report in reports.items():
        assert report.failures == [], name
        assert (pair.said(name), report.strangers) == ("", 0)
        assert len(report.serials) >= min(generations.values())
        sys.stdout.write(f"{name}: {report.calls} handshakes with {len(report.serials)} certificates, none failed\n")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_handshake_fails_through_20_renewals_one_after_the_other(pair: Pair) -> None:
    """`ca renew --force` with a signal to the service, ten times for each, as fast as it goes."""
    for name, job in pair.jobs.items():
        Path(job.pair).mkdir(parents=True)
        run(
            pair,
            "certificate",
            NAMES[name],
            *files_of(job),
            "--provisioner",
            "acme",
            "--webroot",
            str(pair.where / "web"),
        )
        pair.reload(name)
    wait_for(lambda: all(answers(job.port) for job in pair.jobs.values()))
    pair.talk()
    for _ in range(AT_ONCE):
        for job in pair.jobs.values():
            run(pair, "renew", *files_of(job), "--force", "--pid-file", job.pid_file)
    pair.check(renewals=AT_ONCE)


def files_of(job: Job) -> tuple[str, str]:
    """Chain and key of a service."""
    return f"{job.pair}/fullchain.pem", f"{job.pair}/key.pem"


def run(pair: Pair, *arguments: str) -> None:
    """A command against this CA."""
    dayfly("ca", *arguments, "--ca-url", pair.ca.url, "--root", str(pair.ca.root), home=pair.where)


def test_service_refuses_who_is_not_its_peer(pair: Pair) -> None:
    """The pair would notice: a call under another name and one without a certificate fail, and are counted."""
    job = pair.jobs["one"]
    Path(job.pair).mkdir(parents=True)
    run(
        pair, "certificate", NAMES["one"], *files_of(job), "--provisioner", "acme", "--webroot", str(pair.where / "web")
    )
    pair.reload("one")
    context = ssl.create_default_context(cafile=job.root)
    context.check_hostname = False
    url = f"https://127.0.0.1:{job.port}/"
    wait_for(lambda: answers(job.port))
    with pytest.raises(OSError, match=r"certificate|reset|EOF|closed"):
        urllib.request.urlopen(url, context=context, timeout=5).read()
    context.load_cert_chain(*files_of(job))
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(url, context=context, timeout=5)
    refused.value.close()
    assert pair.reports()["one"].strangers == 1


def answers(port: int) -> bool:
    """Does it show a certificate?"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secure:
            return secure.version() is not None
    except OSError:
        return False
