"""All tests, in two sessions side by side: those that stay in their process, and those that start others and wait.

Rules: what is no part of the first session is in the second, so that a new folder of tests is never forgotten; each
session searches what it said for secrets; the first one is told when it has ended, and one failure fails both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
IN_PROCESS = ("architecture", "contracts", "fuzz", "protocol", "unit")


def others() -> list[str]:
    """The folders of tests that are not of the first session."""
    found = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    return sorted(found - set(IN_PROCESS))


def command(folders: tuple[str, ...] | list[str], arguments: list[str]) -> list[str]:
    """Pytest over these folders."""
    return [sys.executable, "-m", "pytest", *arguments, *(str(TESTS / one) for one in folders)]


def main(arguments: list[str]) -> int:
    """The worse of the two exit codes."""
    with tempfile.TemporaryFile() as told:
        first = subprocess.Popen(command(IN_PROCESS, arguments), stdout=told, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            second = subprocess.run(command(others(), arguments), check=False)  # noqa: S603
        finally:
            ended = first.wait()
            told.seek(0)
            sys.stdout.buffer.write(told.read())
            sys.stdout.flush()
    return max(ended, second.returncode, key=abs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
