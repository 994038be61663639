"""Keys of JWK provisioners: made, or taken over from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dayfly.adapters.provisionerkeys import new_provisioner_key, read_public_key
from dayfly.core.jose.jwe import decrypt_jwe
from dayfly.core.jose.jwk import render_jwk, thumbprint_of
from dayfly.core.settings.provisioner_changes import Key
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import make_settings
from dayfly.errors import ConfigError
from factories import ec_key


def accepted(key: Key) -> bool:
    """Do the settings take a provisioner with this key?"""
    made = Provisioner("p", ProvisionerType.JWK, kid=key.kid, key=key.jwk, encrypted_key=key.encrypted)
    return make_settings(0, (made,)).find_provisioner("p") == made


def test_a_new_key_opens_with_its_password_alone() -> None:
    """The private half stands in the JWE only; it belongs to the public one, whose thumbprint is the id."""
    made = new_provisioner_key(b"a password")
    assert accepted(made)
    assert '"d"' not in made.jwk
    private = json.loads(decrypt_jwe(made.encrypted, password=b"a password"))
    assert {name: private[name] for name in private if name != "d"} == json.loads(made.jwk)
    with pytest.raises(Exception, match="password"):
        decrypt_jwe(made.encrypted, password=b"another")


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ec_key(), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["P-256", "P-384", "RSA", "Ed25519"],
)
def test_a_public_key_is_taken_from_pem_or_jwk(key: ec.EllipticCurvePrivateKey, alg: str, tmp_path: Path) -> None:
    """Both give the same key, with the thumbprint as its id and no private half."""
    pem, jwk = tmp_path / "key.pem", tmp_path / "key.json"
    pem.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    jwk.write_text(json.dumps(render_jwk(key.public_key())))
    found = read_public_key(pem)
    assert accepted(found)
    assert found == read_public_key(jwk)
    assert (found.kid, found.encrypted) == (thumbprint_of(key.public_key()), "")
    assert json.loads(found.jwk)["alg"] == alg


def test_a_jwk_keeps_its_own_id(tmp_path: Path) -> None:
    """Tokens name it."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps({**render_jwk(ec_key().public_key()), "kid": "mine"}))
    found = read_public_key(path)
    assert (found.kid, accepted(found)) == ("mine", True)


def _private_pem() -> bytes:
    return ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _dsa_pem() -> bytes:
    key = dsa.generate_private_key(2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no key", "neither a JWK nor PEM"),
        (b"{}", "not acceptable"),
        (b'{"kty":"oct","k":"AAAA"}', "not acceptable"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (_private_pem(), "no public key"),
        (_dsa_pem(), "not acceptable"),
        (
            rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the case
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not acceptable",
        ),
    ],
    ids=["text", "empty", "symmetric", "damaged", "private", "dsa", "rsa-1024"],
)
def test_what_is_no_good_public_key_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    """A private key above all; the error says what to do and shows nothing of it."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        read_public_key(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the flag that named it."""
    with pytest.raises(ConfigError, match=r"absent cannot be read") as caught:
        read_public_key(tmp_path / "absent")
    assert "--public-key" in caught.value.hint
