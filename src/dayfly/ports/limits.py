"""What was used of the limits, known to all workers of a host.

Rules: bounded, and forgotten by a restart; where there is no room an old entry goes, and nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Protocol

Step = Callable[[datetime | None], datetime | None]


class Buckets(Protocol):
    """What was used of each limit by each key, as the moment until which that is paid for; bounded, and forgetful.

    Keys are values whose `repr` is the same in every worker. Where there is no room the entry goes that is free the
    soonest, or was used longest ago.
    """

    def look(self, limit: str, key: Hashable) -> datetime | None:
        """The moment; None where nothing is known."""
        ...

    def change(self, limit: str, key: Hashable, step: Step) -> None:
        """Let `step` make the new moment of the present one, alone; where it gives None nothing changes."""
        ...

    def forget(self, limit: str, key: Hashable) -> None:
        """Nothing is known of this key any more."""
        ...
