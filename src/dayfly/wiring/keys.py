"""What a CA opens before anything else: its issuing key, the log's key, the certificates to trust.

Rules: the root's key is never read; what is wrong with a key or certificate is a ConfigError before a port is taken.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.adapters.signers.keyfile import KeyFileSigner, open_signer
from dayfly.adapters.signers.notekey import NoteKeySigner, open_note_signer
from dayfly.adapters.system import SystemClock
from dayfly.config.values import Config
from dayfly.core.transparency.checkpoint import parse_verifier_key
from dayfly.core.x509.alternates import AlternateChain, make_alternate_chain
from dayfly.core.x509.hierarchy import HierarchyError
from dayfly.core.x509.profile import IssuerFacts
from dayfly.errors import ConfigError
from dayfly.wiring.chaos import check_chaos
from dayfly.wiring.commands import verifier_key_of

_LOG = logging.getLogger("dayfly.server")


@dataclass(frozen=True, slots=True)
class Keys:
    """The opened keys of a CA, the roots (DER) that clients trust, and the other chains to its issuer."""

    signer: KeyFileSigner
    notes: NoteKeySigner
    roots: tuple[bytes, ...]
    alternates: tuple[AlternateChain, ...] = ()


def open_keys(config: Config, password: bytes | None) -> Keys:
    """Open the keys and check the issuing certificate; ConfigError, SignerError."""
    signer = open_signer(
        certificate=config.issuer_certificate, key_file=_key_path(config, config.issuer_key), password=password
    )
    origin = parse_verifier_key(verifier_key_of(config)).name
    notes = open_note_signer(_key_path(config, config.log_key), origin, password=password)
    roots = _read_certificates(config.root, "root")
    check_chaos(config, (*signer.chain, *roots))
    _check_issuer(signer, SystemClock().now())
    _warn_of_root_key(config)
    return Keys(signer, notes, roots, _alternates(config, signer.issuer))


def _alternates(config: Config, issuer: IssuerFacts) -> tuple[AlternateChain, ...]:
    """The chains of `issuer.alternates`; ConfigError for one that fits no leaf. One that has ended is told, no more."""
    found = []
    for path in config.issuer_alternates:
        try:
            chain = make_alternate_chain(_read_certificates(path, "issuer.alternates"), issuer)
        except HierarchyError as error:
            hint = (
                "the file holds the issuing certificate as the other CA signed it, then those above, without the root"
            )
            raise ConfigError("issuer.alternates", f"{path}: {error.message}", hint=hint) from None
        if chain.not_after <= SystemClock().now():
            told = {"path": str(path), "ended": f"{chain.not_after:%Y-%m-%d %H:%M} UTC"}
            _LOG.warning("an alternate chain has ended, and is not offered", extra=told)
        found.append(chain)
    return tuple(found)


def _read_certificates(path: Path, key: str) -> tuple[bytes, ...]:
    """The certificates (DER) of a PEM file; ConfigError."""
    try:
        loaded = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(key, f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(key, f"{path} holds no PEM certificate") from None
    return tuple(one.public_bytes(Encoding.DER) for one in loaded)


def _key_path(config: Config, uri: str) -> Path:
    return config.home / uri.removeprefix("file:")


def _check_issuer(signer: KeyFileSigner, now: datetime) -> None:
    if now >= signer.issuer.not_after:
        raise ConfigError(
            "issuer.certificate",
            f"the issuing certificate expired at {signer.issuer.not_after:%Y-%m-%d %H:%M} UTC",
            hint="issue a new intermediate from the root",
        )


def _warn_of_root_key(config: Config) -> None:
    key = config.home / "offline" / "root_ca_key"
    if key.exists():
        _LOG.warning("the root key is still on this machine", extra={"path": str(key), "next": "move it away"})
