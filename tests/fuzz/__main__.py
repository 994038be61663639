"""`make fuzz`: the tests beside this file, round after round with another seed, until the time is over or one fails."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROUND = 25  # examples of each test


def say(line: str) -> None:
    """Words, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    """0 when the time is over without a finding; else the code of the round that failed, whose seed stands above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="when no further round begins")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="of the first round")
    options = parser.parse_args()
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < options.seconds:
        seed = options.seed + rounds
        say(f"round {rounds + 1}, seed {seed}, {time.monotonic() - began:.0f} s")
        code = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
                *(f"--hypothesis-seed={seed}", str(HERE)),
            ],
            env={**os.environ, "DAYFLY_FUZZ_EXAMPLES": str(ROUND)},
            check=False,
        ).returncode
        if code:
            say(f"a finding: repeat it with make fuzz SEED={seed} N=1")
            return code
        rounds += 1
    say(f"{rounds} rounds in {time.monotonic() - began:.0f} s, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main())
