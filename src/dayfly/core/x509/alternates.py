"""Alternate chains: the issuing key certified by another CA as well (RFC 8555 7.4.2).

Rules: a leaf fits every certificate of its issuer's name, key and key identifier, so one that differs in any of them is
no alternate; a chain has the issuer's certificate first and leaves the root out, as the main one; one that has ended is
offered no more, and harms nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509

from dayfly.core.x509.hierarchy import HierarchyError, check_authority, check_signed, load_authority
from dayfly.core.x509.profile import IssuerFacts, issuer_facts


@dataclass(frozen=True, slots=True)
class AlternateChain:
    """Certificates (DER) to hand out after a leaf, the issuer's first, and when the first of them ends."""

    certificates: tuple[bytes, ...]
    not_after: datetime


def make_alternate_chain(chain: Sequence[bytes], issuer: IssuerFacts) -> AlternateChain:
    """The chain, checked; HierarchyError where no leaf of this issuer would verify over it.

    1. The first certificate has the issuer's subject, key and key identifier.
    2. Every certificate is a CA's, and allowed as many CAs below it as there are.
    3. Each is signed by the next; the last is not its own issuer, since the root is left out.
    """
    certificates = [load_authority(der, "a certificate of the chain") for der in chain]
    if not certificates:
        raise HierarchyError("the chain holds no certificate")
    _check_same(chain[0], issuer)
    for below, one in enumerate(certificates):
        check_authority(one, "a certificate of the chain", below=below)
    for one, above in pairwise(certificates):
        check_signed(one, above, "a certificate of the chain")
    if certificates[-1].issuer == certificates[-1].subject:
        raise HierarchyError("the last certificate of the chain is a root; clients have it already: leave it out")
    return AlternateChain(tuple(chain), min(one.not_valid_after_utc for one in certificates))


def _check_same(der: bytes, issuer: IssuerFacts) -> None:
    """Its name, key and key identifier are those that leaves have of their issuer (RFC 5280 4.2.1.1, 6.1.3)."""
    try:
        found = issuer_facts(der)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise HierarchyError(f"the first certificate of the chain cannot be an issuing one: {error}") from None
    for what, ours, theirs in (
        ("key", issuer.spki, found.spki),
        ("subject", issuer.subject, found.subject),
        ("subject key identifier", issuer.key_id, found.key_id),
    ):
        if ours != theirs:
            raise HierarchyError(f"the first certificate of the chain has another {what} than the issuing certificate")
