"""Why a certificate was revoked: the codes of RFC 5280 5.3.1 and their words.

Rules: a revocation here is for ever, so nothing is held (certificateHold) and let go again (removeFromCRL); code 7 is
used by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

UNSPECIFIED = 0
KEY_COMPROMISE = 1  # the key gets nothing any more
SUPERSEDED = 4  # it was replaced, so what came of it stays good

# The standard's spelling; step's is the same in lower case.
REASONS: Mapping[str, int] = {
    "unspecified": UNSPECIFIED,
    "keyCompromise": KEY_COMPROMISE,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": SUPERSEDED,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "removeFromCRL": 8,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}

NEVER_USED = frozenset({6, 7, 8})
REASON_CODES = frozenset(range(11)) - NEVER_USED
"""Those that a revocation here may have."""


def reason_word(code: int) -> str:
    """The standard's word for a code."""
    return next(word for word, number in REASONS.items() if number == code)
