"""Where a CRL comes from: a URL of plain HTTP, or a file.

Rules: no redirect is followed, no proxy is asked; time and size are bounded; what could not be had is an error.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.certificate.sources import TIMEOUT
from dayfly.core.x509.chain import ChainError
from dayfly.core.x509.unreadable import UNREADABLE

MAX_OCTETS = 16 * 1024 * 1024


def load_crl(place: str) -> bytes:
    """The CRL (DER) at a URL or in a file, PEM or DER; ChainError."""
    content = _fetch(place) if "://" in place else _read(Path(place))
    if len(content) > MAX_OCTETS:
        raise ChainError(f"the CRL at {place} is larger than {MAX_OCTETS} octets")
    if not content.lstrip().startswith(b"-----BEGIN "):
        return content
    try:
        return x509.load_pem_x509_crl(content).public_bytes(Encoding.DER)
    except UNREADABLE:
        raise ChainError(f"{place} holds no CRL") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise ChainError(f"the CRL {path} cannot be read: {error.strerror}") from None


def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme.lower() != "http" or not parts.hostname or not url.isascii() or not url.isprintable():
        raise ChainError(f"{url[:200]!r} is no URL of plain HTTP", hint="name the CRL: --crl-endpoint http://…")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        content = answer.read(MAX_OCTETS + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ChainError(
            f"the CRL at {url} cannot be had: {why}", hint="is the CA running, and its port open?"
        ) from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ChainError(f"the CRL at {url} cannot be had: HTTP status {answer.status}")
    return content
