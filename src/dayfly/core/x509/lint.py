"""The lint that gates every certificate: reads the drafted bytes back and holds them against the plan (security.md 12).

Rules: it reads with its own reader, and compares values, not the writer's pieces; it is the only maker of what a signer
accepts; what was linted can be taken once. Whatever is not expected is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import ClassVar, final

from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.lifetimes import SHORTEST, Validity
from dayfly.core.x509 import der
from dayfly.core.x509.profile import DraftCertificate, LeafPlan, Profile, ProvisionerMark
from dayfly.errors import DayflyError

MAX_SERIAL_OCTETS = 20  # RFC 5280 4.1.2.2
MIN_SERIAL_BITS = 64  # CA/B BR 7.1; ours carry 96 random ones
MAX_CN = 64  # RFC 5280 appendix A, ub-common-name

_KEY_USAGE, _EKU, _SAN = "2.5.29.15", "2.5.29.37", "2.5.29.17"
_AKI, _SKI, _NO_REV_AVAIL = "2.5.29.35", "2.5.29.14", "2.5.29.56"
_CDP = "2.5.29.31"
_RSA = "1.2.840.113549.1.1.1"
_PROVISIONER, _COMMON_NAME = "1.3.6.1.4.1.37476.9000.64.1", "2.5.4.3"
_EXPECTED_OIDS = (_KEY_USAGE, _EKU, _SAN, _AKI, _SKI, _NO_REV_AVAIL, _CDP, _PROVISIONER, _RSA)
_MAKER = object()


class LintRefused(DayflyError):
    """A draft is not what the plan says; nothing is signed."""


class Checked:
    """Bytes that passed a lint, to be signed once; each lint has a class of its own, and alone can make one."""

    __slots__ = ("_tbs",)
    _maker: ClassVar[object]
    _lint: ClassVar[str]

    def __init__(self, tbs: bytes, *, maker: object) -> None:
        """Only its lint can make one."""
        if maker is not self._maker:
            raise TypeError(f"a {type(self).__name__} comes from {self._lint} and from nowhere else")
        self._tbs: bytes | None = tbs

    def take(self) -> bytes:
        """The checked bytes, once; LintRefused the second time, so that no draft is signed twice."""
        tbs, self._tbs = self._tbs, None
        if tbs is None:
            raise LintRefused("this draft was signed already")
        return tbs


@final
class LintedCertificate(Checked):
    """A certificate that passed."""

    __slots__ = ()
    _maker = _MAKER
    _lint = "lint.check"


def check(draft: DraftCertificate, plan: LeafPlan) -> LintedCertificate:
    """The draft as something that may be signed; LintRefused names what does not hold.

    1. The plan itself: names, serial, times within the issuer's.
    2. The fields before the extensions.
    3. Each extension by its value and criticality; none is missing, none is extra.
    """
    _check_plan(plan)
    try:
        _check_fields(draft.tbs, plan)
    except ValueError as error:  # DERError, and whatever else octets that are not ours may bring
        raise LintRefused(f"the draft is not the DER of a certificate: {error}") from None
    return LintedCertificate(draft.tbs, maker=_MAKER)


def need(holds: object, what: str) -> None:
    """Raise LintRefused with these words where it does not hold."""
    if not holds:
        raise LintRefused(what)


def _check_plan(expected: LeafPlan) -> None:
    names, validity = expected.names, expected.validity
    need(names, "there is no name")
    need(len(set(names)) == len(names), "a name stands twice")
    need(expected.profile.ekus and "2.5.29.37.0" not in expected.profile.ekus, "the profile has no purpose, or any")
    need(expected.serial.bit_length() >= MIN_SERIAL_BITS, "the serial is too short")
    need(expected.serial.bit_length() < 8 * MAX_SERIAL_OCTETS, "the serial is too long")
    need(validity.lifetime >= SHORTEST, "the lifetime is below ten seconds")
    need(validity.not_before >= expected.issuer.not_before - timedelta(hours=1), "it begins before its issuer")
    need(validity.not_after <= expected.issuer.not_after, "it outlives its issuer")
    outlives = validity.lifetime > expected.profile.no_rev_avail_up_to
    need(outlives is (expected.crl_url is not None), "it names a CRL and needs none, or the other way round")
    if expected.common_name is not None:
        need(len(expected.common_name) <= MAX_CN, "the CN is too long")
        named = names if expected.subject is None else (*names, expected.subject)
        need(expected.common_name in {name.value for name in named}, "the CN is none of the names")


def _check_fields(tbs: bytes, expected: LeafPlan) -> None:
    fields = der.read_all(der.read_one(tbs, der.SEQUENCE).content)
    need(len(fields) == 8, "the draft has another number of fields")
    version, serial, algorithm, issuer, validity, subject, spki, extensions = fields
    need(version.whole == b"\xa0\x03\x02\x01\x02", "the version is not 3")
    need(der.read_integer(serial) == expected.serial, "the serial is another one")
    need(algorithm.whole == expected.issuer.signature_algorithm, "the algorithm is not the issuer's")
    need(issuer.whole == expected.issuer.subject, "the issuer's name is another one")
    _check_validity(validity, expected.validity)
    need(_common_name(subject) == expected.common_name, "the subject is another one")
    need(spki.whole == expected.spki, "the key is another one")
    need(extensions.tag == 0xA3, "the extensions are not where they belong")
    _check_extensions(der.read_one(extensions.content, der.SEQUENCE), expected)


def _check_validity(element: der.Element, expected: Validity) -> None:
    begin, end = _times(element.whole)
    need(begin == expected.not_before, "notBefore is another one")
    need(end == expected.not_after, "notAfter is another one")


@lru_cache(maxsize=256)
def _times(octets: bytes) -> tuple[datetime, datetime]:
    """The first and the last second; drafts of one second have the same octets, and are read once."""
    begin, end, *more = der.read_all(der.read_one(octets, der.SEQUENCE).content)
    need(not more, "the validity has more than two times")
    return _time(begin), _time(end)


def _time(element: der.Element) -> datetime:
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5)."""
    text = element.content.decode("ascii", "replace")
    try:
        if element.tag == der.UTC_TIME:
            year = int(text[:2])
            return _moment((2000 if year < 50 else 1900) + year, text[2:])
        moment = _moment(int(text[:4]), text[4:])
    except ValueError:
        raise LintRefused("a time is not well formed") from None
    need(element.tag == der.GENERALIZED_TIME and moment.year >= 2050, "a time has the wrong form")
    return moment


