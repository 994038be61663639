"""Orders: what may be asked for, and what an order is as of now (RFC 8555 7.1.3, 7.1.6, 7.4).

Rules: names are canonical before policy sees them; every name of an order is allowed by a rule at the time of the
order, and again at finalize; duplicates are merged; objects are read "as of now", so that expiry needs no timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

import msgspec

from dayfly.core.acme.objects import (
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    Order,
    OrderStatus,
    StoredProblem,
)
from dayfly.core.acme.payloads import NewOrder, WireIdentifier, parse_asked_time
from dayfly.core.acme.renewal_info import parse_certificate_id
from dayfly.core.acme.states import AuthorizationEvent, OrderEvent, advance_authorization, advance_order
from dayfly.core.events import OrderCreated
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType, parse_identifier
from dayfly.core.policy.grant import Grant, check_asked, check_granted, under_profile
from dayfly.core.policy.lifetimes import plan_validity
from dayfly.core.problems import (
    Malformed,
    Refused,
    RejectedIdentifier,
    Subproblem,
    UnsupportedIdentifier,
)

MAX_NAMES = 100
MAX_NAMES_OCTETS = 25 * 1024
ORDER_LIFE = timedelta(hours=1)

_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING})
_LIVE_AUTHORIZATIONS = frozenset({AuthorizationStatus.PENDING, AuthorizationStatus.VALID})


class ChallengeOffer(msgspec.Struct, frozen=True, gc=False):
    """A challenge type that can be offered: for which identifier types, for wildcards or not, with a token or none."""

    type: str
    identifier_types: frozenset[IdentifierType]
    wildcards: bool
    token: bool = True


class OrderRequest(msgspec.Struct, frozen=True):
    """A newOrder payload that was read and canonicalised; nothing is allowed yet."""

    identifiers: tuple[Identifier, ...]
    not_before: datetime | None
    not_after: datetime | None
    profile: str
    replaces: str = ""


def parse_order_request(payload: NewOrder) -> OrderRequest:
    """The canonical request in a newOrder payload; Malformed or UnsupportedIdentifier (RFC 8555 7.4)."""
    identifiers = _parse_identifiers(payload.identifiers)
    return OrderRequest(
        identifiers=identifiers,
        not_before=parse_asked_time(payload.not_before, "notBefore"),
        not_after=parse_asked_time(payload.not_after, "notAfter"),
        profile=payload.profile or "",
        replaces=_parse_replaces(payload.replaces),
    )


def _parse_replaces(text: str | None) -> str:
    """What names the predecessor, "" for none; Malformed where it is no certificate's identifier (RFC 9773 5)."""
    if text is None:
        return ""
    parse_certificate_id(text)
    return text


def _parse_identifiers(wire: tuple[WireIdentifier, ...]) -> tuple[Identifier, ...]:
    if not wire:
        raise Malformed("the order names no identifiers")
    if len(wire) > MAX_NAMES:
        raise Malformed(f"the order names {len(wire)} identifiers; at most {MAX_NAMES} are taken")
    if sum(len(one.value) for one in wire) > MAX_NAMES_OCTETS:
        raise Malformed(f"the identifiers are longer than {MAX_NAMES_OCTETS} octets together")
    parsed: dict[Identifier, None] = {}
    failures: list[tuple[WireIdentifier, Malformed | UnsupportedIdentifier]] = []
    for one in wire:
        try:
            parsed[parse_identifier(one.type, one.value)] = None
        except (Malformed, UnsupportedIdentifier) as error:
            failures.append((one, error))
    if failures:
        raise _compound(failures)
    return tuple(parsed)


def _compound(failures: list[tuple[WireIdentifier, Malformed | UnsupportedIdentifier]]) -> Refused:
    """One problem for all bad names, with a subproblem for each as the client wrote it (RFC 8555 6.7.1)."""
    kinds = {type(failure) for _, failure in failures}
    kind = kinds.pop() if len(kinds) == 1 else Malformed
    subproblems = [Subproblem(failure.type, failure.detail, named) for named, failure in failures]
    if len(failures) == 1:
        return kind(failures[0][1].detail, subproblems=subproblems)
    return kind(f"{len(failures)} identifiers are not acceptable", subproblems=subproblems)


def plan_new_order(
    request: OrderRequest,
    *,
    order_id: int,
    account_id: int,
    tokens: Iterable[str],
    grant: Grant,
    offers: tuple[ChallengeOffer, ...],
    source: IPv4Address | IPv6Address | None,
    issuer_not_after: datetime,
    now: datetime,
    user_agent: str = "",
) -> tuple[Order, OrderCreated]:
    """The order to create.

    Raises InvalidProfile where the profile is not offered, RejectedIdentifier where no rule gives a name, the profile
    has none of its kind or no challenge type can prove it, and Malformed for a validity that the provisioner does not
    allow. `tokens` yields a fresh challenge token at each step.
    """
    grant = under_profile(grant, request.profile)
    check_asked(grant, request.identifiers)
    check_granted(grant, request.identifiers, source=source)
    plan_validity(
        now,
        lifetimes=grant.lifetimes,
        requested_not_before=request.not_before,
        requested_not_after=request.not_after,
        issuer_not_after=issuer_not_after,
    )
    expires = now.replace(microsecond=0) + ORDER_LIFE
    challenges = offer_challenges(request.identifiers, tokens=tokens, grant=grant, offers=offers)
    order = Order(
        id=order_id,
        account_id=account_id,
        provisioner=grant.provisioner,
        authorizations=tuple(
            Authorization(identifier, offered, expires)
            for identifier, offered in zip(request.identifiers, challenges, strict=True)
        ),
        created_at=now,
        expires=expires,
        profile=request.profile,
        not_before=request.not_before,
        not_after=request.not_after,
        replaces=request.replaces,
        user_agent=user_agent,
    )
    return order, OrderCreated(now, grant.provisioner, len(request.identifiers))


