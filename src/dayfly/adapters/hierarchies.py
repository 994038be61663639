"""The ways to an issuing certificate: a new root, an existing root, an existing pair, or a request to a root elsewhere.

Rules: what is given is checked before anything is made; an existing root's key is read once, to sign, and never copied;
the new root's key lies apart; what comes back from elsewhere must be for the key that was made here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.adapters.founding import Foundation
from dayfly.adapters.keyfiles import load_key
from dayfly.core.x509.constraints import NameConstraints
from dayfly.core.x509.hierarchy import (
    AuthorityKey,
    HierarchyError,
    build_intermediate,
    build_intermediate_request,
    build_root,
    check_issuing_chain,
    check_root,
)
from dayfly.core.x509.pem import render_pem
from dayfly.errors import ConfigError

ROOT_LIFE = timedelta(days=3650)  # step's ten years: the root is replaced by a plan, not by a timer
INTERMEDIATE_LIFE = timedelta(days=3650)
BACKDATE = timedelta(minutes=1)
ROOT, INTERMEDIATE, INTERMEDIATE_KEY = (
    "certs/root_ca.crt",
    "certs/intermediate_ca.crt",
    "secrets/intermediate_ca_key",
)


@dataclass(frozen=True, slots=True)
class Names:
    """What goes into the certificates: the CA's name, and the constraints of its intermediate, if any."""

    name: str
    constraints: NameConstraints | None


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What is there now: the root (DER) and its file, the root key's file if we know it, the intermediate's file."""

    root_der: bytes
    root: Path
    root_key: Path | None
    intermediate: Path


def new_root(
    foundation: Foundation,
    names: Names,
    *,
    password: bytes | None,
    root_password: bytes | None,
    root_key_out: Path | None,
    now: datetime,
) -> Hierarchy:
    """A new root, its key apart, and an intermediate under it."""
    start = now.replace(microsecond=0) - BACKDATE
    key = ec.generate_private_key(ec.SECP256R1())
    root = build_root(name=names.name, key=key, serial=_ca_serial(), not_before=start, not_after=start + ROOT_LIFE)
    hierarchy = _intermediate_under(foundation, names, root=root, root_key=key, password=password, now=now)
    where = root_key_out or foundation.home / "offline/root_ca_key"
    return Hierarchy(root, hierarchy.root, foundation.key(where, key, password=root_password), hierarchy.intermediate)


def existing_root(
    foundation: Foundation,
    names: Names,
    *,
    certificate: Path,
    key_file: Path,
    key_password: bytes | None,
    password: bytes | None,
    now: datetime,
) -> Hierarchy:
    """An intermediate under a root that is there already; HierarchyError, ConfigError, SignerError."""
    (root,) = read_certificates(certificate, most=1)
    check_root(root, now=now)
    key = _authority_key(key_file, key_password)
    if _spki(key) != _spki_of(root):
        raise HierarchyError(f"{key_file} is not the key of {certificate}")
    made = _intermediate_under(foundation, names, root=root, root_key=key, password=password, now=now)
    return Hierarchy(root, made.root, key_file.absolute(), made.intermediate)


def existing_intermediate(
    foundation: Foundation,
    *,
    root: Path,
    certificate: Path,
    key_file: Path,
    key_password: bytes | None,
    password: bytes | None,
    now: datetime,
) -> Hierarchy:
    """An issuing pair that is there already, its key encrypted anew; HierarchyError, ConfigError, SignerError."""
    (anchor,) = read_certificates(root, most=1)
    key = load_key(key_file, password=key_password)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in {"secp256r1", "secp384r1"}:
        raise HierarchyError(f"{key_file} is not a P-256 or P-384 key, and only these issue here")
    chain = read_certificates(certificate)
    check_issuing_chain(chain, anchor, spki=_spki(key), now=now)
    foundation.key(foundation.home / INTERMEDIATE_KEY, key, password=password)
    return _write_chain(foundation, anchor, chain)


def request_intermediate(foundation: Foundation, names: Names, *, password: bytes | None) -> bytes:
    """A new issuing key in the home; the request for its certificate (DER)."""
    key = ec.generate_private_key(ec.SECP256R1())
    foundation.key(foundation.home / INTERMEDIATE_KEY, key, password=password)
    return build_intermediate_request(name=names.name, key=key, constraints=names.constraints)


def take_chain(
    foundation: Foundation, *, request: bytes, chain: tuple[bytes, ...], root: bytes, now: datetime
) -> Hierarchy:
    """What a root elsewhere made of the request, checked and put in its place; HierarchyError."""
    csr = x509.load_der_x509_csr(request)
    spki = csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    check_issuing_chain(chain, root, spki=spki, now=now)
    return _write_chain(foundation, root, chain)


def split_root(certificates: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], bytes | None]:
    """A chain without its root, and the root if it stands at the end."""
    last = x509.load_der_x509_certificate(certificates[-1])
    if last.issuer == last.subject:
        return certificates[:-1], certificates[-1]
    return certificates, None


def read_certificates(path: Path, *, most: int = 5) -> tuple[bytes, ...]:
    """The certificates (DER) of a PEM file, 1 to `most` of them; ConfigError."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError("", f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError("", f"{path} holds no PEM certificate") from None
    if len(found) > most:
        raise ConfigError("", f"{path} holds {len(found)} certificates; at most {most} are due here")
    return tuple(one.public_bytes(Encoding.DER) for one in found)


def _intermediate_under(
    foundation: Foundation,
    names: Names,
    *,
    root: bytes,
    root_key: AuthorityKey,
    password: bytes | None,
    now: datetime,
) -> Hierarchy:
    start = now.replace(microsecond=0) - BACKDATE
    key = ec.generate_private_key(ec.SECP256R1())
    intermediate = build_intermediate(
        name=names.name,
        public_key=key.public_key(),
        issuer=root,
        issuer_key=root_key,
        serial=_ca_serial(),
        not_before=start,
        not_after=start + INTERMEDIATE_LIFE,
        constraints=names.constraints,
    )
    foundation.key(foundation.home / INTERMEDIATE_KEY, key, password=password)
    return _write_chain(foundation, root, (intermediate,))


def _write_chain(foundation: Foundation, root: bytes, chain: tuple[bytes, ...]) -> Hierarchy:
    home = foundation.home
    return Hierarchy(
        root_der=root,
        root=foundation.file(home / ROOT, render_pem(root).encode(), mode=0o644),
        root_key=None,
        intermediate=foundation.file(home / INTERMEDIATE, "".join(map(render_pem, chain)).encode(), mode=0o644),
    )


def _authority_key(path: Path, password: bytes | None) -> AuthorityKey:
    key = load_key(path, password=password)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise HierarchyError(f"{path} is neither an EC, an RSA nor an Ed25519 key")
    return key


def _spki(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki_of(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _ca_serial() -> int:
    """A positive serial of 159 random bits (RFC 5280 4.1.2.2)."""
    return secrets.randbits(158) | 1 << 158
