"""Challenges: what proves control, and what a validation's outcome makes of an order (RFC 8555 7.1.6, 8).

Rules: a key authorization is computed here and never shown; an outcome is applied to the order as it is when the
outcome comes, so a late one cannot make a dead order live; the first failure decides (8.2: no second try of a settled
challenge).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from dayfly.core.acme.objects import (
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Evidence,
    Order,
    OrderStatus,
    StoredProblem,
)
from dayfly.core.acme.ordering import as_of, replace_authorization
from dayfly.core.acme.persistent import LASTING
from dayfly.core.acme.states import (
    AuthorizationEvent,
    ChallengeEvent,
    OrderEvent,
    advance_authorization,
    advance_challenge,
    advance_order,
)
from dayfly.core.frozen import replace
from dayfly.core.problems import Malformed, Refused

# Tries within 45 s, since stock `step` polls for 46 s (acme.md part 7); seconds from one try to the next, before
# jitter.
RETRY_SPACING = (1.0, 3.0, 8.0, 20.0)
TRIES = len(RETRY_SPACING) + 1
VALIDATION_SPAN = timedelta(seconds=45)
MAX_DETAIL = 300  # characters of a stored problem's text
OF_AN_ACCOUNT = frozenset({"dns-account-01", LASTING})  # types that look for the account's URL
# Seconds, in Retry-After while a challenge is processing: 1, and 1 for what Date leaves out, since a client that counts
# from Date must not arrive in the past (acme4j 4.0.0 then fails: `timeout value is negative`).
POLL_AFTER = 2

_VALID = AuthorizationStatus.VALID
_SETTLED = frozenset({ChallengeStatus.VALID, ChallengeStatus.INVALID})


def key_authorization(token: str, thumbprint: str) -> str:
    """RFC 8555 8.1: the token and the account key's thumbprint."""
    return f"{token}.{thumbprint}"


def retry_delay(tries: int, jitter: float) -> float | None:
    """Seconds until the next try after `tries` failed ones, None where they are used up; `jitter` is in [0, 1)."""
    if tries >= TRIES:
        return None
    return RETRY_SPACING[tries - 1] * (0.75 + jitter / 2)


def find_challenge(authorization: Authorization, challenge_type: str) -> Challenge | None:
    """The authorization's challenge of this type."""
    return next((one for one in authorization.challenges if one.type == challenge_type), None)


def needs_validation(order: Order | None, authorization: Authorization, challenge: Challenge) -> bool:
    """Must an answer to this challenge start a validation? Malformed where it can never succeed (RFC 8555 7.5.1).

    `order` is the one that the authorization belongs to alone; None for one in a row of its own.

    A client that answers all challenges of an authorization hears no error once one of them has proved it.
    """
    if challenge.status in _SETTLED or authorization.status is AuthorizationStatus.VALID:
        return False
    if authorization.status is not AuthorizationStatus.PENDING:
        raise Malformed(f"the authorization is {authorization.status}; make a new order")
    if order is not None and order.status is not OrderStatus.PENDING:
        raise Malformed(f"the order is {order.status}; make a new order")
    return True


def stored_problem(failure: Refused) -> StoredProblem:
    """A failure as it is kept with its challenge; its text is cut in the middle where it is long."""
    return StoredProblem(failure.type, _shortened(failure.detail), failure.http_status)


def _shortened(detail: str) -> str:
    """The kind of failure stands at the beginning of a text and its cause at the end; long names stand between them."""
    if len(detail) <= MAX_DETAIL:
        return detail
    return f"{detail[: MAX_DETAIL // 2 - 3]} ... {detail[2 - MAX_DETAIL // 2 :]}"


class SettledBy(msgspec.Struct, frozen=True):
    """How a validation ended: the type of its challenge, why it failed if it did, the address dialled, its tries."""

    challenge_type: str
    failure: Refused | None
    address: str
    attempts: int
    evidence: Evidence | None = None


