"""The JSON of RFC 8555, both ways: what the server parses and renders, the client renders and parses.

Rules: requests are read strictly where the RFC gives a type and unknown members are ignored (7.3, 7.4); absent
members are absent, never null; a time that was not asked for may also be null or Go's zero time, as stock clients
send it; URLs come from `Urls`, never from a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from dayfly.core.acme.objects import (
    Account,
    Authorization,
    AuthorizationRef,
    Challenge,
    ChallengeStatus,
    Order,
    StoredProblem,
    authorization_ref,
    render_authorization_ref,
)
from dayfly.core.identifiers import Identifier
from dayfly.core.ids import render_id
from dayfly.core.jose.encoding import EncodingError, b64u_decode, strict_json_object
from dayfly.core.problems import URN, Malformed
from dayfly.errors import ClientError

GO_ZERO_TIME = "0001-01-01T00:00:00Z"
PAYLOAD_DEPTH = 8
NOTHING: Mapping[str, Any] = {}

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


class Urls(msgspec.Struct, frozen=True, gc=False):
    """All URLs of one provisioner under one base URL, as `https://ca.internal.example:9000/acme/internal-acme`."""

    base: str

    @property
    def directory(self) -> str:
        """RFC 8555 7.1.1."""
        return self.base + "/directory"

    @property
    def new_nonce(self) -> str:
        """RFC 8555 7.2."""
        return self.base + "/new-nonce"

    @property
    def new_account(self) -> str:
        """RFC 8555 7.3."""
        return self.base + "/new-account"

    @property
    def new_authorization(self) -> str:
        """RFC 8555 7.4.1."""
        return self.base + "/new-authz"

    @property
    def new_order(self) -> str:
        """RFC 8555 7.4."""
        return self.base + "/new-order"

    @property
    def renewal_info(self) -> str:
        """What a client puts a slash and a certificate's identifier behind (RFC 9773 4.1)."""
        return self.base + "/renewal-info"

    @property
    def key_change(self) -> str:
        """RFC 8555 7.3.5."""
        return self.base + "/key-change"

    @property
    def revoke_cert(self) -> str:
        """RFC 8555 7.6."""
        return self.base + "/revoke-cert"

    def account(self, account_id: int) -> str:
        """The account's URL, which is also its `kid`."""
        return f"{self.base}/account/{render_id(account_id)}"

    def orders(self, account_id: int) -> str:
        """The account's list of orders (RFC 8555 7.1.2.1)."""
        return f"{self.base}/account/{render_id(account_id)}/orders"

    def order(self, order_id: int) -> str:
        """The order's URL."""
        return f"{self.base}/order/{render_id(order_id)}"

    def finalize(self, order_id: int) -> str:
        """Where the order is finalized."""
        return f"{self.base}/order/{render_id(order_id)}/finalize"

    def certificate(self, certificate_id: int) -> str:
        """Where the certificate is downloaded."""
        return f"{self.base}/certificate/{render_id(certificate_id)}"

    def alternate(self, certificate_id: int, number: int) -> str:
        """Where the certificate is downloaded with another chain (RFC 8555 7.4.2); they count from 1."""
        return f"{self.base}/certificate/{render_id(certificate_id)}/{number}"

    def authorization(self, ref: AuthorizationRef) -> str:
        """The authorization's URL."""
        return f"{self.base}/authz/{render_authorization_ref(ref)}"

    def challenge(self, ref: AuthorizationRef, challenge_type: str) -> str:
        """The challenge's URL; one of each type stands in an authorization, so the type is its id."""
        return f"{self.base}/challenge/{render_authorization_ref(ref)}/{challenge_type}"


def render_time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="seconds")[:19] + "Z"  # a third of the time that strftime takes


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


# --- what the server answers -----------------------------------------------------------------------------------------


def render_directory(
    urls: Urls, *, meta: dict[str, Any], extra: tuple[str, str], pre_authorization: bool = False
) -> bytes:
    """The directory (RFC 8555 7.1.1); `extra` is a random key and its value, so that unknown keys are met early.

    newAuthz is in it only where the provisioner lets clients authorize names beforehand.
    """
    document: dict[str, Any] = {
        "newNonce": urls.new_nonce,
        "newAccount": urls.new_account,
        "newOrder": urls.new_order,
        "renewalInfo": urls.renewal_info,
        "keyChange": urls.key_change,
        "revokeCert": urls.revoke_cert,
        extra[0]: extra[1],
    }
    if pre_authorization:
        document["newAuthz"] = urls.new_authorization
    if meta:
        document["meta"] = meta
    return _encode(document)


def render_account(account: Account, urls: Urls) -> bytes:
    """The account object (RFC 8555 7.1.2)."""
    document: dict[str, Any] = {"status": account.status, "orders": urls.orders(account.id)}
    if account.contacts:
        document["contact"] = account.contacts
    if account.terms_agreed:
        document["termsOfServiceAgreed"] = True
    return _encode(document)


def render_identifier(identifier: Identifier) -> dict[str, str]:
    """The identifier as it stands in an order: with its `*.` (RFC 8555 7.1.3)."""
    return {"type": identifier.type, "value": identifier.value}


