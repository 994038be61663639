"""How long commands take from start to end: medians of twenty runs, one after the other.

    python bench/startup.py

Modules are compiled once before the first run, as they are where Dayfly is installed. The
clock's figures are those of a quiet machine only where it is one; the processor's say what others do not.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 20
LIMITS = {"--help": 120, "certificate needs-renewal": 200}  # milliseconds


def measure(arguments: list[str], variables: dict[str, str]) -> list[tuple[float, float]]:
    """Milliseconds of each run, by the clock and of the processor, after one that does not count."""
    command = [sys.executable, "-m", "dayfly", *arguments]
    found = []
    for number in range(RUNS + 1):
        begin, before = time.perf_counter(), children_cpu()
        subprocess.run(command, env=variables, capture_output=True, check=False)  # noqa: S603 - our own command
        if number:
            found.append(((time.perf_counter() - begin) * 1000, (children_cpu() - before) * 1000))
    return found


def children_cpu() -> float:
    """Seconds of processor that children have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_certificate(where: Path, variables: dict[str, str]) -> Path:
    """A certificate to look at."""
    home = where / "ca"
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "dayfly", "ca", "init", "--pki", "--no-password", "--name", "x", "--home", str(home)],
        env=variables, capture_output=True, check=True,
    )  # fmt: skip
    return home / "certs" / "root_ca.crt"


def main() -> int:
    """Print the figures; 1 where a median is above its limit."""
    with tempfile.TemporaryDirectory() as place:
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        variables["PYTHONPYCACHEPREFIX"] = f"{place}/compiled"
        certificate = make_certificate(Path(place), variables)
        cases = {
            "--help": ["--help"],
            "ca --help": ["ca", "--help"],
            "certificate needs-renewal": ["certificate", "needs-renewal", str(certificate)],
            "version": ["version"],
        }
        failed = 0
        for name, arguments in cases.items():
            walls, cpus = zip(*measure(arguments, variables), strict=True)
            median, limit = statistics.median(walls), LIMITS.get(name)
            failed += limit is not None and median > limit
            against = f", limit {limit}" if limit else ""
            spread = f"{min(walls):.0f} to {max(walls):.0f}{against}"
            print(f"dayfly {name:<26} median {median:4.0f} ms ({spread})   cpu {statistics.median(cpus):4.0f} ms")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
