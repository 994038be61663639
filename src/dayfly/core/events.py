"""What happened, as frozen values.

Rules: `at` is when it happened, aware and UTC; a logged event becomes one entry of the append-only log, in the
transaction of the change that it tells of, and its kind's number there is never reused (transparency/entries); an
unlogged one reaches the observers only, since a stranger must not be able to grow the log.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from dayfly.core.identifiers import Identifier


class Outcome(StrEnum):
    """How a request ended: whose fault it was, if it was one."""

    OK = "ok"
    DENIED = "denied"
    ERROR = "error"
    THROTTLED = "throttled"


class Reason(StrEnum):
    """Why a request ended as it did: a closed set, fit for a label."""

    OK = "ok"
    NAME_NOT_ALLOWED = "name_not_allowed"
    LIFETIME_NOT_ALLOWED = "lifetime_not_allowed"
    KEY_NOT_ALLOWED = "key_not_allowed"
    OWNER_UNKNOWN = "owner_unknown"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    UNAUTHORIZED = "unauthorized"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason's word, not a password
    TOKEN_REUSED = "token_reused"  # noqa: S105 - a reason's word, not a password
    CHALLENGE_FAILED = "challenge_failed"
    CAA = "caa"
    ACCOUNT_DISABLED = "account_disabled"
    RATE_LIMITED = "rate_limited"
    BAD_CSR = "bad_csr"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    REVOKED = "revoked"
    CERT_LOCKED = "cert_locked"
    RENEW_DISABLED = "renew_disabled"
    EXPIRED_TOO_LONG = "expired_too_long"
    SIGNER_UNAVAILABLE = "signer_unavailable"
    SIGNER_ERROR = "signer_error"
    DB_UNAVAILABLE = "db_unavailable"
    DB_CONFLICT = "db_conflict"
    CLOCK = "clock"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    OVERLOAD = "overload"
    INTERNAL = "internal"
    OTHER = "other"


class IssueKind(StrEnum):
    """Why a certificate was issued; `internal` ones are the CA's own."""

    NEW = "new"
    RENEW = "renew"
    REKEY = "rekey"
    REPLACE = "replace"
    INTERNAL = "internal"


class SettingAction(StrEnum):
    """What was done with a settings document."""

    PUT = "put"
    REMOVE = "remove"


class LogStarted(msgspec.Struct, frozen=True, gc=False):
    """The log began: always its first entry, and never another. `origin` is the name in its checkpoints."""

    at: datetime
    origin: str


class CertificateIssued(msgspec.Struct, frozen=True, gc=False):
    """A certificate was issued, and its row written.

    `fingerprint` is the SHA-256 of the certificate (DER), `spki_hash` that of its SubjectPublicKeyInfo, both in hex.
    `owner` and `rule` are those of the name rule that decided. Both ids are None for the CA's own certificates.
    """

    at: datetime
    certificate_id: int
    serial: int
    fingerprint: str
    names: tuple[Identifier, ...]
    not_before: datetime
    not_after: datetime
    provisioner: str
    owner: str
    rule: str
    profile: str
    profile_hash: str
    account_id: int | None
    order_id: int | None
    kind: IssueKind
    spki_hash: str


class CertificateRevoked(msgspec.Struct, frozen=True, gc=False):
    """A certificate was revoked at `at`, for a reason code of RFC 5280 5.3.1, by the one that `by` names."""

    at: datetime
    certificate_id: int
    serial: int
    reason: int
    by: str


class AccountCreated(msgspec.Struct, frozen=True, gc=False):
    """An account was made for a key (RFC 8555 7.3); `thumbprint` is that of RFC 7638."""

    at: datetime
    account_id: int
    provisioner: str
    thumbprint: str


class AccountUpdated(msgspec.Struct, frozen=True, gc=False):
    """An account's contacts changed (RFC 8555 7.3.2)."""

    at: datetime
    account_id: int
    provisioner: str


