"""Is a certificate on a CRL, and may that CRL answer for it (RFC 5280 6.3)?

Rules: a CRL that is not its issuer's, not signed, not of now, or not for this certificate says nothing, and what says
nothing is an error and never a yes.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dayfly.core.x509.chain import ChainError
from dayfly.core.x509.unreadable import UNREADABLE

_NO_REV_AVAIL = x509.ObjectIdentifier("2.5.29.56")
_KNOWN = frozenset({x509.ObjectIdentifier("2.5.29.28")})  # of the critical extensions: issuingDistributionPoint


def needs_no_crl(certificate: x509.Certificate) -> bool:
    """Does it say that nobody will tell of its revocation (RFC 9608)?"""
    return any(one.oid == _NO_REV_AVAIL for one in certificate.extensions)


def crl_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URLs of plain HTTP by which it names its CRL, in order (RFC 5280 4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    names = [name for point in points for name in point.full_name or []]
    return tuple(
        one.value
        for one in names
        if isinstance(one, x509.UniformResourceIdentifier) and one.value.lower().startswith("http://")
    )


def check_not_revoked(der: bytes, certificate: x509.Certificate, issuer: x509.Certificate, *, now: datetime) -> None:
    """Raise ChainError where the CRL (DER) says that the certificate is revoked, or cannot say anything of it.

    1. It is the issuer's, by name and signature.  2. It is of now.  3. It is for this certificate.  4. The entry.
    """
    try:
        crl = x509.load_der_x509_crl(der)
        _check_signature(crl, certificate, issuer)
        _check_times(crl, now)
        _check_scope(crl, certificate)
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    except UNREADABLE:
        raise ChainError("the CRL cannot be read") from None
    if entry is not None:
        raise ChainError(f"the certificate was revoked at {_text(entry.revocation_date_utc)}{_reason(entry)}")


def _check_signature(
    crl: x509.CertificateRevocationList, certificate: x509.Certificate, issuer: x509.Certificate
) -> None:
    key = issuer.public_key()
    if crl.issuer != certificate.issuer or not isinstance(
        key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
    ):
        raise ChainError("the CRL is another issuer's")
    if not crl.is_signature_valid(key):
        raise ChainError("the CRL is not signed by the certificate's issuer")


def _check_times(crl: x509.CertificateRevocationList, now: datetime) -> None:
    if now < crl.last_update_utc:
        raise ChainError(f"the CRL is valid from {_text(crl.last_update_utc)} on", hint="is this clock right?")
    if crl.next_update_utc is None or now >= crl.next_update_utc:
        raise ChainError("the CRL is over, so it says nothing of now", hint="is the CA running?")


def _check_scope(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> None:
    """The list is for certificates that name it, and for all reasons."""
    if any(one.critical and one.oid not in _KNOWN for one in crl.extensions):
        raise ChainError("the CRL has a critical extension that is not known here")
    try:
        point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return
    partial = (
        point.only_contains_ca_certs, point.only_contains_attribute_certs, point.only_some_reasons, point.indirect_crl,
    )  # fmt: skip
    names = {name.value for name in point.full_name or [] if isinstance(name, x509.UniformResourceIdentifier)}
    if any(partial) or (point.full_name is not None and not names & set(crl_urls(certificate))):
        raise ChainError("the CRL is for other certificates")


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return f": {entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value}"
    except x509.ExtensionNotFound:
        return ""


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
