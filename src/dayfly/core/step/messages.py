"""The JSON of the step API, both ways: what the server parses and renders, the client renders and parses.

Rules: a body is one object, read strictly, with the exact member names; unknown members are ignored, and a member may
be `null` or `""` where nothing is meant; PEM in JSON is one block; the server refuses with Malformed, the client with
ClientError (step-compat.md parts 1 to 6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import msgspec

from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.policy.lifetimes import parse_duration, render_duration
from dayfly.core.problems import BadCSR, Malformed, NotImplementedHere
from dayfly.core.x509.pem import PEMError, parse_pem_block, render_pem
from dayfly.core.x509.reasons import REASON_CODES
from dayfly.errors import ClientError

GO_ZERO_TIME = "0001-01-01T00:00:00Z"
CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
MAX_DEPTH = 8
PAGE, MAX_PAGE = 20, 100  # provisioners in an answer: the usual number and the most

# What stock clients are told to speak; their own minimum is the same.
TLS_OPTIONS: Mapping[str, object] = {
    "cipherSuites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
    "minVersion": 1.2,
    "maxVersion": 1.3,
    "renegotiation": False,
}

Asked: TypeAlias = datetime | timedelta | None
"""A time as a client asks for it: a moment, a span from now, or nothing."""

_SERIAL = re.compile(r"0x[0-9a-fA-F]{1,40}|0|[1-9][0-9]{0,48}")  # 20 octets (RFC 5280 4.1.2.2) are 49 digits
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.+")

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


# --- times and numbers ------------------------------------------------------------------------------------------------


def parse_asked(text: str | None, member: str) -> Asked:
    """A TimeDuration: an RFC 3339 time, a Go duration, perhaps negative, or `""`; Malformed for anything else."""
    if not text or text == GO_ZERO_TIME:
        return None
    if _MOMENT.fullmatch(text):
        try:
            moment = msgspec.convert(text, datetime)
        except (msgspec.ValidationError, OverflowError):
            moment = None
        if moment is not None and moment.tzinfo is not None:
            return _in_utc(moment, member)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    try:
        return sign * (timedelta() if digits == "0" else parse_duration(digits))
    except (ValueError, OverflowError):
        raise Malformed(f"{member} is neither an RFC 3339 time nor a duration such as 1h30m") from None


def _in_utc(moment: datetime, member: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Malformed(f"{member} is beyond the calendar") from None


def render_asked(asked: Asked) -> str:
    """The TimeDuration that `parse_asked` reads; a moment in whole seconds."""
    if asked is None:
        return ""
    if isinstance(asked, datetime):
        return asked.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"-{render_duration(-asked)}" if asked < timedelta() else render_duration(asked)


def resolve_asked(asked: Asked, now: datetime, member: str) -> datetime | None:
    """The moment that is asked for; a span counts from `now`, for the end as well (step-compat.md part 1)."""
    if not isinstance(asked, timedelta):
        return asked
    try:
        return now + asked
    except OverflowError:
        raise Malformed(f"{member} is beyond the calendar") from None


def parse_serial(text: str) -> int:
    """A serial number, decimal or hex after `0x`; Malformed for any other spelling, and beyond 20 octets."""
    if len(text) > 64 or _SERIAL.fullmatch(text) is None:
        raise Malformed("serial is not a number of at most 20 octets, in decimal or as 0x and hex digits")
    return int(text, 0)


# --- what clients send ------------------------------------------------------------------------------------------------


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


# --- what the server answers ------------------------------------------------------------------------------------------


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
    wire = _parse_answer(body, _WireSigned)
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
    wire = _parse_answer(body, _WireProvisioners)
    return ProvisionerPage(wire.provisioners or (), wire.next_cursor or "")


def render_encrypted_key(jwe: str) -> bytes:
    """The body of /provisioners/{kid}/encrypted-key."""
    return _encode({"key": jwe}) + b"\n"


def parse_encrypted_key(body: bytes) -> str:
    """The JWE of a provisioner's key; ClientError."""
    return _parse_answer(body, _WireKey).key


def parse_certificates(body: bytes) -> tuple[bytes, ...]:
    """The certificates (DER) of /roots, /intermediates and /federation; ClientError."""
    return tuple(_certificate(text) for text in _parse_answer(body, _WireRoots).crts)


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


# --- reading ----------------------------------------------------------------------------------------------------------

Shape = TypeVar("Shape", bound=msgspec.Struct)


def _parse(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.convert(strict_json_object(body, max_depth=MAX_DEPTH), shape)
    except EncodingError as error:
        raise Malformed(f"the body is not acceptable JSON: {error}") from None
    except msgspec.ValidationError as error:
        raise Malformed(f"the body is not what is due: {error}") from None


def _parse_answer(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the CA's answer is not what is due: {error}") from None


def _certificate(text: str) -> bytes:
    try:
        return parse_pem_block(text, "CERTIFICATE")
    except PEMError as error:
        raise ClientError(f"the CA's answer holds a certificate that cannot be read: {error}") from None
