"""Signatures in the one form that each algorithm gives them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayfly.core.jose import signatures
from dayfly.core.jose.edwards import L
from dayfly.core.jose.jwk import KeyAlgorithm, public_key_of
from dayfly.core.jose.signatures import PrivateKey, sign, verify
from dayfly.core.problems import Malformed

# A fresh clone builds hypothesis's table of Unicode inside the first draw of a text (a second), and a busy machine is
# no fault of ours: neither may fail a property.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RSA_KEY = rsa.generate_private_key(65537, 2048)
PRIVATE: dict[KeyAlgorithm, PrivateKey] = {
    KeyAlgorithm.ES256: ec.generate_private_key(ec.SECP256R1()),
    KeyAlgorithm.ES384: ec.generate_private_key(ec.SECP384R1()),
    KeyAlgorithm.ES512: ec.generate_private_key(ec.SECP521R1()),
    KeyAlgorithm.EDDSA: ed25519.Ed25519PrivateKey.generate(),
    KeyAlgorithm.RS256: RSA_KEY,
    KeyAlgorithm.PS256: RSA_KEY,
}
PUBLIC = {alg: public_key_of(key.public_key()) for alg, key in PRIVATE.items()}
OCTETS = {"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64, "RS256": 256, "PS256": 256}
ECDSA = {
    KeyAlgorithm.ES256: (32, signatures._ES256.order, ec.SECP256R1()),
    KeyAlgorithm.ES384: (48, signatures._ES384.order, ec.SECP384R1()),
    KeyAlgorithm.ES512: (66, signatures._ES512.order, ec.SECP521R1()),
}
DATA = b"header.payload"
ALL = list(KeyAlgorithm)


@pytest.mark.parametrize("alg", ALL)
def test_what_is_signed_verifies_in_its_length__rfc7518_3(alg: KeyAlgorithm) -> None:
    """A signature of each algorithm has its one length and verifies."""
    signature = sign(DATA, key=PRIVATE[alg], alg=alg)
    assert len(signature) == OCTETS[alg]
    verify(DATA, signature, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("alg", ALL)
@pytest.mark.parametrize("data", [b"header.payloae", b"", DATA + b"\0"])
def test_other_data_does_not_verify__acme_j35(alg: KeyAlgorithm, data: bytes) -> None:
    """One bit of the signed text changed is malformed."""
    signature = sign(DATA, key=PRIVATE[alg], alg=alg)
    with pytest.raises(Malformed, match="does not verify"):
        verify(data, signature, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("alg", ALL)
@pytest.mark.parametrize("other", ALL)
def test_an_algorithm_of_another_kind_is_malformed__acme_j3(alg: KeyAlgorithm, other: KeyAlgorithm) -> None:
    """A key is never used with an algorithm of another kind or curve."""
    if other in PUBLIC[alg].algorithms:
        return
    with pytest.raises(Malformed, match="does not fit"):
        verify(DATA, bytes(OCTETS[other]), key=PUBLIC[alg], alg=other)


def test_padding_schemes_are_not_mixed__rfc7518_3_5() -> None:
    """An RSA key has two algorithms, and a signature of one is none of the other."""
    for made, checked in ((KeyAlgorithm.RS256, KeyAlgorithm.PS256), (KeyAlgorithm.PS256, KeyAlgorithm.RS256)):
        signature = sign(DATA, key=RSA_KEY, alg=made)
        with pytest.raises(Malformed, match="does not verify"):
            verify(DATA, signature, key=PUBLIC[checked], alg=checked)


@pytest.mark.parametrize(("salt", "verifies"), [(32, True), (0, False), (20, False), (222, False)])
def test_the_salt_of_ps256_is_as_long_as_the_hash__rfc7518_3_5(salt: int, *, verifies: bool) -> None:
    """Signatures made by the library itself: 32 octets of salt pass, any other length is malformed."""
    scheme = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=salt)
    signature = RSA_KEY.sign(DATA, scheme, SHA256())
    alg = KeyAlgorithm.PS256
    if verifies:
        verify(DATA, signature, key=PUBLIC[alg], alg=alg)
        return
    with pytest.raises(Malformed, match="does not verify"):
        verify(DATA, signature, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("alg", ALL)
def test_other_lengths_are_malformed__acme_j5(alg: KeyAlgorithm) -> None:
    """No octets, one less, one more, and a zero in front are refused, never padded or cut."""
    good = sign(DATA, key=PRIVATE[alg], alg=alg)
    for bad in (b"", good[:-1], good + b"\0", b"\0" + good, good[1:]):
        with pytest.raises(Malformed, match=f"exactly {OCTETS[alg]}"):
            verify(DATA, bad, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("alg", list(ECDSA))
def test_a_der_signature_is_malformed__acme_j5(alg: KeyAlgorithm) -> None:
    """The form of X.509 is not that of JWS."""
    size = ECDSA[alg][0]
    good = sign(DATA, key=PRIVATE[alg], alg=alg)
    der = encode_dss_signature(int.from_bytes(good[:size], "big"), int.from_bytes(good[size:], "big"))
    with pytest.raises(Malformed, match="exactly"):
        verify(DATA, der, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("alg", list(ECDSA))
@pytest.mark.parametrize("place", ["r", "s"])
@pytest.mark.parametrize("value", ["zero", "order", "most"])
def test_r_and_s_lie_in_the_group__acme_j6(alg: KeyAlgorithm, place: str, value: str) -> None:
    """Zero, n, and all ones are refused before any arithmetic."""
    size, order, _ = ECDSA[alg]
    number = {"zero": 0, "order": order, "most": 2 ** (8 * size) - 1}[value].to_bytes(size, "big")
    good = sign(DATA, key=PRIVATE[alg], alg=alg)
    bad = number + good[size:] if place == "r" else good[:size] + number
    with pytest.raises(Malformed, match="between 1 and n - 1"):
        verify(DATA, bad, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("alg", list(ECDSA))
def test_the_orders_are_right__sp800_186_3_2_1(alg: KeyAlgorithm) -> None:
    """The number n - 1 is a private key of the curve, n is none."""
    _, order, curve = ECDSA[alg]
    assert ec.derive_private_key(order - 1, curve).curve.name == curve.name
    with pytest.raises(ValueError, match=r"."):
        ec.derive_private_key(order, curve)


@pytest.mark.parametrize("alg", list(ECDSA))
def test_the_other_s_verifies_too__acme_j7(alg: KeyAlgorithm) -> None:
    """(r, n - s) is valid as well: the reason why signature bytes are never an identity."""
    size, order, _ = ECDSA[alg]
    good = sign(DATA, key=PRIVATE[alg], alg=alg)
    other = good[:size] + (order - int.from_bytes(good[size:], "big")).to_bytes(size, "big")
    assert other != good
    verify(DATA, other, key=PUBLIC[alg], alg=alg)


@pytest.mark.parametrize("addend", [L, 0])
def test_s_of_eddsa_is_canonical__acme_j8_rfc8032_5_1_7(addend: int) -> None:
    """S + L, which would verify by the equation, is malformed; S itself verifies."""
    alg = KeyAlgorithm.EDDSA
    good = sign(DATA, key=PRIVATE[alg], alg=alg)
    number = int.from_bytes(good[32:], "little") + addend
    signature = good[:32] + number.to_bytes(32, "little")
    if addend == 0:
        verify(DATA, signature, key=PUBLIC[alg], alg=alg)
        return
    with pytest.raises(Malformed, match="not below the order"):
        verify(DATA, signature, key=PUBLIC[alg], alg=alg)


@patient
@given(st.sampled_from(ALL), st.binary(max_size=64), st.data())
def test_no_octets_verify_by_chance_or_fail_untyped__rfc8555_6_7(
    alg: KeyAlgorithm, data: bytes, draw: st.DataObject
) -> None:
    """Octets of the right length that nobody signed are malformed, and nothing else is raised."""
    signature = draw.draw(st.binary(min_size=OCTETS[alg], max_size=OCTETS[alg]))
    with pytest.raises(Malformed):
        verify(data, signature, key=PUBLIC[alg], alg=alg)
