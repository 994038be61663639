"""A leaf as its holder shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.x509.chain import ChainError, check_client_path
from dayfly.core.x509.der import SEQUENCE, read, read_all, read_one, tlv
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from dayfly.core.x509.leaf import MAX_OCTETS, LeafError, authority_key_id, read_leaf
from factories import NAME, NOW, ec_key, spki_of

KEY, ROOT_KEY, ISSUER_KEY = ec_key(), ec_key(), ec_key()
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=100)
ROOT = build_root(name="Test", key=ROOT_KEY, serial=1 << 100, not_before=BEGIN, not_after=END)
ISSUER = build_intermediate(
    name="Test", public_key=ISSUER_KEY.public_key(), issuer=ROOT, issuer_key=ROOT_KEY, serial=1 << 101,
    not_before=BEGIN, not_after=END,
)  # fmt: skip
USAGE: dict[str, Any] = {
    "digital_signature": True, "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
    "key_agreement": False, "key_cert_sign": False, "crl_sign": False, "encipher_only": False, "decipher_only": False,
}  # fmt: skip
CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def leaf(
    *,
    common_name: str | None = NAME,
    purposes: tuple[x509.ObjectIdentifier, ...] = CLIENT,
    usage: dict[str, Any] | None = None,
    key: Any = KEY,
) -> bytes:
    """A leaf of the test's issuer."""
    issuer = x509.load_der_x509_certificate(ISSUER)
    attributes = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(issuer.subject)
        .serial_number(7 << 96)
        .public_key(key.public_key())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=24) - timedelta(seconds=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=common_name is None)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUER_KEY.public_key()), critical=False)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if usage is None or usage:
        builder = builder.add_extension(x509.KeyUsage(**{**USAGE, **(usage or {})}), critical=True)
    return builder.sign(ISSUER_KEY, SHA256()).public_bytes(Encoding.DER)


def test_a_leaf_is_read() -> None:
    """Serial, key, CN, times, purpose."""
    found = read_leaf(leaf())
    assert (found.serial, found.spki, found.common_name, found.is_client) == (7 << 96, spki_of(KEY), NAME, True)
    assert (found.not_before, found.lifetime) == (NOW, timedelta(hours=24))
    assert found.key.spki == found.spki
    assert read_leaf(leaf(common_name=None)).common_name == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"purposes": ()},
        {"usage": {"digital_signature": False, "key_encipherment": True}},
        {"usage": {"key_cert_sign": True}},
        {"usage": {}},
    ],
)
def test_a_leaf_that_is_no_clients__n8(changes: dict[str, Any]) -> None:
    """No clientAuth, no digitalSignature, a CA's usage."""
    assert not read_leaf(leaf(**changes)).is_client


def test_a_ca_is_no_client__n12() -> None:
    """Neither root nor intermediate."""
    assert not read_leaf(ROOT).is_client
    assert not read_leaf(ISSUER).is_client


@pytest.mark.parametrize("der", [b"", b"junk", leaf() + b"\0", leaf()[:-1], b"\x30" * (MAX_OCTETS + 1)])
def test_what_is_no_certificate(der: bytes) -> None:
    """Empty, junk, longer, shorter, too large."""
    with pytest.raises(LeafError):
        read_leaf(der)


@pytest.mark.parametrize("serial", [b"\x02\x01\x00", b"\x02\x01\x80", b"\x02\x00", b"\x04\x01\x07"])
def test_a_serial_that_is_no_positive_number__s38(serial: bytes) -> None:
    """Zero, negative, empty, another type: refused before the library would warn of it."""
    body = read_one(leaf(), SEQUENCE).content
    tbs, rest = read(body)
    fields = read_all(tbs.content)
    made = tlv(SEQUENCE, fields[0].whole + serial + b"".join(one.whole for one in fields[2:]))
    with pytest.raises(LeafError):
        read_leaf(tlv(SEQUENCE, made + body[rest:]))


def test_a_key_of_a_kind_that_we_do_not_take() -> None:
    """An odd curve."""
    with pytest.raises(LeafError, match="kind"):
        read_leaf(leaf(key=ec.generate_private_key(ec.SECP256K1())))


_GOOD = leaf()


@given(st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_octets_are_read_or_leaf_error__s38(changes: list[tuple[int, int]]) -> None:
    """Nothing else leaves the reader."""
    changed = bytearray(_GOOD)
    for place, octet in changes:
        changed[place] = octet
    try:
        read_leaf(bytes(changed))
    except LeafError:
        return


# --- the path ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [[ISSUER], [ISSUER, ROOT]])
def test_a_leaf_leads_to_the_root__n14(between: list[bytes]) -> None:
    """Over its issuer; a root that is sent along is no harm."""
    check_client_path(_GOOD, between, [ROOT], now=NOW)


@pytest.mark.parametrize(
    ("between", "roots", "later"),
    [
        ([], [ROOT], 0),
        ([ISSUER, leaf(common_name=None)], [ROOT], 0),
        ([b"junk"], [ROOT], 0),
        ([ISSUER], [build_root(name="Test", key=ec_key(), serial=1 << 90, not_before=BEGIN, not_after=END)], 0),
        ([ISSUER], [ROOT], 25),
        ([ISSUER], [ROOT], -1),
    ],
    ids=["no issuer", "one too many", "junk", "another root", "expired", "not yet"],
)
def test_a_leaf_that_leads_nowhere__n14(between: list[bytes], roots: list[bytes], later: int) -> None:
    """No issuer, a certificate too many, another root of the same name, out of its time."""
    with pytest.raises(ChainError):
        check_client_path(_GOOD, between, roots, now=NOW + timedelta(hours=later))


def test_issuers_key_is_the_one_that_a_certificate_names__rfc5280_4_2_1_1() -> None:
    """Of an intermediate that is the root's; a certificate without the extension names none."""
    root = x509.load_der_x509_certificate(ROOT)
    named = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert authority_key_id(ISSUER) == named
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
    bare = builder.not_valid_before(BEGIN).not_valid_after(END).public_key(KEY.public_key()).sign(KEY, SHA256())
    assert authority_key_id(bare.public_bytes(Encoding.DER)) == b""
