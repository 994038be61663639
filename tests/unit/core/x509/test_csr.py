"""Certificate requests: the key and the names are read, everything odd is refused (acme.md part 9, F5 to F21)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.problems import BadCSR
from dayfly.core.x509.csr import MAX_OCTETS, parse_csr
from dayfly.core.x509.der import (
    BIT_STRING,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTF8_STRING,
    oid,
    read_all,
    read_one,
    tlv,
)
from factories import NAME, csr_der, dns, ec_key, spki_of

KEY = ec_key()
Names = list[x509.GeneralName]


def made(
    names: Names | None = None,
    *,
    subject: list[tuple[x509.ObjectIdentifier, str]] | None = None,
    key: Any = KEY,
    algorithm: Any = None,
    more: Callable[[Any], Any] = lambda builder: builder,
) -> bytes:
    """A request that deviates in what is given."""
    attributes = [x509.NameAttribute(kind, value) for kind, value in subject or []]
    builder: Any = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    chosen = [x509.DNSName(NAME)] if names is None else names
    if chosen:
        builder = builder.add_extension(x509.SubjectAlternativeName(chosen), critical=False)
    signer = None if isinstance(key, ed25519.Ed25519PrivateKey) else algorithm or SHA256()
    signed: bytes = more(builder).sign(key, signer).public_bytes(Encoding.DER)
    return signed


def test_key_and_names_are_taken__f2() -> None:
    """SPKI, canonical names, no CN."""
    facts = parse_csr(made())
    assert (facts.spki, facts.names, facts.common_name) == (spki_of(KEY), frozenset({dns()}), None)


def test_cn_is_a_name_of_its_type__f10() -> None:
    """CN only, CN beside the SAN, and an address in the CN all count."""
    only = parse_csr(made([], subject=[(NameOID.COMMON_NAME, NAME)]))
    assert (only.names, only.common_name) == (frozenset({dns()}), NAME)
    both = parse_csr(made(subject=[(NameOID.COMMON_NAME, "B.internal.example")]))
    assert both.names == frozenset({dns(), dns("b.internal.example")})
    address = parse_csr(made([x509.IPAddress(ip_address("10.1.2.3"))], subject=[(NameOID.COMMON_NAME, "10.1.2.3")]))
    assert address.names == frozenset({Identifier(IdentifierType.IP, "10.1.2.3")})


def test_request_without_names_is_taken_where_it_may_be__step_4() -> None:
    """The step API takes names from elsewhere; alternative names and CN stay apart."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    facts = parse_csr(builder.sign(ec_key(), SHA256()).public_bytes(Encoding.DER), nameless=True)
    assert (facts.names, facts.alternative_names, facts.common_name) == (frozenset(), frozenset(), None)
    assert parse_csr(csr_der()).alternative_names == frozenset({dns()})


def test_other_subject_fields_and_extensions_are_dropped__f12_f16() -> None:
    """O, OU, CA:TRUE and must-staple ask for nothing."""
    facts = parse_csr(
        made(
            subject=[(NameOID.ORGANIZATION_NAME, "Evil"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Corp")],
            more=lambda builder: builder.add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            ).add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False),
        )
    )
    assert facts.names == frozenset({dns()})


SAN, CN = "2.5.29.17", "2.5.4.3"
EXTENSION_REQUEST, MICROSOFT = "1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"


def name_of(*values: bytes, tag: int = UTF8_STRING) -> bytes:
    """A subject with a CN of each value, as it stands."""
    return tlv(SEQUENCE, b"".join(tlv(SET, tlv(SEQUENCE, oid(CN) + tlv(tag, value))) for value in values))


def asked(*extensions: tuple[str, bytes], kind: str = EXTENSION_REQUEST, values: int = 1) -> bytes:
    """An attribute that asks for these extensions."""
    listed = tlv(SEQUENCE, b"".join(tlv(SEQUENCE, oid(one) + tlv(OCTET_STRING, value)) for one, value in extensions))
    return tlv(SEQUENCE, oid(kind) + tlv(SET, listed * values))


NAMES = tlv(SEQUENCE, tlv(0x82, NAME.encode()))


