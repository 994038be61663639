"""Is a certificate good under our roots, for this name, now: each way in which it is not (RFC 5280 6)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.x509.chain import (
    ChainError,
    alternative_names,
    load_certificate,
    verify_chain,
    verify_for_any_use,
)
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from factories import NAME, NOW, dns, ec_key
from small_pki import PKI

ROOT_KEY, ISSUER_KEY, KEY = ec_key(), ec_key(), ec_key()
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=100)
ROOT = build_root(name="X", key=ROOT_KEY, serial=1 << 80, not_before=BEGIN, not_after=END)
STRANGER = build_root(name="X", key=ec_key(), serial=1 << 82, not_before=BEGIN, not_after=END)
ISSUER = build_intermediate(
    name="X", public_key=ISSUER_KEY.public_key(), issuer=ROOT, issuer_key=ROOT_KEY, serial=1 << 81,
    not_before=BEGIN, not_after=END,
)  # fmt: skip
ADDRESS = Identifier(IdentifierType.IP, "10.1.2.3")


def leaf(*names: x509.GeneralName, extensions: tuple[x509.ExtensionType, ...] = (), **changes: Any) -> bytes:
    """A leaf under the intermediate."""
    issuer = x509.load_der_x509_certificate(ISSUER)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(KEY.public_key())
        .serial_number(changes.get("serial", 7))
        .not_valid_before(changes.get("not_before", NOW - timedelta(minutes=1)))
        .not_valid_after(changes.get("not_after", NOW + timedelta(hours=1)))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUER_KEY.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(ISSUER_KEY, SHA256()).public_bytes(Encoding.DER)


GOOD = leaf(x509.DNSName(NAME), x509.IPAddress(ip_address("10.1.2.3")))


@pytest.mark.parametrize("name", [None, dns(), ADDRESS])
def test_good_leaf_gives_its_path__rfc5280_6_1(name: Identifier | None) -> None:
    """Leaf, intermediate, root: for each of its names, and for no name in particular."""
    assert verify_chain(GOOD, [ISSUER], [ROOT], now=NOW, name=name) == (GOOD, ISSUER, ROOT)


def test_wildcard_stands_for_one_label__rfc6125() -> None:
    """The names directly below its base, and no others."""
    wildcard = leaf(x509.DNSName("*.internal.example"))
    assert verify_chain(wildcard, [ISSUER], [ROOT], now=NOW, name=dns())[0] == wildcard
    assert verify_chain(wildcard, [ISSUER], [ROOT], now=NOW)[0] == wildcard
    for other in ("internal.example", "a.b.internal.example"):
        with pytest.raises(ChainError, match=r"it is for \*.internal.example"):
            verify_chain(wildcard, [ISSUER], [ROOT], now=NOW, name=dns(other))


def test_leaf_of_an_address_alone_is_verified_for_it() -> None:
    """Without a DNS name the first address is the subject."""
    only = leaf(x509.IPAddress(ip_address("10.1.2.3")))
    assert verify_chain(only, [ISSUER], [ROOT], now=NOW)[0] == only
    with pytest.raises(ChainError, match=r"not for 10.1.2.4"):
        verify_chain(only, [ISSUER], [ROOT], now=NOW, name=Identifier(IdentifierType.IP, "10.1.2.4"))


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ((x509.DNSName("b.internal.example"),), dns()),
        ((x509.DNSName("10.1.2.3"),), ADDRESS),
        ((x509.RFC822Name("a@b"),), dns()),
        ((), dns()),
    ],
)
def test_other_name_is_named__agent_8(names: tuple[x509.GeneralName, ...], asked: Identifier) -> None:
    """The error says for what it is, or that it is for nothing."""
    with pytest.raises(ChainError, match=f"not for {asked.value}; it is for"):
        verify_chain(leaf(*names), [ISSUER], [ROOT], now=NOW, name=asked)


def test_leaf_without_a_host_cannot_be_verified() -> None:
    """Neither a DNS name nor an address."""
    for one in (leaf(), leaf(x509.RFC822Name("a@b"))):
        with pytest.raises(ChainError, match="no DNS name and no address"):
            verify_chain(one, [ISSUER], [ROOT], now=NOW)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"not_before": NOW + timedelta(minutes=5)}, "valid from 2026-11-24 12:05:00 UTC on"),
        ({"not_before": BEGIN, "not_after": NOW - timedelta(seconds=1)}, "expired at 2026-11-24 11:59:59 UTC"),
    ],
)
def test_times_are_told_first__agent_13(times: dict[str, Any], says: str) -> None:
    """Not valid yet, and no longer: each with its moment and a next step."""
    with pytest.raises(ChainError, match=says) as caught:
        verify_chain(leaf(x509.DNSName(NAME), **times), [ISSUER], [ROOT], now=NOW)
    assert caught.value.hint


@pytest.mark.parametrize(("intermediates", "roots"), [([], [ROOT]), ([ISSUER], [STRANGER]), ([STRANGER], [ROOT])])
def test_other_path_is_none__rfc5280_6_1(intermediates: list[bytes], roots: list[bytes]) -> None:
    """A missing intermediate, another root of the same name, a root as intermediate."""
    with pytest.raises(ChainError, match="does not chain"):
        verify_chain(GOOD, intermediates, roots, now=NOW)


def test_octets_that_are_no_certificate() -> None:
    """They are told as such."""
    with pytest.raises(ChainError, match=r"not an X\.509 certificate"):
        load_certificate(b"\x30\x03\x02\x01\x00")


def test_names_that_cannot_be_read() -> None:
    """A subject alternative name that is no GeneralNames."""
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x05a")
    with pytest.raises(ChainError, match="names cannot be read"):
        alternative_names(load_certificate(leaf(extensions=(broken,))))


def test_certificate_that_the_library_cannot_even_refuse_is_told() -> None:
    """An unknown signature under a subject that is no text: the library fails at wording its refusal."""
    pki = PKI()
    der = pki.leaf().public_bytes(Encoding.DER)
    for octets, changed in ((bytes.fromhex("2a8648ce3d040302"), b"*\x86H\xce=\x04\x03\x7f"), (b"api.", b"\xffpi.")):
        der = der.replace(octets, changed, 1)
    leaf, issuer, root = map(x509.load_der_x509_certificate, (der, pki.intermediate, pki.root))
    with pytest.raises(ChainError, match="cannot be read"):
        verify_for_any_use(leaf, (issuer,), (root,), now=pki.born)


def test_names_of_other_types_are_compared_as_they_stand__rfc5280_4_2_1_6() -> None:
    """A mailbox is a mailbox of the certificate, and a URI a URI; neither is a host."""
    issuer, root = map(load_certificate, (ISSUER, ROOT))
    one = load_certificate(leaf(x509.RFC822Name("a@b.c"), x509.UniformResourceIdentifier("spiffe://b.c/d")))
    for kind, value in ((IdentifierType.EMAIL, "a@b.c"), (IdentifierType.URI, "spiffe://b.c/d")):
        assert verify_for_any_use(one, (issuer,), (root,), now=NOW, name=Identifier(kind, value))
    for name in (Identifier(IdentifierType.EMAIL, "a@b.d"), Identifier(IdentifierType.URI, "spiffe://b.c"), dns("b.c")):
        with pytest.raises(ChainError, match="is not for"):
            verify_for_any_use(one, (issuer,), (root,), now=NOW, name=name)


def test_any_purpose_is_good_for_any_use_and_names_are_looked_at_when_asked() -> None:
    """A leaf and the intermediate itself lead to the root; a name counts where one is asked for."""
    issuer, root, stranger = map(load_certificate, (ISSUER, ROOT, STRANGER))
    client = load_certificate(leaf(x509.DNSName(NAME)))
    assert verify_for_any_use(client, (issuer,), (root,), now=NOW, name=dns()) == (client, issuer, root)
    assert verify_for_any_use(issuer, (), (root,), now=NOW) == (issuer, root)
    for roots, name, now, says in (
        ((root,), dns("b.internal.example"), NOW, "is not for b.internal.example"),
        ((stranger,), None, NOW, "does not chain"),
        ((root,), None, NOW - timedelta(days=3), "is valid from"),
    ):
        with pytest.raises(ChainError, match=says):
            verify_for_any_use(client, (issuer,), roots, now=now, name=name)