def _moment(year: int, text: str) -> datetime:
    if len(text) != 11 or text[10] != "Z" or not text[:10].isdigit():
        raise ValueError(text)
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 10, 2))
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def _common_name(subject: der.Element) -> str | None:
    """The CN of a subject that holds nothing else; None for an empty one."""
    if subject.whole == b"\x30\x00":
        return None
    name = der.read_one(subject.whole, der.SEQUENCE)
    attribute = der.read_one(der.read_one(name.content, der.SET).content, der.SEQUENCE)
    kind, value = der.read_all(attribute.content)
    need(kind.whole == der.oid(_COMMON_NAME) and value.tag == der.UTF8_STRING, "the subject is no plain CN")
    return value.content.decode()


def _check_extensions(element: der.Element, expected: LeafPlan) -> None:
    found: dict[bytes, tuple[bool, bytes]] = {}
    for one in der.read_all(element.content):
        identifier, critical, value = _extension(one.whole)
        if identifier in found:
            raise LintRefused("an extension stands twice")
        found[identifier] = (critical, value)
    wanted = _wanted(expected)
    if found != wanted:
        need(found.keys() == wanted.keys(), "an extension is missing, or one is extra")
        other = next(identifier for identifier in wanted if found[identifier] != wanted[identifier])
        raise LintRefused(f"extension {other.hex()} is not what the plan says")


@lru_cache(maxsize=256)
def _extension(octets: bytes) -> tuple[bytes, bool, bytes]:
    """Identifier, criticality and value of an extension; most are the same octets in every draft, and are read once."""
    parts = der.read_all(der.read_one(octets, der.SEQUENCE).content)
    critical = len(parts) == 3
    need(len(parts) in {2, 3}, "an extension has another number of parts")
    need(not critical or parts[1].whole == b"\x01\x01\xff", "a criticality is not TRUE")
    need(parts[-1].tag == der.OCTET_STRING, "an extension's value is no OCTET STRING")
    return parts[0].whole, critical, parts[-1].content