def by_hand(
    *attributes: bytes,
    subject: bytes = tlv(SEQUENCE, b""),
    version: int = 0,
    algorithm: str = ECDSA_SHA256,
    point: PublicFormat = PublicFormat.UncompressedPoint,
) -> bytes:
    """A request put together octet by octet, its signature good: what no builder would make (RFC 2986 4)."""
    curve = tlv(SEQUENCE, oid("1.2.840.10045.2.1") + oid("1.2.840.10045.3.1.7"))
    spki = tlv(SEQUENCE, curve + tlv(BIT_STRING, b"\0" + KEY.public_key().public_bytes(Encoding.X962, point)))
    body = tlv(INTEGER, bytes((version,))) + subject + spki + tlv(0xA0, b"".join(attributes))
    info = tlv(SEQUENCE, body)
    signature = KEY.sign(info, ec.ECDSA(SHA1() if algorithm.endswith(".4.1") else SHA256()))  # noqa: S303 - the case
    return tlv(SEQUENCE, info + tlv(SEQUENCE, oid(algorithm)) + tlv(BIT_STRING, b"\0" + signature))


def test_request_made_by_hand_is_good() -> None:
    """What the cases below deviate from is itself accepted."""
    assert parse_csr(by_hand(asked((SAN, NAMES)))).names == frozenset({dns()})


def flipped(der: bytes) -> bytes:
    """The last octet of the signature changed."""
    return der[:-1] + bytes((der[-1] ^ 1,))


DEFECTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "garbage": lambda: b"\x30\x03\x02\x01\x00",
    "PEM": lambda: b"-----BEGIN CERTIFICATE REQUEST-----",
    "truncated": lambda: made()[:-5],
    "trailing octet": lambda: made() + b"\x00",
    "too large": lambda: b"\x30" * (MAX_OCTETS + 1),
    "wrong signature": lambda: flipped(made()),
    "no name": lambda: made([]),
    "two CNs": lambda: made(subject=[(NameOID.COMMON_NAME, NAME), (NameOID.COMMON_NAME, "b.example")]),
    "CN that is a broken name": lambda: made(subject=[(NameOID.COMMON_NAME, "api..example")]),
    "CN with markup": lambda: made(subject=[(NameOID.COMMON_NAME, "Api <b>Server</b>")]),
    "CN with a newline": lambda: made(subject=[(NameOID.COMMON_NAME, "a.example\n")]),
    "CN with NUL": lambda: made(subject=[(NameOID.COMMON_NAME, "a.example\0.evil")]),
    "emailAddress": lambda: made(subject=[(NameOID.EMAIL_ADDRESS, "a@b.example")]),
    "broken e-mail in the SAN": lambda: made([x509.DNSName(NAME), x509.RFC822Name("*@b.example")]),
    "URI without a host in the SAN": lambda: made([x509.UniformResourceIdentifier("urn:a:b")]),
    "directory name": lambda: made([x509.DirectoryName(x509.Name([]))]),
    "X.400 address": lambda: by_hand(asked((SAN, tlv(SEQUENCE, tlv(0xA3, b""))))),
    "registered id": lambda: made([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]),
    "name with NUL": lambda: made([x509.DNSName("a.example\0.evil")]),
    "name with markup": lambda: made([x509.DNSName("<b>.example")]),
    "name of 300 characters": lambda: made([x509.DNSName(".".join(["a" * 59] * 5))]),
    "empty name": lambda: made([x509.DNSName("")]),
    "address as name": lambda: made([x509.DNSName("127.0.0.1")]),
    "network": lambda: made([x509.IPAddress(ip_network("10.0.0.0/8"))]),
    "SHA-1": lambda: by_hand(asked((SAN, NAMES)), algorithm="1.2.840.10045.4.1"),
    "compressed point": lambda: by_hand(asked((SAN, NAMES)), point=PublicFormat.CompressedPoint),
    "unknown algorithm": lambda: by_hand(asked((SAN, NAMES)), algorithm="1.2.3.4"),
    "version 1": lambda: by_hand(asked((SAN, NAMES)), version=1),
    "two extension requests": lambda: by_hand(asked((SAN, NAMES)), asked((SAN, NAMES))),
    "two values": lambda: by_hand(asked((SAN, NAMES), values=2)),
    "Microsoft's attribute": lambda: by_hand(asked((SAN, NAMES)), asked((SAN, NAMES), kind=MICROSOFT)),
    "Microsoft's alone": lambda: by_hand(asked((SAN, NAMES), kind=MICROSOFT)),
    "empty SAN": lambda: by_hand(asked((SAN, tlv(SEQUENCE, b"")))),
    "SAN twice": lambda: by_hand(asked((SAN, NAMES), (SAN, NAMES))),
    "SAN that cannot be read": lambda: by_hand(asked((SAN, b"\x30\x03\x82\x05a"))),
    "dNSName beyond ASCII": lambda: by_hand(asked((SAN, tlv(SEQUENCE, tlv(0x82, "ä.example".encode()))))),
    "iPAddress of 5 octets": lambda: by_hand(asked((SAN, tlv(SEQUENCE, tlv(0x87, b"\x0a\0\0\1\1"))))),
    "CN that is no UTF-8": lambda: by_hand(asked((SAN, NAMES)), subject=name_of(b"\xff\xfe")),
    "empty CN": lambda: by_hand(asked((SAN, NAMES)), subject=name_of(b"")),
    "CN of 65 characters": lambda: by_hand(asked((SAN, NAMES)), subject=name_of(b"a" * 65)),
    "CN as BIT STRING": lambda: by_hand(asked((SAN, NAMES)), subject=name_of(b"\0" + NAME.encode(), tag=BIT_STRING)),
    "two CNs by hand": lambda: by_hand(asked((SAN, NAMES)), subject=name_of(NAME.encode(), b"b.example")),
    "RSA 1024": lambda: made(key=rsa.generate_private_key(65537, 1024)),  # noqa: S505 - a weak key is the case
    "RSA 2056": lambda: made(key=rsa.generate_private_key(65537, 2056)),
    "RSA e = 3": lambda: made(key=rsa.generate_private_key(3, 2048)),
    "secp256k1": lambda: made(key=ec.generate_private_key(ec.SECP256K1())),
    "P-521": lambda: made(key=ec.generate_private_key(ec.SECP521R1())),
    "Ed25519": lambda: made(key=ed25519.Ed25519PrivateKey.generate()),
    "DSA": lambda: made(key=dsa.generate_private_key(2048)),
}


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
def test_defect_is_bad_csr__f5_to_f21(defect: str) -> None:
    """Each defect is badCSR, with a text that says which, and never holds the octets."""
    with pytest.raises(BadCSR) as caught:
        parse_csr(DEFECTS[defect]())
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 400


