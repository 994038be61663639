"""The one way to a signature: draw a serial, build, lint, sign; the same for a CRL. Nothing else calls a Signer.

Rules: what is signed is byte for byte what was linted; what was signed is returned to the use case, which commits it
with the state change and the log entry before anything leaves the process; a signature that lost its race is dropped
unseen. A key that was reported as compromised gets nothing, on whichever way: it is asked here, and by the commit. Nor
does one that is an account's, where it comes in a request: that is asked in the same breath, and here alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

import msgspec

from dayfly.authority.context import Authority
from dayfly.core.acme.objects import Certificate
from dayfly.core.events import CertificateIssued, IssueKind, Reason
from dayfly.core.ids import SERIAL_RANDOM_OCTETS, make_serial
from dayfly.core.policy.keys import spki_hash
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.problems import BadCSR, ServiceUnavailable
from dayfly.core.x509 import lint
from dayfly.core.x509.constraints import check_constraints
from dayfly.core.x509.crl import CRLPlan, build_crl
from dayfly.core.x509.crl_lint import check_crl
from dayfly.core.x509.partitions import crl_url
from dayfly.core.x509.profile import (
    DEVICE,
    EPHEMERAL,
    SERVER_TLS,
    SERVICE,
    LeafPlan,
    Profile,
    ProvisionerMark,
    build,
    profile_hash,
)
from dayfly.ports.reads import KeyBar

PROFILES: Mapping[str, Profile] = {one.name: one for one in (SERVICE, DEVICE, EPHEMERAL, SERVER_TLS)}
_HASHES = {name: profile_hash(profile) for name, profile in PROFILES.items()}
_BARS: Mapping[KeyBar, str] = {
    KeyBar.COMPROMISED: "the key was reported as compromised and gets no certificate any more; make a new key",
    KeyBar.ACCOUNT: "the certificate's key is the key of an account; make another one (RFC 8555 11.1)",
}


class Issued(msgspec.Struct, frozen=True):
    """A signed certificate that nobody has seen yet, and the event that will log it."""

    certificate: Certificate
    event: CertificateIssued


async def issue(
    authority: Authority,
    plan: IssuePlan,
    *,
    mark: ProvisionerMark | None,
    kind: IssueKind,
    account_id: int | None = None,
    order_id: int | None = None,
    parent_id: int | None = None,
) -> Issued:
    """Sign what the plan says. RejectedIdentifier, BadCSR, LintRefused, SignerError.

    1. The issuer can vouch for the names at all; the key is not its own, no compromised one, and no account's.
    2. Id and serial are drawn; the row id is the serial's upper part.
    3. The profile's template is filled.
    4. The lint reads the bytes back and holds them against the plan.
    5. Those bytes are signed.
    """
    issuer = authority.signer.issuer
    check_constraints(issuer.constraints, plan.names if plan.subject is None else (*plan.names, plan.subject))
    if plan.spki == issuer.spki:
        raise BadCSR("the certificate's key is the CA's own key")
    key_hash = spki_hash(plan.spki)
    bar = await authority.store.certificates.key_bar(key_hash, plan.thumbprint)
    if bar is not None:
        raise BadCSR(_BARS[bar], reason=Reason.KEY_NOT_ALLOWED)
    crl = _crl_url(authority, plan)
    row_id = authority.ids.new()
    leaf = LeafPlan(
        profile=PROFILES[plan.profile],
        issuer=issuer,
        serial=make_serial(row_id, authority.entropy.octets(SERIAL_RANDOM_OCTETS)),
        names=plan.names,
        spki=plan.spki,
        validity=plan.validity,
        common_name=plan.common_name,
        provisioner=mark,
        subject=plan.subject,
        crl_url=crl,
    )
    linted = lint.check(build(leaf), leaf)
    der = await authority.signer.sign_certificate(linted)
    certificate = Certificate(
        id=row_id,
        serial=leaf.serial,
        der=der,
        issuer=issuer.fingerprint,
        names=plan.names,
        not_before=plan.validity.not_before,
        not_after=plan.validity.not_after,
        provisioner=plan.provisioner,
        owner=plan.allowed.owner,
        rule=plan.allowed.rule,
        profile=plan.profile,
        profile_hash=_HASHES[plan.profile],
        account_id=account_id,
        order_id=order_id,
        parent_id=parent_id,
    )
    return Issued(certificate, _event(authority, certificate, key_hash=key_hash, kind=kind))


async def sign_list(authority: Authority, plan: CRLPlan) -> bytes:
    """The CRL (DER) that says what the plan says; LintRefused, SignerError."""
    issuer = authority.signer.issuer
    if plan.is_long:  # others have their turn meanwhile
        return await authority.signer.sign_crl(
            await asyncio.to_thread(lambda: check_crl(build_crl(plan, issuer), plan, issuer))
        )
    return await authority.signer.sign_crl(check_crl(build_crl(plan, issuer), plan, issuer))


def _crl_url(authority: Authority, plan: IssuePlan) -> str | None:
    """The CRL that the leaf has to name; ServiceUnavailable where it needs one and there are none."""
    url = crl_url(authority.crl.base, plan.validity)
    if url is not None and not authority.crl.base:
        raise ServiceUnavailable(
            "a certificate that lives longer than 7 days needs a CRL, and this CA has none", retry_after=3600
        )
    return url


def _event(authority: Authority, certificate: Certificate, *, key_hash: str, kind: IssueKind) -> CertificateIssued:
    return CertificateIssued(
        at=authority.clock.now(),
        certificate_id=certificate.id,
        serial=certificate.serial,
        fingerprint=hashlib.sha256(certificate.der).hexdigest(),
        names=certificate.names,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        provisioner=certificate.provisioner,
        owner=certificate.owner,
        rule=certificate.rule,
        profile=certificate.profile,
        profile_hash=certificate.profile_hash,
        account_id=certificate.account_id,
        order_id=certificate.order_id,
        kind=kind,
        spki_hash=key_hash,
    )
