"""The CA's own certificates: a root, and an intermediate that issues (RFC 5280 4.2.1.9, step-compat.md part 11)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from dayfly.core.x509.constraints import NameConstraints, render_constraints
from dayfly.core.x509.unreadable import ABSENT, UNREADABLE, UNSIGNED
from dayfly.errors import DayflyError

AuthorityKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""What an existing root may sign with; our own are P-256."""

_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class HierarchyError(DayflyError):
    """Certificates do not make a hierarchy that can issue; the text says which, and why."""


def _name(organization: str, common_name: str) -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
    ]
    return x509.Name(attributes)


def _ca_certificate(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    path_length: int,
) -> x509.CertificateBuilder:
    """What root and intermediate have in common."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def build_root(
    *, name: str, key: ec.EllipticCurvePrivateKey, serial: int, not_before: datetime, not_after: datetime
) -> bytes:
    """The self-signed root (DER) of a CA called `name`."""
    subject = _name(name, f"{name} Root CA")
    builder = _ca_certificate(
        subject, key.public_key(), serial=serial, not_before=not_before, not_after=not_after, path_length=1
    )
    return builder.issuer_name(subject).sign(key, SHA256()).public_bytes(Encoding.DER)


def build_intermediate(
    *,
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: bytes,
    issuer_key: AuthorityKey,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    constraints: NameConstraints | None = None,
) -> bytes:
    """The issuing certificate (DER) under the root `issuer` (DER), which it does not outlive."""
    root = x509.load_der_x509_certificate(issuer)
    builder = _ca_certificate(
        _name(name, f"{name} Intermediate CA"),
        public_key,
        serial=serial,
        not_before=max(not_before, root.not_valid_before_utc),
        not_after=min(not_after, root.not_valid_after_utc),
        path_length=0,
    )
    if constraints is not None:
        builder = builder.add_extension(render_constraints(constraints), critical=True)
    return (
        builder.issuer_name(root.subject)
        .add_extension(_authority_key_identifier(root), critical=False)
        .sign(issuer_key, _digest(issuer_key))
        .public_bytes(Encoding.DER)
    )


def _authority_key_identifier(root: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """As the root says it in its SKI, else as RFC 5280 4.2.1.2 computes it."""
    try:
        found = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = root.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
            raise HierarchyError("the root's key is neither EC, RSA nor Ed25519") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _digest(key: AuthorityKey) -> SHA256 | SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256 else SHA256()


def build_intermediate_request(
    *, name: str, key: ec.EllipticCurvePrivateKey, constraints: NameConstraints | None = None
) -> bytes:
    """A request (DER) for the issuing certificate, for a root that lives elsewhere."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(name, f"{name} Intermediate CA"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if constraints is not None:
        builder = builder.add_extension(render_constraints(constraints), critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def check_root(der: bytes, *, now: datetime) -> None:
    """Raise HierarchyError where a certificate cannot be the root above an issuing one."""
    root = load_authority(der, "the root")
    if root.issuer != root.subject:
        raise HierarchyError("the root is not self-signed; name the root itself, and its intermediates in the chain")
    check_signed(root, root, "the root")
    check_authority(root, "the root", below=1)
    _check_now(root, "the root", now)


def check_issuing_chain(chain: Sequence[bytes], root: bytes, *, spki: bytes, now: datetime) -> None:
    """Raise HierarchyError where `chain` (DER, issuer first, without the root) cannot issue under `root` (RFC 5280 6).

    1. The issuing certificate is for our key, which is `spki`.
    2. Every certificate is a CA's, valid now, and allowed as many CAs below it as there are.
    3. Every signature up to the root verifies.
    """
    check_root(root, now=now)
    certificates = [load_authority(der, "a certificate of the chain") for der in chain]
    if not certificates:
        raise HierarchyError("the chain holds no issuing certificate besides the root")
    found = certificates[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if found != spki:
        raise HierarchyError("the first certificate of the chain is for another key than the one that was made here")
    for below, (one, issuer) in enumerate(pairwise([*certificates, load_authority(root, "the root")])):
        what = "the issuing certificate" if below == 0 else "an intermediate above it"
        check_authority(one, what, below=below)
        _check_now(one, what, now)
        check_signed(one, issuer, what)


def load_authority(der: bytes, what: str) -> x509.Certificate:
    """The certificate; HierarchyError where it cannot be read."""
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE:
        raise HierarchyError(f"{what} is not a certificate that can be read") from None


def check_authority(certificate: x509.Certificate, what: str, *, below: int) -> None:
    """Raise HierarchyError unless it is a CA's, under which `below` more may stand (RFC 5280 4.2.1.9, 4.2.1.3)."""
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except ABSENT:
        raise HierarchyError(f"{what} has no basic constraints or no key usage, so it is no CA's") from None
    if not basic.ca or not usage.key_cert_sign:
        raise HierarchyError(f"{what} may not sign certificates: CA:TRUE and keyCertSign are needed")
    if basic.path_length is not None and basic.path_length < below:
        raise HierarchyError(f"{what} allows {basic.path_length} CAs below it, and there are {below}")


def _check_now(certificate: x509.Certificate, what: str, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        end = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise HierarchyError(f"{what} is not valid now; it ends at {end}")


def check_signed(certificate: x509.Certificate, issuer: x509.Certificate, what: str) -> None:
    """Raise HierarchyError unless `issuer` has signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except UNSIGNED:
        raise HierarchyError(f"{what} was not signed by what stands above it in the chain") from None
