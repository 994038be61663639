"""What the check of a log found wrong, and where.

Rules: a finding names the entry concerned, where there is one; its text quotes nothing from the store, so that an
edited row cannot speak to a terminal; the number kept is bounded, the number counted is not.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_FINDINGS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `index` is the entry's, None where the fault lies beside the entries."""

    index: int | None
    what: str


class Findings:
    """Findings as they come."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self._kept: list[Finding] = []
        self._dropped = 0
        self.first_bad: int | None = None

    def add(self, index: int | None, what: str) -> None:
        """Note one; beyond the cap it is counted only."""
        if index is not None and (self.first_bad is None or index < self.first_bad):
            self.first_bad = index
        if len(self._kept) < MAX_FINDINGS:
            self._kept.append(Finding(index, what))
        else:
            self._dropped += 1

    @property
    def full(self) -> bool:
        """Are there so many that more effort for one of them is not worth it?"""
        return self._dropped > 0

    def ordered(self) -> tuple[Finding, ...]:
        """By index, those without one at the end; then how many more there were."""
        kept = sorted(self._kept, key=lambda one: (one.index is None, one.index or 0))
        more = (Finding(None, f"{self._dropped} more findings are not listed"),) if self._dropped else ()
        return (*kept, *more)
