"""ACME's objects as frozen values (RFC 8555 7.1), and the certificates that come of them.

Rules: an order embeds its authorizations and their challenges, and is one row; an authorization that may serve several
orders is a row of its own, and orders hold copies of it; an object is never changed, only replaced; `version` is the
number under which the row was read, and every update names it; times are aware and UTC.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from dayfly.core.identifiers import Identifier
from dayfly.core.ids import parse_id, render_id

OWN_ROW = -1  # the index in a reference to an authorization that is a row of its own

_AUTHORIZATION_ID = re.compile(r"([0-9a-f]{16})(?:-(0|[1-9][0-9]{0,2}))?")


class AccountStatus(StrEnum):
    """RFC 8555 7.1.2."""

    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"


class OrderStatus(StrEnum):
    """RFC 8555 7.1.3."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(StrEnum):
    """RFC 8555 7.1.4."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeStatus(StrEnum):
    """RFC 8555 7.1.5."""

    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class StoredProblem(msgspec.Struct, frozen=True, gc=False):
    """A problem kept with an object: the type without its URN prefix, the status, and our own text."""

    type: str
    detail: str
    status: int = 400
    identifier: Identifier | None = None
    subproblems: tuple[StoredProblem, ...] = ()


class Account(msgspec.Struct, frozen=True, gc=False):
    """An account of one provisioner (RFC 8555 7.1.2); `jwk` is canonical JSON, `thumbprint` that of RFC 7638.

    `external_key` is the `kid` of the external account key that bound it, "" where none did (7.3.4). `scope` is the
    canonical JSON of what the operator holds this account to, empty for nothing. `user_agent` is the client that it was
    made by or orders by, as that calls itself, and `user_agent_at` when it was noted; a claim, and no ground for
    anything (core/acme/clients).
    """

    id: int
    provisioner: str
    thumbprint: str
    jwk: bytes
    created_at: datetime
    status: AccountStatus = AccountStatus.VALID
    contacts: tuple[str, ...] = ()
    terms_agreed: bool = False
    external_key: str = ""
    scope: bytes = b""
    version: int = 0
    user_agent: str = ""
    user_agent_at: datetime | None = None


class Challenge(msgspec.Struct, frozen=True, gc=False):
    """One way to prove control of an identifier (RFC 8555 7.1.5, 8)."""

    type: str
    token: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    validated_at: datetime | None = None
    error: StoredProblem | None = None
    attempts: int = 0


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What else is known of a proof: when CAA was looked at, and until when it may serve other orders; None for ever.

    Both are None for most proofs, which then have no such object.
    """

    caa_checked_at: datetime | None = None
    reuse_until: datetime | None = None


class Authorization(msgspec.Struct, frozen=True, gc=False):
    """The server's record that an account may speak for an identifier (RFC 8555 7.1.4).

    `identifier` keeps its `*.`; on the wire the wildcard is a flag of its own. `validated_by` is the challenge type
    that proved control, `validated_address` the address and port that were dialled. `row_id` is the id of the
    authorization's own row; None for one that is its order's alone.
    """

    identifier: Identifier
    challenges: tuple[Challenge, ...]
    expires: datetime
    status: AuthorizationStatus = AuthorizationStatus.PENDING
    validated_by: str = ""
    validated_address: str = ""
    row_id: int | None = None
    evidence: Evidence | None = None


class SharedAuthorization(msgspec.Struct, frozen=True, gc=False):
    """An authorization in a row of its own, which any order of its account for its name may rely on.

    `good_for` is how long it stands once it is valid. It serves orders for the same `profile`; None is every profile.
    """

    id: int
    account_id: int
    provisioner: str
    authorization: Authorization
    created_at: datetime
    good_for: timedelta
    profile: str | None = None
    version: int = 0


class Order(msgspec.Struct, frozen=True, gc=False):
    """A request for a certificate (RFC 8555 7.1.3) with its authorizations.

    `replaces` is what the client named as its predecessor (RFC 9773 5), `predecessor_id` the row id of the certificate
    that this is, where it is known, and `is_renewal` says that its renewal was due: then limits do not count the order.
    `user_agent` is what the client that asked calls itself, "" for nothing.
    """

    id: int
    account_id: int
    provisioner: str
    authorizations: tuple[Authorization, ...]
    created_at: datetime
    expires: datetime
    status: OrderStatus = OrderStatus.PENDING
    profile: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    certificate_id: int | None = None
    csr_digest: str = ""
    error: StoredProblem | None = None
    version: int = 0
    replaces: str = ""
    predecessor_id: int | None = None
    is_renewal: bool = False
    user_agent: str = ""

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """The names that the order asks for, in the order of its authorizations."""
        return tuple([authorization.identifier for authorization in self.authorizations])


class Certificate(msgspec.Struct, frozen=True, gc=False):
    """An issued certificate as stored.

    `der` is the leaf alone, `issuer` the SHA-256 (hex) of its issuer's certificate. `serial` is the number in the
    certificate; the row id is its upper part. `owner` and `rule` are those of the name rule that decided. `parent_id`
    is the row id of the certificate that this one renews, where the request said so.
    """

    id: int
    serial: int
    der: bytes
    issuer: str
    names: tuple[Identifier, ...]
    not_before: datetime
    not_after: datetime
    provisioner: str
    owner: str
    rule: str
    profile: str
    profile_hash: str
    account_id: int | None = None
    order_id: int | None = None
    revoked_at: datetime | None = None
    revocation_reason: int | None = None
    parent_id: int | None = None
    version: int = 0


class AuthorizationRef(msgspec.Struct, frozen=True):
    """Which authorization of which order; its text form is the id in authorization and challenge URLs.

    With the index OWN_ROW the id is not an order's but that of the authorization's own row.
    """

    order_id: int
    index: int


def authorization_ref(order: Order, index: int) -> AuthorizationRef:
    """The reference to one of an order's authorizations: to its own row, where it has one."""
    row_id = order.authorizations[index].row_id
    return AuthorizationRef(order.id, index) if row_id is None else AuthorizationRef(row_id, OWN_ROW)


def render_authorization_ref(ref: AuthorizationRef) -> str:
    """The id of an authorization in URLs, as `00000b1e5f400000-0`; that of one in a row of its own has no index."""
    return render_id(ref.order_id) if ref.index == OWN_ROW else f"{render_id(ref.order_id)}-{ref.index}"


def parse_authorization_ref(text: str) -> AuthorizationRef | None:
    """The reference in `text`, or None where it is none."""
    match = _AUTHORIZATION_ID.fullmatch(text)
    order_id = None if match is None else parse_id(match[1])
    if match is None or order_id is None:
        return None
    return AuthorizationRef(order_id, OWN_ROW if match[2] is None else int(match[2]))
