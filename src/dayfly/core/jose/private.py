"""Private keys as JSON (RFC 7517, 7518 6.2.2, 6.3.2, RFC 8037 2), as a provisioner's key is kept.

Rules: the public members are read as strictly as those of any key; the private ones must give the very same public
key, or the JWK is refused; no error ever shows a value. How such a text is kept secret is `jwe`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dayfly.core.jose.encoding import EncodingError, b64u_decode, strict_json_object
from dayfly.core.jose.jwk import KeyKind, PublicKey, parse_jwk
from dayfly.core.jose.signatures import PrivateKey
from dayfly.core.problems import Refused

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})

_CURVES: Mapping[KeyKind, ec.EllipticCurve] = {
    KeyKind.EC_P256: ec.SECP256R1(),
    KeyKind.EC_P384: ec.SECP384R1(),
    KeyKind.EC_P521: ec.SECP521R1(),
}


class PrivateJWKError(ValueError):
    """The text is no private JWK that we can sign with; the reason, and never a value."""


def parse_private_jwk(text: bytes) -> PrivateKey:
    """The private key of a JWK in JSON; PrivateJWKError."""
    try:
        members = strict_json_object(text)
        public = parse_jwk({name: value for name, value in members.items() if name not in PRIVATE_MEMBERS})
        key = _MAKERS[public.kind](members, public)
    except EncodingError as error:
        raise PrivateJWKError(f"it is not well formed: {error}") from None
    except Refused as error:
        raise PrivateJWKError(f"its public half is not acceptable: {error.detail}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PrivateJWKError("its private members are not a key") from None
    if key.public_key() != public.key:
        raise PrivateJWKError("its private and its public half do not belong together")
    return key


def _octets(members: Mapping[str, object], name: str) -> bytes:
    text = members.get(name)
    if not isinstance(text, str):
        raise EncodingError(f"{name} is missing or not a string")
    return b64u_decode(text)


def _number(members: Mapping[str, object], name: str) -> int:
    return int.from_bytes(_octets(members, name), "big")


def _make_ec(members: Mapping[str, object], public: PublicKey) -> PrivateKey:
    return ec.derive_private_key(_number(members, "d"), _CURVES[public.kind])


def _make_ed25519(members: Mapping[str, object], public: PublicKey) -> PrivateKey:
    del public
    return ed25519.Ed25519PrivateKey.from_private_bytes(_octets(members, "d"))


def _make_rsa(members: Mapping[str, object], public: PublicKey) -> PrivateKey:
    numbers = cast("rsa.RSAPublicKey", public.key).public_numbers()
    p, q, d, dp, dq, qi = (_number(members, name) for name in ("p", "q", "d", "dp", "dq", "qi"))
    return rsa.RSAPrivateNumbers(p=p, q=q, d=d, dmp1=dp, dmq1=dq, iqmp=qi, public_numbers=numbers).private_key()


_MAKERS: Mapping[KeyKind, Callable[[Mapping[str, object], PublicKey], PrivateKey]] = {
    KeyKind.EC_P256: _make_ec,
    KeyKind.EC_P384: _make_ec,
    KeyKind.EC_P521: _make_ec,
    KeyKind.ED25519: _make_ed25519,
    KeyKind.RSA: _make_rsa,
}
