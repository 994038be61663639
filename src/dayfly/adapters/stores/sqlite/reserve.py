"""Room on the disk that is kept for a bad day: a file beside the database, given back when the disk is full (R4).

Rules: a server makes it at its start, and every process of the home looks at it; while it is spent only what takes
something away is written, and the CA's own certificate, so that the room is not used up by what it is not for; it is
made again as soon as there is room for it. Where it could not be made at first there is none, and nothing is held back.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from dayfly.adapters.stores.sqlite.files import ROOM, room_at
from dayfly.core.events import (
    AccountDeactivated,
    AccountRevoked,
    CertificateIssued,
    CertificateRevoked,
    ExternalKeyRevoked,
    IssueKind,
)
from dayfly.ports.changes import Changes

_LOG = logging.getLogger("dayfly.store")

SIZE = 2 * 1024 * 1024  # octets; a revocation takes 11,000 of the write-ahead log, which is made to begin anew, and 200
AGAIN = 1.0  # seconds between two tries to have it back
_TAKES_AWAY = (CertificateRevoked, AccountRevoked, AccountDeactivated, ExternalKeyRevoked)


def is_urgent(changes: Changes) -> bool:
    """May it use the reserve? A revocation, and the own certificate, without which nobody could ask for one."""
    if changes.compromised_keys:
        return True
    for event in changes.events:
        if isinstance(event, _TAKES_AWAY):
            return True
        if isinstance(event, CertificateIssued) and event.kind is IssueKind.INTERNAL:
            return True
    return False


class Reserve:
    """The file of one database: full, empty once it is spent, or not there."""

    def __init__(self, database: Path) -> None:
        """Look at nothing yet."""
        self._path = f"{database}-reserve"
        self._tried = -AGAIN

    def make(self) -> None:
        """Have it, where there is room; where there is none for the first one, go without and say so."""
        is_new = not os.path.exists(self._path)  # noqa: PTH110 - a string, as below
        if not self._fill() and is_new:
            with suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108
            _LOG.warning("there is no room for a reserve: on a full disk nothing can be revoked", extra=self._said())

    def release(self) -> None:
        """Give its room back, where it has some."""
        with suppress(OSError):
            if os.stat(self._path).st_size:  # noqa: PTH116 - as above
                os.truncate(self._path, 0)
                _LOG.warning("the disk is full: only revocations are written until there is room", extra=self._said())

    def is_empty(self) -> bool:
        """Was it given back, and not had again?"""
        try:
            return not os.stat(self._path).st_size  # noqa: PTH116 - a string is quicker, and this runs for each commit
        except OSError:
            return False

    def is_spent(self) -> bool:
        """Is it empty, and is there no room to have it again? Tried once in a while."""
        if not self.is_empty():
            return False
        now = time.monotonic()
        if now - self._tried < AGAIN:
            return True
        self._tried = now
        if room_at(self._path) < SIZE + ROOM or not self._fill():
            return True
        _LOG.warning("there is room on the disk again", extra=self._said())
        return False

    def _fill(self) -> bool:
        """Make it as large as it shall be; False, and empty, where that does not go."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            return False
        finally:
            os.close(descriptor)
        return True

    def _said(self) -> dict[str, str]:
        return {"path": self._path}
