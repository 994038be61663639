"""Renewing and rekeying by whoever holds a certificate of ours (step-compat.md part 5).

Rules: the holder is known before anything is decided; today's provisioner, rules, key rules and lifetimes answer; the
commit holds on the old row as it was read, and on its line, so that a revocation that comes in between wins; a token is
used up in that commit. Who stole a key may have renewed with it before that was known, so a certificate renews no more
once one that it was renewed from is revoked, or one with its key for keyCompromise. How often one certificate and its
successors may renew is limited, by each worker and with one count for the whole line, whichever worker made its parts;
what comes to nothing is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.authority.context import Authority, Source
from dayfly.authority.denials import noting_denials
from dayfly.authority.external_accounts import grant_of_certificate
from dayfly.authority.holders import Holder, find_certificate
from dayfly.authority.issuing import Issued
from dayfly.authority.signing import already_used, claim_of, issue_step
from dayfly.core.acme.objects import Account, Certificate
from dayfly.core.events import IssueKind, Reason
from dayfly.core.identifiers import Identifier, parse_common_name
from dayfly.core.ids import render_id
from dayfly.core.policy.denials import Asker
from dayfly.core.policy.grant import Grant, under_profile
from dayfly.core.policy.keys import check_key, spki_hash
from dayfly.core.policy.renewal import Renewable, plan_renewal
from dayfly.core.policy.step import Situation, forbidden
from dayfly.core.problems import BadPublicKey, ServiceUnavailable, Unauthorized
from dayfly.core.provisioners import renewal_grant_for
from dayfly.core.settings.revisions import Settings
from dayfly.core.step.answers import SignResponse
from dayfly.core.x509.csr import CSRFacts, parse_csr
from dayfly.errors import Claimed, Conflict, NotFound
from dayfly.ports.changes import Changes

TRIES = 4
MOST_STEPS = 64  # back along a line: more renewals than that between two at one worker begin a new count there


@dataclass(frozen=True, slots=True)
class _Request:
    """Who asks, from where, and for a rekeying the request with the new key."""

    holder: Holder
    source: Source | None
    csr: CSRFacts | None = None

    @property
    def kind(self) -> IssueKind:
        """A renewal keeps the key."""
        return IssueKind.RENEW if self.csr is None else IssueKind.REKEY


async def renew(authority: Authority, holder: Holder, *, source: Source | None) -> SignResponse:
    """A certificate with the same subject, names and key, and another serial."""
    try:
        check_key(holder.leaf.key.key)
    except BadPublicKey as error:
        raise forbidden(error, reason=Reason.KEY_NOT_ALLOWED) from None
    return await _succeed(authority, _Request(holder, source))


async def rekey(authority: Authority, holder: Holder, csr_der: bytes, *, source: Source | None) -> SignResponse:
    """A certificate with the same subject and names for the key of a request; its names are not looked at."""
    return await _succeed(authority, _Request(holder, source, parse_csr(csr_der, nameless=True)))


async def _succeed(authority: Authority, request: _Request) -> SignResponse:
    """The successor.

    1. Nothing that it comes from is revoked, and its key is not compromised.
    2. The provisioner is there and renews.
    3. Plan under today's settings.
    4. The limit of this certificate and its line.
    5. Issue, and commit with the log entry, the token used up, the old row and its line as they were.
    6. What changed meanwhile starts over, from the row as it is then.
    """
    holder = request.holder
    for _ in range(TRIES):
        try:
            made = await _try(authority, request)
        except Claimed:
            raise already_used() from None
        except Conflict:
            certificate, leaf = await find_certificate(authority, holder.certificate.der)
            request = _Request(Holder(certificate, leaf, holder.claims), request.source, request.csr)
            continue
        return SignResponse(made.certificate.der, authority.signer.chain)
    raise ServiceUnavailable("the settings are being changed by others; try again", retry_after=1)


async def _try(authority: Authority, request: _Request) -> Issued:
    certificate = request.holder.certificate
    await _check_unrevoked(authority, request.holder)
    settings = await authority.store.settings.settings()
    granted = _grant(settings, certificate.provisioner)
    grant, accounts = await grant_of_certificate(authority, certificate, granted)
    situation = Situation(authority.clock.now(), request.source, authority.signer.issuer.not_after)
    asker = Asker(grant.provisioner, f"certificate {render_id(certificate.id)}", request.source)
    async with noting_denials(authority, asker):
        plan = plan_renewal(
            _renewable(request),
            grant=_as_before(grant, certificate.profile),
            situation=situation,
            by_token=request.holder.claims is not None,
        )
        first = await _first_of_line(authority, certificate)
        rate = authority.limits.figures.renewals.within(request.holder.leaf.lifetime)
        limiter = authority.limits.renewals
        limiter.take(first, rate, situation.now, what="this certificate was renewed too often")
        try:
            made = await issue_step(authority, settings, plan, kind=request.kind, parent=certificate)
            await authority.store.commit(_changes(request, settings, made, accounts))
        except BaseException:
            limiter.give_back(first, rate)
            raise
    authority.limits.lineages.add(made.certificate.id, first)
    return made


async def _check_unrevoked(authority: Authority, holder: Holder) -> None:
    """Unauthorized (401) where the certificate itself is good, but not what it comes from, or not its key."""
    revoked_at = await authority.store.certificates.line_revoked_at(holder.certificate.id)
    if revoked_at is not None:
        raise _revoked(
            f"a certificate that this one was renewed from was revoked at {revoked_at:%Y-%m-%dT%H:%M:%SZ}, and with it "
            "all that came of it; make a new key and ask for a new certificate"
        )
    if await authority.store.certificates.is_compromised(spki_hash(holder.leaf.spki)):
        raise _revoked(
            "another certificate with this key was revoked because the key is compromised; make a new key and ask for "
            "a new certificate"
        )


def _revoked(detail: str) -> Unauthorized:
    return Unauthorized(detail, status=401, reason=Reason.REVOKED)


async def _first_of_line(authority: Authority, certificate: Certificate) -> int:
    """The id of the certificate that began this one's line, back to what this worker remembers or the store holds."""
    lineages, oldest = authority.limits.lineages, certificate
    for _ in range(MOST_STEPS):
        first = lineages.first(oldest.id)
        if first is not None or oldest.parent_id is None:
            break
        try:
            oldest = await authority.store.certificates.certificate(oldest.parent_id)
        except NotFound:
            first = oldest.parent_id
            break
    found = oldest.id if first is None else first
    lineages.add(certificate.id, found)
    return found


