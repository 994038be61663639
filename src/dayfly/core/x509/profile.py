"""Profiles: what a certificate is for, and the bytes that follow from it (RFC 5280 4, RFC 9608).

Rules: every extension comes from the profile and the plan, none from the client; the draft holds the exact bytes to be
signed, and is good for one lint.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.core.identifiers import Identifier
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.policy.profiles import PROFILES
from dayfly.core.x509 import template
from dayfly.core.x509.constraints import NameConstraints, parse_constraints
from dayfly.core.x509.der import BIT_STRING, NULL, OCTET_STRING, SEQUENCE, integer, oid, read, tlv

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
AKI, SKI, KEY_USAGE, SAN = oid("2.5.29.35"), oid("2.5.29.14"), oid("2.5.29.15"), oid("2.5.29.17")
EKU, NO_REV_AVAIL, CDP = oid("2.5.29.37"), oid("2.5.29.56"), oid("2.5.29.31")
RSA_ENCRYPTION = oid("1.2.840.113549.1.1.1")
PROVISIONER = oid("1.3.6.1.4.1.37476.9000.64.1")

DIGITAL_SIGNATURE = tlv(BIT_STRING, b"\x07\x80")  # bit 0 alone, 7 unused bits
AND_KEY_ENCIPHERMENT = tlv(BIT_STRING, b"\x05\xa0")  # bits 0 and 2, 5 unused bits
ECDSA_SHA256 = tlv(SEQUENCE, oid("1.2.840.10045.4.3.2"))
ECDSA_SHA384 = tlv(SEQUENCE, oid("1.2.840.10045.4.3.3"))
_ALGORITHMS = {"secp256r1": ECDSA_SHA256, "secp384r1": ECDSA_SHA384}


class Profile(msgspec.Struct, frozen=True, gc=False):
    """What a certificate is for: `no_rev_avail_up_to` is the longest lifetime that goes without revocation.

    `key_encipherment` lets RSA keys be used for it too, as TLS 1.2 without forward secrecy does on old devices. What
    may be asked for under the profile stands in core/policy/profiles.
    """

    name: str
    ekus: tuple[str, ...]
    include_provisioner: bool = True
    no_rev_avail_up_to: timedelta = timedelta(days=7)
    key_encipherment: bool = False


SERVICE = Profile("service", (SERVER_AUTH, CLIENT_AUTH))
DEVICE = Profile("device", (SERVER_AUTH, CLIENT_AUTH), key_encipherment=True)
EPHEMERAL = Profile("ephemeral", (SERVER_AUTH, CLIENT_AUTH))
SERVER_TLS = Profile("server-tls", (SERVER_AUTH,), include_provisioner=False)


def profile_hash(profile: Profile) -> str:
    """The SHA-256 (hex) of all that a profile says, kept with each certificate."""
    rules = PROFILES.get(profile.name)
    asked = None if rules is None else (asdict(rules), sorted(rules.keys))
    document = (msgspec.structs.asdict(profile), asked)
    return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()


class ProvisionerMark(msgspec.Struct, frozen=True, gc=False):
    """step's provisioner extension: type number, name, credential (step-compat.md part 9)."""

    type: int
    name: str
    credential_id: str = ""


class IssuerFacts(msgspec.Struct, frozen=True, gc=False):
    """What of the issuing certificate goes into a leaf, and bounds it; DER but for times and hex.

    `constraints` are those of the issuing certificates, each of which a name has to meet.
    """

    subject: bytes
    key_id: bytes
    spki: bytes
    signature_algorithm: bytes
    not_before: datetime
    not_after: datetime
    fingerprint: str
    constraints: tuple[NameConstraints, ...] = ()


def issuer_facts(der: bytes) -> IssuerFacts:
    """The facts of an issuing certificate; ValueError where it cannot issue."""
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _ALGORITHMS:
        raise ValueError("the issuing certificate's key is not P-256 or P-384")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if not is_ca:
        raise ValueError("the issuing certificate is not a CA's")
    constraints = parse_constraints(certificate)
    return IssuerFacts(
        subject=certificate.subject.public_bytes(),
        key_id=_subject_key_id(certificate, spki),
        spki=spki,
        signature_algorithm=_ALGORITHMS[key.curve.name],
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=hashlib.sha256(der).hexdigest(),
        constraints=() if constraints is None else (constraints,),
    )


