"""A certificate for a one-time token (step-compat.md part 4).

Rules: nothing of a token is believed, stored or counted before its signature holds; the token is used up in the commit
that stores the certificate, so that of any number of uses, at once or later, exactly one gets one; the loser's
signature is dropped unseen. The token itself is never stored and never logged, only the digest that tells it apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set as AbstractSet

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
from dayfly.core.settings.documents import Settings
from dayfly.core.step.messages import SignRequest, SignResponse
from dayfly.core.step.signing import check_confirmed, parse_names, plan_sign
from dayfly.core.step.tokens import UnverifiedToken, VerifiedClaims, parse_token, verify_token
from dayfly.core.x509.csr import CSRFacts, parse_csr
from dayfly.core.x509.lint import LintRefused
from dayfly.errors import Claimed, Conflict
from dayfly.ports import Changes, Claim

TRIES = 4


async def sign(
    authority: Authority, request: SignRequest, *, audiences: AbstractSet[str], source: Source | None
) -> tuple[SignResponse, str]:
    """The certificate that the token asks for, and the name of its provisioner.

    1. The token is parsed.
    2. Its provisioner is found, enabled, and of a type that signs by token.
    3. The token is verified, bound to this request, and not used before.
    4. The CSR is read.
    5. Plan under today's settings, issue, and commit certificate, claim and log entry together.
    6. A change of the settings meanwhile starts over at 2.
    """
    token = parse_token(request.ott)
    csr: CSRFacts | None = None
    for _ in range(TRIES):
        settings, grant, claims = await authenticate(authority, token, audiences)
        check_confirmed(claims, hashlib.sha256(request.csr).hexdigest())
        parse_names(claims)  # before the CSR, which mostly has them too, so that the refusal speaks of names
        csr = csr or parse_csr(request.csr, nameless=True)
        try:
            async with noting_denials(authority, Asker(grant.provisioner, "one-time token", source)):
                plan = plan_sign(
                    claims,
                    csr,
                    asked=(request.not_before, request.not_after),
                    grant=grant,
                    situation=Situation(authority.clock.now(), source, authority.signer.issuer.not_after),
                )
                made = await _issue_once(authority, settings, plan, claims)
        except Claimed:
            raise already_used() from None
        except Conflict:
            continue
        return SignResponse(made.certificate.der, authority.signer.chain), grant.provisioner
    raise ServiceUnavailable("the settings are being changed by others; try again", retry_after=1)


async def authenticate(
    authority: Authority, token: UnverifiedToken, audiences: AbstractSet[str]
) -> tuple[Settings, Grant, VerifiedClaims]:
    """What a one-time token's provisioner grants, and what the token says; Unauthorized (401).

    A token that was used is refused here already; the commit asks again.
    """
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
    return settings, found.grant, claims


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


async def _issue_once(authority: Authority, settings: Settings, plan: IssuePlan, claims: VerifiedClaims) -> Issued:
    made = await issue_step(authority, settings, plan, kind=IssueKind.NEW)
    await authority.store.commit(
        Changes(
            insert=(made.certificate,),
            claims=(claim_of(claims),),
            events=(made.event,),
            settings_revision=settings.revision,
        )
    )
    return made
