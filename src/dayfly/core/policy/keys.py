"""Which keys may be certified, and which may sign requests: an allow-list by exact type and size (acme.md part 9).

Rules: one function for every entry point; what is not on the list is refused; RSA keys also pass the algebra that
known weak generators fail (small factors, ROCA 2017, Fermat 2022).
"""

from __future__ import annotations

import hashlib
import math
from enum import StrEnum

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dayfly.core.problems import BadPublicKey

FERMAT_ROUNDS = 100


class KeyType(StrEnum):
    """The key types that there may be a rule for."""

    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"
    RSA2048 = "RSA-2048"
    RSA3072 = "RSA-3072"
    RSA4096 = "RSA-4096"
    ED25519 = "Ed25519"


CERTIFICATE_KEYS = frozenset({KeyType.P256, KeyType.P384, KeyType.RSA2048, KeyType.RSA3072, KeyType.RSA4096})
ACCOUNT_KEYS = CERTIFICATE_KEYS | {KeyType.ED25519}

_CURVES = {"secp256r1": KeyType.P256, "secp384r1": KeyType.P384, "secp521r1": KeyType.P521}
_MODULI = {2048: KeyType.RSA2048, 3072: KeyType.RSA3072, 4096: KeyType.RSA4096}


def _primes_below(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    for number in range(2, math.isqrt(limit) + 1):
        sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(2, limit) if sieve[number]]


_SMALL = math.prod(_primes_below(752))  # one gcd against the product of all primes below 752

# ROCA (CVE-2017-15361): moduli of that generator lie, for each of these primes, in the subgroup that 65537 generates.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def _generated(prime: int) -> frozenset[int]:
    residues, value = set(), 1
    while value not in residues:
        residues.add(value)
        value = value * 65537 % prime
    return frozenset(residues)


_ROCA = tuple((prime, _generated(prime)) for prime in _ROCA_PRIMES)


class KeyFacts(msgspec.Struct, frozen=True, gc=False):
    """The type of an acceptable key."""

    type: KeyType


def check_key(public_key: object, *, allow: frozenset[KeyType] = CERTIFICATE_KEYS) -> KeyFacts:
    """What kind of key it is; BadPublicKey where it is not acceptable (RFC 8555 11.1)."""
    kind = _type_of(public_key)
    if kind not in allow:
        names = ", ".join(sorted(allow))
        raise BadPublicKey(f"keys of type {kind} are not accepted here; use one of {names}")
    if isinstance(public_key, rsa.RSAPublicKey):
        _check_rsa(public_key.public_numbers())
    return KeyFacts(kind)


def _type_of(public_key: object) -> KeyType:
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        kind = _CURVES.get(public_key.curve.name)
        if kind is None:
            raise BadPublicKey(f"the curve {public_key.curve.name} is not accepted; use P-256 or P-384")
        return kind
    if isinstance(public_key, rsa.RSAPublicKey):
        size = _MODULI.get(public_key.key_size)
        if size is None:
            raise BadPublicKey(f"RSA keys of {public_key.key_size} bits are not accepted; use 2048, 3072 or 4096")
        return size
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return KeyType.ED25519
    raise BadPublicKey("this kind of key is not accepted; use EC P-256 or P-384, or RSA")


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    if numbers.e != 65537:
        raise BadPublicKey(f"the RSA exponent is {numbers.e if numbers.e < 1 << 64 else 'huge'}; it must be 65537")
    modulus = numbers.n
    if math.gcd(modulus, _SMALL) != 1:
        raise BadPublicKey("the RSA modulus has a small factor")
    if all(modulus % prime in residues for prime, residues in _ROCA):
        raise BadPublicKey("the RSA key was made by a generator with a known weakness (ROCA); make another one")
    if _factors_by_fermat(modulus):
        raise BadPublicKey("the RSA primes are too close to each other (Fermat); make another key")


def _factors_by_fermat(modulus: int) -> bool:
    """Does Fermat's method find the factors within a hundred rounds?"""
    root = math.isqrt(modulus)
    if root * root < modulus:
        root += 1
    for candidate in range(root, root + FERMAT_ROUNDS):
        square = candidate * candidate - modulus
        if math.isqrt(square) ** 2 == square:
            return True
    return False


def spki_hash(spki: bytes) -> str:
    """The SHA-256 (hex) of a SubjectPublicKeyInfo: under which a key is known and blocked."""
    return hashlib.sha256(spki).hexdigest()
