"""Marks: which authorizations are being validated right now, and how far that is (acme.md part 7).

Rules: a mark is set before the work is dispatched, so that parallel answers give one validation; it is not durable:
after a restart the challenge is pending, and the next answer starts it anew; this file is all that other code knows
of where marks are kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dayfly.core.acme.objects import AuthorizationRef, StoredProblem


@dataclass(frozen=True, slots=True)
class Mark:
    """A validation under way: whose, of which challenge type, the tries made, and the last try's error."""

    account_id: int
    challenge_type: str
    tries: int = 0
    error: StoredProblem | None = None


class Marks:
    """The marks of one process."""

    def __init__(self) -> None:
        """Nothing is under way yet."""
        self._marks: dict[AuthorizationRef, Mark] = {}
        self._of_account: Counter[int] = Counter()

    def __len__(self) -> int:
        """How many validations wait or run."""
        return len(self._marks)

    def count(self, account_id: int) -> int:
        """How many of them are this account's."""
        return self._of_account[account_id]

    def find(self, ref: AuthorizationRef) -> Mark | None:
        """The mark of this authorization."""
        return self._marks.get(ref)

    def set(self, ref: AuthorizationRef, mark: Mark) -> bool:
        """Set it, unless the authorization has one already; whether it was set."""
        if ref in self._marks:
            return False
        self._marks[ref] = mark
        self._of_account[mark.account_id] += 1
        return True

    def change(self, ref: AuthorizationRef, mark: Mark) -> None:
        """Show how far a validation is that is under way."""
        self._marks[ref] = mark

    def clear(self, ref: AuthorizationRef) -> None:
        """The validation has ended."""
        mark = self._marks.pop(ref)
        self._of_account[mark.account_id] -= 1
        if not self._of_account[mark.account_id]:
            del self._of_account[mark.account_id]
