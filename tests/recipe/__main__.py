"""`make recipe`: the recipe word for word, shown as it goes; exit 1 on any deviation."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from recipe.machines import why_not
from recipe.story import Deviation, play_at_terminal, play_without_terminal


def show(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play it both ways."""
    if why := why_not():
        show(f"error: {why}")
        return 1
    try:
        for play in (play_at_terminal, play_without_terminal):
            with tempfile.TemporaryDirectory(prefix="dayfly-recipe-") as where:
                play(Path(where), show)
    except Deviation as deviation:
        show(f"DEVIATION: {deviation}")
        return 1
    except subprocess.SubprocessError as error:
        show(f"error: {error}: {getattr(error, 'stderr', '')}")
        return 1
    show("the recipe works as it stands, at a terminal and without one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
