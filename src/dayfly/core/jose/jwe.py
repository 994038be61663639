"""The encrypted key of a JWK provisioner: compact JWE with PBES2-HS256+A128KW and A256GCM (RFC 7516, RFC 7518 4.8).

Rules: salt, content key and IV are arguments; reading takes exactly this profile, at most ten million rounds, no
`zip`, no other `alg` (step-compat.md part 3), so that a hostile CA cannot make a client work for minutes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode, strict_json_object

ALGORITHM = "PBES2-HS256+A128KW"
ENCRYPTION = "A256GCM"
ROUNDS = 600_000
MAX_ROUNDS = 10_000_000
MIN_ROUNDS = 1_000  # RFC 7518 4.8.1.2
SALT_OCTETS = 16
KEY_OCTETS = 32
IV_OCTETS = 12
MAX_OCTETS = 16 * 1024


class JWEError(ValueError):
    """The text is not an encrypted key of our profile, or the password is wrong."""


def _wrapping_key(password: bytes, salt: bytes, rounds: int) -> bytes:
    """RFC 7518 4.8.1.1: the salt is the algorithm's name, a zero octet, and `p2s`."""
    return PBKDF2HMAC(SHA256(), 16, ALGORITHM.encode() + b"\0" + salt, rounds).derive(password)


def encrypt_jwe(
    plain: bytes, *, password: bytes, salt: bytes, content_key: bytes, iv: bytes, rounds: int = ROUNDS
) -> str:
    """The private JWK `plain` (JSON), encrypted for `password`."""
    header = {"alg": ALGORITHM, "cty": "jwk+json", "enc": ENCRYPTION, "p2c": rounds, "p2s": b64u_encode(salt)}
    protected = b64u_encode(msgspec.json.encode(header))
    wrapped = aes_key_wrap(_wrapping_key(password, salt, rounds), content_key)
    sealed = AESGCM(content_key).encrypt(iv, plain, protected.encode("ascii"))
    parts = (wrapped, iv, sealed[:-16], sealed[-16:])
    return ".".join((protected, *map(b64u_encode, parts)))


def decrypt_jwe(text: str, *, password: bytes) -> bytes:
    """The private JWK inside; JWEError, also for a wrong password."""
    if len(text) > MAX_OCTETS or text.count(".") != 4:
        raise JWEError("this is not a compact JWE")
    protected, *rest = text.split(".")
    try:
        header = strict_json_object(b64u_decode(protected))
        wrapped, iv, sealed, tag = map(b64u_decode, rest)
        salt, rounds = _check_header(header)
        content_key = aes_key_unwrap(_wrapping_key(password, salt, rounds), wrapped)
        return AESGCM(content_key).decrypt(iv, sealed + tag, protected.encode("ascii"))
    except EncodingError as error:
        raise JWEError(f"the JWE is not well formed: {error}") from None
    except (InvalidUnwrap, InvalidTag):
        raise JWEError("the password does not open this key") from None
    except ValueError as error:
        raise JWEError(str(error)) from None


def _check_header(header: dict[str, Any]) -> tuple[bytes, int]:
    """Salt and rounds of a header of our profile."""
    if header.get("alg") != ALGORITHM or header.get("enc") != ENCRYPTION:
        raise JWEError(f"only {ALGORITHM} with {ENCRYPTION} is read")
    if "zip" in header or "crit" in header:
        raise JWEError("`zip` and `crit` are refused")
    rounds, salt = header.get("p2c"), header.get("p2s")
    if type(rounds) is not int or not MIN_ROUNDS <= rounds <= MAX_ROUNDS:
        raise JWEError(f"p2c must lie between {MIN_ROUNDS} and {MAX_ROUNDS}")
    if not isinstance(salt, str):
        raise JWEError("p2s is missing")
    return b64u_decode(salt), rounds