def _subject_key_id(certificate: x509.Certificate, spki: bytes) -> bytes:
    """What leaves name as their issuer's key: its SKI, else the key's hash (RFC 5280 4.2.1.1)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return key_identifier(spki)


class DraftCertificate(msgspec.Struct, frozen=True):
    """The exact bytes to be signed, before anybody judged them."""

    tbs: bytes


def key_identifier(spki: bytes) -> bytes:
    """The key identifier of a public key: SHA-1 of its bits (RFC 5280 4.2.1.2, method 1)."""
    outer, _ = read(spki)
    _, position = read(outer.content)
    bits, _ = read(outer.content, position)
    return hashlib.sha1(bits.content[1:], usedforsecurity=False).digest()


def is_rsa(spki: bytes) -> bool:
    """Is it the SubjectPublicKeyInfo of an RSA key (RFC 3279 2.3.1)?"""
    algorithm, _ = read(read(spki)[0].content)
    return algorithm.content.startswith(RSA_ENCRYPTION)


@lru_cache(maxsize=256)
def _head(profile: Profile, issuer: IssuerFacts, *, enciphers: bool) -> tuple[bytes, bytes]:
    """What is constant for a profile under an issuer: AKI before the SKI; key usage and EKU after it."""
    aki = template.extension(AKI, tlv(SEQUENCE, tlv(0x80, issuer.key_id)))
    usage = template.extension(KEY_USAGE, AND_KEY_ENCIPHERMENT if enciphers else DIGITAL_SIGNATURE, critical=True)
    purposes = template.extension(EKU, tlv(SEQUENCE, b"".join(map(oid, profile.ekus))))
    return aki, usage + purposes


@lru_cache(maxsize=1024)
def mark_extension(mark: ProvisionerMark) -> bytes:
    """The provisioner extension of a mark."""
    value = integer(mark.type) + tlv(OCTET_STRING, mark.name.encode()) + tlv(OCTET_STRING, mark.credential_id.encode())
    return template.extension(PROVISIONER, tlv(SEQUENCE, value))


def distribution_points(url: str) -> bytes:
    """The extension that names one CRL by its URL (RFC 5280 4.2.1.13)."""
    return template.extension(CDP, tlv(SEQUENCE, tlv(SEQUENCE, tlv(0xA0, template.full_name(url)))))


NO_REV_AVAIL_EXTENSION = template.extension(NO_REV_AVAIL, tlv(NULL, b""))


class LeafPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one leaf shall say; who drafts it and who lints the draft are told the same.

    `subject` is a name beside `names` that the CN may be, on the step API only; `crl_url` is there for what outlives
    noRevAvail.
    """

    profile: Profile
    issuer: IssuerFacts
    serial: int
    names: tuple[Identifier, ...]
    spki: bytes
    validity: Validity
    common_name: str | None
    provisioner: ProvisionerMark | None
    subject: Identifier | None = None
    crl_url: str | None = None


def build(plan: LeafPlan) -> DraftCertificate:
    """The draft for this plan (RFC 5280 4.1)."""
    profile, issuer, validity = plan.profile, plan.issuer, plan.validity
    aki, fixed = _head(profile, issuer, enciphers=profile.key_encipherment and is_rsa(plan.spki))
    extensions = [
        aki,
        template.extension(SKI, tlv(OCTET_STRING, key_identifier(plan.spki))),
        fixed,
        template.extension(SAN, template.general_names(plan.names), critical=plan.common_name is None),
    ]
    if validity.lifetime <= profile.no_rev_avail_up_to:
        extensions.append(NO_REV_AVAIL_EXTENSION)
    elif plan.crl_url is not None:
        extensions.append(distribution_points(plan.crl_url))
    if plan.provisioner is not None and profile.include_provisioner:
        extensions.append(mark_extension(plan.provisioner))
    return DraftCertificate(
        tlv(
            SEQUENCE,
            b"".join(
                (
                    template.VERSION_3,
                    integer(plan.serial),
                    issuer.signature_algorithm,
                    issuer.subject,
                    template.validity(validity.not_before, validity.not_after),
                    template.subject(plan.common_name),
                    plan.spki,
                    tlv(0xA3, tlv(SEQUENCE, b"".join(extensions))),
                )
            ),
        )
    )
