"""A real CA process in a scratch home on loopback, for tests that need the whole of it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secrecy.recording import record, record_metrics

NAME = "api.internal.example"
PASSWORD = "a password for tests only"
PORTS = (10_000, 32_000)
MODEL_PORT = 65_535  # of no CA that runs


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has right now, and that no system gives to whoever asks for any."""
    with contextlib.ExitStack() as stack:
        return [_bound(stack.enter_context(socket.socket())) for _ in range(count)]


def _bound(one: socket.socket) -> int:
    """A port below the ephemeral ones: else a connection of another test may have it before it is listened on."""
    draw = random.SystemRandom()
    for _ in range(100):
        with contextlib.suppress(OSError):
            one.bind(("127.0.0.1", draw.randrange(*PORTS)))
            return int(one.getsockname()[1])
    raise AssertionError("no port of loopback is free")


@dataclass
class CA:
    """One CA: its home, ports, and the process while it runs."""

    home: Path
    port: int
    metrics: int
    http_port: int
    process: subprocess.Popen[bytes] | None = None
    init: dict[str, Any] = field(default_factory=dict)
    under: tuple[str, ...] = ()
    """What the process runs under: `strace …`, `nsenter …`."""

    @property
    def url(self) -> str:
        """The base URL that the tests use."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def directory(self) -> str:
        """The ACME directory."""
        return f"{self.url}/acme/acme/directory"

    @property
    def root(self) -> Path:
        """The root's certificate."""
        return self.home / "certs" / "root_ca.crt"

    @property
    def log(self) -> Path:
        """What the process wrote to standard error."""
        return self.home.parent / "ca.log"

    @property
    def database(self) -> Path:
        """The database file."""
        return self.home / "db" / "dayfly.db"

    def spawn(self, *arguments: str, **variables: str) -> int:
        """Start the process and wait for nothing; where its own lines begin in the log, which is kept across starts.

        The password comes from a file that is named, or from a credentials directory where `variables` name one.
        """
        named = ["--password-file", str(self.home.parent / "password")]
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *self.under,
                    sys.executable,
                    "-m",
                    "dayfly",
                    "ca",
                    "start",
                    "--home",
                    str(self.home),
                    *([] if "CREDENTIALS_DIRECTORY" in variables else named),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environment(self.home.parent), **variables},
            )
        return begin

    def start(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """Start the process and wait for its ready line; `variables` are of its environment."""
        begin = self.spawn(*arguments, **variables)
        assert self.process is not None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self.said(begin).splitlines():
                if line.startswith('{"event":"ready"') and line.endswith("}"):
                    ready: dict[str, Any] = json.loads(line)
                    return ready
            assert self.process.poll() is None, self.said(begin)
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self.said(begin)}")

    def said(self, begin: int = 0) -> str:
        """What the process wrote from an octet on; what is torn at its end is not there yet."""
        with self.log.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the process; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            if number is not signal.SIGKILL:
                record_metrics(f"127.0.0.1:{self.metrics}")
            self.process.send_signal(number)
        status = self.process.wait(timeout=20)
        self.process = None
        return status

    def dayfly(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command with this home."""
        return dayfly(*arguments, "--home", str(self.home), check=check, home=self.home.parent)

    def certificate(self, name: str, where: Path, *extra: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`dayfly ca certificate` against this CA."""
        return dayfly(
            "ca",
            "certificate",
            name,
            str(where / "api.crt"),
            str(where / "api.key"),
            "--provisioner",
            "acme",
            "--ca-url",
            self.url,
            "--root",
            str(self.root),
            "--http-listen",
            f"127.0.0.1:{self.http_port}",
            *extra,
            check=check,
            home=self.home.parent,
        )

    def verify(self) -> dict[str, Any]:
        """`dayfly ca log verify --json`."""
        report: dict[str, Any] = json.loads(self.dayfly("ca", "log", "verify", "--json", check=False).stdout)
        return report

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement on the database file, as somebody who has the disk would."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=5)) as connection, connection:
            return connection.execute(statement, values).fetchall()


def environment(home: Path) -> dict[str, str]:
    """A clean environment for a child, which finds compiled modules as an installed one does."""
    dropped = ("DAYFLY_", "STEP", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    compiled = str(Path(sys.prefix) / "pycache")
    return {**kept, "HOME": str(home), "PYTHONWARNINGS": "default", "PYTHONPYCACHEPREFIX": compiled}


def dayfly(
    *arguments: str, check: bool = True, home: Path, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `dayfly` command to its end."""
    result = subprocess.run(
        [sys.executable, "-m", "dayfly", *arguments],
        env=environment(home),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    title = " ".join(arguments)
    record(title, kind="stdout", said=result.stdout)
    record(title, kind="stderr", said=result.stderr)
    assert not check or result.returncode == 0, (arguments, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr, result.stderr
    return result


def found(
    where: Path, *extra: str, lifetime: Sequence[str] = ("--x509-min-dur", "30s"), hosts: Sequence[str] = ()
) -> CA:
    """A CA with an ACME provisioner named `acme`; not started. `hosts` are more names that it finds on loopback.

    Each way to found one is gone once in a session, and its home is copied: such CAs have the same keys and serials.
    One whose flags name files of `where` is founded anew.
    """
    port, metrics, http_port = free_ports(3)
    ca = CA(where / "ca", port, metrics, http_port)
    keep_password(where)
    if any(str(where) in one for one in extra):
        ca.init = json.loads(_init(where, port, extra, tuple(lifetime)))
    else:
        ca.init = json.loads(_copy(where, port, *_model(extra, tuple(lifetime))))
    toml = ca.home / "ca.toml"
    known = (NAME, "b.internal.example", "c.internal.example", *hosts)
    table = ", ".join(f'"{name}" = "127.0.0.1"' for name in known)
    toml.write_text(
        toml.read_text().replace("127.0.0.1:9180", f"127.0.0.1:{metrics}")
        + f'\n[validation]\nhttp_port = {http_port}\nallow = ["127.0.0.0/8"]\nhosts = {{ {table} }}\n'
    )
    return ca


def keep_password(where: Path) -> None:
    """The password's file, readable by its owner alone."""
    (where / "password").touch(mode=0o600)
    (where / "password").write_text(PASSWORD + "\n")


def _init(where: Path, port: int, extra: tuple[str, ...], lifetime: tuple[str, ...]) -> str:
    """Found a CA in `where`; what `ca init` said."""
    result = dayfly(
        "ca",
        "init",
        "--name",
        "Test CA",
        "--dns",
        "ca.internal.example",
        "--dns",
        "127.0.0.1",
        "--address",
        f"127.0.0.1:{port}",
        "--provisioner",
        "platform-team",
        "--password-file",
        str(where / "password"),
        "--json",
        *extra,
        "--home",
        str(where / "ca"),
        home=where,
    )
    dayfly("ca", "provisioner", "add", "acme", "--type", "ACME", *lifetime, "--home", str(where / "ca"), home=where)
    return result.stdout


@functools.cache
def _model(extra: tuple[str, ...], lifetime: tuple[str, ...]) -> tuple[Path, str]:
    """Where a CA was founded in this way, under MODEL_PORT, and what was said."""
    where = Path(tempfile.mkdtemp(prefix="dayfly-model-"))
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    keep_password(where)
    return where, _init(where, MODEL_PORT, extra, lifetime)


def _copy(where: Path, port: int, model: Path, said: str) -> str:
    """Copy the model's home, and put place and port into its texts; what would have been said."""

    def moved(text: str) -> str:
        return text.replace(str(model), str(where)).replace(f":{MODEL_PORT}", f":{port}")

    shutil.copytree(model / "ca", where / "ca")
    for text in (where / "ca" / "ca.toml", where / "ca" / "config" / "defaults.json"):
        text.write_text(moved(text.read_text()))
    return moved(said)


@contextlib.contextmanager
def running(where: Path, *extra: str, hosts: Sequence[str] = (), workers: int = 1) -> Iterator[CA]:
    """A CA that runs, and is stopped at the end."""
    ca = found(where, *extra, hosts=hosts)
    ca.start("--workers", str(workers))
    try:
        yield ca
    finally:
        if ca.process is not None:
            ca.stop()
