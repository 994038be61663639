"""A checked certificate and its key, made into the files and the description of a generation."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dayfly.agent.checking import Checked
from dayfly.agent.installing import Meta, Pair
from dayfly.agent.settings import CertificateSettings


def make_pair(checked: Checked, *, key: bytes, root: x509.Certificate) -> Pair:
    """The files' content: leaf, chain in order, key, and the one root."""
    chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in checked.chain)
    return Pair(checked.leaf.public_bytes(Encoding.PEM), chain, key, root.public_bytes(Encoding.PEM))


def describe(checked: Checked, settings: CertificateSettings, *, root: x509.Certificate, now: datetime) -> Meta:
    """The description; its number and its files' digests are filled in when it is staged."""
    leaf = checked.leaf
    issuer = checked.chain[0] if checked.chain else root
    return Meta(
        generation=0,
        serial=f"{leaf.serial_number:x}",
        fingerprint=hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest(),
        names=settings.names,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        key_type=settings.key_type,
        issuer=_common_name(issuer),
        installed_at=now,
        files={},
    )


def _common_name(certificate: x509.Certificate) -> str:
    values = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""
