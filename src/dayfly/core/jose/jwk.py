"""Public keys as JSON (RFC 7517, 7518 6, 8037), and their identity (RFC 7638).

Rules: only public members are taken, and a private or symmetric key is refused; a key is what its numbers are: JWK,
thumbprint and SubjectPublicKeyInfo are rendered from the loaded key, never copied from the input; a key of the wrong
kind or with bad numbers is BadPublicKey, a JWK of the wrong shape Malformed. How strong a key must be is decided
elsewhere; here stands only what keeps a check of a signature cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TypeAlias

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.core.jose.edwards import check_ed25519_point
from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode
from dayfly.core.problems import BadPublicKey, Malformed

# Not strength: beyond these a client could buy much work with one request (OpenSSL itself stops at 16,384 bits), and
# below 512 bits a SHA-256 signature does not fit.
RSA_BITS = range(512, 8192 + 1)
RSA_EXPONENT_OCTETS = 4

LoadedKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class KeyAlgorithm(StrEnum):
    """The signature algorithms that we know (RFC 7518 3.1, RFC 8037 3.1); none of them is a MAC."""

    RS256 = "RS256"
    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"
    PS256 = "PS256"
    ES512 = "ES512"


OPTIONAL_ALGORITHMS = frozenset({KeyAlgorithm.PS256, KeyAlgorithm.ES512})
DEFAULT_ALGORITHMS = frozenset(KeyAlgorithm) - OPTIONAL_ALGORITHMS


def accepted_algorithms(extra: Iterable[str] = ()) -> frozenset[KeyAlgorithm]:
    """The default set and what is switched on (`PS256`, `ES512`); ValueError for an algorithm that we do not know."""
    return DEFAULT_ALGORITHMS | {KeyAlgorithm(name) for name in extra}


class KeyKind(StrEnum):
    """What a key is: its type, and for curves which one."""

    EC_P256 = "P-256"
    EC_P384 = "P-384"
    EC_P521 = "P-521"
    RSA = "RSA"
    ED25519 = "Ed25519"


# The algorithms that fit a kind; the first is the one to sign with.
ALGORITHMS: Mapping[KeyKind, tuple[KeyAlgorithm, ...]] = {
    KeyKind.EC_P256: (KeyAlgorithm.ES256,),
    KeyKind.EC_P384: (KeyAlgorithm.ES384,),
    KeyKind.EC_P521: (KeyAlgorithm.ES512,),
    KeyKind.RSA: (KeyAlgorithm.RS256, KeyAlgorithm.PS256),
    KeyKind.ED25519: (KeyAlgorithm.EDDSA,),
}

# By the name of RFC 7518 6.2.1.1, which is also our kind; pyca names the curves as SEC 2 does.
_CURVES: Mapping[str, ec.EllipticCurve] = {
    KeyKind.EC_P256: ec.SECP256R1(),
    KeyKind.EC_P384: ec.SECP384R1(),
    KeyKind.EC_P521: ec.SECP521R1(),
}
_KIND_OF_CURVE = {curve.name: KeyKind(name) for name, curve in _CURVES.items()}

# Of RSA, EC and OKP keys, and of symmetric ones (RFC 7518 6.2.2, 6.3.2, 6.4.1, RFC 8037 2).
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, loaded and named: `key` to verify with, `thumbprint` to compare and to look up.

    `jwk` is the canonical JSON of RFC 7638 3 (required members, sorted), `thumbprint` its SHA-256 as base64url, `spki`
    the DER SubjectPublicKeyInfo, `algorithms` those that fit the key, whether switched on or not.
    """

    kind: KeyKind
    key: LoadedKey = field(compare=False, repr=False)
    jwk: bytes
    thumbprint: str
    spki: bytes = field(repr=False)
    algorithms: tuple[KeyAlgorithm, ...]


def public_key_of(key: object) -> PublicKey:
    """The PublicKey of a pyca public key; BadPublicKey for a kind or curve that we do not take."""
    loaded, kind = _known(key)
    spki = loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = msgspec.json.encode(_members(loaded, kind, spki), order="sorted")
    return PublicKey(kind, loaded, jwk, _digest(jwk), spki, ALGORITHMS[kind])


