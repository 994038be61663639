"""Problems that a client may be told (RFC 8555 6.7, RFC 9457).

    Refused
      one class per error type of RFC 8555 6.7 that we use; type and status are class attributes

Rules: `detail` is text for a person, made by us: it never holds fetched bytes, secrets or internals; a refusal by
policy also names the rule that decided, its owner, and what would have been allowed; server/problems is the only
renderer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from dayfly.errors import DayflyError

URN = "urn:ietf:params:acme:error:"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why policy said no: the rule's id or `default-deny`, its owner, the nearest allowed thing, an id for an admin.

    `reason` is a word of core/events.Reason; it is kept with the denial and not shown to the client.
    """

    rule: str
    owner: str = ""
    nearest: str = ""
    id: str = ""
    reason: str = ""


class Named(Protocol):
    """An identifier, as far as a problem document shows it; a Protocol, since identifiers raise problems themselves."""

    @property
    def type(self) -> str:
        """`dns` or `ip`."""
        ...

    @property
    def value(self) -> str:
        """The name."""
        ...


@dataclass(frozen=True, slots=True)
class Subproblem:
    """One identifier's part of a compound problem (RFC 8555 6.7.1)."""

    type: str
    detail: str
    identifier: Named | None = None
    denial: Denial | None = None


class Refused(DayflyError):
    """A request is refused, and the client may know why; `retry_after` is in seconds."""

    type: ClassVar[str] = "malformed"
    status: ClassVar[int] = 400

    def __init__(
        self,
        detail: str,
        *,
        subproblems: Sequence[Subproblem] = (),
        denial: Denial | None = None,
        retry_after: int | None = None,
        status: int | None = None,
        hint: str = "",
        reason: str = "",
    ) -> None:
        """Keep the members of the problem document; `status` overrides the class's one where the RFC lets us choose.

        `reason` is a word of core/events.Reason, for the metrics, where the type alone does not say enough.
        """
        super().__init__(detail, hint=hint)
        self.reason = reason
        self.detail = detail
        self.subproblems = tuple(subproblems)
        self.denial = denial
        self.retry_after = retry_after
        self.http_status = status if status is not None else type(self).status


class Malformed(Refused):
    """The request is not well formed."""


class NotImplementedHere(Refused):
    """The request asks for something that this CA does not do."""

    status = 501


class NoSuchResource(Refused):
    """Nothing is there, or it belongs to another account (RFC 8555 10.5: the same answer)."""

    status = 404


class MethodNotAllowed(Refused):
    """The resource does not take this method; `allow` lists those that it takes (RFC 8555 6.3)."""

    status = 405

    def __init__(self, detail: str, *, allow: Sequence[str]) -> None:
        """Keep the methods for the `Allow` header."""
        super().__init__(detail)
        self.allow = tuple(allow)


class PayloadTooLarge(Refused):
    """The body is above the cap."""

    status = 413


class UnsupportedMediaType(Refused):
    """The body is not `application/jose+json` (RFC 8555 6.2)."""

    status = 415


class AccountDoesNotExist(Refused):
    """No account has this URL or key."""

    type = "accountDoesNotExist"


class AlreadyReplaced(Refused):
    """Another order has replaced this certificate already (RFC 9773 5)."""

    type = "alreadyReplaced"
    status = 409


class AlreadyRevoked(Refused):
    """The certificate is revoked already."""

    type = "alreadyRevoked"


class BadCSR(Refused):
    """The certificate request is unacceptable."""

    type = "badCSR"


class BadNonce(Refused):
    """The nonce is unknown, spent or too old; the answer carries a fresh one (RFC 8555 6.5)."""

    type = "badNonce"


class BadPublicKey(Refused):
    """The key is of a kind or strength that is not accepted."""

    type = "badPublicKey"


class BadRevocationReason(Refused):
    """The revocation reason is not allowed."""

    type = "badRevocationReason"


class BadSignatureAlgorithm(Refused):
    """The JWS algorithm is not accepted; `algorithms` lists those that are (RFC 8555 6.2)."""

    type = "badSignatureAlgorithm"

    def __init__(self, detail: str, *, algorithms: Sequence[str]) -> None:
        """Keep the accepted algorithms for the problem document."""
        super().__init__(detail)
        self.algorithms = tuple(algorithms)


class Caa(Refused):
    """CAA records forbid the issuance."""

    type = "caa"
    status = 403


class Connection(Refused):
    """The server could not connect to the validation target."""

    type = "connection"


class Dns(Refused):
    """A DNS query failed during validation."""

    type = "dns"


class KeyInUse(Refused):
    """The new key is that of another account; `location` is its URL (RFC 8555 7.3.5)."""

    type = "conflict"
    status = 409

    def __init__(self, detail: str, *, location: str) -> None:
        """Keep the URL for the `Location` header."""
        super().__init__(detail)
        self.location = location


class ExternalAccountRequired(Refused):
    """The provisioner wants an external account binding."""

    type = "externalAccountRequired"
    status = 403


class IncorrectResponse(Refused):
    """The validation target's response did not match the challenge."""

    type = "incorrectResponse"
    status = 403


class InvalidContact(Refused):
    """A contact URL is invalid."""

    type = "invalidContact"


class InvalidProfile(Refused):
    """The order names a profile that is not there."""

    type = "invalidProfile"


class OrderNotReady(Refused):
    """The order cannot be finalized in its state (RFC 8555 7.4)."""

    type = "orderNotReady"
    status = 403


class RateLimited(Refused):
    """A limit is reached; `retry_after` says when it frees."""

    type = "rateLimited"
    status = 429

    def __init__(self, detail: str, *, retry_after: int, limit: str = "") -> None:
        """`limit` is the word by which the limit is known (core/policy/limits)."""
        super().__init__(detail, retry_after=retry_after)
        self.limit = limit


class RejectedIdentifier(Refused):
    """No rule gives these names; each bad one is a subproblem."""

    type = "rejectedIdentifier"


class ServerInternal(Refused):
    """Ours to mend; a fixed text, and a Retry-After."""

    type = "serverInternal"
    status = 500


class ServiceUnavailable(ServerInternal):
    """For the moment only: the client should come back (`retry_after`)."""

    status = 503


class Tls(Refused):
    """A TLS error during validation."""

    type = "tls"


class Unauthorized(Refused):
    """The client lacks the authorization."""

    type = "unauthorized"
    status = 403


class UnsupportedContact(Refused):
    """A contact URL has a scheme we do not take."""

    type = "unsupportedContact"


class UnsupportedIdentifier(Refused):
    """The identifier's type is not supported."""

    type = "unsupportedIdentifier"


class UserActionRequired(Refused):
    """A person must do something first: agree to the terms, which are at `terms` (RFC 8555 7.3.3)."""

    type = "userActionRequired"
    status = 403

    def __init__(self, detail: str, *, terms: str) -> None:
        """Keep the URL for the `Link` header."""
        super().__init__(detail)
        self.terms = terms
