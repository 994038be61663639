"""Alternate chains: what fits the leaves of an issuer, and what does not (RFC 8555 7.4.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.core.x509.alternates import make_alternate_chain
from dayfly.core.x509.hierarchy import HierarchyError, build_intermediate, build_root
from dayfly.core.x509.profile import issuer_facts
from factories import NOW, ec_key

KEY, OTHER_KEY, FAR_KEY = ec_key(), ec_key(), ec_key()
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=100)
ROOT = build_root(name="X", key=OTHER_KEY, serial=1 << 80, not_before=BEGIN, not_after=END)
FAR = build_root(name="Far", key=FAR_KEY, serial=1 << 82, not_before=BEGIN, not_after=END)


def issued(issuer: bytes, issuer_key: Any, **changes: Any) -> bytes:
    """The issuing certificate under some root."""
    given = {"name": "X", "public_key": KEY.public_key(), "serial": 1 << 81, "not_before": BEGIN, "not_after": END}
    return build_intermediate(issuer=issuer, issuer_key=issuer_key, **{**given, **changes})


USAGE = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip
ISSUER = issuer_facts(issued(ROOT, OTHER_KEY))


def middle(path_length: int) -> bytes:
    """A CA between the far root and the issuer."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Middle")])
    return (
        x509.CertificateBuilder(serial_number=5, not_valid_before=BEGIN, not_valid_after=NOW + timedelta(days=9))
        .subject_name(name)
        .issuer_name(x509.load_der_x509_certificate(FAR).subject)
        .public_key(OTHER_KEY.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(USAGE, critical=True)
        .sign(FAR_KEY, SHA256())
        .public_bytes(Encoding.DER)
    )


def test_cross_signed_issuer_is_an_alternate__rfc8555_7_4_2() -> None:
    """Another CA's certificate for the same name and key; it stands until the first of its certificates ends."""
    cross = issued(FAR, FAR_KEY, not_after=NOW + timedelta(days=5))
    found = make_alternate_chain((cross,), ISSUER)
    assert found.certificates == (cross,)
    assert found.not_after == NOW + timedelta(days=5)


def test_alternate_may_have_more_cas_above_it__rfc5280_6() -> None:
    """As many as each allows; the first to end decides."""
    above = middle(1)
    found = make_alternate_chain((issued(above, OTHER_KEY), above), ISSUER)
    assert found.not_after == NOW + timedelta(days=9)
    narrow = middle(0)
    with pytest.raises(HierarchyError, match="allows 0 CAs below it, and there are 1"):
        make_alternate_chain((issued(narrow, OTHER_KEY), narrow), ISSUER)


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ((), "holds no certificate"),
        ((b"0\x00",), "that can be read"),
        ((issued(FAR, FAR_KEY, public_key=FAR_KEY.public_key()),), "another key"),
        ((issued(FAR, FAR_KEY, name="Y"),), "another subject"),
        ((issued(FAR, FAR_KEY), FAR), "is a root"),
        ((issued(FAR, FAR_KEY), issued(ROOT, OTHER_KEY)), "allows 0 CAs below it"),
        ((issued(ROOT, OTHER_KEY), middle(1)), "was not signed by what stands above"),
    ],
    ids=["none", "garbage", "key", "subject", "root", "path length", "signature"],
)
def test_chain_that_fits_no_leaf_is_refused__rfc5280_6(chain: tuple[bytes, ...], why: str) -> None:
    """Each defect in its words."""
    with pytest.raises(HierarchyError, match=why):
        make_alternate_chain(chain, ISSUER)


def leaf_like(*extensions: tuple[x509.ExtensionType, bool], key: Any = KEY) -> bytes:
    """A certificate of the issuer's name, signed by the far root, with these extensions alone."""
    far = x509.load_der_x509_certificate(FAR)
    subject = x509.load_der_x509_certificate(issued(ROOT, OTHER_KEY)).subject
    builder = x509.CertificateBuilder(far.subject, subject, key.public_key(), 7, BEGIN, END)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(FAR_KEY, SHA256()).public_bytes(Encoding.DER)


def test_other_key_identifier_is_no_alternate__rfc5280_4_2_1_1() -> None:
    """Leaves name their issuer's key identifier, and clients look for it."""
    basic = (x509.BasicConstraints(ca=True, path_length=0), True)
    with pytest.raises(HierarchyError, match="another subject key identifier"):
        make_alternate_chain((leaf_like(basic, (x509.SubjectKeyIdentifier(b"other"), False)),), ISSUER)


def test_certificate_that_is_no_cas_is_no_alternate__rfc5280_4_2_1_9() -> None:
    """Nor one of a key that issues nothing here."""
    with pytest.raises(HierarchyError, match="cannot be an issuing one"):
        make_alternate_chain((leaf_like(),), ISSUER)
    key = ed25519.Ed25519PrivateKey.generate()
    basic = (x509.BasicConstraints(ca=True, path_length=0), True)
    with pytest.raises(HierarchyError, match="not P-256 or P-384"):
        make_alternate_chain((leaf_like(basic, key=key),), ISSUER)
