"""When a certificate should be renewed, for whoever asks (RFC 9773 4).

Rules: nobody shows who he is, since who knows a serial has the certificate; what was told is kept in memory, bounded,
and told again without asking the database, until the settings or any certificate's row change; the row is found by the
id in the serial, so that an unknown one costs one look at an index. When a certificate was last asked about is kept
too: its client is alive.
"""

from __future__ import annotations

from dayfly.authority.context import Authority
from dayfly.authority.renewals_told import Standing, Told
from dayfly.core.acme.objects import Certificate
from dayfly.core.acme.renewal_info import (
    CertificateId,
    Renewal,
    parse_certificate_id,
    plan_renewal_info,
    render_renewal_info,
    retry_after,
)
from dayfly.core.fleet.reissuing import find_reissue, turn_of
from dayfly.core.ids import serial_row_id
from dayfly.core.problems import NoSuchResource
from dayfly.core.settings.revisions import Settings
from dayfly.core.x509.leaf import authority_key_id
from dayfly.errors import NotFound


async def renewal_info(authority: Authority, provisioner: str, text: str) -> tuple[bytes, int]:
    """The RenewalInfo document and the seconds of its Retry-After; Malformed, NoSuchResource."""
    settings, _ = await authority.acme_grant(provisioner)
    infos = authority.renewal_infos
    standing = Standing(settings.revision, await authority.store.renewals.changes())  # before the row, never after it
    told = infos.get(text, standing)
    if told is None:
        certificate = await find_named(authority, parse_certificate_id(text))
        if certificate is None:
            raise NoSuchResource("this CA has issued no certificate with this identifier")
        renewal = renewal_of(authority, settings, certificate)
        told = Told(certificate.id, render_renewal_info(renewal), renewal.wait)
        infos.put(text, told, standing)
    infos.polled(told.certificate_id, authority.clock.now())
    return told.body, retry_after(told.wait, authority.jitter())


async def find_named(authority: Authority, named: CertificateId) -> Certificate | None:
    """The certificate of this serial whose issuer has this key identifier; None where there is none."""
    try:
        certificate = await authority.store.certificates.certificate(serial_row_id(named.serial))
    except NotFound:
        return None
    is_meant = certificate.serial == named.serial and authority_key_id(certificate.der) == named.key_id
    return certificate if is_meant else None


def renewal_of(authority: Authority, settings: Settings, certificate: Certificate) -> Renewal:
    """When this certificate should be renewed, by what is stored of it and by the settings."""
    reissue = find_reissue(settings.reissues, certificate)
    page = authority.explanation_url
    return plan_renewal_info(
        certificate.not_before,
        certificate.not_after,
        revoked_at=certificate.revoked_at,
        forced=None if reissue is None else turn_of(reissue, certificate),
        explanation_url=page if reissue is None else reissue.explanation_url or page,
    )
