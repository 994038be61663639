"""Who hears of events.

Rules: after the commit, and never before it; an observer harms nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dayfly.core.events import Event


class Observer(Protocol):
    """Hears of events, after the commit; it must be quick, and an error in it harms nobody."""

    def notify(self, events: Sequence[Event]) -> None:
        """Take note of the events."""
        ...
