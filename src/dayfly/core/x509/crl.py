"""Certificate revocation lists: the bytes that follow from what was revoked (RFC 5280 5).

Rules: nothing in here decides; the draft holds the exact bytes to be signed, and the lint (crl_lint) reads them back; a
reason that says nothing is left out (5.3.1); a list without entries has no list (5.1.2.6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from dayfly.core.policy.lifetimes import BACKDATE
from dayfly.core.x509 import template
from dayfly.core.x509.der import SEQUENCE, integer, oid, tlv
from dayfly.core.x509.profile import AKI, IssuerFacts
from dayfly.core.x509.reasons import UNSPECIFIED

CRL_NUMBER, IDP, REASON_CODE = oid("2.5.29.20"), oid("2.5.29.28"), oid("2.5.29.21")
ENUMERATED = 0x0A
VERSION_2 = integer(1)
MANY_ENTRIES = 500
REFRESH = 2 / 3  # of its validity, as step-ca has it: a third is left for whoever is away


@dataclass(frozen=True, slots=True)
class RevokedLeaf:
    """One entry: a serial number, since when (whole seconds), and why (RFC 5280 5.3.1)."""

    serial: int
    revoked_at: datetime
    reason: int


@dataclass(frozen=True, slots=True)
class CRLPlan:
    """What a list shall say: its number, its times in whole seconds, its URL, and its entries by serial."""

    number: int
    this_update: datetime
    next_update: datetime
    url: str
    entries: tuple[RevokedLeaf, ...]

    @property
    def is_long(self) -> bool:
        """Does it take more than ten milliseconds to build and lint, at 20 us for an entry?"""
        return len(self.entries) > MANY_ENTRIES


class DraftCRL(msgspec.Struct, frozen=True):
    """The exact bytes to be signed, before anybody judged them."""

    tbs: bytes


def plan_crl(
    revoked: Sequence[RevokedLeaf], *, url: str, last_number: int, validity: timedelta, now: datetime
) -> CRLPlan:
    """The next list of a partition, back-dated for readers whose clock is behind.

    Its number rises by one at least, and is never below the time: a restored database does not repeat one.
    """
    moment = now.replace(microsecond=0)
    return CRLPlan(
        number=max(last_number + 1, int(moment.timestamp())),
        this_update=moment - timedelta(seconds=int(min(BACKDATE, validity / 10).total_seconds())),
        next_update=moment + validity,
        url=url,
        entries=tuple(sorted(revoked, key=lambda one: one.serial)),
    )


def refresh_at(this_update: datetime, next_update: datetime) -> datetime:
    """When the next list is due though nothing was revoked."""
    return this_update + (next_update - this_update) * REFRESH


def entries_digest(revoked: Sequence[RevokedLeaf]) -> bytes:
    """What tells these entries from others, in whatever order they come."""
    rows = sorted(f"{one.serial:x} {one.revoked_at.timestamp():.0f} {one.reason}" for one in revoked)
    return hashlib.sha256("\n".join(rows).encode()).digest()


def content_digest(revoked: Sequence[RevokedLeaf], issuer: IssuerFacts) -> bytes:
    """What tells a list of these entries by this issuer from any other: its name and key count, not its certificate."""
    return hashlib.sha256(issuer.subject + issuer.key_id + entries_digest(revoked)).digest()


def build_crl(plan: CRLPlan, issuer: IssuerFacts) -> DraftCRL:
    """The draft for this plan (RFC 5280 5.1)."""
    parts = [
        VERSION_2,
        issuer.signature_algorithm,
        issuer.subject,
        template.time(plan.this_update),
        template.time(plan.next_update),
    ]
    if plan.entries:
        parts.append(tlv(SEQUENCE, b"".join(map(_entry, plan.entries))))
    extensions = (
        template.extension(AKI, tlv(SEQUENCE, tlv(0x80, issuer.key_id))),
        template.extension(CRL_NUMBER, integer(plan.number)),
        template.extension(IDP, _distribution_point(plan.url), critical=True),
    )
    parts.append(tlv(0xA0, tlv(SEQUENCE, b"".join(extensions))))
    return DraftCRL(tlv(SEQUENCE, b"".join(parts)))


def _entry(entry: RevokedLeaf) -> bytes:
    content = integer(entry.serial) + template.time(entry.revoked_at)
    if entry.reason != UNSPECIFIED:
        reason = template.extension(REASON_CODE, tlv(ENUMERATED, bytes((entry.reason,))))
        content += tlv(SEQUENCE, reason)
    return tlv(SEQUENCE, content)


def _distribution_point(url: str) -> bytes:
    """This list's own name, and that it holds leaves only (RFC 5280 5.2.5)."""
    return tlv(SEQUENCE, tlv(0xA0, template.full_name(url)) + tlv(0x81, b"\xff"))