def render_order(order: Order, urls: Urls) -> bytes:
    """The order object (RFC 8555 7.1.3), with step's extra `id`."""
    document: dict[str, Any] = {
        "id": render_id(order.id),
        "status": order.status,
        "expires": render_time(order.expires),
        "identifiers": [render_identifier(identifier) for identifier in order.identifiers],
        "authorizations": [
            urls.authorization(authorization_ref(order, index)) for index in range(len(order.authorizations))
        ],
        "finalize": urls.finalize(order.id),
    }
    if order.not_before is not None:
        document["notBefore"] = render_time(order.not_before)
    if order.not_after is not None:
        document["notAfter"] = render_time(order.not_after)
    if order.profile:
        document["profile"] = order.profile
    if order.replaces:
        document["replaces"] = order.replaces
    if order.certificate_id is not None:
        document["certificate"] = urls.certificate(order.certificate_id)
    if order.error is not None:
        document["error"] = render_stored_problem(order.error)
    return _encode(document)


def render_authorization(
    authorization: Authorization, ref: AuthorizationRef, urls: Urls, *, lasting: Mapping[str, Any] = NOTHING
) -> bytes:
    """The authorization object (RFC 8555 7.1.4): the wildcard is a flag, the value is without its `*.`.

    `lasting` are the members that a challenge without a token has instead (dns-persist-01).
    """
    identifier = authorization.identifier
    document: dict[str, Any] = {
        "identifier": {"type": identifier.type, "value": identifier.value.removeprefix("*.")},
        "status": authorization.status,
        "expires": render_time(authorization.expires),
        "challenges": [
            challenge_document(challenge, ref, urls, lasting=lasting) for challenge in authorization.challenges
        ],
        "wildcard": identifier.is_wildcard,
    }
    return _encode(document)


def challenge_document(
    challenge: Challenge, ref: AuthorizationRef, urls: Urls, *, lasting: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """The challenge object (RFC 8555 8) as a dictionary."""
    document: dict[str, Any] = {
        "type": challenge.type,
        "url": urls.challenge(ref, challenge.type),
        "status": challenge.status,
    }
    document.update({"token": challenge.token} if challenge.token else lasting)
    if challenge.validated_at is not None:
        document["validated"] = render_time(challenge.validated_at)
    if challenge.error is not None:
        document["error"] = render_stored_problem(challenge.error)
    return document


def render_challenge(
    challenge: Challenge, ref: AuthorizationRef, urls: Urls, *, lasting: Mapping[str, Any] = NOTHING
) -> bytes:
    """The challenge object (RFC 8555 8)."""
    return msgspec.json.encode(challenge_document(challenge, ref, urls, lasting=lasting))


def render_orders(order_ids: tuple[int, ...], urls: Urls) -> bytes:
    """One page of an account's orders (RFC 8555 7.1.2.1)."""
    return _encode({"orders": [urls.order(order_id) for order_id in order_ids]})


def render_stored_problem(problem: StoredProblem) -> dict[str, Any]:
    """A problem that stands inside an object (RFC 8555 6.7)."""
    document: dict[str, Any] = {"type": URN + problem.type, "detail": problem.detail, "status": problem.status}
    if problem.identifier is not None:
        document["identifier"] = render_identifier(problem.identifier)
    if problem.subproblems:
        document["subproblems"] = [render_stored_problem(one) for one in problem.subproblems]
    return document


# --- what the client reads -------------------------------------------------------------------------------------------


class WireProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document as a client meets it (RFC 9457; `rule` to `denial` are ours)."""

    type: str = "about:blank"
    detail: str = ""
    status: int = 0
    rule: str = ""
    owner: str = ""
    nearest: str = ""
    denial: str = ""
    subproblems: tuple[WireProblem, ...] | None = None
    identifier: WireIdentifier | None = None

    @property
    def kind(self) -> str:
        """The type without the ACME prefix, as `rejectedIdentifier`."""
        return self.type.removeprefix(URN)


class WireDirectory(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a client needs of a directory."""

    new_nonce: str
    new_account: str
    new_order: str
    renewal_info: str | None = None
    meta: dict[str, Any] | None = None


class WireChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge as a client reads it."""

    type: str
    url: str
    status: ChallengeStatus
    token: str = ""
    error: WireProblem | None = None


class WireAuthorization(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization as a client reads it."""

    identifier: WireIdentifier
    status: str
    challenges: tuple[WireChallenge, ...]
    wildcard: bool = False


class WireOrder(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An order as a client reads it."""

    status: str
    identifiers: tuple[WireIdentifier, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None = None
    error: WireProblem | None = None


class WireAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as a client reads it."""

    status: str


Answer = TypeVar("Answer", bound=msgspec.Struct)


def parse_answer(body: bytes, shape: type[Answer]) -> Answer:
    """A server's answer as `shape`; ClientError where it is not one."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the CA's answer is not a {shape.__name__.removeprefix('Wire').lower()}: {error}") from None
