"""Keys of JWK provisioners: made here, or taken over as public keys (step-compat.md part 3).

Rules: a new key is P-256, and leaves this module encrypted only; its id is its thumbprint (RFC 7638); a key that is
taken over is a public one, since the private half belongs where tokens are made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from dayfly.adapters.keyfiles import read_file
from dayfly.core.jose.encoding import EncodingError, b64u_encode, strict_json_object
from dayfly.core.jose.jwe import IV_OCTETS, KEY_OCTETS, SALT_OCTETS, encrypt_jwe
from dayfly.core.jose.jwk import parse_jwk, render_jwk, thumbprint_of
from dayfly.core.policy.keys import ACCOUNT_KEYS, check_key
from dayfly.core.problems import BadPublicKey, Refused
from dayfly.core.settings.provisioner_changes import Key
from dayfly.errors import ConfigError


def new_provisioner_key(password: bytes) -> Key:
    """A new key, its private half encrypted under the password."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, kid = render_jwk(key.public_key()), thumbprint_of(key.public_key())
    described = {"use": "sig", "kid": kid, "alg": "ES256", **public}
    secret = key.private_numbers().private_value.to_bytes(32)
    encrypted = encrypt_jwe(
        msgspec.json.encode({**described, "d": b64u_encode(secret)}),
        password=password,
        salt=os.urandom(SALT_OCTETS),
        content_key=os.urandom(KEY_OCTETS),
        iv=os.urandom(IV_OCTETS),
    )
    return Key(kid, msgspec.json.encode(described).decode(), encrypted)


def read_public_key(path: Path) -> Key:
    """The public key in a file, a JWK or PEM; ConfigError, also for a private key."""
    try:
        content = read_file(path)
    except OSError as error:
        raise ConfigError("", f"{path} cannot be read: {error.strerror}", hint="name another --public-key") from None
    try:
        members = _from_pem(content) if content.lstrip().startswith(b"-----BEGIN") else strict_json_object(content)
        key = parse_jwk(members)
        check_key(key.key, allow=ACCOUNT_KEYS)
    except EncodingError as error:
        raise ConfigError("", f"{path} is neither a JWK nor PEM: {error}") from None
    except Refused as error:
        raise ConfigError("", f"the key in {path} is not acceptable: {error.detail}", hint=error.hint) from None
    kid = str(members.get("kid") or key.thumbprint)
    document = {"use": "sig", "kid": kid, "alg": key.algorithms[0], **msgspec.json.decode(key.jwk)}
    return Key(kid, msgspec.json.encode(document).decode())


def _from_pem(content: bytes) -> Mapping[str, object]:
    try:
        return render_jwk(load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm):
        raise BadPublicKey(
            "there is no public key in it", hint="make one: openssl pkey -in KEY -pubout -out PUBLIC"
        ) from None