def settle(order: Order, index: int, by: SettledBy, *, now: datetime) -> Order | None:
    """The order after a validation's final outcome, None where the outcome comes too late to matter.

    1. As of now the authorization must be pending.
    2. The challenge settles, and with it the authorization.
    3. A pending order becomes ready with its last authorization, or invalid with its first failed one. An invalid one
       stays so, and hears of every failure.
    """
    current = as_of(order, now)
    settled = settle_authorization(current.authorizations[index], by, now=now)
    return None if settled is None else with_settled(current, index, settled)


def settle_authorization(authorization: Authorization, by: SettledBy, *, now: datetime) -> Authorization | None:
    """The authorization, as of now, after a validation's final outcome; None where it is not pending any more."""
    challenge = find_challenge(authorization, by.challenge_type)
    if challenge is None or authorization.status is not AuthorizationStatus.PENDING:
        return None
    if by.failure is None:
        proved = _proved(authorization, challenge, address=by.address, attempts=by.attempts, now=now)
        return proved if by.evidence is None else replace(proved, evidence=by.evidence)
    return _failed(authorization, challenge, failure=by.failure, attempts=by.attempts)


def _with_challenge(authorization: Authorization, challenge: Challenge) -> tuple[Challenge, ...]:
    return tuple(challenge if one.type == challenge.type else one for one in authorization.challenges)


def _proved(
    authorization: Authorization, challenge: Challenge, *, address: str, attempts: int, now: datetime
) -> Authorization:
    started = advance_challenge(challenge.status, ChallengeEvent.ANSWERED)
    proved = replace(
        challenge,
        status=advance_challenge(started, ChallengeEvent.PROVED),
        validated_at=now.replace(microsecond=0),
        attempts=attempts,
        error=None,
    )
    return replace(
        authorization,
        status=advance_authorization(authorization.status, AuthorizationEvent.PROVED),
        challenges=_with_challenge(authorization, proved),
        validated_by=challenge.type,
        validated_address=address,
    )


def _failed(authorization: Authorization, challenge: Challenge, *, failure: Refused, attempts: int) -> Authorization:
    started = advance_challenge(challenge.status, ChallengeEvent.ANSWERED)
    status = advance_challenge(started, ChallengeEvent.FAILED)
    failed = replace(challenge, status=status, error=stored_problem(failure), attempts=attempts)
    return replace(
        authorization,
        status=advance_authorization(authorization.status, AuthorizationEvent.FAILED),
        challenges=_with_challenge(authorization, failed),
    )


def with_settled(order: Order, index: int, settled: Authorization) -> Order:
    """The order with an authorization that has become valid or invalid."""
    result = replace_authorization(order, index, settled)
    if settled.status is AuthorizationStatus.INVALID:
        return _with_failure(result, settled)
    if order.status is not OrderStatus.PENDING or any(one.status is not _VALID for one in result.authorizations):
        return result
    return replace(result, status=advance_order(order.status, OrderEvent.AUTHORIZED))


def _with_failure(order: Order, failed: Authorization) -> Order:
    """The order with the cause that one of its authorizations has become invalid."""
    challenge, problem = next(
        (one, one.error) for one in failed.challenges if one.error and one.status is ChallengeStatus.INVALID
    )
    mine = replace(problem, identifier=failed.identifier)
    if order.status is OrderStatus.INVALID:
        return replace(order, error=_with_subproblem(order.error, mine))
    words = f"{failed.identifier.value}: {challenge.type} failed: {problem.detail}"
    cause = StoredProblem(problem.type, _shortened(words), problem.status, subproblems=(mine,))
    return replace(order, status=advance_order(order.status, OrderEvent.FAILED), error=cause)


def _with_subproblem(cause: StoredProblem | None, another: StoredProblem) -> StoredProblem | None:
    """The cause with one failed identifier more (RFC 8555 6.7.1), where failed identifiers are the cause."""
    if cause is None or not cause.subproblems:
        return cause
    return replace(cause, subproblems=(*cause.subproblems, another))
