"""Revocation: a row, an entry of the log, and from that commit on no renewal of the line (step-compat.md part 6).

Rules: the certificate is found by its whole serial; a second revocation is refused, also of two at once; who revoked is
written down; with keyCompromise the key gets nothing any more, from that commit on. One function revokes, whoever asked
and on whichever face.
"""

from __future__ import annotations

import msgspec

from dayfly.authority.compromises import bar_accounts, barred_keys
from dayfly.authority.context import Authority, Keeping
from dayfly.authority.holders import Holder
from dayfly.authority.signing import Bearer, already_used, bearer_anew, claim_of
from dayfly.core.acme.objects import Certificate
from dayfly.core.acme.revoking import Revoker, plan_revocation
from dayfly.core.events import Reason
from dayfly.core.ids import serial_row_id
from dayfly.core.problems import NoSuchResource, ServiceUnavailable, Unauthorized
from dayfly.core.step.requests import RevokeRequest
from dayfly.errors import Claimed, Conflict, NotFound
from dayfly.ports.changes import Changes

TRIES = 4
ITSELF = Revoker("its own key", holds_key=True)


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
        revoker = Revoker(f"provisioner {bearer.grant.provisioner}", may_bar_key=True)
        try:
            await revoke_once(authority, certificate, relying, revoker, reason=request.reason_code)
        except Claimed:
            raise already_used() from None
        except Conflict:
            bearer = await bearer_anew(authority, bearer)
            continue
        return
    raise being_changed()


async def revoke_by_holder(authority: Authority, request: RevokeRequest, holder: Holder) -> None:
    """Revoke the certificate of the connection, which is the only one that it may (Unauthorized, 403)."""
    if request.serial != holder.certificate.serial:
        raise Unauthorized(
            "a client certificate revokes itself only; for another serial bring a token", reason=Reason.UNAUTHORIZED
        )
    certificate = holder.certificate
    for _ in range(TRIES):
        try:
            await revoke_once(authority, certificate, Changes(), ITSELF, reason=request.reason_code)
        except Conflict:
            certificate = await authority.store.certificates.certificate(certificate.id)
            continue
        return
    raise being_changed()


async def find_by_serial(authority: Keeping, serial: int) -> Certificate:
    """The certificate with this serial; NoSuchResource."""
    try:
        certificate = await authority.store.certificates.certificate(serial_row_id(serial))
    except NotFound:
        certificate = None
    if certificate is None or certificate.serial != serial:
        raise NoSuchResource("this CA has issued no certificate with this serial number")
    return certificate


async def revoke_once(
    authority: Keeping, certificate: Certificate, relying: Changes, revoker: Revoker, *, reason: int
) -> None:
    """Revoke it for a reason code of RFC 5280 5.3.1; AlreadyRevoked, Conflict, Claimed.

    `relying` has the conditions and claims of the one who asks. A key that is barred is barred in that commit, and so
    are the accounts that have it.
    """
    plan = plan_revocation(certificate, revoker, reason=reason, now=authority.clock.now())
    changes = msgspec.structs.replace(relying, update=(plan.certificate,), events=(plan.event,))
    if plan.bars_key:
        await _commit_and_bar(authority, changes, certificate)
    else:
        await authority.store.commit(changes)


async def _commit_and_bar(authority: Keeping, changes: Changes, certificate: Certificate) -> None:
    keys = barred_keys(certificate)
    await authority.store.commit(msgspec.structs.replace(changes, compromised_keys=keys.hashes))
    await bar_accounts(authority, keys, by=f"revocation of {certificate.serial:x}")


def being_changed() -> ServiceUnavailable:
    """Races were lost again and again."""
    return ServiceUnavailable("the certificate or the settings are being changed by others; try again", retry_after=1)
