"""Roots and intermediates: what may issue under what (RFC 5280 4.2.1.9, 6.1)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.core.x509.constraints import NameConstraints, parse_constraints
from dayfly.core.x509.hierarchy import (
    AuthorityKey,
    HierarchyError,
    build_intermediate,
    build_intermediate_request,
    build_root,
    check_issuing_chain,
    check_root,
)
from dayfly.core.x509.profile import issuer_facts, key_identifier
from factories import NOW, ec_key, spki_of

KEY, OTHER, ROOT_KEY = ec_key(), ec_key(), ec_key()
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=100)
ROOT = build_root(name="X", key=ROOT_KEY, serial=1 << 80, not_before=BEGIN, not_after=END)
CONSTRAINTS = NameConstraints(("a.b",), (ip_network("10.0.0.0/8"),), ("x.a.b",), (ip_network("::/0"),))


def intermediate(**changes: Any) -> bytes:
    """An intermediate under the root."""
    given: dict[str, Any] = {
        "name": "X",
        "public_key": KEY.public_key(),
        "issuer": ROOT,
        "issuer_key": ROOT_KEY,
        "serial": 1 << 81,
        "not_before": BEGIN,
        "not_after": END,
    }
    return build_intermediate(**{**given, **changes})


def plain(key: AuthorityKey, *extensions: tuple[x509.ExtensionType, bool], subject: str = "R") -> bytes:
    """A self-signed certificate with these extensions alone."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(BEGIN).not_valid_after(END)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()).public_bytes(
        Encoding.DER
    )


def usage(*, sign: bool = True) -> x509.KeyUsage:
    """A CA's key usage, or one that may not sign certificates."""
    return x509.KeyUsage(
        digital_signature=not sign, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=sign, crl_sign=sign, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def basic(*, ca: bool = True, length: int | None = None) -> x509.BasicConstraints:
    """Basic constraints."""
    return x509.BasicConstraints(ca=ca, path_length=length if ca else None)


def test_our_own_chain_is_good() -> None:
    """Root and intermediate as init makes them."""
    check_issuing_chain([intermediate()], ROOT, spki=spki_of(KEY), now=NOW)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
    ],
)
def test_existing_root_of_another_kind_signs(key: AuthorityKey) -> None:
    """RSA, Ed25519 and P-384 roots sign our intermediate, also those without an SKI (RFC 5280 4.2.1.1)."""
    root = plain(key, (basic(), True), (usage(), True))
    made = intermediate(issuer=root, issuer_key=key)
    check_issuing_chain([made], root, spki=spki_of(KEY), now=NOW)
    found = x509.load_der_x509_certificate(made).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert found.value.key_identifier


def test_intermediate_does_not_outlive_its_root() -> None:
    """Both ends are cut to the root's."""
    made = x509.load_der_x509_certificate(
        intermediate(not_before=BEGIN - timedelta(days=5), not_after=END + timedelta(days=5))
    )
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (BEGIN, END)


def test_constraints_stand_in_certificate_and_request() -> None:
    """Critical in both, and read back as they were planned."""
    certificate = x509.load_der_x509_certificate(intermediate(constraints=CONSTRAINTS))
    assert parse_constraints(certificate) == CONSTRAINTS
    request = x509.load_der_x509_csr(build_intermediate_request(name="X", key=KEY, constraints=CONSTRAINTS))
    assert request.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert issuer_facts(intermediate(constraints=CONSTRAINTS)).constraints == (CONSTRAINTS,)
    assert issuer_facts(intermediate()).constraints == ()


def test_request_asks_for_a_ca() -> None:
    """CA:TRUE with path length 0, keyCertSign, our name."""
    request = x509.load_der_x509_csr(build_intermediate_request(name="X", key=KEY))
    found = request.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (found.ca, found.path_length) == (True, 0)
    assert request.is_signature_valid


def test_issuer_without_ski_is_named_by_its_key__rfc5280_4_2_1_1() -> None:
    """The hash of its key is what leaves name."""
    der = plain(KEY, (basic(), True), (usage(), True))
    assert issuer_facts(der).key_id == key_identifier(spki_of(KEY))


@pytest.mark.parametrize(
    ("der", "says"),
    [
        (plain(KEY, (basic(ca=False), True)), "not a CA's"),
        (plain(KEY), "not a CA's"),
        (plain(rsa.generate_private_key(65537, 2048), (basic(), True)), "not P-256"),
        (b"junk", "."),
    ],
)
def test_what_cannot_issue_is_refused(der: bytes, says: str) -> None:
    """No CA, no key that we sign with, no certificate."""
    with pytest.raises(ValueError, match=says):
        issuer_facts(der)


@pytest.mark.parametrize(
    ("der", "says"),
    [
        (b"junk", "can be read"),
        (intermediate(), "not self-signed"),
        (plain(KEY), "no basic constraints"),
        (plain(KEY, (basic(), True)), "no key usage"),
        (plain(KEY, (basic(ca=False), True), (usage(), True)), "may not sign"),
        (plain(KEY, (basic(), True), (usage(sign=False), True)), "may not sign"),
        (plain(KEY, (basic(length=0), True), (usage(), True)), "allows 0 CAs"),
    ],
)
def test_what_is_no_root_is_refused(der: bytes, says: str) -> None:
    """Each thing that makes a certificate no root for an intermediate."""
    with pytest.raises(HierarchyError, match=says):
        check_root(der, now=NOW)


def test_root_out_of_its_time_is_refused() -> None:
    """Before its begin and after its end."""
    for moment in (BEGIN - timedelta(seconds=1), END + timedelta(seconds=1)):
        with pytest.raises(HierarchyError, match="not valid now"):
            check_root(ROOT, now=moment)


def test_root_with_another_signature_is_refused() -> None:
    """Same names, another key: not signed by itself."""
    broken = ROOT[:-1] + bytes((ROOT[-1] ^ 1,))
    with pytest.raises(HierarchyError, match="was not signed"):
        check_root(broken, now=NOW)


@pytest.mark.parametrize(
    ("chain", "spki", "says"),
    [
        ([], KEY, "holds no issuing certificate"),
        ([b"junk"], KEY, "can be read"),
        ([intermediate()], OTHER, "for another key"),
        ([plain(KEY, (basic(), True), (usage(), True), subject="S")], KEY, "was not signed"),
        ([intermediate(), intermediate()], KEY, "was not signed"),
    ],
)
def test_chain_that_does_not_issue_is_refused__rfc5280_6_1(
    chain: list[bytes], spki: ec.EllipticCurvePrivateKey, says: str
) -> None:
    """Nothing, junk, another key, another issuer."""
    with pytest.raises(HierarchyError, match=says):
        check_issuing_chain(chain, ROOT, spki=spki_of(spki), now=NOW)


def test_root_of_a_key_that_we_cannot_name_signs_nothing__rfc5280_4_2_1_2() -> None:
    """A DSA root without a subject key identifier: there is no authority key identifier to write."""
    key = dsa.generate_private_key(2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "R")])
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .sign(key, SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(HierarchyError, match="neither EC, RSA nor Ed25519"):
        intermediate(issuer=root)
