"""Marks: which authorizations are being validated right now, and how far that is (acme.md part 7).

Rules: a mark is set before the work is dispatched, so that parallel answers give one validation; it is not durable:
after a restart the challenge is pending, and the next answer starts it anew; this file is all that other code knows
of where marks are kept: in this process, and where there are several on a board that they share.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from dayfly.core.acme.objects import AuthorizationRef, StoredProblem
from dayfly.core.frozen import replace
from dayfly.ports.marks import MARK_TEXT, MarkBoard


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A validation under way: whose, of which challenge type, the tries made, and the last try's error."""

    account_id: int
    challenge_type: str
    tries: int = 0
    error: StoredProblem | None = None


class Marks:
    """The marks of one process, and through the board those of the others."""

    def __init__(self, board: MarkBoard | None = None) -> None:
        """Nothing is under way here yet; without a `board` this process is alone."""
        self._board = board
        self._marks: dict[AuthorizationRef, Mark] = {}
        self._of_account: Counter[int] = Counter()

    def __len__(self) -> int:
        """How many validations wait or run."""
        return len(self._marks)

    def count(self, account_id: int) -> int:
        """How many of them are this account's."""
        return self._of_account[account_id]

    def find(self, ref: AuthorizationRef) -> Mark | None:
        """The mark of this authorization, whichever process set it."""
        mark = self._marks.get(ref)
        if mark is None and self._board is not None and (text := self._board.look(ref)) is not None:
            return _parse(text)
        return mark

    def set(self, ref: AuthorizationRef, mark: Mark) -> bool:
        """Set it, unless the authorization has one already, here or elsewhere; whether it was set."""
        if ref in self._marks or (self._board is not None and not self._board.claim(ref, _render(mark))):
            return False
        self._marks[ref] = mark
        self._of_account[mark.account_id] += 1
        return True

    def change(self, ref: AuthorizationRef, mark: Mark) -> None:
        """Show how far a validation is that is under way here."""
        self._marks[ref] = mark
        if self._board is not None:
            self._board.note(ref, _render(mark))

    def clear(self, ref: AuthorizationRef) -> None:
        """The validation has ended."""
        mark = self._marks.pop(ref)
        if self._board is not None:
            self._board.release(ref)
        self._of_account[mark.account_id] -= 1
        if not self._of_account[mark.account_id]:
            del self._of_account[mark.account_id]


def _render(mark: Mark) -> bytes:
    """The mark for the board; without its error where that is too long for it."""
    text = msgspec.json.encode(mark)
    return text if len(text) <= MARK_TEXT else msgspec.json.encode(replace(mark, error=None))


def _parse(text: bytes) -> Mark | None:
    """None for a text that cannot be read: its worker was killed while it wrote, and the mark is void in a moment."""
    try:
        return msgspec.json.decode(text, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