def test_another_version_is_named__f8() -> None:
    """Some clients build requests of version 2 (Ruby's acme-client); what they read tells them so."""
    with pytest.raises(BadCSR, match=r"has version 2; a PKCS#10 request has 0"):
        parse_csr(by_hand(asked((SAN, NAMES)), version=2))


BASES = tuple(make() for make in (made, by_hand, DEFECTS["URI without a host in the SAN"], DEFECTS["two CNs by hand"]))


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from(BASES),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255), st.sampled_from(["set", "put", "cut"]))),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_octets_are_read_or_bad_csr__s38(base: bytes, changes: list[tuple[int, int, str]]) -> None:
    """Whatever is signed, of whatever shape: facts, or badCSR, and nothing else."""
    info = bytearray(read_all(read_one(base, SEQUENCE).content)[0].whole)
    for place, octet, how in changes:
        at = place % len(info)
        info[at : at + (how != "put")] = b"" if how == "cut" and len(info) > 1 else bytes((octet,))
    signed = bytes(info) + tlv(SEQUENCE, oid(ECDSA_SHA256))
    der = tlv(SEQUENCE, signed + tlv(BIT_STRING, b"\0" + KEY.sign(bytes(info), ec.ECDSA(SHA256()))))
    with suppress(BadCSR):
        parse_csr(der)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)], ids=["P-384", "RSA-2048"]
)
def test_other_accepted_keys_pass__f18(key: Any) -> None:
    """P-384 and RSA of an accepted size are good."""
    assert parse_csr(made(key=key)).names == frozenset({dns()})


def test_builder_of_the_tests_is_good() -> None:
    """What other tests use as a good request is one."""
    assert parse_csr(csr_der()).names == frozenset({dns()})
