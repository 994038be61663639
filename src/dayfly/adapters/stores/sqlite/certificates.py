"""Certificates as SQLite has them, and what renewal information rests on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.adapters.stores.sqlite.recent import RecentRows
from dayfly.adapters.stores.sqlite.statements import (
    CERTIFICATE_CHANGES,
    IS_COMPROMISED,
    IS_REPLACED,
    ISSUANCES,
    KEY_BARS,
    REVOKED_IN_LINE,
)
from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import Certificate
from dayfly.core.ids import make_id
from dayfly.core.policy.lifetimes import LONGEST
from dayfly.errors import NotFound
from dayfly.ports.reads import KeyBar

LONGEST_LIFE = LONGEST + timedelta(days=1)  # of what is not in the index of long ones, and a day of margin
LIVES_LONG = f"not_after - not_before >= {int(LONGEST.total_seconds())}"  # both ends are inside


class CertificateTable:
    """Certificates."""

    _SELECT = f"SELECT {rows.CERTIFICATE_COLUMNS} FROM certificates"  # noqa: S608 - a constant of ours

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not among the recent ones."""
        self._reader = reader
        self._recent = recent

    async def certificate(self, certificate_id: int) -> Certificate:
        """The certificate with this row id; NotFound."""
        known = self._recent.certificate(certificate_id)
        if known is not None:
            return known
        row = self._reader.one(f"{self._SELECT} WHERE id = ?", certificate_id)
        if row is None:
            raise NotFound(f"no certificate {certificate_id:016x}")
        certificate = rows.parse_certificate(row)
        self._recent.keep(certificate)
        return certificate

    async def certificates(self, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of certificates by id."""
        found = self._reader.all(f"{self._SELECT} WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return tuple(map(rows.parse_certificate, found))

    async def live_certificates(self, now: datetime, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """A page of those that live at `now`; ids tell when they were issued, so nothing older than a life is read.

        What may live longer than that is found by an index of its own.
        """
        edge, moment = make_id(int((now - LONGEST_LIFE).timestamp() * 1000), 0, 0), int(now.timestamp())
        living = "not_after >= ? AND revoked_at IS NULL"
        found = []
        if after < edge:
            long = f"{self._SELECT} INDEXED BY long_certificates WHERE {LIVES_LONG} AND id > ? AND id <= ?"
            found = self._reader.all(f"{long} AND {living} ORDER BY id LIMIT ?", after, edge, moment, limit)
        if len(found) < limit:
            rest = f"{self._SELECT} WHERE id > ? AND {living} ORDER BY id LIMIT ?"
            found += self._reader.all(rest, max(edge, after), moment, limit - len(found))
        return tuple(map(rows.parse_certificate, found))

    async def issuances(self, *, limit: int) -> tuple[Issuance, ...]:
        """What accounts were given of the newest `limit` certificates."""
        return tuple(map(rows.parse_issuance, self._reader.all(ISSUANCES, limit)))

    async def line_revoked_at(self, certificate_id: int) -> datetime | None:
        """When this certificate, or one that it was renewed from, was revoked."""
        row = self._reader.one(REVOKED_IN_LINE, certificate_id)
        return None if row is None else datetime.fromtimestamp(row[0], UTC)

    async def is_compromised(self, spki_hash: str) -> bool:
        """Does this key get no certificate any more?"""
        return self._reader.one(IS_COMPROMISED, spki_hash) is not None

    async def key_bar(self, spki_hash: str, thumbprint: str) -> KeyBar | None:
        """Why this key gets no certificate."""
        row = self._reader.one(KEY_BARS, spki_hash, thumbprint)
        return None if row is None else KeyBar(row[0])


class RenewalTable:
    """What renewal information rests on beside the certificates."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not known."""
        self._reader = reader
        self._recent = recent

    async def is_replaced(self, certificate_id: int) -> bool:
        """Was a certificate issued to an order that named this one?"""
        return self._reader.one(IS_REPLACED, certificate_id) is not None

    async def changes(self) -> int:
        """How many rows were changed after they were made."""
        known = self._recent.changes()
        if known is None:
            (known,) = self._reader.one(CERTIFICATE_CHANGES) or (0,)
            self._recent.keep_changes(known)
        return known
