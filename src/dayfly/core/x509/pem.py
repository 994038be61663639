"""PEM, strictly and bounded (RFC 7468)."""

from __future__ import annotations

import base64
import binascii
import re

MAX_OCTETS = 256 * 1024
MAX_CERTIFICATES = 10

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]{1,100000})-----END \1-----")


class PEMError(ValueError):
    """The text is not what is due; what is wrong stands in the message, never the text itself."""


def render_pem(der: bytes, label: str = "CERTIFICATE") -> str:
    """One PEM block, lines of 64, LF."""
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def parse_pem_certificates(text: str, *, limit: int = MAX_CERTIFICATES) -> tuple[bytes, ...]:
    """The certificates (DER) of a chain, in its order; PEMError, also where a private key stands among them."""
    if len(text) > MAX_OCTETS:
        raise PEMError(f"more than {MAX_OCTETS} octets where certificates are due")
    if "PRIVATE KEY" in text:
        raise PEMError("a private key stands where certificates are due")
    blocks = _BLOCK.findall(text)
    if not 1 <= len(blocks) <= limit:
        raise PEMError(f"found {len(blocks)} PEM blocks, expected 1 to {limit} certificates")
    if any(label != "CERTIFICATE" for label, _ in blocks) or _BLOCK.sub("", text).strip():
        raise PEMError("something else stands between the certificates")
    try:
        return tuple(base64.b64decode(body.replace("\r", "").replace("\n", ""), validate=True) for _, body in blocks)
    except binascii.Error:
        raise PEMError("a certificate is not valid base64") from None


def parse_pem_block(text: str, *labels: str) -> bytes:
    """The DER of the one PEM block in `text`, which has one of these labels and nothing around it; PEMError."""
    if len(text) > MAX_OCTETS:
        raise PEMError(f"more than {MAX_OCTETS} octets where one PEM block is due")
    match = _BLOCK.fullmatch(text.strip())
    if match is None or match[1] not in labels:
        raise PEMError(f"expected one PEM block of {' or '.join(labels)}, and nothing around it")
    try:
        return base64.b64decode(match[2].replace("\r", "").replace("\n", ""), validate=True)
    except binascii.Error:
        raise PEMError("the PEM block is not valid base64") from None
