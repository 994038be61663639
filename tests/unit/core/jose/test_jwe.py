"""The encrypted provisioner key (RFC 7516, RFC 7518 4.8): our profile, and nothing else."""

from __future__ import annotations

import pytest

from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwe import JWEError, decrypt_jwe, encrypt_jwe

PLAIN = b'{"kty":"EC"}'


def made(rounds: int = 1000) -> str:
    """An encrypted key."""
    return encrypt_jwe(PLAIN, password=b"password", salt=b"s" * 16, content_key=b"k" * 32, iv=b"i" * 12, rounds=rounds)


def with_header(header: bytes) -> str:
    """The same with another protected header."""
    return ".".join((b64u_encode(header), *made().split(".")[1:]))


def test_round_trip() -> None:
    """The password opens what it closed."""
    assert decrypt_jwe(made(), password=b"password") == PLAIN


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.b.c", "not a compact JWE"),
        ("x" * 20_000, "not a compact JWE"),
        (with_header(b'{"alg":"dir","enc":"A256GCM"}'), "only PBES2"),
        (with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256"}'), "only PBES2"),
        (with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","zip":"DEF"}'), "refused"),
        (with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483648,"p2s":"c3Nzc3Nzc3M"}'), "p2c must"),
        (with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":true,"p2s":"c3Nzc3Nzc3M"}'), "p2c must"),
        (with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":1000}'), "p2s is missing"),
        (with_header(b'{"alg":1,"alg":2}'), "not well formed"),
    ],
)
def test_other_profile_is_refused__p6(text: str, says: str) -> None:
    """Bombs, other algorithms and malformed texts are refused before any work."""
    with pytest.raises(JWEError, match=says):
        decrypt_jwe(text, password=b"password")


def test_wrong_password_is_refused() -> None:
    """A wrong password does not open the key."""
    with pytest.raises(JWEError, match="does not open"):
        decrypt_jwe(made(), password=b"wrong")


def test_changed_ciphertext_is_refused() -> None:
    """One flipped character is found."""
    head, wrapped, iv, sealed, tag = made().split(".")
    changed = ".".join((head, wrapped, iv, ("B" if sealed[0] != "B" else "C") + sealed[1:], tag))
    with pytest.raises(JWEError, match="does not open"):
        decrypt_jwe(changed, password=b"password")
