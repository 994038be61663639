"""The state machines of RFC 8555 7.1.6 as tables; the one place that knows which arrows there are.

Rules: a status changes only through `advance_*`; a pair that is not in a table is IllegalTransition, always a bug;
expiry is an event like any other, so objects are read "as of now" by pure functions (core/acme/ordering).

`READY -> VALID` is the RFC's two arrows (ready, processing, valid) in one commit; PROCESSING is used by slow signers
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import TypeVar

from dayfly.core.acme.objects import AuthorizationStatus, ChallengeStatus, OrderStatus
from dayfly.errors import IllegalTransition


class ChallengeEvent(StrEnum):
    """What happens to a challenge."""

    ANSWERED = "answered"
    PROVED = "proved"
    FAILED = "failed"


class AuthorizationEvent(StrEnum):
    """What happens to an authorization."""

    PROVED = "proved"
    FAILED = "failed"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"


class OrderEvent(StrEnum):
    """What happens to an order."""

    AUTHORIZED = "authorized"
    FAILED = "failed"
    EXPIRED = "expired"
    STARTED = "started"
    ISSUED = "issued"
    ABANDONED = "abandoned"


CHALLENGE: Mapping[tuple[ChallengeStatus, ChallengeEvent], ChallengeStatus] = {
    (ChallengeStatus.PENDING, ChallengeEvent.ANSWERED): ChallengeStatus.PROCESSING,
    (ChallengeStatus.PROCESSING, ChallengeEvent.PROVED): ChallengeStatus.VALID,
    (ChallengeStatus.PROCESSING, ChallengeEvent.FAILED): ChallengeStatus.INVALID,
}

AUTHORIZATION: Mapping[tuple[AuthorizationStatus, AuthorizationEvent], AuthorizationStatus] = {
    (AuthorizationStatus.PENDING, AuthorizationEvent.PROVED): AuthorizationStatus.VALID,
    (AuthorizationStatus.PENDING, AuthorizationEvent.FAILED): AuthorizationStatus.INVALID,
    (AuthorizationStatus.PENDING, AuthorizationEvent.DEACTIVATED): AuthorizationStatus.DEACTIVATED,
    (AuthorizationStatus.PENDING, AuthorizationEvent.EXPIRED): AuthorizationStatus.EXPIRED,
    (AuthorizationStatus.VALID, AuthorizationEvent.DEACTIVATED): AuthorizationStatus.DEACTIVATED,
    (AuthorizationStatus.VALID, AuthorizationEvent.EXPIRED): AuthorizationStatus.EXPIRED,
}

ORDER: Mapping[tuple[OrderStatus, OrderEvent], OrderStatus] = {
    (OrderStatus.PENDING, OrderEvent.AUTHORIZED): OrderStatus.READY,
    (OrderStatus.PENDING, OrderEvent.FAILED): OrderStatus.INVALID,
    (OrderStatus.PENDING, OrderEvent.EXPIRED): OrderStatus.INVALID,
    (OrderStatus.READY, OrderEvent.FAILED): OrderStatus.INVALID,
    (OrderStatus.READY, OrderEvent.EXPIRED): OrderStatus.INVALID,
    (OrderStatus.READY, OrderEvent.ISSUED): OrderStatus.VALID,
    (OrderStatus.READY, OrderEvent.STARTED): OrderStatus.PROCESSING,
    (OrderStatus.PROCESSING, OrderEvent.ISSUED): OrderStatus.VALID,
    (OrderStatus.PROCESSING, OrderEvent.FAILED): OrderStatus.INVALID,
    (OrderStatus.PROCESSING, OrderEvent.EXPIRED): OrderStatus.INVALID,
    (OrderStatus.PROCESSING, OrderEvent.ABANDONED): OrderStatus.READY,
}

Status = TypeVar("Status", bound=Enum)
What = TypeVar("What", bound=Enum)


def _look_up(table: Mapping[tuple[Status, What], Status], status: Status, event: What) -> Status:
    try:
        return table[(status, event)]
    except KeyError:
        raise IllegalTransition(f"{type(status).__name__} {status.value} has no arrow for {event.value}") from None


def advance_challenge(status: ChallengeStatus, event: ChallengeEvent) -> ChallengeStatus:
    """The challenge's next status; IllegalTransition."""
    return _look_up(CHALLENGE, status, event)


def advance_authorization(status: AuthorizationStatus, event: AuthorizationEvent) -> AuthorizationStatus:
    """The authorization's next status; IllegalTransition."""
    return _look_up(AUTHORIZATION, status, event)


def advance_order(status: OrderStatus, event: OrderEvent) -> OrderStatus:
    """The order's next status; IllegalTransition."""
    return _look_up(ORDER, status, event)
