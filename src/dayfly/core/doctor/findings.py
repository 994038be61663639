"""A finding: what one check says, by its code.

Rules: a check that passes says so too; one that could not look says `unknown` and never passes; a problem fails the
command, a warning only where it is asked to; each finding but a pass has the next thing to run or to change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dayfly.core.doctor.catalogue import CATALOGUE, Level


@dataclass(frozen=True, slots=True)
class Mend:
    """A change that is safe: this path gets this mode."""

    path: str
    mode: int


class Group(StrEnum):
    """The rows of the report, in their order."""

    HOST = "Host"
    FILES = "Files"
    CA = "CA"
    CLIENT = "Client"
    AGENT = "Agent"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says: `says` in words, `next_step` to run or to change, `mend` where it is a mode alone."""

    code: str
    level: Level
    group: Group
    says: str
    next_step: str = ""
    mend: Mend | None = None


def passed(code: str, group: Group, says: str) -> Finding:
    """The check found nothing wrong."""
    return Finding(code, Level.OK, group, says)


def unknown(code: str, group: Group, says: str, *, next_step: str = "") -> Finding:
    """The check could not look."""
    return Finding(code, Level.UNKNOWN, group, says, next_step)


def wrong(
    code: str, group: Group, says: str, *, next_step: str, mend: Mend | None = None, level: Level | None = None
) -> Finding:
    """Something is wrong, as gravely as the catalogue says, or as `level` does."""
    return Finding(code, level or CATALOGUE[code].level, group, says, next_step, mend)


def settle(findings: Iterable[Finding], *, otherwise: Finding) -> tuple[Finding, ...]:
    """The findings, or that all is well."""
    return tuple(findings) or (otherwise,)
