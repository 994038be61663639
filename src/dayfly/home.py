"""Which directory: --home, else DAYFLY_HOME, else .dayfly in the user's home."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "DAYFLY_HOME"


def resolve_home(option: str | None, environment: Mapping[str, str], user_home: Path) -> Path:
    """The home directory that a command works in, absolute."""
    chosen = option or environment.get(VARIABLE)
    return Path(chosen).absolute() if chosen else user_home / ".dayfly"