def offer_challenges(
    identifiers: tuple[Identifier, ...],
    *,
    tokens: Iterable[str],
    grant: Grant,
    offers: tuple[ChallengeOffer, ...],
) -> tuple[tuple[Challenge, ...], ...]:
    """The challenges that may prove each name, a wildcard by DNS challenges only (RFC 8555 7.1.3).

    RejectedIdentifier, with a subproblem for each, where some name has none.
    """
    fresh = iter(tokens)
    offered = tuple(
        tuple(
            Challenge(offer.type, next(fresh) if offer.token else "")
            for offer in offers
            if _can_prove(offer, one, grant)
        )
        for one in identifiers
    )
    if not all(offered):
        lacking = [one for one, challenges in zip(identifiers, offered, strict=True) if not challenges]
        raise _unprovable(lacking, grant)
    return offered


def _can_prove(offer: ChallengeOffer, identifier: Identifier, grant: Grant) -> bool:
    return (
        offer.type in grant.challenges
        and identifier.type in offer.identifier_types
        and (offer.wildcards or not identifier.is_wildcard)
        and (offer.token or bool(grant.identities))  # a lasting record names the CA
    )


def _unprovable(lacking: list[Identifier], grant: Grant) -> RejectedIdentifier:
    subproblems = []
    for one in lacking:
        what = "a wildcard" if one.is_wildcard else f"an identifier of type {one.type}"
        told = f"{one.value}: provisioner {grant.provisioner} offers no challenge type that can prove {what}"
        subproblems.append(Subproblem(RejectedIdentifier.type, told, one))
    detail = subproblems[0].detail if len(lacking) == 1 else f"{len(lacking)} names cannot be proved here"
    return RejectedIdentifier(detail, subproblems=subproblems)


def is_same_request(order: Order, request: OrderRequest, *, now: datetime) -> bool:
    """Does an open order already ask for exactly this? Then the client gets it again, and a loop fills no table."""
    return (
        as_of(order, now).status in {OrderStatus.PENDING, OrderStatus.READY}
        and frozenset(order.identifiers) == frozenset(request.identifiers)
        and order.profile == request.profile
        and order.not_before == request.not_before
        and order.not_after == request.not_after
        and order.replaces == request.replaces
    )


def as_of(order: Order, now: datetime) -> Order:
    """The order as it is now: what has expired is expired (RFC 8555 7.1.6)."""
    if order.expires > now and not _any_expired(order, now):
        return order
    authorizations = tuple(authorization_as_of(one, now) for one in order.authorizations)
    if order.status not in _OPEN:
        return replace(order, authorizations=authorizations)
    what = "the order" if order.expires <= now else f"the authorization for {_expired_name(authorizations)}"
    return replace(
        order,
        authorizations=authorizations,
        status=advance_order(order.status, OrderEvent.EXPIRED),
        error=StoredProblem("malformed", f"{what} expired before it was finalized"),
    )


def _any_expired(order: Order, now: datetime) -> bool:
    """Has one of its authorizations expired? A loop, since every request asks this."""
    for one in order.authorizations:  # noqa: SIM110 - the quicker way
        if one.expires <= now:
            return True
    return False


def _expired_name(authorizations: tuple[Authorization, ...]) -> str:
    """The first name whose authorization has come to its end."""
    ended = (one for one in authorizations if one.status not in _LIVE_AUTHORIZATIONS)
    return next(one.identifier.value for one in ended)


def authorization_as_of(authorization: Authorization, now: datetime) -> Authorization:
    """The authorization as it is now (RFC 8555 7.1.6)."""
    if authorization.expires > now or authorization.status not in _LIVE_AUTHORIZATIONS:
        return authorization
    status = advance_authorization(authorization.status, AuthorizationEvent.EXPIRED)
    return replace(authorization, status=status)


def deactivate_authorization(order: Order, index: int) -> Order:
    """The order once its owner gave up one of its authorizations (RFC 8555 7.5.2): invalid, with the reason."""
    return with_given_up(order, index, give_up(order.authorizations[index]))


def give_up(authorization: Authorization) -> Authorization:
    """The authorization once its owner gave it up; Malformed where it is neither pending nor valid."""
    if authorization.status not in _LIVE_AUTHORIZATIONS:
        raise Malformed(f"the authorization is {authorization.status}")
    status = advance_authorization(authorization.status, AuthorizationEvent.DEACTIVATED)
    return replace(authorization, status=status)


def with_given_up(order: Order, index: int, authorization: Authorization) -> Order:
    """The order with an authorization that was given up: invalid, unless it is finished."""
    replaced = replace_authorization(order, index, authorization)
    if order.status not in {OrderStatus.PENDING, OrderStatus.READY}:
        return replaced
    problem = StoredProblem("unauthorized", "an authorization of the order was deactivated by its owner", 403)
    return replace(replaced, status=advance_order(order.status, OrderEvent.FAILED), error=problem)


def abandon_order(order: Order, status: AccountStatus) -> Order:
    """A pending or ready order once its account was deactivated or revoked (RFC 8555 7.3.6): invalid for good."""
    what = "deactivated by its owner" if status is AccountStatus.DEACTIVATED else "revoked by the CA"
    problem = StoredProblem("unauthorized", f"the account was {what}", 403)
    return replace(order, status=advance_order(order.status, OrderEvent.FAILED), error=problem)


def replace_authorization(order: Order, index: int, authorization: Authorization) -> Order:
    """The order with one authorization replaced; its own status is not touched."""
    before, after = order.authorizations[:index], order.authorizations[index + 1 :]
    return replace(order, authorizations=(*before, authorization, *after))
