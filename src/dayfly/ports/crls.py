"""The newest revocation list of each partition, kept for all processes.

Rules: they are no part of a change set or of the log; what is on a list was revoked by a commit before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dayfly.core.x509.crl import RevokedLeaf


@dataclass(frozen=True, slots=True)
class CRLHead:
    """What is known of a partition's newest CRL; `digest` tells its issuer and entries (core/x509/crl)."""

    partition: int
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class StoredCRL:
    """A partition's newest CRL, `der` as it was signed."""

    head: CRLHead
    der: bytes


class CRLs(Protocol):
    """The newest CRL of each partition, for all processes; no part of the log, since its entries are in there."""

    async def crl(self, partition: int) -> StoredCRL | None:
        """The newest of this partition."""
        ...

    async def heads(self) -> tuple[CRLHead, ...]:
        """Those of all partitions, ascending; a bounded number, for a partition is a day."""
        ...

    async def revoked(self, begin: datetime, end: datetime) -> tuple[RevokedLeaf, ...]:
        """The revoked leaves that need a CRL and have their notAfter from `begin` on and before `end`."""
        ...

    async def keep(self, crl: StoredCRL, *, after: int) -> None:
        """Put it in place of number `after`, 0 for none; Conflict where another is the newest."""
        ...

    async def drop(self, before: int) -> int:
        """Forget partitions below `before`; how many."""
        ...
