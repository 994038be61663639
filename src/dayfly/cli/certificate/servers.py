"""The chain that a TLS server shows: a handshake without verification, and not an octet more."""

from __future__ import annotations

import socket
import ssl
from typing import Protocol, cast
from urllib.parse import urlsplit

from dayfly.cli.certificate.sources import PREFIXES, TIMEOUT
from dayfly.errors import UsageError


class _Shown(Protocol):
    def public_bytes(self, form: int) -> bytes: ...


class _Handshake(Protocol):
    """What Python 3.11 and 3.12 have under another name: the chain as it came."""

    def get_unverified_chain(self) -> list[_Shown] | None: ...


_DER = 2  # _ssl.ENCODING_DER, which has no public name before Python 3.13


def shown_by(url: str, *, servername: str | None) -> tuple[str, tuple[bytes, ...]]:
    """The URL's host, and the chain (DER) that it shows when asked for `servername`, else for the host; UsageError."""
    host, port = _place(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=servername or host) as secure,
        ):
            chain = _chain(secure)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{host}:{port} shows no certificate: {why}", hint="is it running, and does it speak TLS?"
        ) from None
    if not chain:
        raise UsageError(f"{host}:{port} shows no certificate")
    return host, chain


def _place(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PREFIXES[f"{parts.scheme}://"]
    except (ValueError, KeyError):
        host, port = None, 0
    if not host or not host.isascii() or not host.isprintable():
        raise UsageError(f"{url[:200]!r} is no URL of a server", hint="write it as https://api.internal.example:8443")
    return host, port


def _chain(secure: ssl.SSLSocket) -> tuple[bytes, ...]:
    if hasattr(secure, "get_unverified_chain"):  # from Python 3.13 on
        return tuple(cast("list[bytes]", secure.get_unverified_chain()))
    handshake = cast("_Handshake", secure._sslobj)  # type: ignore[attr-defined]  # noqa: SLF001 - the only way before 3.13
    return tuple(one.public_bytes(_DER) for one in handshake.get_unverified_chain() or ())
