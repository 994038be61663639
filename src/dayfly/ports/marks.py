"""Who of the workers of a host validates what.

Rules: a mark ends with the process that set it; where the board is full less is shared, and nothing fails.
"""

from __future__ import annotations

from typing import Protocol

from dayfly.core.acme.objects import AuthorizationRef

MARK_TEXT = 480
"""Octets of text that a mark on the board can have."""


class MarkBoard(Protocol):
    """Where the processes of one host mark what each of them validates, so that none does it a second time.

    A mark stands until it is released or its process has died. The text, of at most MARK_TEXT octets, is the holder's
    own. A full board shares no more marks: `claim` is then True, and `look` finds nothing.
    """

    def claim(self, ref: AuthorizationRef, text: bytes) -> bool:
        """Mark it as this process's; False where the mark of another one stands."""
        ...

    def look(self, ref: AuthorizationRef) -> bytes | None:
        """The text of the mark that stands, None where there is none."""
        ...

    def note(self, ref: AuthorizationRef, text: bytes) -> None:
        """Put another text on a mark of this process."""
        ...

    def release(self, ref: AuthorizationRef) -> None:
        """Take a mark of this process away."""
        ...
