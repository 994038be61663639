"""The JSON that clients of the step API send, both ways: what the server parses, the client renders.

Rules: a member may be `null` or `""` where nothing is meant; PEM in JSON is one block; what does not fit is
refused with Malformed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.problems import BadCSR, Malformed, NotImplementedHere
from dayfly.core.step.asked import Asked, parse_asked, parse_serial, render_asked
from dayfly.core.x509.pem import PEMError, parse_pem_block, render_pem
from dayfly.core.x509.reasons import REASON_CODES

CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
MAX_DEPTH = 8

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


class _WireSign(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    csr: str | None = None
    ott: str | None = None
    not_before: str | None = None
    not_after: str | None = None


class _WireRekey(msgspec.Struct, frozen=True, kw_only=True):
    csr: str | None = None


class _WireRevoke(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    serial: str | None = None
    ott: str | None = None
    reason_code: int | None = None
    reason: str | None = None
    passive: bool | None = None


@dataclass(frozen=True, slots=True)
class SignRequest:
    """POST /sign: the request (DER), the one-time token, and the times that are asked for."""

    csr: bytes
    ott: str = field(repr=False)
    not_before: Asked = None
    not_after: Asked = None


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """POST /revoke: which serial and why (RFC 5280 5.3.1); with an empty `ott` the connection's certificate speaks."""

    serial: int
    ott: str = field(default="", repr=False)
    reason_code: int = 0
    reason: str = ""


def parse_sign_request(body: bytes) -> SignRequest:
    """The request of /sign; Malformed, BadCSR. `templateData` is ignored: it never reaches a template."""
    wire = _parse(body, _WireSign)
    if not wire.csr:
        raise Malformed("missing csr")
    if not wire.ott:
        raise Malformed("missing ott")
    return SignRequest(
        parse_csr_pem(wire.csr),
        wire.ott,
        parse_asked(wire.not_before, "notBefore"),
        parse_asked(wire.not_after, "notAfter"),
    )


def render_sign_request(request: SignRequest) -> bytes:
    """The body for /sign."""
    return _encode(
        {
            "csr": render_pem(request.csr, CSR_LABELS[0]),
            "ott": request.ott,
            "notBefore": render_asked(request.not_before),
            "notAfter": render_asked(request.not_after),
        }
    )


def parse_rekey_request(body: bytes) -> bytes:
    """The CSR (DER) of /rekey; Malformed, BadCSR."""
    wire = _parse(body, _WireRekey)
    if not wire.csr:
        raise Malformed("missing csr")
    return parse_csr_pem(wire.csr)


def render_rekey_request(csr: bytes) -> bytes:
    """The body for /rekey."""
    return _encode({"csr": render_pem(csr, CSR_LABELS[0])})


def parse_csr_pem(text: str) -> bytes:
    """The DER of a request in PEM; BadCSR."""
    try:
        return parse_pem_block(text, *CSR_LABELS)
    except PEMError as error:
        raise BadCSR(f"csr is not acceptable: {error}") from None


def parse_revoke_request(body: bytes) -> RevokeRequest:
    """The request of /revoke; Malformed, and NotImplementedHere where it is not a passive one."""
    wire = _parse(body, _WireRevoke)
    if not wire.serial:
        raise Malformed("missing serial")
    code = wire.reason_code or 0
    if code not in REASON_CODES:
        raise Malformed("reasonCode is none of 0 to 5, 9 and 10 (RFC 5280 5.3.1; nothing is held and let go again)")
    serial = parse_serial(wire.serial)
    if not wire.passive:
        raise NotImplementedHere("non-passive revocation is not implemented; send passive: true")
    return RevokeRequest(serial, wire.ott or "", code, wire.reason or "")


def render_revoke_request(request: RevokeRequest) -> bytes:
    """The body for /revoke: always passive, the serial in decimal."""
    return _encode(
        {
            "serial": str(request.serial),
            "ott": request.ott,
            "reasonCode": request.reason_code,
            "reason": request.reason,
            "passive": True,
        }
    )


Shape = TypeVar("Shape", bound=msgspec.Struct)


def _parse(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.convert(strict_json_object(body, max_depth=MAX_DEPTH), shape)
    except EncodingError as error:
        raise Malformed(f"the body is not acceptable JSON: {error}") from None
    except msgspec.ValidationError as error:
        raise Malformed(f"the body is not what is due: {error}") from None
