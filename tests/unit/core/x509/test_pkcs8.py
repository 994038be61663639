"""Encrypted key files are what OpenSSL and the library read."""

from __future__ import annotations

import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from dayfly.core.x509.pkcs8 import ROUNDS, encrypt_pkcs8, render_encrypted_pem
from factories import ec_key

KEY = ec_key()
PLAIN = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def encrypted(rounds: int = ROUNDS) -> bytes:
    """The key under a password."""
    return encrypt_pkcs8(PLAIN, password=b"correct horse", salt=b"s" * 16, iv=b"i" * 16, rounds=rounds)


def test_library_reads_it() -> None:
    """The same key comes back."""
    found = load_der_private_key(encrypted(), b"correct horse")
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    assert found.private_numbers() == KEY.private_numbers()


def test_wrong_password_opens_nothing() -> None:
    """A wrong password is an error."""
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own text
        load_pem_private_key(render_encrypted_pem(encrypted(2048)), b"wrong")


def test_openssl_reads_it_and_sees_the_rounds() -> None:
    """OpenSSL opens the file, and finds 600,000 rounds in it."""
    pem = render_encrypted_pem(encrypted())
    opened = subprocess.run(
        ["openssl", "pkey", "-passin", "pass:correct horse", "-outform", "DER"],
        input=pem,
        capture_output=True,
        check=True,
    )
    assert load_der_private_key(opened.stdout, None) is not None
    dump = subprocess.run(["openssl", "asn1parse"], input=pem, capture_output=True, check=True)
    assert f"{ROUNDS:X}" in dump.stdout.decode().replace(":0", ":")
