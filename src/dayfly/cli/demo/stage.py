"""The demo's stage: a scratch directory, free ports, and the processes on it, which all end with it.

Rules: loopback only, no privileged port, no name server; every process is a child that is ended by its id, and imports
nothing from the directory that the demo was called in; what a process writes goes to a file of its own, and is shown
when the process dies too early.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dayfly.errors import DayflyError

NAME = "api.internal.example"
CA_NAME = "ca.internal.example"
PROVISIONER = "internal-acme"
START_WITHIN = 20.0  # seconds


class DemoError(DayflyError):
    """The demo could not show what it is there to show."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@dataclass(slots=True)
class Stage:
    """Paths, ports and processes."""

    lifetime: int
    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="dayfly-demo-")))
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take ports; everything of the demo stands below `root`."""
        names = ("ca", "ca_metrics", "challenge", "service", "agent_metrics")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.password_file = self.root / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(24) + "\n", "ascii")

    ports: dict[str, int] = field(init=False)
    password_file: Path = field(init=False)

    @property
    def ca_home(self) -> Path:
        """The CA's home."""
        return self.root / "ca"

    @property
    def agent_home(self) -> Path:
        """The agent's home."""
        return self.root / "agent"

    @property
    def root_certificate(self) -> Path:
        """What the demo's clients trust."""
        return self.ca_home / "certs" / "root_ca.crt"

    @property
    def pair(self) -> Path:
        """Where the service's pair lies."""
        return self.agent_home / "certs" / "api" / "current"

    def __enter__(self) -> Self:
        """The stage is set by the story."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes, the newest first, and take the directory away."""
        for name in reversed(tuple(self._processes)):
            self.end(name)
        shutil.rmtree(self.root, ignore_errors=True)

    # --- commands and processes -----------------------------------------------------------------------------------

    def dayfly(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a `dayfly` command to its end."""
        result = subprocess.run(  # noqa: S603 - our own program, our own arguments
            [sys.executable, "-P", "-m", "dayfly", *arguments],
            cwd="/",
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and result.returncode != 0:
            raise DemoError(
                f"`dayfly {' '.join(arguments[:3])}` ended with {result.returncode}: {result.stderr.strip()}"
            )
        return result

    def start(self, name: str, *arguments: str) -> int:
        """Start a process that stays; its id."""
        output = self.output(name).open("wb")
        with output:
            process = subprocess.Popen(  # noqa: S603 - our own program, our own arguments
                [sys.executable, "-P", "-m", *arguments],
                cwd="/",
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes[name] = process
        return process.pid

    def wait_ready(self, name: str) -> dict[str, object]:
        """The ready line of a process; DemoError where it does not come."""
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            for line in self.output(name).read_text("utf-8", "replace").splitlines():
                if line.startswith('{"event":"ready"'):
                    ready: dict[str, object] = json.loads(line)
                    return ready
            self.check(name)
            time.sleep(0.05)
        raise DemoError(f"{name} was not ready within {START_WITHIN:.0f} s: {self._last_words(name)}")

    def check(self, name: str) -> None:
        """DemoError where the process has ended."""
        if self._processes[name].poll() is not None:
            raise DemoError(f"{name} ended too early: {self._last_words(name)}")

    def check_all(self) -> None:
        """DemoError where any process has ended."""
        for name in self._processes:
            self.check(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process of ours."""
        self._processes[name].send_signal(number)

    def end(self, name: str) -> int:
        """End a process in order, by force after ten seconds; its exit status."""
        process = self._processes.pop(name)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def output(self, name: str) -> Path:
        """Where a process's output goes."""
        return self.root / f"{name}.log"

    def _last_words(self, name: str) -> str:
        lines = self.output(name).read_text("utf-8", "replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"

    def _environment(self) -> dict[str, str]:
        """The surroundings of every process: ours, without a Dayfly setting of the person who looks on."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DAYFLY_", "STEP"))}
        return {**kept, "HOME": str(self.root), "PYTHONUNBUFFERED": "1"}


def allow_loopback(stage: Stage) -> None:
    """Open the laboratory settings that one machine needs: validate on loopback, on a port that needs no privilege."""
    path = stage.ca_home / "ca.toml"
    text = path.read_text("utf-8").replace("127.0.0.1:9180", f"127.0.0.1:{stage.ports['ca_metrics']}")
    lab = f"""
[validation]                       # laboratory settings: everything happens on this machine
http_port = {stage.ports["challenge"]}
allow = ["127.0.0.0/8"]
hosts = {{ "{NAME}" = "127.0.0.1" }}
"""
    path.write_text(text + lab, "utf-8")


def agent_settings(stage: Stage) -> str:
    """The agent's configuration."""
    ports = stage.ports
    return f"""\
metrics = "127.0.0.1:{ports["agent_metrics"]}"

[ca]
directory = "https://127.0.0.1:{ports["ca"]}/acme/{PROVISIONER}/directory"
root = "{stage.root_certificate}"

[cert.api]
names = ["{NAME}"]
lifetime = "{stage.lifetime}s"
challenge = {{ type = "http-01", listen = "127.0.0.1:{ports["challenge"]}" }}
reload = {{ signal = "HUP", pid_file = "{stage.root / "service.pid"}" }}
targets = ["127.0.0.1:{ports["service"]}"]
verify = {{ matches = 3, within = "6s" }}
"""


def command_line(arguments: Sequence[str]) -> str:
    """A command as a person would type it."""
    return "dayfly " + " ".join(arguments)
