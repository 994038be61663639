"""Private JWKs: the key that a provisioner signs with, read strictly (RFC 7517, RFC 7518 6)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import render_jwk
from dayfly.core.jose.private import PrivateJWKError, parse_private_jwk
from dayfly.core.jose.signatures import PrivateKey

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def uint(number: int) -> str:
    """Base64urlUInt."""
    return b64u_encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def jwk_of(key: PrivateKey, **changes: Any) -> dict[str, Any]:
    """A key's private JWK, with changes."""
    document: dict[str, Any] = {"use": "sig", "kid": "k", **render_jwk(key.public_key())}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        document["d"] = b64u_encode(key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big"))
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        document["d"] = b64u_encode(key.private_bytes_raw())
    else:
        numbers = key.private_numbers()
        values = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1}
        document |= {name: uint(value) for name, value in values.items()} | {"qi": uint(numbers.iqmp)}
    return {name: value for name, value in (document | changes).items() if value is not None}


@pytest.mark.parametrize(
    "key",
    [
        EC_KEY,
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        RSA_KEY,
    ],
    ids=["P-256", "P-384", "P-521", "Ed25519", "RSA"],
)
def test_key_comes_back_as_it_went_in__rfc7518_6(key: PrivateKey) -> None:
    """Every kind that signs tokens is read."""
    assert parse_private_jwk(msgspec.json.encode(jwk_of(key))).public_key() == key.public_key()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (jwk_of(EC_KEY, d=None), "d is missing"),
        (jwk_of(EC_KEY, d=7), "d is missing or not a string"),
        (jwk_of(EC_KEY, d="AA=="), "padded"),
        (jwk_of(EC_KEY, d=uint(1)), "do not belong together"),
        (jwk_of(EC_KEY, d=uint(0) or "AA"), "not a key"),
        (jwk_of(EC_KEY, kty="oct"), "public half is not acceptable"),
        (jwk_of(EC_KEY, x=None), "public half is not acceptable"),
        (jwk_of(RSA_KEY, p=None), "p is missing"),
        (jwk_of(RSA_KEY, q=uint(15)), "not a key"),
        (jwk_of(EC_KEY, k="AAAA"), "public half is not acceptable"),
    ],
)
def test_damaged_private_key_is_refused_without_a_value(document: dict[str, Any], says: str) -> None:
    """The reason is told; a private member never stands in it."""
    with pytest.raises(PrivateJWKError, match=says) as caught:
        parse_private_jwk(msgspec.json.encode(document))
    assert all(str(document.get(name) or "-none-") not in str(caught.value) for name in ("d", "p", "dp"))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"kty":"EC","kty":"EC"}', b"\xff"])
def test_text_that_is_no_object_is_refused(text: bytes) -> None:
    """Strict JSON, as everywhere in JOSE."""
    with pytest.raises(PrivateJWKError, match="not well formed"):
        parse_private_jwk(text)
