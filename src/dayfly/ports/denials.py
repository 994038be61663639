"""The names that policy refused, kept for an admin.

Rules: they are no part of a change set, of the log or of any decision; each write is durable when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dayfly.core.policy.denials import KeptDenial


class Denials(Protocol):
    """Names that policy refused, for an admin; no part of the log, bounded, and of no weight for any decision."""

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        """Store each with its id, or count an equal one up, whose id stays; the ids, in order.

        Then those met longest ago go, first of each `first_by` until no more than his share of `keep` are left, then of
        all until `keep` are. Durable when it returns. Conflict, with nothing written, where another denial has the id
        of a new one, or had it within ID_REST before, or where the asker's gone ones have used up MOST_GONE ids.
        """
        ...

    async def denial(self, denial_id: str) -> KeptDenial:
        """The denial with this id; NotFound."""
        ...

    async def newest(self, *, limit: int) -> tuple[KeptDenial, ...]:
        """Those met last, newest first, at most `limit`."""
        ...
