"""Revocation: what may be asked for, and what it makes of a certificate (RFC 8555 7.6, RFC 5280 5.3.1).

Rules: a certificate is revoked once and for ever, and when that was never changes; only who proves to hold its key may
change the reason afterwards, and only to keyCompromise; only that proof, or an admin's word, bars a key, for whoever
else speaks may never have had it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from dayfly.core.acme.objects import Account, AccountStatus, AuthorizationStatus, Certificate, Order
from dayfly.core.acme.ordering import as_of
from dayfly.core.acme.payloads import parse_payload
from dayfly.core.events import AccountRevoked, CertificateRevoked, Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier
from dayfly.core.jose.encoding import EncodingError, b64u_decode
from dayfly.core.problems import AlreadyRevoked, BadRevocationReason, Malformed
from dayfly.core.x509.reasons import KEY_COMPROMISE, REASON_CODES, UNSPECIFIED


class RevokeCert(msgspec.Struct, frozen=True):
    """The payload of revokeCert: the certificate as base64url DER, and why."""

    certificate: str
    reason: int | None = None


@dataclass(frozen=True, slots=True)
class AskedRevocation:
    """A payload that was read: the whole certificate (DER), and a reason code that may be given."""

    der: bytes
    reason: int


@dataclass(frozen=True, slots=True)
class Revoker:
    """Who revokes: `by` for the log; whether they `hold_key`, by proof; whether their word alone may bar it."""

    by: str
    holds_key: bool = False
    may_bar_key: bool = False


@dataclass(frozen=True, slots=True)
class RevocationPlan:
    """The row as it shall become, its entry, and whether the key gets nothing any more."""

    certificate: Certificate
    event: CertificateRevoked
    bars_key: bool


def parse_revocation(payload: bytes) -> AskedRevocation:
    """What is asked for; Malformed, or BadRevocationReason for a code that no revocation here has."""
    asked = parse_payload(payload, RevokeCert)
    reason = UNSPECIFIED if asked.reason is None else asked.reason
    if reason not in REASON_CODES:
        codes = ", ".join(map(str, sorted(REASON_CODES)))
        raise BadRevocationReason(f"reason {reason} cannot be given here; one of {codes} (RFC 5280 5.3.1)")
    try:
        return AskedRevocation(b64u_decode(asked.certificate), reason)
    except EncodingError:
        raise Malformed("certificate is not unpadded base64url; send the DER of the certificate, not PEM") from None


def plan_revocation(certificate: Certificate, revoker: Revoker, *, reason: int, now: datetime) -> RevocationPlan:
    """What to write; AlreadyRevoked, unless the reason may become keyCompromise."""
    compromised = reason == KEY_COMPROMISE
    if certificate.revoked_at is not None and not (
        compromised and revoker.holds_key and certificate.revocation_reason != KEY_COMPROMISE
    ):
        raise AlreadyRevoked("the certificate is already revoked", reason=Reason.REVOKED)
    return RevocationPlan(
        replace(certificate, revoked_at=certificate.revoked_at or now, revocation_reason=reason),
        CertificateRevoked(now, certificate.id, certificate.serial, reason, revoker.by),
        bars_key=compromised and (revoker.holds_key or revoker.may_bar_key),
    )


def authorized_names(order: Order, now: datetime, *, but_by: str = "") -> frozenset[Identifier]:
    """The names that the order's account holds a valid authorization for, by this order alone, as of now.

    Those in rows of their own are not among them: an order that has ended holds copies, and the rows count. Nor are
    those that `but_by` vouched for, and does no more.
    """
    current = as_of(order, now).authorizations
    return frozenset(
        one.identifier
        for one in current
        if one.status is AuthorizationStatus.VALID and one.row_id is None and one.validated_by != but_by
    )


def revoke_account(account: Account, *, by: str, now: datetime) -> tuple[Account, AccountRevoked]:
    """The account once the CA has ended it (RFC 8555 7.1.2)."""
    return replace(account, status=AccountStatus.REVOKED), AccountRevoked(now, account.id, account.provisioner, by)
