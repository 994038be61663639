"""The JSON that the server answers with (RFC 8555).

Rules: absent members are absent, never null; URLs come from `Urls`, never from a request; times are UTC, in whole
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from dayfly.core.acme.objects import (
    Account,
    Authorization,
    AuthorizationRef,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Order,
    StoredProblem,
    authorization_ref,
)
from dayfly.core.acme.urls import Urls
from dayfly.core.identifiers import Identifier
from dayfly.core.ids import render_id
from dayfly.core.problems import URN

NOTHING: Mapping[str, Any] = {}
_DECIDED: Mapping[AuthorizationStatus, ChallengeStatus] = {
    AuthorizationStatus.VALID: ChallengeStatus.VALID,
    AuthorizationStatus.INVALID: ChallengeStatus.INVALID,
}

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


def render_time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="seconds")[:19] + "Z"  # a third of the time that strftime takes


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


def render_account(account: Account, urls: Urls, *, bound_by: Mapping[str, Any] | None = None) -> bytes:
    """The account object (RFC 8555 7.1.2); `bound_by` is the binding that made it, which it then has (7.3.4)."""
    document: dict[str, Any] = {"status": account.status, "orders": urls.orders(account.id)}
    if account.contacts:
        document["contact"] = account.contacts
    if account.terms_agreed:
        document["termsOfServiceAgreed"] = True
    if bound_by is not None:
        document["externalAccountBinding"] = bound_by
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

    One that is valid shows the challenge that proved it, one that is invalid the one that failed. `lasting` are the
    members that a challenge without a token has instead (dns-persist-01).
    """
    identifier, decided = authorization.identifier, _DECIDED.get(authorization.status)
    document: dict[str, Any] = {
        "identifier": {"type": identifier.type, "value": identifier.value.removeprefix("*.")},
        "status": authorization.status,
        "expires": render_time(authorization.expires),
        "challenges": [
            challenge_document(challenge, ref, urls, lasting=lasting)
            for challenge in authorization.challenges
            if decided is None or challenge.status is decided
        ],
    }
    if identifier.is_wildcard:  # else it must be absent (RFC 8555 7.1.4)
        document["wildcard"] = True
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
