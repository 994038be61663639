"""Renewal: the old certificate is a request for the same names, key and lifetime; today's rules answer it.

Rules: what was issued once gives no right to be issued again: names, key and lifetime are judged as of now; after its
end a certificate renews by a signed token only, where its provisioner allows it, and within a bound; rekeying takes the
key from a request and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.policy.step import Situation, check_step_key, check_step_names, plan_step_validity
from dayfly.core.problems import Unauthorized

UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True)
class Renewable:
    """An old certificate as a request.

    `subject` is its CN where that is none of the names; `spki` the key to certify, its own or the new one, which has a
    `thumbprint`.
    """

    names: tuple[Identifier, ...]
    common_name: str | None
    subject: Identifier | None
    spki: bytes
    key_type: KeyType
    not_before: datetime
    not_after: datetime
    lifetime: timedelta
    thumbprint: str = ""


def plan_renewal(old: Renewable, *, grant: Grant, situation: Situation, by_token: bool) -> IssuePlan:
    """What to issue in place of `old`.

    1. Its provisioner renews at all (Unauthorized, 401).
    2. It is valid now; or it came with a token, its end is not too long ago, and its provisioner allows that (401).
    3. Today's rules give every name, and the subject (RejectedIdentifier, 403), and keys of this kind (BadCSR, 403).
    4. The same lifetime, within today's bounds and the issuer's.
    """
    if not grant.may_renew:
        raise _unauthorized(f"provisioner {grant.provisioner} does not renew certificates", Reason.RENEW_DISABLED)
    _check_time(old, grant, situation.now, by_token=by_token)
    check_step_key(old.key_type, grant)
    asked_for = old.names if old.subject is None else (*old.names, old.subject)
    allowed = check_step_names(asked_for, grant, situation)
    return IssuePlan(
        names=old.names,
        spki=old.spki,
        validity=plan_step_validity(_same_lifetime(old.lifetime, grant.lifetimes), situation),
        common_name=old.common_name,
        profile=grant.profile,
        provisioner=grant.provisioner,
        allowed=allowed[0],
        subject=old.subject,
        thumbprint=old.thumbprint,
    )


def _check_time(old: Renewable, grant: Grant, now: datetime, *, by_token: bool) -> None:
    if now < old.not_before:
        raise _unauthorized(f"the certificate is valid from {_text(old.not_before)} on", Reason.UNAUTHORIZED)
    if now <= old.not_after:
        return
    ended = f"the certificate expired at {_text(old.not_after)}"
    if not by_token:
        raise _unauthorized(f"{ended}; after its end it can only renew with a signed token", Reason.EXPIRED_TOO_LONG)
    if not grant.may_renew_expired:
        raise _unauthorized(
            f"{ended}, and provisioner {grant.provisioner} renews none after its end; ask for a new one",
            Reason.EXPIRED_TOO_LONG,
        )
    bound = old.not_after + (old.lifetime if grant.renewal_grace is None else grant.renewal_grace)
    if now > bound:
        raise _unauthorized(f"{ended} and could renew until {_text(bound)}; ask for a new one", Reason.EXPIRED_TOO_LONG)


def _same_lifetime(lifetime: timedelta, bounds: Lifetimes) -> Lifetimes:
    """Bounds whose usual lifetime is the old one, as far as today's bounds go."""
    return Lifetimes(bounds.minimum, min(max(lifetime, bounds.minimum), bounds.maximum), bounds.maximum)


def _unauthorized(detail: str, reason: Reason) -> Unauthorized:
    return Unauthorized(detail, status=UNAUTHENTICATED, reason=reason)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
