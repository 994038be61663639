"""From a good token and a CSR to what shall be issued (step-compat.md part 4).

Rules: names come from the token, the CSR carries a key and may only agree; what asks for too much is refused with 403,
what cannot be read with 400; the subject becomes the CN and meets the rules of a name, also where it is none of them.
"""

from __future__ import annotations

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier, IdentifierType, parse_common_name, parse_name
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.policy.step import FORBIDDEN, Situation, check_step_key, check_step_names, plan_step_validity
from dayfly.core.problems import BadCSR, Refused, RejectedIdentifier, Subproblem, Unauthorized
from dayfly.core.step.asked import Asked, resolve_asked
from dayfly.core.step.tokens import VerifiedClaims
from dayfly.core.x509.csr import MAX_CN, CSRFacts


def check_confirmed(claims: VerifiedClaims, csr_digest: str) -> None:
    """Raise Unauthorized (403) where the token is bound to another request than this one (RFC 7800)."""
    if claims.confirmed is not None and claims.confirmed.hex() != csr_digest:
        raise Unauthorized("the token is bound to another certificate request (cnf)", reason=Reason.UNAUTHORIZED)


def plan_sign(
    claims: VerifiedClaims, csr: CSRFacts, *, asked: tuple[Asked, Asked], grant: Grant, situation: Situation
) -> IssuePlan:
    """What to issue for a token; `asked` are notBefore and notAfter. Every refusal here has status 403.

    1. The token's names are names (RejectedIdentifier).
    2. The CSR agrees: its CN is the subject or one of the names, each type that it has is the token's set (BadCSR).
    3. Today's rules allow every name, and the subject (RejectedIdentifier), and the kind of key (BadCSR).
    4. The validity is within the grant and the issuer's (Malformed).
    """
    subject, names = parse_names(claims)
    _check_csr(csr, subject, names)
    check_step_key(csr.key.type, grant)
    asked_for = names if subject in names else (*names, subject)
    allowed = check_step_names(asked_for, grant, situation)
    return IssuePlan(
        names=names,
        spki=csr.spki,
        validity=_validity(asked, grant, situation),
        common_name=subject.value if len(subject.value) <= MAX_CN else None,
        profile=grant.profile,
        provisioner=grant.provisioner,
        allowed=allowed[0],
        subject=None if subject in names else subject,
        thumbprint=csr.thumbprint,
    )


def parse_names(claims: VerifiedClaims) -> tuple[Identifier, tuple[Identifier, ...]]:
    """The subject, and the names in their order, each once; RejectedIdentifier (403) tells all that are no names."""
    names: list[Identifier] = []
    bad: list[Subproblem] = []
    for parse, text in ((parse_common_name, claims.subject), *((parse_name, one) for one in claims.sans)):
        try:
            names.append(parse(text))
        except Refused as error:
            bad.append(Subproblem(RejectedIdentifier.type, error.detail))
    if bad:
        reason = Reason.NAME_NOT_ALLOWED
        raise RejectedIdentifier(
            "the token asks for names that cannot be given", subproblems=bad, status=FORBIDDEN, reason=reason
        )
    subject, sans = names[0], tuple(dict.fromkeys(names[1:]))
    if len(subject.value) > MAX_CN and subject not in sans:
        raise RejectedIdentifier(
            f"the subject is none of the names and has more than {MAX_CN} characters, so no CN can hold it",
            status=FORBIDDEN,
            reason=Reason.NAME_NOT_ALLOWED,
        )
    return subject, sans


def _check_csr(csr: CSRFacts, subject: Identifier, names: tuple[Identifier, ...]) -> None:
    """Raise BadCSR (403) where the request and the token do not agree."""
    if csr.common_name is not None and csr.common_name not in {one.value for one in (subject, *names)}:
        raise _too_much("its CN is neither the token's subject nor one of its names")
    for kind in IdentifierType:
        found = {one for one in csr.alternative_names if one.type is kind}
        wanted = {one for one in names if one.type is kind}
        if found and found != wanted:
            extra = ", ".join(sorted(one.value for one in found - wanted))
            lacking = ", ".join(sorted(one.value for one in wanted - found))
            raise _too_much(
                f"its {kind} names are not the token's: {extra or 'none'} too many, {lacking or 'none'} missing"
            )


def _too_much(what: str) -> BadCSR:
    return BadCSR(f"the CSR does not agree with the token: {what}"[:500], status=FORBIDDEN)


def _validity(asked: tuple[Asked, Asked], grant: Grant, situation: Situation) -> Validity:
    """As everywhere, with what was asked for counted from now."""
    start, end = (
        resolve_asked(one, situation.now, member) for one, member in zip(asked, ("notBefore", "notAfter"), strict=True)
    )
    return plan_step_validity(grant.lifetimes, situation, start=start, end=end)
