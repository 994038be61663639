"""Which keys are accepted: an allow-list by type and size, and the algebra that weak RSA keys fail (F18, F19, J30)."""

from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519

from dayfly.core.policy.keys import (
    _ROCA,
    _SMALL,
    ACCOUNT_KEYS,
    CERTIFICATE_KEYS,
    KeyType,
    check_key,
    spki_hash,
)
from dayfly.core.problems import BadPublicKey

RSA_KEY = rsa.generate_private_key(65537, 2048).public_key()


def with_modulus(modulus: int) -> rsa.RSAPublicKey:
    """An RSA key of this modulus; nobody needs to know its factors."""
    return rsa.RSAPublicNumbers(65537, modulus).public_key()


def rough(start: int) -> int:
    """The first odd number from `start` on without a factor below 752."""
    number = start | 1
    while math.gcd(number, _SMALL) != 1:
        number += 2
    return number


def roca_modulus() -> int:
    """A number that looks like a product of that generator: a power of 65537 modulo each of its primes."""
    value, product = 0, 1
    for prime, _ in _ROCA:  # the Chinese remainder theorem, one prime at a time
        wanted = pow(65537, 3, prime)
        value += product * ((wanted - value) * pow(product, -1, prime) % prime)
        product *= prime
    number = value + product * ((1 << 2047) // product + 1)
    while math.gcd(number, _SMALL) != 1:
        number += product
    return number


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP256R1()).public_key(), KeyType.P256),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), KeyType.P384),
        (RSA_KEY, KeyType.RSA2048),
        (rsa.generate_private_key(65537, 3072).public_key(), KeyType.RSA3072),
    ],
)
def test_key_of_the_list_is_accepted(key: object, kind: KeyType) -> None:
    """EC P-256 and P-384, RSA of the three sizes."""
    assert check_key(key).type is kind


def test_ed25519_signs_requests_and_is_not_certified() -> None:
    """An account key may be Ed25519; a certificate's only by profile, and there is none."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    assert check_key(key, allow=ACCOUNT_KEYS).type is KeyType.ED25519
    with pytest.raises(BadPublicKey, match="Ed25519 are not accepted"):
        check_key(key, allow=CERTIFICATE_KEYS)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (ec.generate_private_key(ec.SECP521R1()).public_key(), "P-521"),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "secp256k1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()).public_key(), "brainpool"),
        (x25519.X25519PrivateKey.generate().public_key(), "this kind of key"),
        (dsa.generate_private_key(1024).public_key(), "this kind of key"),  # noqa: S505 - a weak key is the case
        (rsa.generate_private_key(65537, 1024).public_key(), "1024 bits"),  # noqa: S505 - a weak key is the case
        (rsa.generate_private_key(65537, 2056).public_key(), "2056 bits"),
        (rsa.generate_private_key(3, 2048).public_key(), "exponent is 3"),
        (rsa.RSAPublicNumbers((1 << 65) + 1, RSA_KEY.public_numbers().n).public_key(), "exponent is huge"),
        (with_modulus(751 * rough((1 << 2047) // 751 + 1)), "small factor"),
        (with_modulus(roca_modulus()), "ROCA"),
        (with_modulus(rough(3 << 1022) * rough((3 << 1022) + 1000)), "Fermat"),
        ("not a key", "this kind of key"),
    ],
    ids=str,
)
def test_key_off_the_list_is_refused__rfc8555_11_1(key: object, says: str) -> None:
    """Other curves, sizes, exponents and kinds; and RSA keys of generators that are known to be weak."""
    with pytest.raises(BadPublicKey, match=says):
        check_key(key)


def test_good_rsa_key_fails_no_algebra() -> None:
    """The checks for weak keys let a good one through, and do not depend on its public exponent's size."""
    assert check_key(RSA_KEY).type is KeyType.RSA2048


def test_key_is_known_by_its_hash() -> None:
    """SHA-256 in hex, of the SubjectPublicKeyInfo."""
    assert spki_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_square_modulus_is_no_product_of_two_primes__s10() -> None:
    """Fermat's method begins at its root, and is through at once."""
    prime = rough(1 << 1023 | 1 << 1022)
    with pytest.raises(BadPublicKey, match="Fermat"):
        check_key(with_modulus(prime * prime))
