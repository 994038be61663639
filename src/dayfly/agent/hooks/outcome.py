"""What came of a hook; one value for every mechanism."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HookOutcome:
    """`ok`, and a phrase for a person: `exit 0`, `exit 3`, `timed out after 30 s`, `HUP sent to 812`."""

    ok: bool
    text: str
    output: str = ""
