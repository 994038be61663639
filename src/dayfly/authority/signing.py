"""A certificate for a one-time token (step-compat.md part 4).

Rules: nothing of a token is believed, stored or counted before its signature holds; the token is used up in the commit
that stores the certificate, so that of any number of uses, at once or later, exactly one gets one; the loser's
signature is dropped unseen. The token itself is never stored and never logged, only the digest that tells it apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dayfly.authority.context import Authority, Source
from dayfly.authority.denials import noting_denials
from dayfly.authority.issuing import Issued, issue
from dayfly.core.acme.objects import Certificate
from dayfly.core.events import IssueKind, Reason
from dayfly.core.policy.denials import Asker
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.policy.step import Situation, forbidden
from dayfly.core.problems import RejectedIdentifier, ServerInternal, ServiceUnavailable, Unauthorized
from dayfly.core.provisioners import mark_for, token_grant_for
from dayfly.core.settings.revisions import Settings
from dayfly.core.step.answers import SignResponse
from dayfly.core.step.requests import SignRequest
from dayfly.core.step.signing import check_confirmed, parse_names, plan_sign
from dayfly.core.step.tokens import UnverifiedToken, VerifiedClaims, parse_token, verify_token
from dayfly.core.x509.csr import CSRFacts, parse_csr
from dayfly.core.x509.lint import LintRefused
from dayfly.errors import Claimed, Conflict
from dayfly.ports.changes import Changes, Claim

TRIES = 4


@dataclass(frozen=True, slots=True)
class Bearer:
    """Somebody who has brought a good one-time token: what it says, and what its provisioner grants by `settings`."""

    settings: Settings
    grant: Grant
    claims: VerifiedClaims
    token: UnverifiedToken
    audiences: AbstractSet[str]


async def bearer_of(authority: Authority, text: str, audiences: AbstractSet[str]) -> Bearer:
    """Who brings this token; Unauthorized (401).

    1. The token is parsed.
    2. Its provisioner is found, enabled, and of a type that signs by token.
    3. The token is verified, and not used before; the commit asks again.
    """
    return await _authenticate(authority, parse_token(text), audiences)


async def sign(authority: Authority, bearer: Bearer, request: SignRequest, *, source: Source | None) -> SignResponse:
    """The certificate that the token asks for.

    1. The token is good for this request, and its names are names.
    2. The CSR is read.
    3. Plan under today's settings, issue, and commit certificate, claim and log entry together.
    4. A change of the settings meanwhile starts over, with the token judged anew.
    """
    check_confirmed(bearer.claims, hashlib.sha256(request.csr).hexdigest())
    parse_names(bearer.claims)  # before the CSR, which mostly has them too, so that the refusal speaks of names
    csr = parse_csr(request.csr, nameless=True)
    for _ in range(TRIES):
        try:
            made = await _sign_once(authority, bearer, request, csr, source=source)
        except Claimed:
            raise already_used() from None
        except Conflict:
            bearer = await bearer_anew(authority, bearer)
            continue
        return SignResponse(made.certificate.der, authority.signer.chain)
    raise ServiceUnavailable("the settings are being changed by others; try again", retry_after=1)


async def bearer_anew(authority: Authority, bearer: Bearer) -> Bearer:
    """The same token judged by today's settings; Unauthorized (401)."""
    return await _authenticate(authority, bearer.token, bearer.audiences)


async def _authenticate(authority: Authority, token: UnverifiedToken, audiences: AbstractSet[str]) -> Bearer:
    settings = await authority.store.settings.settings()
    found = token_grant_for(settings, token.unverified_issuer, token.unverified_kid)
    if found is None:
        raise Unauthorized(
            "the token is not good: no provisioner of this name and key signs by token",
            status=401,
            reason=Reason.UNAUTHORIZED,
        )
    claims = verify_token(
        token, key=found.key, issuer=found.grant.provisioner, audiences=audiences, now=authority.clock.now()
    )
    if await authority.store.claims.is_claimed(claims.reuse_key):
        raise already_used()
    return Bearer(settings, found.grant, claims, token, audiences)


def claim_of(claims: VerifiedClaims) -> Claim:
    """What uses a token up."""
    return Claim(claims.reuse_key, claims.expires)


def already_used() -> Unauthorized:
    """The refusal of a second use."""
    return Unauthorized("token already used; ask for another one", status=401, reason=Reason.TOKEN_REUSED)


async def issue_step(
    authority: Authority, settings: Settings, plan: IssuePlan, *, kind: IssueKind, parent: Certificate | None = None
) -> Issued:
    """Issue for the step API: what the issuer cannot vouch for is a 403, what the lint refuses a 500.

    A renewed certificate belongs to the account that its `parent` belongs to, if any.
    """
    try:
        return await issue(
            authority,
            plan,
            mark=mark_for(settings, plan.provisioner),
            kind=kind,
            account_id=None if parent is None else parent.account_id,
            parent_id=None if parent is None else parent.id,
        )
    except RejectedIdentifier as error:
        raise forbidden(error) from None
    except LintRefused as error:
        raise ServerInternal(
            "the certificate did not pass the CA's own checks; nothing was issued", retry_after=60
        ) from error


async def _sign_once(
    authority: Authority, bearer: Bearer, request: SignRequest, csr: CSRFacts, *, source: Source | None
) -> Issued:
    async with noting_denials(authority, Asker(bearer.grant.provisioner, "one-time token", source)):
        plan = plan_sign(
            bearer.claims,
            csr,
            asked=(request.not_before, request.not_after),
            grant=bearer.grant,
            situation=Situation(authority.clock.now(), source, authority.signer.issuer.not_after),
        )
        made = await issue_step(authority, bearer.settings, plan, kind=IssueKind.NEW)
        await authority.store.commit(
            Changes(
                insert=(made.certificate,),
                claims=(claim_of(bearer.claims),),
                events=(made.event,),
                settings_revision=bearer.settings.revision,
            )
        )
    return made
