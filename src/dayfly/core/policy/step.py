"""Policy as the step API tells it: the same decisions, and what asks for too much is forbidden (403), not malformed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.grant import Grant, check_asked, check_granted, check_key_granted
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.lifetimes import Lifetimes, Validity, plan_validity
from dayfly.core.problems import BadCSR, Malformed, Refused, RejectedIdentifier

FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision is made under: when, from where, and until when the issuer can vouch for anything."""

    now: datetime
    source: IPv4Address | IPv6Address | None
    issuer_not_after: datetime


def check_step_names(names: Sequence[Identifier], grant: Grant, situation: Situation) -> tuple[Allowed, ...]:
    """The decision for every name, in order; RejectedIdentifier (403) names all that are denied."""
    try:
        check_asked(grant, names)
        return check_granted(grant, names, source=situation.source)
    except RejectedIdentifier as error:
        raise forbidden(error) from None


def check_step_key(kind: KeyType, grant: Grant) -> None:
    """Raise BadCSR (403) for a key of a kind that is not given here."""
    try:
        check_key_granted(grant, kind)
    except BadCSR as error:
        raise forbidden(error) from None


def plan_step_validity(
    lifetimes: Lifetimes, situation: Situation, *, start: datetime | None = None, end: datetime | None = None
) -> Validity:
    """The validity, as everywhere; Malformed (403) for what was asked and cannot be."""
    try:
        return plan_validity(
            situation.now,
            lifetimes=lifetimes,
            requested_not_before=start,
            requested_not_after=end,
            issuer_not_after=situation.issuer_not_after,
        )
    except Malformed as error:
        raise forbidden(error, reason=Reason.LIFETIME_NOT_ALLOWED) from None


def forbidden(error: Refused, *, reason: str = "") -> Refused:
    """The same refusal with status 403, and with a reason where it had none."""
    return type(error)(
        error.detail,
        subproblems=error.subproblems,
        denial=error.denial,
        retry_after=error.retry_after,
        status=FORBIDDEN,
        hint=error.hint,
        reason=error.reason or reason,
    )
