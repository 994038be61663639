"""The server's side of TLS, and its own certificate, renewed without a restart.

Rules: TLS 1.2 and newer, AEAD suites only; no tickets, no compression, no renegotiation; a client certificate is asked
for and not required; a live context is never changed, a fresh one takes its place.

The key never reaches a disk in the clear. `load_cert_chain` reads files only, so it is given a memfd (an unlinked
temporary file where there is none), and what stands in it is encrypted under 32 random octets that live for one call.

How the swap works: OpenSSL calls the servername callback of the outer context in every handshake, with None when the
client sent no name, and the callback hands the connection to the newest context. Certificate, key, trust store and ALPN
come from there; options, versions and verify mode stay those of the outer one, which `build_server_context` made too.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat

from dayfly.errors import DayflyError

ServerKey = EllipticCurvePrivateKey | RSAPrivateKey

_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of TLS 1.3 are all AEAD."""


class TLSSetupError(DayflyError):
    """The server's certificate, its key or the client roots cannot be used."""


def build_server_context(chain_pem: bytes, key: ServerKey, client_roots: Sequence[bytes]) -> ssl.SSLContext:
    """A fresh server context; TLSSetupError if chain and key do not belong together or cannot be loaded.

    `chain_pem` is the leaf, then its intermediates; `client_roots` are PEM certificates, roots and intermediates, that
    client certificates are verified against.
    """
    _check_pair(chain_pem, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # a resumed session would keep an old identity; it also saves 32 us a handshake
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.set_ciphers(_SUITES)
        context.load_verify_locations(cadata=b"".join(client_roots).decode("ascii"))
        _load_pair(context, chain_pem, key)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise TLSSetupError(f"the TLS certificate, key or client roots cannot be loaded: {error}") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class SwappableContext:
    """A server context whose certificate can be replaced while connections live; give `outer` to the server."""

    def __init__(self, chain_pem: bytes, key: ServerKey, client_roots: Sequence[bytes]) -> None:
        """Begin with this pair; TLSSetupError as `build_server_context`."""
        self._client_roots = tuple(client_roots)
        self.outer = build_server_context(chain_pem, key, self._client_roots)
        self._newest = self.outer
        self.outer.sni_callback = self._choose

    def swap(self, chain_pem: bytes, key: ServerKey, *, client_roots: Sequence[bytes] | None = None) -> None:
        """Present this pair from the next handshake on; TLSSetupError leaves everything as it was."""
        roots = self._client_roots if client_roots is None else tuple(client_roots)
        newest = build_server_context(chain_pem, key, roots)
        self._newest, self._client_roots = newest, roots

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _outer: ssl.SSLContext) -> None:
        newest = self._newest
        if newest is not self.outer:
            connection.context = newest


def _check_pair(chain_pem: bytes, key: ServerKey) -> None:
    """The leaf must be for this key: checked here, because a context that was given a wrong pair is spoilt."""
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem)[0]
        certified = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise TLSSetupError(f"the TLS certificate chain cannot be read: {error}") from error
    if certified != key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise TLSSetupError("the TLS certificate is for another key")


def _load_pair(context: ssl.SSLContext, chain_pem: bytes, key: ServerKey) -> None:
    password = secrets.token_hex(32).encode("ascii")
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with _readable(chain_pem) as chain, _readable(encrypted) as pem:
        context.load_cert_chain(chain, pem, password=password)


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """A path that gives `content` while the block runs, and names nothing in any directory."""
    with _anonymous_file() as file:
        file.write(content)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


def _anonymous_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("dayfly-tls"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