class AccountDeactivated(msgspec.Struct, frozen=True, gc=False):
    """An account was given up by its owner (RFC 8555 7.3.6)."""

    at: datetime
    account_id: int
    provisioner: str


class AccountRevoked(msgspec.Struct, frozen=True, gc=False):
    """An account was ended by the CA (RFC 8555 7.1.2), for what `by` names."""

    at: datetime
    account_id: int
    provisioner: str
    by: str


class AccountScopeChanged(msgspec.Struct, frozen=True, gc=False):
    """An account is held to another scope of its own, by whom `by` names.

    `owner` is the scope's, `scope` the SHA-256 (hex) of the whole of it; both are empty where it has none any more.
    """

    at: datetime
    account_id: int
    provisioner: str
    owner: str
    scope: str
    by: str


class AccountKeyChanged(msgspec.Struct, frozen=True, gc=False):
    """An account has another key (RFC 8555 7.3.5)."""

    at: datetime
    account_id: int
    provisioner: str
    thumbprint: str
    old_thumbprint: str


class ExternalKeyMade(msgspec.Struct, frozen=True, gc=False):
    """A key for external account bindings was made (RFC 8555 7.3.4); `scope` is the SHA-256 (hex) of its scope."""

    at: datetime
    kid: str
    provisioner: str
    owner: str
    scope: str
    preauthorized: bool


class ExternalKeyRevoked(msgspec.Struct, frozen=True, gc=False):
    """A key for external account bindings was taken back."""

    at: datetime
    kid: str
    provisioner: str


class AccountBound(msgspec.Struct, frozen=True, gc=False):
    """A new account was bound by the external account key of this `kid` (RFC 8555 7.3.4)."""

    at: datetime
    account_id: int
    provisioner: str
    kid: str


class NamesPreauthorized(msgspec.Struct, frozen=True, gc=False):
    """The names of an order were valid without a proof: the external account key of this `kid` vouched for them."""

    at: datetime
    order_id: int
    account_id: int
    provisioner: str
    kid: str
    names: tuple[Identifier, ...]


class SettingChanged(msgspec.Struct, frozen=True, gc=False):
    """A settings document was put or removed, which made `revision`.

    `kind` is provisioner, rule, owner or reissue; `digest` the SHA-256 (hex) of the canonical document, empty for a
    removal.
    """

    at: datetime
    revision: int
    kind: str
    name: str
    action: SettingAction
    digest: str


class OrderCreated(msgspec.Struct, frozen=True, gc=False):
    """An order was made, for `names` names."""

    at: datetime
    provisioner: str
    names: int


class ChallengeSettled(msgspec.Struct, frozen=True, gc=False):
    """A challenge of this `type` became valid or invalid, `seconds` after its validation began."""

    at: datetime
    type: str
    provisioner: str
    outcome: Outcome
    reason: Reason
    seconds: float


class Throttled(msgspec.Struct, frozen=True, gc=False):
    """A request was refused by a limit of this name; one that was only near to it, where `near`."""

    at: datetime
    limit: str
    near: bool = False


class ConnectionsShed(msgspec.Struct, frozen=True, gc=False):
    """So many connections were refused, or closed before their time, for this reason."""

    at: datetime
    reason: str
    count: int


class RequestHandled(msgspec.Struct, frozen=True, gc=False):
    """A request was answered, after `seconds`."""

    at: datetime
    op: str
    provisioner: str
    outcome: Outcome
    reason: Reason
    seconds: float


LoggedEvent = (
    LogStarted
    | CertificateIssued
    | CertificateRevoked
    | AccountCreated
    | AccountUpdated
    | AccountDeactivated
    | AccountKeyChanged
    | SettingChanged
    | ExternalKeyMade
    | ExternalKeyRevoked
    | AccountBound
    | NamesPreauthorized
    | AccountRevoked
    | AccountScopeChanged
)
"""What becomes an entry of the log; fit for isinstance."""

Event = LoggedEvent | OrderCreated | ChallengeSettled | Throttled | ConnectionsShed | RequestHandled
"""Whatever observers hear of."""
