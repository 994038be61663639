"""Encrypted private keys: PKCS#8 with PBES2, PBKDF2 and AES-256-CBC (RFC 5958, RFC 8018), as OpenSSL and step read it.

Rules: salt and IV are arguments; 600,000 rounds of HMAC-SHA-256, which the library's own writer does not offer (it
takes 2,048), so that a stolen key file is not an open one.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

ROUNDS = 600_000
SALT_OCTETS = 16
IV_OCTETS = 16

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("300c06082a864886f70d02090500")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")


def _tlv(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


def encrypt_pkcs8(plain: bytes, *, password: bytes, salt: bytes, iv: bytes, rounds: int = ROUNDS) -> bytes:
    """EncryptedPrivateKeyInfo (DER) around a PrivateKeyInfo (DER)."""
    key = PBKDF2HMAC(SHA256(), 32, salt, rounds).derive(password)
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES256(key), CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    iterations = rounds.to_bytes((rounds.bit_length() + 8) // 8)
    derivation = _tlv(0x30, _PBKDF2 + _tlv(0x30, _tlv(0x04, salt) + _tlv(0x02, iterations) + _HMAC_SHA256))
    cipher = _tlv(0x30, _AES_256_CBC + _tlv(0x04, iv))
    algorithm = _tlv(0x30, _PBES2 + _tlv(0x30, derivation + cipher))
    return _tlv(0x30, algorithm + _tlv(0x04, sealed))


def render_encrypted_pem(der: bytes) -> bytes:
    """The PEM of an EncryptedPrivateKeyInfo."""
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()
