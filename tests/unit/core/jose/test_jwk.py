"""Public keys as JSON: what is taken, what is refused and as what, and when two keys are one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayfly.core.jose.encoding import b64u_decode, b64u_encode
from dayfly.core.jose.jwk import (
    DEFAULT_ALGORITHMS,
    KeyAlgorithm,
    KeyKind,
    LoadedKey,
    accepted_algorithms,
    parse_jwk,
    public_key_of,
    render_jwk,
    thumbprint_of,
)
from dayfly.core.problems import BadPublicKey, Malformed, Refused

VECTORS = Path(__file__).parents[3] / "vectors" / "jose"

PUBLIC: dict[KeyKind, LoadedKey] = {
    KeyKind.EC_P256: ec.generate_private_key(ec.SECP256R1()).public_key(),
    KeyKind.EC_P384: ec.generate_private_key(ec.SECP384R1()).public_key(),
    KeyKind.EC_P521: ec.generate_private_key(ec.SECP521R1()).public_key(),
    KeyKind.RSA: rsa.generate_private_key(65537, 2048).public_key(),
    KeyKind.ED25519: ed25519.Ed25519PrivateKey.generate().public_key(),
}
P256 = render_jwk(PUBLIC[KeyKind.EC_P256])
RSA = render_jwk(PUBLIC[KeyKind.RSA])
ED25519 = render_jwk(PUBLIC[KeyKind.ED25519])


def _uint(number: int) -> str:
    return b64u_encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def test_the_default_algorithms__acme_3() -> None:
    """RS256, ES256, ES384 and EdDSA without a switch."""
    assert {"RS256", "ES256", "ES384", "EdDSA"} == DEFAULT_ALGORITHMS
    assert accepted_algorithms() == DEFAULT_ALGORITHMS


def test_algorithms_by_switch__acme_3() -> None:
    """PS256 and ES512 join by switch; what is not known cannot be switched on."""
    assert accepted_algorithms(["PS256", "ES512"]) == DEFAULT_ALGORITHMS | {"PS256", "ES512"}
    for name in ("none", "HS256", "RS1", "ES256K"):
        with pytest.raises(ValueError, match=name):
            accepted_algorithms([name])


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        (KeyKind.EC_P256, ("ES256",)),
        (KeyKind.EC_P384, ("ES384",)),
        (KeyKind.EC_P521, ("ES512",)),
        (KeyKind.RSA, ("RS256", "PS256")),
        (KeyKind.ED25519, ("EdDSA",)),
    ],
)
def test_each_kind_renders_parses_and_has_its_algorithms__rfc7518_3_1(
    kind: KeyKind, algorithms: tuple[KeyAlgorithm, ...]
) -> None:
    """A rendered key parses to the same key, of its kind, with exactly the algorithms that fit."""
    key = parse_jwk(render_jwk(PUBLIC[kind]))
    assert key == public_key_of(PUBLIC[kind])
    assert (key.kind, key.algorithms, key.key) == (kind, algorithms, PUBLIC[kind])
    assert key.spki == PUBLIC[kind].public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_canonical_jwk_is_sorted_and_without_blanks__rfc7638_3(kind: KeyKind) -> None:
    """The canonical JSON has the required members only, in the order of their names, and nothing between them."""
    key = public_key_of(PUBLIC[kind])
    expected = json.dumps(render_jwk(PUBLIC[kind]), sort_keys=True, separators=(",", ":")).encode()
    assert key.jwk == expected
    assert thumbprint_of(PUBLIC[kind]) == thumbprint_of(PUBLIC[kind], spki=key.spki) == key.thumbprint


def test_equal_keys_are_equal_and_hash_alike__rfc7638() -> None:
    """A key can stand in a set, whichever object of the library it was loaded into."""
    assert len({parse_jwk(P256), parse_jwk(P256), parse_jwk(RSA)}) == 2


@pytest.mark.parametrize("name", ["rfc7638-3-1-rsa", "rfc8037-a4-ed25519"])
def test_published_thumbprints__rfc7638_3_1_rfc8037_a3(name: str) -> None:
    """The thumbprints that the RFCs print."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    assert parse_jwk(vector["jwk"]).thumbprint == vector["thumbprint"]


def test_members_that_do_not_count_do_not_change_the_key__acme_j33() -> None:
    """kid, use, a fitting alg, key_ops and unknown members are beside the key's identity."""
    extra = {"kid": "mine", "use": "sig", "alg": "ES256", "key_ops": ["verify"], "x5u": "https://x.example", "z": 1}
    assert parse_jwk({**extra, **P256}) == parse_jwk(P256)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("jwk", [P256, RSA, ED25519])
