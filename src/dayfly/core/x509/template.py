"""The pieces of a certificate in DER: what is constant for a profile is made once, the rest filled in (RFC 5280 4.1).

Rules: nothing in here decides; what comes out is read back by the lint before it is signed.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address

from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.x509.der import (
    BIT_STRING,
    BOOLEAN,
    GENERALIZED_TIME,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTC_TIME,
    UTF8_STRING,
    integer,
    oid,
    tlv,
)

VERSION_3 = tlv(0xA0, integer(2))
TRUE = tlv(BOOLEAN, b"\xff")
COMMON_NAME = oid("2.5.4.3")

_DNS_NAME = 0x82  # GeneralName [2] IA5String
_RFC822_NAME = 0x81  # GeneralName [1] IA5String
_URI = 0x86  # GeneralName [6] IA5String
_IP_ADDRESS = 0x87  # GeneralName [7] OCTET STRING
_URI = 0x86  # GeneralName [6] IA5String
_NO_SEPARATORS = {ord(separator): None for separator in "-:T"}
_Y2050 = 2050  # RFC 5280 4.1.2.5: GeneralizedTime from then on


def extension(identifier: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """One Extension around the DER of its value."""
    return tlv(SEQUENCE, identifier + (TRUE if critical else b"") + tlv(OCTET_STRING, value))


def time(moment: datetime) -> bytes:
    """UTCTime before 2050, GeneralizedTime from then on, whole seconds (RFC 5280 4.1.2.5)."""
    text = moment.isoformat()[:19].translate(_NO_SEPARATORS) + "Z"  # a third of the time that strftime takes
    if moment.year < _Y2050:
        return tlv(UTC_TIME, text[2:].encode())
    return tlv(GENERALIZED_TIME, text.encode())


@lru_cache(maxsize=256)
def validity(not_before: datetime, not_after: datetime) -> bytes:
    """The Validity sequence; certificates of one second have the same."""
    return tlv(SEQUENCE, time(not_before) + time(not_after))


def subject(common_name: str | None) -> bytes:
    """An empty Name, or one with a CN."""
    if common_name is None:
        return tlv(SEQUENCE, b"")
    attribute = tlv(SEQUENCE, COMMON_NAME + tlv(UTF8_STRING, common_name.encode()))
    return tlv(SEQUENCE, tlv(SET, attribute))


def general_names(names: tuple[Identifier, ...]) -> bytes:
    """The GeneralNames of a subject alternative name, in this order."""
    return tlv(SEQUENCE, b"".join(map(_general_name, names)))


def full_name(url: str) -> bytes:
    """The DistributionPointName of a URL (RFC 5280 4.2.1.13)."""
    return tlv(0xA0, tlv(_URI, url.encode("ascii")))


def _general_name(name: Identifier) -> bytes:
    if name.type is IdentifierType.DNS:
        return tlv(_DNS_NAME, name.value.encode("ascii"))
    if name.type is IdentifierType.EMAIL:
        return tlv(_RFC822_NAME, name.value.encode("ascii"))
    if name.type is IdentifierType.URI:
        return tlv(_URI, name.value.encode("ascii"))
    return tlv(_IP_ADDRESS, ip_address(name.value).packed)


def assemble(tbs: bytes, signature_algorithm: bytes, signature: bytes) -> bytes:
    """The certificate: what was signed, the algorithm, the signature."""
    return tlv(SEQUENCE, tbs + signature_algorithm + tlv(BIT_STRING, b"\x00" + signature))
