"""One exchange with the CA: the same certificate again, or the same for a new key (step-compat.md part 5).

Rules: the certificate shows itself on the connection; where it has expired, or must not be shown, its key signs a token
instead; the answer has our key, the very names that the certificate has, and chains to the pinned root, or nothing is
written.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from dayfly.cli.answers import Issued, Wanted, check_issued
from dayfly.cli.ca_target import Target
from dayfly.cli.renewing.pair import Pair
from dayfly.cli.requesting import CertificateKey, common_name_of, make_csr, names_of
from dayfly.client.step import StepRefused, request_rekey, request_renewal
from dayfly.core.step.answers import SignResponse
from dayfly.core.step.token_making import JTI_OCTETS, make_jti, sign_renewal_token
from dayfly.errors import ClientError, UsageError


def renew(pair: Pair, target: Target, *, by_token: bool, now: datetime) -> Issued:
    """The pair's certificate again, verified, for the same key; ClientError, UsageError."""
    has_expired = now > pair.life.end
    try:
        answer = _by_token(pair, target, now) if by_token or has_expired else _shown(pair, target)
    except StepRefused as error:
        if has_expired and error.status in {401, 403}:
            error.hint = "an expired certificate may not be renewed here: get a new one with dayfly ca certificate"
        raise
    return _check(pair, target, answer, pair.key, now)


def rekey(pair: Pair, target: Target, key: CertificateKey, *, now: datetime) -> Issued:
    """The pair's certificate for another key, verified; ClientError, UsageError where it has expired."""
    if now > pair.life.end:
        raise UsageError(
            "cannot rekey an expired certificate",
            hint="renew it, where the CA allows that: dayfly ca renew CRT KEY; or get a new one",
        )
    csr = make_csr((), key, common_name=None)
    with target.connect(pair.shown) as transport:
        answer = request_rekey(transport, target.url, csr)
    return _check(pair, target, answer, key, now)


def _shown(pair: Pair, target: Target) -> SignResponse:
    with target.connect(pair.shown) as transport:
        return request_renewal(transport, target.url)


def _by_token(pair: Pair, target: Target, now: datetime) -> SignResponse:
    subject = common_name_of(pair.leaf)
    if not subject:
        raise UsageError(
            "the certificate has no CN, without which it cannot renew by token",
            hint="get a new one: dayfly ca certificate NAME CRT KEY",
        )
    jti = make_jti(secrets.token_bytes(JTI_OCTETS))
    token = sign_renewal_token(subject, pair.chain, key=pair.key, base_url=target.url, now=now, jti=jti)
    with target.connect() as transport:
        return request_renewal(transport, target.url, token=token)


def _check(pair: Pair, target: Target, answer: SignResponse, key: CertificateKey, now: datetime) -> Issued:
    wanted = Wanted(key.public_key(), names_of(pair.leaf), target.roots())
    issued = check_issued(answer.leaf, answer.intermediates, wanted, at=now)
    if issued.certificate.serial_number == pair.leaf.serial_number:
        raise ClientError("the CA sent the old certificate again; nothing was written")
    return issued
