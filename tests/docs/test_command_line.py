"""The pages about certificates from the command line are run as they stand, against a running CA."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from ca_world import CA, environment, running
from docs.test_tutorial import scripts, shell

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA with the two provisioners of the pages, for lifetimes of seconds."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        one.dayfly("ca", "provisioner", "update", "platform-team", "--x509-min-dur", "10s")
        one.dayfly("ca", "provisioner", "add", "internal-acme", "--type", "ACME")
        yield one


@pytest.fixture
def host(ca: CA, tmp_path: Path) -> Path:
    """A directory to work in, with the provisioner's password in a file."""
    (tmp_path / "provisioner-password").write_bytes((ca.home / "secrets/provisioner_password").read_bytes())
    return tmp_path


def blocks(page: str, ca: CA) -> list[str]:
    """The page's commands, for this CA."""
    text = (HOW_TO / page).read_text("utf-8").replace("https://ca.internal.example:9000", ca.url)
    text = text.replace("FINGERPRINT", ca.init["fingerprint"])
    return scripts(
        text.replace("--provisioner internal-acme", f"--provisioner internal-acme --http-listen :{ca.http_port}")
    )


def serial(path: Path) -> int:
    """The serial of a certificate in a file."""
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def test_every_way_to_a_certificate_works_as_written(ca: CA, host: Path) -> None:
    """Each block runs; both revocations stand, and what they revoked renews no more."""
    for block in blocks("certificates-from-the-command-line.md", ca):
        done = shell(block, host, check=False)
        assert done.returncode == 0, (block, done.stdout, done.stderr)
    assert len({serial(host / name) for name in ("api.crt", "fresh.crt", "own.crt")}) == 3
    for name in ("fresh", "own"):
        refused = shell(f"dayfly ca renew {name}.crt {name}.key --force", host, check=False)
        assert refused.returncode == 1
        assert "revoked" in refused.stderr


def test_timer_daemon_and_entry_script_work_as_written(ca: CA, host: Path) -> None:
    """The timer waits until it is time; the entry script's service gets a HUP for the daemon's renewal."""
    timer, daemon, script, entry = blocks("renew-from-the-command-line.md", ca)
    bootstrap, *_ = blocks("certificates-from-the-command-line.md", ca)
    get = (
        "dayfly ca certificate api.internal.example api.crt api.key --provisioner platform-team --force "
        "--provisioner-password-file provisioner-password --not-after "
    )
    shell(f"{bootstrap}\n{get} 10m", host)
    before = serial(host / "api.crt")
    assert "certificate not renewed: expires in" in shell(timer, host).stderr
    assert serial(host / "api.crt") == before
    shell(f"timeout 3 {daemon.strip()} || test $? -eq 124", host)
    shell(f"{get} 12s", host)
    (host / "my-service").write_text("#!/bin/sh\ntrap 'echo reloaded >> reloads' HUP\nwhile :; do sleep 0.1; done\n")
    (host / "my-service").chmod(0o755)
    shell(script, host)
    with run_entry(entry, host):
        deadline = time.monotonic() + 40
        while not (host / "reloads").exists():
            assert time.monotonic() < deadline, (host / "entry.log").read_text()
            time.sleep(0.1)
    assert serial(host / "api.crt") != before
    assert "certificate renewed, next in" in (host / "entry.log").read_text()


class run_entry:  # noqa: N801 - a context, read like a function
    """The entry script as a container runs it: alone in a group, which ends with it."""

    def __init__(self, entry: str, host: Path) -> None:
        self._entry, self._host = entry, host

    def __enter__(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        home = str(self._host / "dayfly-tutorial")
        with (self._host / "entry.log").open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", f"exec {self._entry.strip()}"], cwd=self._host, stdin=subprocess.DEVNULL,
                env=environment(self._host) | {"PATH": path, "PYTHONUNBUFFERED": "1", "DAYFLY_HOME": home},
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