def test_private_members_are_refused__acme_j32(jwk: dict[str, str], member: str) -> None:
    """A JWK with any private or symmetric member is badPublicKey, and the detail does not repeat it."""
    with pytest.raises(BadPublicKey, match="public members only") as caught:
        parse_jwk({**jwk, member: "c2VjcmV0"})
    assert "c2VjcmV0" not in caught.value.detail


@pytest.mark.parametrize("kty", ["oct", "ec", "rsa", "AKP", ""])
def test_other_key_types_are_refused__acme_j32(kty: str) -> None:
    """oct, another case and unknown types are badPublicKey."""
    with pytest.raises(BadPublicKey, match="kty must be"):
        parse_jwk({**P256, "kty": kty})


@pytest.mark.parametrize("crv", ["secp256k1", "P-192", "P-224", "p-256", "Ed25519", "brainpoolP256r1"])
def test_other_curves_are_refused__security_3(crv: str) -> None:
    """Only the three NIST curves, by their exact names."""
    with pytest.raises(BadPublicKey, match="crv must be P-256"):
        parse_jwk({**P256, "crv": crv})


@pytest.mark.parametrize("crv", ["X25519", "Ed448", "X448", "P-256"])
def test_other_okp_curves_are_refused__security_3(crv: str) -> None:
    """Only Ed25519 among the octet key pairs."""
    with pytest.raises(BadPublicKey, match="crv must be Ed25519"):
        parse_jwk({**ED25519, "crv": crv})


@pytest.mark.parametrize("member", ["x", "y"])
@pytest.mark.parametrize("octets", [0, 31, 33, 64])
def test_coordinates_have_the_length_of_the_curve__acme_j32_rfc7518_6_2_1(member: str, octets: int) -> None:
    """A coordinate with one octet more or less, even a zero, is badPublicKey."""
    with pytest.raises(BadPublicKey, match="exactly 32 octets"):
        parse_jwk({**P256, member: b64u_encode(bytes(octets))})


@pytest.mark.parametrize("split", [0, 31, 33, 64])
def test_a_point_is_not_split_elsewhere__acme_j33_rfc7518_6_2_1(split: int) -> None:
    """The same octets with the border between x and y moved would be a second spelling of the key."""
    point = b64u_decode(P256["x"]) + b64u_decode(P256["y"])
    with pytest.raises(BadPublicKey, match="exactly 32 octets"):
        parse_jwk({**P256, "x": b64u_encode(point[:split]), "y": b64u_encode(point[split:])})


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 1), (2**256 - 1, 2**256 - 1), (5, 0)])
def test_points_off_the_curve_are_refused__acme_j32(x: int, y: int) -> None:
    """Coordinates that are no point, the place of infinity among them, are badPublicKey."""
    with pytest.raises(BadPublicKey, match="not a point"):
        parse_jwk(
            {**P256, "x": b64u_encode(x.to_bytes(32, "big")), "y": b64u_encode(y.to_bytes(32, "big"))},
        )


@pytest.mark.parametrize("octets", [0, 31, 33, 57])
def test_ed25519_has_32_octets__rfc8037_2(octets: int) -> None:
    """Another length is badPublicKey."""
    with pytest.raises(BadPublicKey, match="exactly 32 octets"):
        parse_jwk({**ED25519, "x": b64u_encode(bytes(octets))})


def test_a_small_order_ed25519_key_is_refused__acme_j8() -> None:
    """It is badPublicKey from a JWK and from a loaded key alike."""
    neutral = (1).to_bytes(32, "little")
    with pytest.raises(BadPublicKey, match="small order"):
        parse_jwk({**ED25519, "x": b64u_encode(neutral)})
    with pytest.raises(BadPublicKey, match="small order"):
        public_key_of(ed25519.Ed25519PublicKey.from_public_bytes(neutral))


@pytest.mark.parametrize("member", ["n", "e"])
def test_rsa_numbers_are_minimal__acme_j33_rfc7518_6_3_1(member: str) -> None:
    """A leading zero octet would be a second spelling of one key; an empty number is none."""
    for bad in (b64u_encode(b"\0" + b64u_decode(RSA[member])), ""):
        with pytest.raises(BadPublicKey, match="least number of octets"):
            parse_jwk({**RSA, member: bad})


@pytest.mark.parametrize("bits", [8, 511, 8193, 16384, 40000])
def test_rsa_sizes_beyond_reason_are_not_loaded__security_7(bits: int) -> None:
    """Below 512 and above 8,192 bits a key is badPublicKey at once; what lies between, key policy judges."""
    with pytest.raises(BadPublicKey, match="modulus must have 512 to 8192 bits"):
        parse_jwk({**RSA, "n": _uint((1 << (bits - 1)) | 1)})


