"""Where a certificate comes from: a file, standard input (`-`), or a server that shows one.

Rules: the first certificate is the one in question, the others its intermediates; nothing here is verified; what is
read is bounded; an error names the place and what to name instead.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from dayfly.core.x509.unreadable import UNREADABLE
from dayfly.errors import UsageError

MAX_OCTETS = 1024 * 1024
TIMEOUT = 10.0  # seconds, for a server to show its certificate
# Step's prefixes, with the port that each stands for; the first record is TLS in all of them.
PREFIXES = {"https://": 443, "tls://": 443, "tcp://": 443, "smtps://": 465, "ldaps://": 636}


@dataclass(frozen=True, slots=True)
class Source:
    """What was found: certificates, the one in question first, or a request; and the host, where a server was asked."""

    certificates: tuple[x509.Certificate, ...] = ()
    request: x509.CertificateSigningRequest | None = None
    host: str = ""


def is_url(text: str) -> bool:
    """Does this name a server, and not a file?"""
    return text.lower().startswith(tuple(PREFIXES))


def load_source(text: str, *, servername: str | None = None) -> Source:
    """Certificates or a request from a file, standard input or a server; UsageError."""
    if is_url(text):
        return _shown_by(text, servername)
    content = _read(text)
    certificates = _certificates(content)
    if certificates:
        return Source(certificates)
    request = _request(content)
    if request is None:
        raise UsageError(
            f"{_name(text)} holds neither a certificate nor a request", hint="name a PEM or DER file, or an https URL"
        )
    return Source(request=request)


def load_certificates(text: str, *, servername: str | None = None) -> Source:
    """As `load_source`, where a request will not do; UsageError."""
    source = load_source(text, servername=servername)
    if not source.certificates:
        raise UsageError(f"{_name(text)} is a request, not a certificate", hint="name the certificate made from it")
    return source


def _name(text: str) -> str:
    return "standard input" if text == "-" else text


def _read(text: str) -> bytes:
    try:
        if text == "-":
            content = sys.stdin.buffer.read(MAX_OCTETS + 1)
        else:
            with Path(text).open("rb") as file:
                content = file.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {text}", hint="name a PEM file or an https URL") from None
    except OSError as error:
        raise UsageError(f"{_name(text)} cannot be read: {error.strerror}") from None
    if len(content) > MAX_OCTETS:
        raise UsageError(f"{_name(text)} is larger than {MAX_OCTETS} octets: that is no chain")
    return content


def _certificates(content: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file, or the one of a DER file; none where there is none."""
    try:
        if b"-----BEGIN " in content:
            return tuple(x509.load_pem_x509_certificates(content))
        return (x509.load_der_x509_certificate(content),)
    except UNREADABLE:
        return ()


def _request(content: bytes) -> x509.CertificateSigningRequest | None:
    try:
        return x509.load_pem_x509_csr(content) if b"-----BEGIN " in content else x509.load_der_x509_csr(content)
    except UNREADABLE:
        return None


def _shown_by(url: str, servername: str | None) -> Source:
    """What the server shows, unverified."""
    from dayfly.cli.certificate.servers import shown_by  # a file needs no network

    host, chain = shown_by(url, servername=servername)
    try:
        return Source(tuple(map(x509.load_der_x509_certificate, chain)), host=host)
    except UNREADABLE:
        raise UsageError(f"{url} shows something that is no certificate") from None
