"""Chaos mode: a CA for tests that makes trouble which RFC 8555 allows, so that clients meet it early (acme.md part 15).

Rules: only a CA whose certificates say in their names that they are for tests may be chaotic, so that no real key is
ever in it; nothing that chaos does is wrong by the RFC: a client that obeys it notices nothing; whether a nonce is
refused is a property of the nonce, so that all workers agree.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MARK = "TEST ONLY "
"""What the names of a test CA's certificates begin with, for everyone to see who is asked to trust them."""


@dataclass(frozen=True, slots=True)
class Chaos:
    """How much trouble: shares are between 0 and 1, `delay` is at most so many seconds before each look.

    `bad_nonces` is the share of good nonces that are refused (6.5), `reuse` the share of authorizations that are used
    again where they might be (7.1.3), `orders_page` how many orders a page lists (7.1.2.1), `retry_after` the seconds
    that answers name which need not name any.
    """

    bad_nonces: float = 0.05
    delay: float = 3.0
    reuse: float = 0.5
    orders_page: int = 3
    retry_after: int = 2


def is_for_tests(common_names: tuple[str, ...]) -> bool:
    """Do all of a CA's certificates, whose common names these are, say that they are for tests?"""
    return bool(common_names) and all(name.startswith(MARK) for name in common_names)


def is_bad_nonce(nonce: str, share: float) -> bool:
    """Is this one of the good nonces that are refused?"""
    drawn = int.from_bytes(hashlib.sha256(nonce.encode()).digest()[:4])
    return drawn < share * 2**32
