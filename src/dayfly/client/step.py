"""The step API's public reads: health, and a root certificate by its fingerprint (step-compat.md part 2)."""

from __future__ import annotations

import hashlib
import re

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.client.transport import Answer, Transport, printable, trusting_nobody
from dayfly.core.x509.pem import PEMError, parse_pem_certificates, render_pem
from dayfly.errors import ClientError, UsageError

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class _Root(msgspec.Struct):
    ca: str


class _Certificates(msgspec.Struct):
    crts: tuple[str, ...]


class _Refusal(msgspec.Struct):
    status: int = 0
    message: str = ""


def fetch_health(transport: Transport, base_url: str) -> None:
    """Raise ClientError where the CA is not well."""
    answer = transport.request("GET", f"{base_url}/health")
    if answer.status != 200:
        raise _refused(answer)


def fetch_root(base_url: str, fingerprint: str) -> str:
    """The root (PEM) with this SHA-256: fetched without trust, then compared, so the fingerprint alone is trusted."""
    wanted = normal_fingerprint(fingerprint)
    with Transport(base_url, trusting_nobody()) as transport:
        answer = transport.request("GET", f"{base_url}/root/{wanted}")
    if answer.status != 200:
        raise _refused(answer)
    try:
        (der,) = parse_pem_certificates(msgspec.json.decode(answer.body, type=_Root).ca, limit=1)
        x509.load_der_x509_certificate(der).public_bytes(Encoding.DER)
    except (msgspec.DecodeError, UnicodeDecodeError, PEMError, ValueError):
        raise ClientError("the CA's answer is not a root certificate") from None
    if hashlib.sha256(der).hexdigest() != wanted:
        raise ClientError(
            "the certificate that came does not have this fingerprint; nothing was written",
            hint="somebody may stand between you and the CA: compare the fingerprint on another way",
        )
    return render_pem(der)


def normal_fingerprint(text: str) -> str:
    """A SHA-256 as 64 lower-case hex digits, however it was written; UsageError."""
    wanted = text.strip().replace("-", "").replace(":", "").lower()
    if _FINGERPRINT.fullmatch(wanted) is None:
        raise UsageError("a fingerprint has 64 hex digits", hint="`dayfly ca init` printed it on the CA's host")
    return wanted


def fetch_roots(transport: Transport, base_url: str) -> tuple[str, ...]:
    """All root certificates of the CA (PEM, one each); ClientError."""
    return _fetch_certificates(transport, f"{base_url}/roots")


def fetch_federation(transport: Transport, base_url: str) -> tuple[str, ...]:
    """The CA's roots and those of the CAs that it is federated with (PEM, one each); ClientError."""
    return _fetch_certificates(transport, f"{base_url}/federation")


def _fetch_certificates(transport: Transport, url: str) -> tuple[str, ...]:
    answer = transport.request("GET", url)
    if answer.status not in {200, 201}:
        raise _refused(answer)
    try:
        found = msgspec.json.decode(answer.body, type=_Certificates).crts
        return tuple(render_pem(der) for text in found for der in parse_pem_certificates(text, limit=1))
    except (msgspec.DecodeError, UnicodeDecodeError, PEMError):
        raise ClientError("the CA's answer is not a list of certificates") from None


def _refused(answer: Answer) -> ClientError:
    try:
        message = msgspec.json.decode(answer.body, type=_Refusal).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = ""
    return ClientError(f"the CA answered with status {answer.status}: {printable(message) or 'no reason given'}")
