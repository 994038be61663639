"""What the run tells in its summary: which versions of which clients were used."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

VERSIONS: dict[str, str] = {}


@pytest.fixture
def client(program: Callable[..., str]) -> Callable[..., str]:
    """A stock client's program, as `program` gives it; its package's version goes into the summary."""

    def get(name: str, package: str | None = None) -> str:
        path = program(name, package)
        found = subprocess.run(  # no package, no version: the program may come from elsewhere
            [shutil.which("dpkg-query") or "false", "--show", "--showformat", "${Version}", package or name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        VERSIONS[name] = found.stdout or "of an unknown version"
        return path

    return get


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for the table of clients."""
    if VERSIONS:
        words = ", ".join(f"{name} {version}" for name, version in sorted(VERSIONS.items()))
        terminalreporter.write_line(f"clients: {words}")