def _changes(request: _Request, settings: Settings, made: Issued, accounts: tuple[Account, ...]) -> Changes:
    claims = request.holder.claims
    return Changes(
        insert=(made.certificate,),
        unchanged=(request.holder.certificate, *accounts),
        claims=() if claims is None else (claim_of(claims),),
        unrevoked=(request.holder.certificate.id,),
        events=(made.event,),
        settings_revision=settings.revision,
    )


def _grant(settings: Settings, provisioner: str) -> Grant:
    grant = renewal_grant_for(settings, provisioner)
    if grant is None:
        raise Unauthorized(
            "the certificate's provisioner is gone or disabled; ask for a new certificate",
            status=401,
            reason=Reason.RENEW_DISABLED,
        )
    return grant


def _as_before(grant: Grant, profile: str) -> Grant:
    """The grant for the certificate's profile, where it is offered still; else for today's."""
    return under_profile(grant, profile) if profile in grant.profiles else grant


def _renewable(request: _Request) -> Renewable:
    certificate, leaf = request.holder.certificate, request.holder.leaf
    return Renewable(
        names=certificate.names,
        common_name=leaf.common_name or None,
        subject=_subject(leaf.common_name, certificate.names),
        spki=leaf.spki if request.csr is None else request.csr.spki,
        key_type=check_key(leaf.key.key).type if request.csr is None else request.csr.key.type,
        not_before=leaf.not_before,
        not_after=leaf.not_after,
        lifetime=leaf.lifetime,
        thumbprint="" if request.csr is None else request.csr.thumbprint,
    )


def _subject(common_name: str, names: tuple[Identifier, ...]) -> Identifier | None:
    """The CN as a name, where it is none of the names; ours are canonical."""
    if not common_name or common_name in {one.value for one in names}:
        return None
    return parse_common_name(common_name)
