"""The JSON that clients send (RFC 8555), read by the server and written by the client.

Rules: requests are read strictly where the RFC gives a type and unknown members are ignored (7.3, 7.4); a time that was
not asked for may also be null or Go's zero time, as stock clients send it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from dayfly.core.jose.encoding import EncodingError, b64u_decode, strict_json_object
from dayfly.core.problems import Malformed

GO_ZERO_TIME = "0001-01-01T00:00:00Z"
PAYLOAD_DEPTH = 8


# --- what clients send -----------------------------------------------------------------------------------------------


class NewAccount(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The payload of newAccount (RFC 8555 7.3)."""

    contact: tuple[str, ...] = ()
    terms_of_service_agreed: bool = False
    only_return_existing: bool = False
    external_account_binding: dict[str, Any] | None = None


class AccountUpdate(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The payload of an account update (RFC 8555 7.3.2, 7.3.6)."""

    contact: tuple[str, ...] | None = None
    status: str | None = None


class WireIdentifier(msgspec.Struct, frozen=True):
    """An identifier as clients write it."""

    type: str
    value: str


class NewOrder(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The payload of newOrder (RFC 8555 7.4, RFC 9773 5)."""

    identifiers: tuple[WireIdentifier, ...]
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    replaces: str | None = None


class NewAuthorization(msgspec.Struct, frozen=True):
    """The payload of newAuthz (RFC 8555 7.4.1)."""

    identifier: WireIdentifier


class Finalize(msgspec.Struct, frozen=True):
    """The payload of finalize: the CSR as base64url DER."""

    csr: str


class ChallengeAnswer(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The payload that starts a validation (RFC 8555 7.5.1): an empty object; the member belongs to a draft."""

    key_authorization: msgspec.Raw | None = None


class AuthorizationUpdate(msgspec.Struct, frozen=True):
    """The payload of an authorization update (RFC 8555 7.5.2)."""

    status: str | None = None


Shape = TypeVar("Shape", bound=msgspec.Struct)


def parse_payload(payload: bytes, shape: type[Shape]) -> Shape:
    """The payload as `shape`; Malformed, with the member's path, where it is not one."""
    try:
        return msgspec.convert(strict_json_object(payload, max_depth=PAYLOAD_DEPTH), shape)
    except EncodingError as error:
        raise Malformed(f"the payload is not acceptable JSON: {error}") from None
    except msgspec.ValidationError as error:
        raise Malformed(f"the payload is not a {shape.__name__}: {error}") from None


def parse_asked_time(text: str | None, member: str) -> datetime | None:
    """A time that a client asks for, None where it asks for none; Malformed where it is no RFC 3339 time in UTC."""
    if text is None or text in {"", GO_ZERO_TIME}:
        return None
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise Malformed(f"{member} is not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise Malformed(f"{member} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Malformed(f"{member} is outside the years 1 to 9999 in UTC") from None


def parse_csr_member(finalize: Finalize) -> bytes:
    """The DER of the request in a finalize payload; Malformed where it is not plain base64url (RFC 8555 7.4)."""
    try:
        return b64u_decode(finalize.csr)
    except EncodingError:
        raise Malformed("csr is not unpadded base64url; send the DER of the request, not PEM") from None
