"""Authorizations in rows of their own: made by newAuthz, or by orders where they may be used again (RFC 8555 7.4.1).

Rules: an order holds copies, and what counts is the row as it is now: an order is read with its rows, and finalize
names them in its commit; only a valid one serves another order, so that no failure ends two orders; one that is used
again must still have a tenth of its time before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import assert_never

from dayfly.core.acme.challenges import SettledBy, settle_authorization, with_settled
from dayfly.core.acme.objects import (
    Account,
    Authorization,
    AuthorizationStatus,
    Order,
    OrderStatus,
    SharedAuthorization,
)
from dayfly.core.acme.ordering import (
    ORDER_LIFE,
    ChallengeOffer,
    as_of,
    authorization_as_of,
    offer_challenges,
    replace_authorization,
    with_given_up,
)
from dayfly.core.acme.payloads import NewAuthorization
from dayfly.core.acme.states import OrderEvent, advance_order
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, parse_identifier
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.lifetimes import shrink
from dayfly.core.problems import Malformed

PRE_AUTHORIZED_FOR = timedelta(hours=1)  # where the provisioner says nothing of reuse; never above a lifetime
LEAST_SHARE = 10  # of an authorization's time that must be left when it is used again

_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.READY})


def parse_asked_identifier(payload: NewAuthorization) -> Identifier:
    """The name of a newAuthz payload; Malformed for a wildcard too, which needs an order (RFC 8555 7.4.1)."""
    identifier = parse_identifier(payload.identifier.type, payload.identifier.value)
    if identifier.is_wildcard:
        raise Malformed("a wildcard cannot be authorized beforehand (RFC 8555 7.4.1); make an order for it")
    return identifier


def plan_new_authorization(
    identifier: Identifier,
    *,
    row_id: int,
    account: Account,
    tokens: Iterable[str],
    grant: Grant,
    offers: tuple[ChallengeOffer, ...],
    now: datetime,
) -> SharedAuthorization:
    """The authorization that a client asks for before it orders (RFC 8555 7.4.1); it serves every profile.

    RejectedIdentifier where no challenge can prove the name; the caller has asked policy.
    """
    (challenges,) = offer_challenges((identifier,), tokens=tokens, grant=grant, offers=offers)
    authorization = Authorization(identifier, challenges, now.replace(microsecond=0) + ORDER_LIFE, row_id=row_id)
    return SharedAuthorization(
        id=row_id,
        account_id=account.id,
        provisioner=account.provisioner,
        authorization=authorization,
        created_at=now,
        good_for=grant.authorization_reuse or shrink(PRE_AUTHORIZED_FOR, 1, grant.lifetimes.maximum),
    )


def is_given_again(row: SharedAuthorization, grant: Grant, now: datetime) -> bool:
    """Does a client that asks for the name beforehand once more get this one? Pending or valid, with time before it."""
    if row.profile is not None:
        return False
    if row.authorization.status is AuthorizationStatus.PENDING:
        return row.provisioner == grant.provisioner and row.authorization.expires - now >= ORDER_LIFE / LEAST_SHARE
    return is_reusable(row, profile="", grant=grant, now=now)


def is_reusable(row: SharedAuthorization, *, profile: str, grant: Grant, now: datetime) -> bool:
    """May an order for this profile rely on it? Valid, proved in a way that still counts, with time before it."""
    return (
        row.authorization.status is AuthorizationStatus.VALID
        and row.authorization.expires - now >= row.good_for / LEAST_SHARE
        and row.authorization.validated_by in grant.challenges
        and row.provisioner == grant.provisioner
        and row.profile in {None, profile}
        and not _is_used_up(row.authorization, now)
    )


def _is_used_up(authorization: Authorization, now: datetime) -> bool:
    """Did the proof itself say for how long it may serve others, and is that over?"""
    evidence = authorization.evidence
    return evidence is not None and evidence.reuse_until is not None and now >= evidence.reuse_until


def use_again(order: Order, rows: Iterable[SharedAuthorization]) -> Order:
    """A new order that relies on these valid authorizations; ready where they are all that it needs."""
    known = {row.authorization.identifier: row.authorization for row in rows}
    authorizations = tuple(known.get(one.identifier, one) for one in order.authorizations)
    status = order.status
    if all(one.status is AuthorizationStatus.VALID for one in authorizations):
        status = advance_order(status, OrderEvent.AUTHORIZED)
    return replace(order, authorizations=authorizations, status=status)


def in_own_rows(
    order: Order, *, row_ids: Iterable[int], good_for: timedelta
) -> tuple[Order, tuple[SharedAuthorization, ...]]:
    """A new order whose own authorizations became rows that later orders may use, and these rows."""
    ids = iter(row_ids)
    rows, authorizations = [], []
    for one in order.authorizations:
        if one.row_id is None:
            row = _own_row(order, one, row_id=next(ids), good_for=good_for)
            rows.append(row)
            authorizations.append(row.authorization)
        else:
            authorizations.append(one)
    return replace(order, authorizations=tuple(authorizations)), tuple(rows)


def _own_row(order: Order, authorization: Authorization, *, row_id: int, good_for: timedelta) -> SharedAuthorization:
    return SharedAuthorization(
        id=row_id,
        account_id=order.account_id,
        provisioner=order.provisioner,
        authorization=replace(authorization, row_id=row_id),
        created_at=order.created_at,
        good_for=good_for,
        profile=order.profile,
    )


def row_as_of(row: SharedAuthorization, now: datetime) -> SharedAuthorization:
    """The row as it is now: what has expired is expired (RFC 8555 7.1.6)."""
    authorization = authorization_as_of(row.authorization, now)
    return row if authorization is row.authorization else replace(row, authorization=authorization)


def row_ids_of(order: Order) -> tuple[int, ...]:
    """The rows that an order relies on; none for most."""
    return tuple([one.row_id for one in order.authorizations if one.row_id is not None])


def with_rows(order: Order, rows: Mapping[int, SharedAuthorization], now: datetime) -> Order:
    """An order as of now with its rows as they are now; one that has ended keeps its copies.

    Each copy whose row stands otherwise is replaced, and the order takes the arrow that follows: ready with its last
    valid one, invalid with the first that failed, was given up or expired.
    """
    if order.status in _OPEN:
        for index, one in enumerate(order.authorizations):
            row = None if one.row_id is None else rows.get(one.row_id)
            if row is not None and row.authorization != one:
                order = _with_row(order, index, row.authorization)
    return as_of(order, now)


def _with_row(order: Order, index: int, authorization: Authorization) -> Order:
    match authorization.status:
        case AuthorizationStatus.VALID | AuthorizationStatus.INVALID:
            return with_settled(order, index, authorization)
        case AuthorizationStatus.DEACTIVATED | AuthorizationStatus.REVOKED:
            return with_given_up(order, index, authorization)
        case AuthorizationStatus.PENDING | AuthorizationStatus.EXPIRED:  # what follows of that, `as_of` says
            return replace_authorization(order, index, authorization)
        case status:
            assert_never(status)


def settle_row(row: SharedAuthorization, by: SettledBy, *, now: datetime) -> SharedAuthorization | None:
    """The row after a validation's final outcome; None where it is not pending any more. A valid one lives anew."""
    settled = settle_authorization(row_as_of(row, now).authorization, by, now=now)
    if settled is None:
        return None
    if settled.status is AuthorizationStatus.VALID:
        settled = replace(settled, expires=now.replace(microsecond=0) + row.good_for)
    return replace(row, authorization=settled)
