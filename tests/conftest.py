"""What all tests share: sockets stay shut in unit tests; programs that are not ours are installed where they may be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

PLACES = ("/usr/sbin", "/sbin", "/usr/local/bin")


@pytest.fixture(autouse=True)
def closed_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unit tests reach no network; only a socket pair inside the process is left to them."""
    if "/tests/unit/" in str(request.path):
        disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


def find_program(name: str) -> str | None:
    """The program on PATH, or where Debian keeps what only root runs."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(PLACES))


def _install(package: str, policy: Path) -> str:
    """Install a Debian package under a policy that starts no service; what went wrong, or nothing."""
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", package],
        ):
            result = subprocess.run(
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode != 0:
                return result.stderr.strip()[-300:]
    finally:
        policy.unlink()
    return ""


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """The path of a program that a test needs: found, else installed, else a failure in CI and a skip elsewhere."""

    def get(name: str, package: str | None = None) -> str:
        path = find_program(name)
        why = "it is not installed, and this user cannot install it"
        policy = Path("/usr/sbin/policy-rc.d")
        if path is None and os.geteuid() == 0 and shutil.which("apt-get") and not policy.exists():
            why = _install(package or name, policy)
            path = find_program(name)
        if path is not None:
            return path
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing: {why}")
        pytest.skip(f"{name} is missing: {why}")

    return get
