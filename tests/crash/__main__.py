"""`make crash`: 200 kills, or N=, from a seed that is printed, or SEED=; exit 1 on a fault."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from crash.killing import Plan, run


def tell(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run, print the figures, and say whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    plan = Plan(options.rounds, options.seed, options.clients, workers=options.workers)
    tell(f"seed {plan.seed}: replay with make crash N={plan.rounds} SEED={plan.seed}")
    with tempfile.TemporaryDirectory(prefix="dayfly-crash-") as where:
        figures = run(Path(where), plan, tell=tell)
    for line in figures.lines():
        tell(line)
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
