"""Revocation: a row, an entry of the log, and from that commit on no renewal of the line (step-compat.md part 6).

Rules: the certificate is found by its whole serial; a second revocation is refused, also of two at once; who revoked is
written down; with keyCompromise the key gets no certificate any more, from that commit on. One function revokes,
whoever asked and on whichever face.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from dayfly.authority.context import Authority
from dayfly.authority.holders import Holder
from dayfly.authority.signing import Bearer, already_used, bearer_anew, claim_of
from dayfly.core.acme.objects import Certificate
from dayfly.core.events import CertificateRevoked, Reason
from dayfly.core.ids import serial_row_id
from dayfly.core.policy.keys import spki_hash
from dayfly.core.problems import AlreadyRevoked, NoSuchResource, ServiceUnavailable, Unauthorized
from dayfly.core.step.messages import RevokeRequest
from dayfly.core.x509.leaf import read_leaf
from dayfly.errors import Claimed, Conflict, NotFound
from dayfly.ports import Changes

TRIES = 4
KEY_COMPROMISE = 1  # RFC 5280 5.3.1


async def revoke_by_token(authority: Authority, request: RevokeRequest, bearer: Bearer) -> None:
    """Revoke what a one-time token names. A JWK token may revoke any certificate of this CA.

    1. Its subject is the serial in decimal (Unauthorized, 403).
    2. The certificate is there and not revoked; the commit uses the token up.
    3. A lost race starts over, with the token judged anew: its provisioner may be gone.
    """
    if bearer.claims.subject != str(request.serial):
        raise Unauthorized(
            "the token's subject is not the serial number to revoke, in decimal", reason=Reason.UNAUTHORIZED
        )
    for _ in range(TRIES):
        certificate = await find_by_serial(authority, request.serial)
        relying = Changes(claims=(claim_of(bearer.claims),), settings_revision=bearer.settings.revision)
        by = f"provisioner {bearer.grant.provisioner}"
        try:
            await _revoke_once(authority, certificate, relying, reason=request.reason_code, by=by)
        except Claimed:
            raise already_used() from None
        except Conflict:
            bearer = await bearer_anew(authority, bearer)
            continue
        return
    raise ServiceUnavailable("the certificate or the settings are being changed by others; try again", retry_after=1)


async def revoke_by_holder(authority: Authority, request: RevokeRequest, holder: Holder) -> None:
    """Revoke the certificate of the connection, which is the only one that it may (Unauthorized, 403)."""
    if request.serial != holder.certificate.serial:
        raise Unauthorized(
            "a client certificate revokes itself only; for another serial bring a token", reason=Reason.UNAUTHORIZED
        )
    certificate = holder.certificate
    for _ in range(TRIES):
        try:
            await _revoke_once(authority, certificate, Changes(), reason=request.reason_code, by="its own key")
        except Conflict:
            certificate = await authority.store.certificates.certificate(certificate.id)
            continue
        return
    raise ServiceUnavailable("the certificate is being changed by others; try again", retry_after=1)


async def find_by_serial(authority: Authority, serial: int) -> Certificate:
    """The certificate with this serial; NoSuchResource."""
    try:
        certificate = await authority.store.certificates.certificate(serial_row_id(serial))
    except NotFound:
        certificate = None
    if certificate is None or certificate.serial != serial:
        raise NoSuchResource("this CA has issued no certificate with this serial number")
    return certificate


async def _revoke_once(
    authority: Authority, certificate: Certificate, relying: Changes, *, reason: int, by: str
) -> None:
    """Revoke it for a reason code of RFC 5280 5.3.1, by the one that `by` names; AlreadyRevoked, Conflict, Claimed.

    `relying` has the conditions and claims of the one who asks.
    """
    if certificate.revoked_at is not None:
        raise AlreadyRevoked("the certificate is already revoked", reason=Reason.REVOKED)
    now = authority.clock.now()
    revoked = replace(certificate, revoked_at=now, revocation_reason=reason)
    event = CertificateRevoked(now, certificate.id, certificate.serial, reason, by)
    keys = (spki_hash(read_leaf(certificate.der).spki),) if reason == KEY_COMPROMISE else ()
    await authority.store.commit(
        msgspec.structs.replace(relying, update=(revoked,), compromised_keys=keys, events=(event,))
    )
