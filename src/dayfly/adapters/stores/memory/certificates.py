"""Certificates in memory: their rows, their lines, what renewal information rests on, and the revocation lists."""

from __future__ import annotations

from datetime import datetime

from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import Account, Certificate
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.x509.crl import RevokedLeaf
from dayfly.core.x509.partitions import needs_crl
from dayfly.core.x509.reasons import SUPERSEDED
from dayfly.errors import Conflict, NotFound
from dayfly.ports.crls import CRLHead, StoredCRL
from dayfly.ports.reads import KeyBar


class MemoryCertificates:
    """Certificates."""

    def __init__(self, rows: dict[int, Certificate], compromised: set[str], accounts: dict[int, Account]) -> None:
        """Read these rows, these hashes of keys, and the keys of these accounts."""
        self._rows = rows
        self._compromised = compromised
        self._accounts = accounts

    async def certificate(self, certificate_id: int) -> Certificate:
        """The certificate with this row id; NotFound."""
        if certificate_id not in self._rows:
            raise NotFound(f"no certificate {certificate_id:016x}")
        return self._rows[certificate_id]

    async def certificates(self, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of certificates by id."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key > after)[:limit]

    async def live_certificates(self, now: datetime, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of those that live at `now`."""
        everything = await self.certificates(after=after, limit=len(self._rows))
        return tuple(one for one in everything if one.not_after >= now and one.revoked_at is None)[:limit]

    async def issuances(self, *, limit: int) -> tuple[Issuance, ...]:
        """What accounts were given of the newest `limit` certificates."""
        newest = [self._rows[key] for key in sorted(self._rows, reverse=True)[:limit]]
        return tuple(
            Issuance(one.account_id, frozenset(name.value for name in one.names), one.not_before, one.not_after)
            for one in newest
            if one.account_id is not None and one.revoked_at is None
        )

    async def line_revoked_at(self, certificate_id: int) -> datetime | None:
        """When this certificate, or one that it was renewed from, was revoked."""
        return revoked_in_line(self._rows, certificate_id)

    async def is_compromised(self, spki_hash: str) -> bool:
        """Does this key get no certificate any more?"""
        return spki_hash in self._compromised

    async def key_bar(self, spki_hash: str, thumbprint: str) -> KeyBar | None:
        """Why this key gets no certificate."""
        if spki_hash in self._compromised:
            return KeyBar.COMPROMISED
        return KeyBar.ACCOUNT if thumbprint in {one.thumbprint for one in self._accounts.values()} else None


def revoked_in_line(rows: dict[int, Certificate], certificate_id: int) -> datetime | None:
    """When the first that is revoked was, from this certificate back; superseded ones before it do not count.

    The line begins with the certificate that an order gave: that owes nothing to the key of the one before.
    """
    at: int | None = certificate_id
    while at is not None and at in rows:
        one = rows[at]
        if one.revoked_at is not None and (at == certificate_id or one.revocation_reason != SUPERSEDED):
            return one.revoked_at
        at = one.parent_id if one.order_id is None else None
    return None


class MemoryRenewals:
    """What renewal information rests on beside the certificates."""

    def __init__(self, rows: dict[int, Certificate]) -> None:
        """Read these rows; none was changed yet."""
        self._rows = rows
        self.changed = 0

    async def is_replaced(self, certificate_id: int) -> bool:
        """Was a certificate issued to an order that named this one?"""
        return any(one.parent_id == certificate_id and one.order_id is not None for one in self._rows.values())

    async def changes(self) -> int:
        """How many rows were changed after they were made."""
        return self.changed


class MemoryCRLs:
    """The newest CRL of each partition."""

    def __init__(self, certificates: dict[int, Certificate]) -> None:
        """None yet; revoked leaves are among these rows."""
        self._certificates = certificates
        self._rows: dict[int, StoredCRL] = {}

    async def crl(self, partition: int) -> StoredCRL | None:
        """The newest of this partition."""
        return self._rows.get(partition)

    async def heads(self) -> tuple[CRLHead, ...]:
        """Those of all partitions."""
        return tuple(self._rows[one].head for one in sorted(self._rows))

    async def revoked(self, begin: datetime, end: datetime) -> tuple[RevokedLeaf, ...]:
        """The revoked leaves that need a CRL and end in this span."""
        return tuple(
            RevokedLeaf(one.serial, one.revoked_at.replace(microsecond=0), one.revocation_reason or 0)
            for one in self._certificates.values()
            if one.revoked_at is not None
            and begin <= one.not_after < end
            and needs_crl(Validity(one.not_before, one.not_after))
        )

    async def keep(self, crl: StoredCRL, *, after: int) -> None:
        """Put it in place of number `after`."""
        newest = self._rows.get(crl.head.partition)
        if (newest.head.number if newest is not None else 0) != after:
            raise Conflict("another CRL of this partition was made meanwhile")
        self._rows[crl.head.partition] = crl

    async def drop(self, before: int) -> int:
        """Forget partitions below `before`."""
        gone = [one for one in self._rows if one < before]
        for one in gone:
            del self._rows[one]
        return len(gone)