def _wanted(expected: LeafPlan) -> dict[bytes, tuple[bool, bytes]]:
    """What must be there, and nothing else: identifier to criticality and value."""
    profile = expected.profile
    enciphers = profile.key_encipherment and _algorithm(expected.spki) == _OIDS[_RSA]
    wanted = dict(_constant(profile, expected.issuer.key_id, enciphers=enciphers))
    wanted[_OIDS[_SKI]] = (False, b"\x04" + sized(_key_id(expected.spki)))
    wanted[_OIDS[_SAN]] = (expected.common_name is None, b"\x30" + sized(b"".join(map(_name, expected.names))))
    if expected.crl_url is None:  # exactly where the lifetime needs none, as `_check_plan` saw
        wanted[_OIDS[_NO_REV_AVAIL]] = (False, b"\x05\x00")
    else:
        wanted[_OIDS[_CDP]] = (False, _distribution_points(expected.crl_url))
    mark = expected.provisioner
    if mark is not None and profile.include_provisioner:
        wanted[_OIDS[_PROVISIONER]] = (False, _marked(mark))
    return wanted


@lru_cache(maxsize=64)
def _constant(profile: Profile, issuer_key_id: bytes, *, enciphers: bool) -> Mapping[bytes, tuple[bool, bytes]]:
    """What is the same in every certificate of a profile under an issuer."""
    return {
        _OIDS[_AKI]: (False, b"\x30" + sized(b"\x80" + sized(issuer_key_id))),
        _OIDS[_KEY_USAGE]: (True, b"\x03\x02\x05\xa0" if enciphers else b"\x03\x02\x07\x80"),
        _OIDS[_EKU]: (False, b"\x30" + sized(b"".join(_oid(one) for one in profile.ekus))),
    }


@lru_cache(maxsize=1024)
def _marked(mark: ProvisionerMark) -> bytes:
    """The value of the provisioner extension."""
    name, credential = sized(mark.name.encode()), sized(mark.credential_id.encode())
    return b"\x30" + sized(bytes((2, 1, mark.type)) + b"\x04" + name + b"\x04" + credential)


def _algorithm(spki: bytes) -> bytes:
    """The identifier of the key's algorithm."""
    algorithm, _ = der.read_all(der.read_one(spki, der.SEQUENCE).content)
    return der.read_all(algorithm.content)[0].whole


# A second, independent writer, for comparison only: the first one is what is being judged.


def sized(content: bytes) -> bytes:
    """The content behind its length, DER."""
    size = len(content)
    if size < 128:
        return bytes((size,)) + content
    octets = size.to_bytes(2 if size > 255 else 1)
    return bytes((0x80 + len(octets),)) + octets + content


def _distribution_points(url: str) -> bytes:
    """One point, by one URL (RFC 5280 4.2.1.13)."""
    name = b"\xa0" + sized(b"\xa0" + sized(b"\x86" + sized(url.encode("ascii"))))
    return b"\x30" + sized(b"\x30" + sized(name))


def _oid(dotted: str) -> bytes:
    return _OIDS[dotted] if dotted in _OIDS else der.oid(dotted)


def _name(name: Identifier) -> bytes:
    if name.type is IdentifierType.DNS:
        return b"\x82" + sized(name.value.encode("ascii"))
    if name.type in {IdentifierType.EMAIL, IdentifierType.URI}:
        return (b"\x81" if name.type is IdentifierType.EMAIL else b"\x86") + sized(name.value.encode("ascii"))
    need(name.type is IdentifierType.IP, "a name is of a type that no alternative name has")
    return b"\x87" + sized(ip_address(name.value).packed)


def _key_id(spki: bytes) -> bytes:
    """SHA-1 of the key's bits (RFC 5280 4.2.1.2, method 1)."""
    _, bits = der.read_all(der.read_one(spki, der.SEQUENCE).content)
    return hashlib.sha1(bits.content[1:], usedforsecurity=False).digest()


_OIDS = {dotted: der.oid(dotted) for dotted in _EXPECTED_OIDS}
