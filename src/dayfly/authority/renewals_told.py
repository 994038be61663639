"""What this process told of renewals, and who asked (RFC 9773 4): in memory, bounded.

Rules: an answer is told again as long as all that it rests on stands as it stood; one that was made meanwhile, on what
does not stand any more, is not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

KEPT = 20_000  # certificates; some 12 MB


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a certificate, and how long its client waits before it asks again."""

    certificate_id: int
    body: bytes
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Standing:
    """What an answer rests on: the revision of the settings, and the count of changes of certificates."""

    revision: int
    changes: int


class RenewalInfos:
    """What this process told, by the identifier, and when each certificate was last asked about."""

    def __init__(self, *, most: int = KEPT) -> None:
        """Nobody has asked yet."""
        self._most = most
        self._standing: Standing | None = None
        self._told: OrderedDict[str, Told] = OrderedDict()
        self._polls: OrderedDict[int, datetime] = OrderedDict()

    def get(self, text: str, standing: Standing) -> Told | None:
        """What was told of a certificate while all stood as it stands now."""
        if standing != self._standing:
            self._told.clear()
            self._standing = standing
        return self._told.get(text)

    def put(self, text: str, told: Told, standing: Standing) -> None:
        """It was told just now, as all stood then; what was told longest ago is forgotten where there is too much."""
        if standing != self._standing:
            return
        self._told[text] = told
        if len(self._told) > self._most:
            self._told.popitem(last=False)

    def polled(self, certificate_id: int, now: datetime) -> None:
        """Somebody asked about this certificate."""
        self._polls[certificate_id] = now
        self._polls.move_to_end(certificate_id)
        if len(self._polls) > self._most:
            self._polls.popitem(last=False)

    def last_poll(self, certificate_id: int) -> datetime | None:
        """When somebody last asked this process about the certificate; None where nobody did, or it is forgotten."""
        return self._polls.get(certificate_id)

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._told)
