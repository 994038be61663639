"""Signatures as JWS spells them (RFC 7518 3, RFC 8037 3.1), made and checked.

Rules: an algorithm is used only with the one kind of key that it fits; a signature has one length and is refused,
never padded, in any other; a check returns nothing and raises. Its bytes are never an identity: for ECDSA (r, n - s)
verifies as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from dayfly.core.jose.edwards import L
from dayfly.core.jose.jwk import KeyAlgorithm, LoadedKey, PublicKey
from dayfly.core.problems import Malformed

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class _Ecdsa:
    """The octets of one coordinate, the order of the group (SP 800-186 3.2.1), and the hash, made once."""

    octets: int
    order: int
    scheme: ec.ECDSA


_ES256 = _Ecdsa(
    32,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ec.ECDSA(SHA256()),
)
_ES384 = _Ecdsa(
    48,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ec.ECDSA(SHA384()),
)
_ES512 = _Ecdsa(
    66,
    0x01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    ec.ECDSA(SHA512()),
)
_SHA256 = SHA256()
_PKCS1 = padding.PKCS1v15()
_PSS = padding.PSS(mgf=padding.MGF1(_SHA256), salt_length=32)  # RFC 7518 3.5: the salt is as long as the hash


def verify(signing_input: bytes, signature: bytes, *, key: PublicKey, alg: KeyAlgorithm) -> None:
    """Raise Malformed unless `signature` is the key's over `signing_input`, in the one form that `alg` gives it."""
    if alg not in key.algorithms:
        raise Malformed(f"alg {alg} does not fit a key of kind {key.kind}")
    try:
        _VERIFIERS[alg](key.key, signature, signing_input)
    except InvalidSignature:
        raise Malformed("the signature does not verify") from None


def sign(signing_input: bytes, *, key: PrivateKey, alg: KeyAlgorithm) -> bytes:
    """The signature over `signing_input`, in the form of JWS; the caller has seen that `alg` fits the key."""
    return _SIGNERS[alg](key, signing_input)


def _check_length(signature: bytes, octets: int) -> None:
    if len(signature) != octets:
        raise Malformed(f"the signature has {len(signature)} octets; this algorithm and key give exactly {octets}")


def _ecdsa_verifier(facts: _Ecdsa) -> Callable[[LoadedKey, bytes, bytes], None]:
    octets, order, scheme = facts.octets, facts.order, facts.scheme

    def check(key: LoadedKey, signature: bytes, data: bytes) -> None:
        if len(signature) != 2 * octets:
            _check_length(signature, 2 * octets)
        r, s = int.from_bytes(signature[:octets], "big"), int.from_bytes(signature[octets:], "big")
        if not (0 < r < order and 0 < s < order):
            raise Malformed("r or s of the signature is not between 1 and n - 1")
        cast("ec.EllipticCurvePublicKey", key).verify(encode_dss_signature(r, s), data, scheme)

    return check


def _rsa_verifier(scheme: padding.AsymmetricPadding) -> Callable[[LoadedKey, bytes, bytes], None]:
    def check(key: LoadedKey, signature: bytes, data: bytes) -> None:
        public = cast("rsa.RSAPublicKey", key)
        _check_length(signature, (public.key_size + 7) // 8)
        public.verify(signature, data, scheme, _SHA256)

    return check


def _check_eddsa(key: LoadedKey, signature: bytes, data: bytes) -> None:
    _check_length(signature, 64)
    if int.from_bytes(signature[32:], "little") >= L:
        raise Malformed("S of the signature is not below the order of the group (RFC 8032 5.1.7)")
    cast("ed25519.Ed25519PublicKey", key).verify(signature, data)


def _ecdsa_signer(facts: _Ecdsa) -> Callable[[PrivateKey, bytes], bytes]:
    def make(key: PrivateKey, data: bytes) -> bytes:
        r, s = decode_dss_signature(cast("ec.EllipticCurvePrivateKey", key).sign(data, facts.scheme))
        return r.to_bytes(facts.octets, "big") + s.to_bytes(facts.octets, "big")

    return make


def _rsa_signer(scheme: padding.AsymmetricPadding) -> Callable[[PrivateKey, bytes], bytes]:
    def make(key: PrivateKey, data: bytes) -> bytes:
        return cast("rsa.RSAPrivateKey", key).sign(data, scheme, _SHA256)

    return make


def _make_eddsa(key: PrivateKey, data: bytes) -> bytes:
    return cast("ed25519.Ed25519PrivateKey", key).sign(data)


_VERIFIERS: Mapping[KeyAlgorithm, Callable[[LoadedKey, bytes, bytes], None]] = {
    KeyAlgorithm.RS256: _rsa_verifier(_PKCS1),
    KeyAlgorithm.PS256: _rsa_verifier(_PSS),
    KeyAlgorithm.ES256: _ecdsa_verifier(_ES256),
    KeyAlgorithm.ES384: _ecdsa_verifier(_ES384),
    KeyAlgorithm.ES512: _ecdsa_verifier(_ES512),
    KeyAlgorithm.EDDSA: _check_eddsa,
}
_SIGNERS: Mapping[KeyAlgorithm, Callable[[PrivateKey, bytes], bytes]] = {
    KeyAlgorithm.RS256: _rsa_signer(_PKCS1),
    KeyAlgorithm.PS256: _rsa_signer(_PSS),
    KeyAlgorithm.ES256: _ecdsa_signer(_ES256),
    KeyAlgorithm.ES384: _ecdsa_signer(_ES384),
    KeyAlgorithm.ES512: _ecdsa_signer(_ES512),
    KeyAlgorithm.EDDSA: _make_eddsa,
}
