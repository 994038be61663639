"""The CA's own certificates: a root, and an intermediate that issues (RFC 5280 4.2.1.9, step-compat.md part 11)."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

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
    issuer_key: ec.EllipticCurvePrivateKey,
    serial: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """The issuing certificate (DER) under the root `issuer` (DER)."""
    root = x509.load_der_x509_certificate(issuer)
    builder = _ca_certificate(
        _name(name, f"{name} Intermediate CA"),
        public_key,
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        path_length=0,
    )
    root_id = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        builder.issuer_name(root.subject)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False)
        .sign(issuer_key, SHA256())
        .public_bytes(Encoding.DER)
    )