def render_jwk(key: object) -> dict[str, str]:
    """The required members of a pyca public key's JWK, in canonical form; BadPublicKey as in `public_key_of`."""
    loaded, kind = _known(key)
    return _members(loaded, kind, loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def thumbprint_of(key: object, *, spki: bytes | None = None) -> str:
    """The RFC 7638 thumbprint of a pyca public key, SHA-256, base64url; BadPublicKey as in `public_key_of`.

    `spki` is its SubjectPublicKeyInfo as the library writes it, where that is at hand: to write it is most of the work.
    """
    if spki is None:
        return _digest(msgspec.json.encode(render_jwk(key), order="sorted"))
    return _digest(msgspec.json.encode(_members(*_known(key), spki), order="sorted"))


def parse_jwk(value: Mapping[str, object]) -> PublicKey:
    """The public key of a JWK.

    BadPublicKey for a private or symmetric key, an unknown type or curve, a point that is not on its curve or not of
    its curve's length, numbers that are not minimal or that no key has. Malformed for a required member that is
    missing, not a string or not strict base64url, and for a key declared for something else (`use`, `alg`). Members
    that we do not know are ignored (RFC 7517 4).
    """
    if not _SECRET_MEMBERS.isdisjoint(value):
        raise BadPublicKey(
            "the JWK holds private or symmetric key material; send the public members only",
            hint="that key has left its host: make a new one",
        )
    reader = _READERS.get(_text(value, "kty"))
    if reader is None:
        raise BadPublicKey("kty must be EC, RSA or OKP")
    key = public_key_of(reader(value))
    _check_intent(value, key)
    return key


def _check_intent(value: Mapping[str, object], key: PublicKey) -> None:
    """Raise Malformed where the JWK says that it is for something else (RFC 7517 4.2, 4.4)."""
    if value.get("use", "sig") != "sig":
        raise Malformed("the JWK's use is not sig")
    if "alg" in value and value["alg"] not in key.algorithms:
        raise Malformed(f"the JWK's alg does not fit a key of kind {key.kind}")


def _read_ec(value: Mapping[str, object]) -> ec.EllipticCurvePublicKey:
    curve = _CURVES.get(_text(value, "crv"))
    if curve is None:
        raise BadPublicKey("crv must be P-256, P-384 or P-521 for an EC key")
    x, y = _octets(value, "x"), _octets(value, "y")
    size = (curve.key_size + 7) // 8
    if len(x) != size or len(y) != size:
        raise BadPublicKey(f"x and y must each be exactly {size} octets for this curve (RFC 7518 6.2.1)")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
    except (ValueError, UnsupportedAlgorithm):
        raise BadPublicKey("x and y are not a point on the curve") from None


def _read_rsa(value: Mapping[str, object]) -> rsa.RSAPublicKey:
    n, e = _octets(value, "n"), _octets(value, "e")
    if n[:1] in {b"", b"\0"} or e[:1] in {b"", b"\0"}:
        raise BadPublicKey("n and e must be positive, in the least number of octets (RFC 7518 6.3.1)")
    modulus = int.from_bytes(n, "big")
    if modulus.bit_length() not in RSA_BITS:
        raise BadPublicKey(f"an RSA modulus must have {RSA_BITS[0]} to {RSA_BITS[-1]} bits to be looked at")
    if len(e) > RSA_EXPONENT_OCTETS:
        raise BadPublicKey(f"an RSA exponent must fit in {RSA_EXPONENT_OCTETS} octets to be looked at")
    try:
        return rsa.RSAPublicNumbers(int.from_bytes(e, "big"), modulus).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise BadPublicKey("n and e are not an RSA key") from None


def _read_okp(value: Mapping[str, object]) -> ed25519.Ed25519PublicKey:
    if _text(value, "crv") != KeyKind.ED25519:
        raise BadPublicKey("crv must be Ed25519 for an OKP key")
    x = _octets(value, "x")
    if len(x) != 32:
        raise BadPublicKey("x must be exactly 32 octets for Ed25519 (RFC 8037 2)")
    return ed25519.Ed25519PublicKey.from_public_bytes(x)


_READERS: Mapping[str, Callable[[Mapping[str, object]], LoadedKey]] = {
    "EC": _read_ec,
    "RSA": _read_rsa,
    "OKP": _read_okp,
}


def _text(value: Mapping[str, object], member: str) -> str:
    text = value.get(member)
    if not isinstance(text, str):
        raise Malformed(f"the JWK's {member} is missing or not a string")
    return text


def _octets(value: Mapping[str, object], member: str) -> bytes:
    try:
        return b64u_decode(_text(value, member))
    except EncodingError as error:
        raise Malformed(f"the JWK's {member} is not acceptable: {error}") from None


def _known(key: object) -> tuple[LoadedKey, KeyKind]:
    match key:
        case ec.EllipticCurvePublicKey() if key.curve.name in _KIND_OF_CURVE:
            return key, _KIND_OF_CURVE[key.curve.name]
        case rsa.RSAPublicKey():
            return key, KeyKind.RSA
        case ed25519.Ed25519PublicKey():
            check_ed25519_point(key.public_bytes_raw())
            return key, KeyKind.ED25519
    raise BadPublicKey("only RSA, P-256, P-384, P-521 and Ed25519 keys are taken")


def _members(key: LoadedKey, kind: KeyKind, spki: bytes) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.key_size + 7) // 8
        x, y = spki[-2 * size : -size], spki[-size:]  # the point ends the structure, uncompressed (RFC 5480 2.2)
        return {"crv": kind, "kty": "EC", "x": b64u_encode(x), "y": b64u_encode(y)}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"e": _uint(numbers.e), "kty": "RSA", "n": _uint(numbers.n)}
    return {"crv": kind, "kty": "OKP", "x": b64u_encode(key.public_bytes_raw())}


def _uint(number: int) -> str:
    """Base64urlUInt of RFC 7518 2: big endian, in the least number of octets."""
    return b64u_encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _digest(jwk: bytes) -> str:
    return b64u_encode(sha256(jwk).digest())
