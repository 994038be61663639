"""Who speaks with a certificate of ours: by the connection, or a token signed by its key (step-compat.md part 5).

Rules: whoever holds one is asked for it anew with every request: the row must be there with exactly these octets, not
revoked, in its time; nothing but the chain itself is left to what a handshake found once. A certificate without
clientAuth speaks for nobody, and a CA's own certificate is in no row, so it does neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.authority.context import Authority
from dayfly.authority.signing import already_used
from dayfly.core.acme.objects import Certificate
from dayfly.core.events import Reason
from dayfly.core.ids import serial_row_id
from dayfly.core.problems import Unauthorized
from dayfly.core.step.tokens import VerifiedClaims, parse_renewal_token, verify_renewal
from dayfly.core.x509.chain import ChainError, check_client_path
from dayfly.core.x509.leaf import LeafError, LeafFacts, read_leaf
from dayfly.errors import NotFound

UNAUTHENTICATED = 401
BEFORE_END = timedelta(minutes=1)  # where a chain is looked at whose leaf may have ended meanwhile


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who has shown that a certificate of ours is theirs; `claims` are there where a token showed it."""

    certificate: Certificate
    leaf: LeafFacts
    claims: VerifiedClaims | None = None


async def holder_of_connection(authority: Authority, der: bytes) -> Holder:
    """The holder of a certificate that the handshake verified; Unauthorized (401).

    1. The row.  2. Its times.  3. Its purpose.

    The chain was the handshake's to check, against roots that are the same as long as the process lives, and its
    certificates are not handed on; that its end is one of ours the row says, with whatever issuer we had then.
    """
    certificate, leaf = await find_certificate(authority, der)
    now = authority.clock.now()
    if not leaf.not_before <= now <= leaf.not_after:
        raise _refused(
            f"the certificate is valid from {_text(leaf.not_before)} to {_text(leaf.not_after)}; one that has ended "
            "renews with a signed token only, where its provisioner allows it",
            Reason.EXPIRED_TOO_LONG,
        )
    _check_client(leaf)
    return Holder(certificate, leaf)


async def holder_of_token(authority: Authority, text: str, audiences: AbstractSet[str]) -> Holder:
    """The holder of a certificate whose key signed this token; Unauthorized (401).

    1. The token is parsed; the row of the leaf that it brings is found.
    2. The chain is good a minute before the leaf's end, for the leaf may have ended meanwhile.
    3. Its purpose, and that it has a subject.
    4. The token is signed by the leaf's key, for us, now, and was not used before.
    """
    token = parse_renewal_token(text)
    der, *chain = token.unverified_chain
    certificate, leaf = await find_certificate(authority, der)
    _check_path(authority, der, chain or authority.signer.chain, at=max(leaf.not_before, leaf.not_after - BEFORE_END))
    _check_client(leaf)
    if not leaf.common_name:
        raise _refused(
            "the certificate has no CN, and a token needs a subject; renew it over mTLS or by ACME", Reason.UNAUTHORIZED
        )
    claims = verify_renewal(
        token, key=leaf.key, subject=leaf.common_name, audiences=audiences, now=authority.clock.now()
    )
    if await authority.store.claims.is_claimed(claims.reuse_key):
        raise already_used()
    return Holder(certificate, leaf, claims)


async def find_certificate(authority: Authority, der: bytes) -> tuple[Certificate, LeafFacts]:
    """The row of a certificate that somebody shows, and what it says; Unauthorized (401) unless it is ours and good."""
    try:
        leaf = read_leaf(der)
        certificate = await authority.store.certificates.certificate(serial_row_id(leaf.serial))
    except (LeafError, NotFound):
        certificate = None
    if certificate is None or certificate.der != der:
        raise _refused("this CA has no record of the certificate; ask for a new one", Reason.UNAUTHORIZED)
    if certificate.revoked_at is not None:
        raise _refused(f"the certificate was revoked at {_text(certificate.revoked_at)}", Reason.REVOKED)
    return certificate, leaf


def _check_client(leaf: LeafFacts) -> None:
    if not leaf.is_client:
        raise _refused(
            "the certificate has no clientAuth, so it speaks for nobody; renew it by ACME, or ask for a new one",
            Reason.UNAUTHORIZED,
        )


def _check_path(authority: Authority, der: bytes, between: Sequence[bytes], *, at: datetime) -> None:
    try:
        check_client_path(der, between, authority.roots, now=at)
    except ChainError as error:
        raise _refused(str(error), Reason.UNAUTHORIZED) from None


def _refused(detail: str, reason: Reason) -> Unauthorized:
    return Unauthorized(detail, status=UNAUTHENTICATED, reason=reason)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
