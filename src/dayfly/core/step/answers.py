"""The JSON that the server of the step API answers with, both ways: what it renders, the client parses.

Rules: what a client cannot read is a ClientError; TLS options and the lengths of pages are those that stock clients
know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from dayfly.core.x509.pem import PEMError, parse_pem_block, render_pem
from dayfly.errors import ClientError

PAGE, MAX_PAGE = 20, 100  # provisioners in an answer: the usual number and the most

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode

# What stock clients are told to speak; their own minimum is the same.
TLS_OPTIONS: Mapping[str, object] = {
    "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
    "minVersion": 1.2,
    "maxVersion": 1.3,
    "renegotiation": False,
}


class _WireSigned(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    crt: str
    ca: str | None = None
    cert_chain: tuple[str, ...] = ()


class _WireProvisioners(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    provisioners: tuple[dict[str, Any], ...] | None = None
    next_cursor: str | None = None


class _WireKey(msgspec.Struct, frozen=True):
    key: str


class _WireRoots(msgspec.Struct, frozen=True):
    crts: tuple[str, ...]


class _WireError(msgspec.Struct, frozen=True, kw_only=True):
    status: int = 0
    message: str = ""
    rule: str = ""
    owner: str = ""
    nearest: str = ""
    denial: str = ""
    denials: tuple[DeniedName, ...] | None = None


class DeniedName(msgspec.Struct, frozen=True):
    """One name of a refusal: what decided, whose it is, what would pass, and under which id an admin can allow it."""

    name: str = ""
    rule: str = ""
    owner: str = ""
    nearest: str = ""
    denial: str = ""


@dataclass(frozen=True, slots=True)
class SignResponse:
    """The answer of /sign, /renew and /rekey, DER: the leaf, and what stands between it and the root, issuer first."""

    leaf: bytes
    intermediates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """A refusal; a refusal of names also says what decided, whose it is, what would pass, and under which id.

    With several names `rule` to `denial` are the first one's, and `denials` has them for each.
    """

    status: int = 0
    message: str = ""
    rule: str = ""
    owner: str = ""
    nearest: str = ""
    denial: str = ""
    denials: tuple[DeniedName, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvisionerPage:
    """Provisioners in the shape of ca.json, and the cursor of the next page, empty at the last."""

    provisioners: tuple[Mapping[str, Any], ...]
    next_cursor: str = ""


def render_sign_response(response: SignResponse) -> bytes:
    """The body of a 201: leaf, issuer, and the chain without the root."""
    leaf, *chain = (render_pem(der) for der in (response.leaf, *response.intermediates))
    document = {
        "crt": leaf,
        "ca": chain[0] if chain else None,
        "certChain": [leaf, *chain],
        "tlsOptions": TLS_OPTIONS,
    }
    return _encode(document) + b"\n"


def parse_sign_response(body: bytes) -> SignResponse:
    """What the CA issued; ClientError where it is no leaf with its chain."""
    wire = _parse(body, _WireSigned)
    chain = wire.cert_chain or tuple(text for text in (wire.crt, wire.ca) if text)
    if not chain:
        raise ClientError("the CA's answer holds no certificate")
    leaf, *intermediates = (_certificate(text) for text in chain)
    if leaf != _certificate(wire.crt):
        raise ClientError("the CA's chain does not begin with the certificate that it issued")
    return SignResponse(leaf, tuple(intermediates))


def render_provisioners(page: ProvisionerPage) -> bytes:
    """The body of /provisioners."""
    return _encode({"provisioners": page.provisioners, "nextCursor": page.next_cursor}) + b"\n"


def parse_provisioners(body: bytes) -> ProvisionerPage:
    """A page of provisioners; types that nobody knows are the caller's to skip. ClientError."""
    wire = _parse(body, _WireProvisioners)
    return ProvisionerPage(wire.provisioners or (), wire.next_cursor or "")


def render_encrypted_key(jwe: str) -> bytes:
    """The body of /provisioners/{kid}/encrypted-key."""
    return _encode({"key": jwe}) + b"\n"


def parse_encrypted_key(body: bytes) -> str:
    """The JWE of a provisioner's key; ClientError."""
    return _parse(body, _WireKey).key


def parse_certificates(body: bytes) -> tuple[bytes, ...]:
    """The certificates (DER) of /roots, /intermediates and /federation; ClientError."""
    return tuple(_certificate(text) for text in _parse(body, _WireRoots).crts)


def render_status() -> bytes:
    """The body of an answer that has nothing to say but that it went well."""
    return b'{"status":"ok"}\n'


def render_error(error: ErrorBody) -> bytes:
    """The body of a refusal: status and message; where a rule decided all four members of it, and each name's."""
    names = ("rule", "owner", "nearest", "denial")
    told = {name: getattr(error, name) for name in names} if error.rule else {}
    if error.denials:
        told["denials"] = error.denials
    return _encode({"status": error.status, "message": error.message, **told}) + b"\n"


def parse_error(body: bytes) -> ErrorBody:
    """The refusal in a body; an empty one where it is none, for a proxy may have spoken."""
    try:
        wire = msgspec.structs.asdict(msgspec.json.decode(body, type=_WireError))
        return ErrorBody(**{**wire, "denials": wire["denials"] or ()})
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ErrorBody()


def _certificate(text: str) -> bytes:
    try:
        return parse_pem_block(text, "CERTIFICATE")
    except PEMError as error:
        raise ClientError(f"the CA's answer holds a certificate that cannot be read: {error}") from None


Answer = TypeVar("Answer", bound=msgspec.Struct)


def _parse(body: bytes, shape: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the CA's answer is not what is due: {error}") from None
