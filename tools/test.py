"""All tests, in sessions side by side: the folders that stay in their process together, each other folder by itself.

Rules: every folder that has tests is in a session, so that a new one is never forgotten; the ones that take longest
begin first, two at a time, or as many as there are processors to spare; each session searches what it said for secrets;
what it said is told when it has ended, whole; one failure fails all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
IN_PROCESS = ("architecture", "contracts", "fuzz", "protocol", "unit")
LONGEST_FIRST = (("integration",), IN_PROCESS, ("interop",), ("docs",), ("crash",))
NOTHING_CHOSEN = 5  # pytest's exit code where its arguments choose no test of the folder


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended, and all that it said."""

    folders: tuple[str, ...]
    code: int
    said: bytes
    seconds: float


def sessions() -> list[tuple[str, ...]]:
    """The folders of each session; those that are known to take long first."""
    found = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    long = [folders for folders in LONGEST_FIRST if found.issuperset(folders)]
    return [*long, *((one,) for one in sorted(found - {name for folders in long for name in folders}))]


def run(folders: tuple[str, ...], arguments: list[str]) -> Ended:
    """Pytest over these folders, to its end."""
    command = [sys.executable, "-m", "pytest", *arguments, *(str(TESTS / one) for one in folders)]
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        result = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False)  # noqa: S603
        said.seek(0)
        return Ended(folders, result.returncode, said.read(), time.monotonic() - began)


def main(arguments: list[str]) -> int:
    """The worst of the exit codes."""
    codes = []
    lanes = ThreadPoolExecutor(max(2, (os.cpu_count() or 2) - 1))
    try:
        for ended in as_completed([lanes.submit(run, folders, arguments) for folders in sessions()]):
            one = ended.result()
            sys.stdout.buffer.write(one.said)
            sys.stdout.write(f"{' '.join(one.folders)}: {one.seconds:.0f} s, exit code {one.code}\n")
            sys.stdout.flush()
            codes.append(one.code)
    finally:
        lanes.shutdown(cancel_futures=True)  # who stops the run begins no further session
    chosen = [code for code in codes if code != NOTHING_CHOSEN]
    return max(chosen, key=abs, default=NOTHING_CHOSEN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
