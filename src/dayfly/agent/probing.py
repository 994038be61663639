"""Looks at what a target really serves (agent.md 11).

Rules: each look is a connection of its own, with SNI, in bounded time; only the CA's root is trusted, never the
system's; the SHA-256 of the whole leaf is compared. A leaf that does not verify is still read, so that the reason can
be told; not a byte of content is exchanged.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from dayfly.agent.settings import Target
from dayfly.core.x509.unreadable import UNREADABLE


@dataclass(frozen=True, slots=True)
class Served:
    """What one look at a target gave; `fingerprint` is empty where nobody answered with a certificate."""

    fingerprint: str = ""
    serial: str = ""
    not_after: datetime | None = None
    chain_valid: bool = False
    tls_version: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class TargetResult:
    """A target's last verdict: `match` is None while there is nothing to compare with, or nobody answered."""

    target: str
    at: datetime
    served: Served
    match: bool | None

    @property
    def verified(self) -> bool:
        """Does it serve the expected leaf, with a chain to our root?"""
        return self.match is True and self.served.chain_valid

    def words(self) -> str:
        """What is wrong, for a person; empty when nothing is."""
        if not self.served.fingerprint:
            return f"{self.target} does not answer ({self.served.error})"
        if not self.match:
            return f"{self.target} still serves serial {self.served.serial}"
        return "" if self.served.chain_valid else f"{self.target} serves a chain that does not verify"


Prober = Callable[[Target], Served]


class TLSProber:
    """Looks at targets; `timeout` is in seconds, for each of connect and handshake."""

    def __init__(self, root_pem: str, *, timeout: float = 5.0) -> None:
        """Trust the root in `root_pem` and nothing else."""
        self._timeout = timeout
        self._strict = _context(ssl.CERT_REQUIRED)
        self._strict.load_verify_locations(cadata=root_pem)
        self._lenient = _context(ssl.CERT_NONE)

    def __call__(self, target: Target) -> Served:
        """Look once; a second connection is made only where the chain does not verify."""
        try:
            try:
                return self._look(target, self._strict)
            except ssl.SSLCertVerificationError:
                return self._look(target, self._lenient)
        except OSError as error:
            return Served(error=_plain(error))

    def _look(self, target: Target, context: ssl.SSLContext) -> Served:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection((target.host, target.port), timeout=self._timeout))
            wrapped = stack.enter_context(context.wrap_socket(plain, server_hostname=target.sni or None))
            leaf, version = wrapped.getpeercert(binary_form=True), wrapped.version() or ""
        return _served(leaf or b"", version, chain_valid=context is self._strict)


def look_until_mismatch(prober: Prober, target: Target, *, expected: str, matches: int) -> tuple[Served, bool | None]:
    """Up to `matches` looks in a row; the last one, and whether all gave the `expected` leaf."""
    served = Served()
    for _ in range(matches):
        served = prober(target)
        if not expected or not served.fingerprint:
            return served, None
        if served.fingerprint != expected or not served.chain_valid:
            return served, served.fingerprint == expected
    return served, True


def _context(mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the leaf itself is compared, which says more than its names
    context.verify_mode = mode
    return context


def _served(leaf: bytes, version: str, *, chain_valid: bool) -> Served:
    try:
        certificate = x509.load_der_x509_certificate(leaf)
        serial, not_after = f"{certificate.serial_number:x}", certificate.not_valid_after_utc
    except UNREADABLE:
        return Served(error="no readable certificate")
    return Served(hashlib.sha256(leaf).hexdigest(), serial, not_after, chain_valid, version)


def _plain(error: OSError) -> str:
    """One printable line of at most 120 characters: the text of a TLS library or of the system."""
    text = error.strerror or str(error) or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)[:120]