@pytest.mark.parametrize("bits", [512, 1024, 2047, 8192])
def test_weak_rsa_keys_load_for_key_policy_to_judge__acme_j30(bits: int) -> None:
    """Strength is decided elsewhere, on the loaded key."""
    assert parse_jwk({**RSA, "n": _uint((1 << (bits - 1)) | 1)}).kind is KeyKind.RSA


def test_rsa_exponents_that_cost_much_are_not_loaded__security_7() -> None:
    """Four octets are room for every exponent in use; the next one is badPublicKey."""
    assert parse_jwk({**RSA, "e": _uint(2**32 - 1)}).kind is KeyKind.RSA
    with pytest.raises(BadPublicKey, match="exponent must fit in 4 octets"):
        parse_jwk({**RSA, "e": _uint(2**32 + 1)})


@pytest.mark.parametrize("exponent", [1, 2, 65536])
def test_rsa_numbers_that_no_key_has_are_refused__acme_j30(exponent: int) -> None:
    """An even exponent, and the exponent one, do not load."""
    with pytest.raises(BadPublicKey, match="not an RSA key"):
        parse_jwk({**RSA, "e": _uint(exponent)})


@pytest.mark.parametrize(
    ("jwk", "member"),
    [(P256, "kty"), (P256, "crv"), (P256, "x"), (P256, "y"), (RSA, "n"), (RSA, "e"), (ED25519, "crv"), (ED25519, "x")],
)
@pytest.mark.parametrize("value", [None, 1, True, ["P-256"], {}])
def test_required_members_are_strings__rfc7517_4(jwk: dict[str, str], member: str, value: object) -> None:
    """A required member that is missing or not a string is malformed."""
    without = {name: text for name, text in jwk.items() if name != member}
    for bad in (without, {**jwk, member: value}):
        with pytest.raises(Malformed, match=f"{member} is missing or not a string"):
            parse_jwk(bad)


@pytest.mark.parametrize(("jwk", "member"), [(P256, "x"), (P256, "y"), (RSA, "n"), (RSA, "e"), (ED25519, "x")])
@pytest.mark.parametrize("suffix", ["=", " ", "+", "é", "\n"])
def test_members_are_strict_base64url__acme_j23(jwk: dict[str, str], member: str, suffix: str) -> None:
    """Padding, blanks, the other alphabet and non-ASCII in a member are malformed."""
    with pytest.raises(Malformed, match=f"the JWK's {member} is not acceptable"):
        parse_jwk({**jwk, member: jwk[member] + suffix})


@pytest.mark.parametrize("use", ["enc", "SIG", "", None, 1, ["sig"]])
def test_a_key_for_another_use_is_malformed__acme_j34(use: object) -> None:
    """A use must be sig where it is there."""
    with pytest.raises(Malformed, match="use is not sig"):
        parse_jwk({**P256, "use": use})


@pytest.mark.parametrize("alg", ["ES384", "RS256", "none", "ECDH-ES", "", None, 1, ["ES256"], {}])
def test_a_key_for_another_algorithm_is_malformed__acme_j34(alg: object) -> None:
    """An alg must fit the key where it is there."""
    with pytest.raises(Malformed, match="alg does not fit"):
        parse_jwk({**P256, "alg": alg})


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        dsa.generate_private_key(2048).public_key(),
        ec.generate_private_key(ec.SECP256R1()),
        "a key",
    ],
    ids=["secp256k1", "Ed448", "DSA", "private", "text"],
)
def test_other_loaded_keys_are_refused__security_4(key: object) -> None:
    """A key of another kind, a private one included, is badPublicKey for each of the three renderers."""
    for render in (public_key_of, render_jwk, thumbprint_of):
        with pytest.raises(BadPublicKey, match="only RSA, P-256"):
            render(key)


# A fresh clone builds hypothesis's table of Unicode inside the first draw of a text (a second), and a busy machine is
# no fault of ours: neither may fail a property.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=70).map(b64u_encode)
)
members = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["EC", "RSA", "OKP", "oct"]) | values,
        "crv": st.sampled_from(["P-256", "P-384", "P-521", "Ed25519"]) | values,
        "x": st.binary(min_size=32, max_size=32).map(b64u_encode) | values,
        "y": st.binary(min_size=32, max_size=32).map(b64u_encode) | values,
        "n": st.binary(min_size=64, max_size=256).map(b64u_encode) | values,
        "e": values,
        "use": values,
        "alg": values,
    },
)


@patient
@given(members)
def test_any_mapping_gives_a_key_or_a_refusal__rfc8555_6_7(value: dict[str, object]) -> None:
    """No mapping raises anything but Refused, and a key that is taken renders and parses to itself."""
    try:
        key = parse_jwk(value)
    except Refused:
        return
    assert parse_jwk(json.loads(key.jwk)) == key
