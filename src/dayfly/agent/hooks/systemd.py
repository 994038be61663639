"""`systemctl reload` as a hook: a checked program with a unit's name, run like any other command."""

from __future__ import annotations

from pathlib import Path

_PLACES = (Path("/usr/bin/systemctl"), Path("/bin/systemctl"))


def find_systemctl() -> Path:
    """Where systemctl is; the usual place where it is not there, which the check then names."""
    return next((path for path in _PLACES if path.exists()), _PLACES[0])


def reload_argv(unit: str) -> tuple[str, ...]:
    """The command that reloads `unit`; `--` keeps a unit's name from being an option."""
    return (str(find_systemctl()), "--no-ask-password", "reload", "--", unit)
