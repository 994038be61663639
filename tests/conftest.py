"""What all tests share: sockets stay shut in unit tests; programs that are not ours are installed where they may be."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from pytest_socket import disable_socket, enable_socket

from secrecy import recording, searching

hypothesis.settings.register_profile("dayfly", deadline=None)  # a busy machine is no failure; speed is bench's matter
hypothesis.settings.load_profile("dayfly")

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


POLICY = Path("/usr/sbin/policy-rc.d")  # what Debian's packages ask before they start a service
LOCK = "DPkg::Lock::Timeout=120"  # seconds, while another apt-get is at work


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """A policy that starts no service; the one that was there, as in containers, comes back at the end."""
    before = (POLICY.read_bytes(), POLICY.stat().st_mode) if POLICY.exists() else None
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(before[0])
            POLICY.chmod(before[1])


def _apt(*arguments: str) -> str:
    """Run apt-get; what went wrong, or nothing."""
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-q", "-y", "-o", LOCK, *arguments]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return result.stderr.strip()[-300:] if result.returncode else ""


@functools.cache
def _update() -> str:
    """Fetch the lists of packages, once in a run."""
    return _apt("update")


def _install(package: str) -> str:
    """Install a Debian package under a policy that starts no service; what went wrong, or nothing."""
    with _no_services():
        return _update() or _apt("install", "--no-install-recommends", package)


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """The path of a program that a test needs: found, else installed, else a failure in CI and a skip elsewhere."""

    def get(name: str, package: str | None = None) -> str:
        path = find_program(name)
        why = "it is not installed, and this user cannot install it"
        if path is None and os.geteuid() == 0 and shutil.which("apt-get"):
            why = _install(package or name)
            path = find_program(name)
        if path is not None:
            return path
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing: {why}")
        pytest.skip(f"{name} is missing: {why}")

    return get


# --- secrets nowhere --------------------------------------------------------------------------------------------------

_SEARCH = pytest.StashKey[searching.Search]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to keep what everything says (security.md L1)."""
    del session
    recording.begin()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search what was said and written; a finding fails the session."""
    recorded = Path(os.environ.pop(recording.VARIABLE))
    base = getattr(session.config, "_tmp_path_factory").getbasetemp()  # noqa: B009 - pytest has no public name for it
    result = searching.search(base, recorded)
    session.config.stash[_SEARCH] = result
    if result.findings:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    else:
        shutil.rmtree(recorded, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was searched, and every finding."""
    result = config.stash.get(_SEARCH, None)
    if result is None:
        return
    for finding in result.findings:
        terminalreporter.write_line(f"FOUND {finding}", red=True)
    if result.findings or result.homes:
        terminalreporter.write_line(
            f"secrets nowhere: {result.files} files, {result.homes} homes, {len(result.findings)} findings"
        )
