"""A leaf as its holder shows it: what of it counts when it asks for its successor (RFC 5280 4).

Rules: octets that anybody may send are read without raising anything but LeafError; what is read is not believed
before the octets were found among those that this CA issued.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayfly.core.jose.jwk import PublicKey, public_key_of
from dayfly.core.problems import Refused
from dayfly.core.x509.chain import ChainError, load_presented
from dayfly.core.x509.unreadable import UNREADABLE

MAX_OCTETS = 64 * 1024


class LeafError(ValueError):
    """The octets are no certificate that can be read."""


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """What a leaf says; `common_name` is "" where it has none, `is_client` tells clientAuth and digitalSignature."""

    serial: int
    spki: bytes
    key: PublicKey
    common_name: str
    not_before: datetime
    not_after: datetime
    is_client: bool

    @property
    def lifetime(self) -> timedelta:
        """From the first second to the last, both counted."""
        return self.not_after - self.not_before + timedelta(seconds=1)


def read_leaf(der: bytes) -> LeafFacts:
    """The facts of a certificate; LeafError."""
    if len(der) > MAX_OCTETS:
        raise LeafError("the certificate is too large")
    try:
        certificate = load_presented(der)
        key = certificate.public_key()
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return LeafFacts(
            serial=certificate.serial_number,
            spki=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            key=public_key_of(key),
            common_name=str(found[0].value) if found else "",
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            is_client=_is_client(certificate),
        )
    except Refused:
        raise LeafError("the certificate has a key of a kind that is not taken") from None
    except ChainError as error:
        raise LeafError(error.message) from None
    except UNREADABLE:
        raise LeafError("the certificate cannot be read") from None


def authority_key_id(der: bytes) -> bytes:
    """The key identifier of the issuer that a certificate of ours names (RFC 5280 4.2.1.1); b"" where it names none."""
    try:
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return b""
    return found.value.key_identifier or b""


def _is_client(certificate: x509.Certificate) -> bool:
    """Both usages that a client's certificate needs, and none of a CA's."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes and usage.digital_signature and not usage.key_cert_sign
