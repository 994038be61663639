"""Reason codes: the standard's, and which of them a revocation here may have."""

from __future__ import annotations

from dayfly.core.x509.reasons import REASON_CODES, REASONS, reason_word


def test_codes_are_those_that_last__rfc5280_5_3_1() -> None:
    """All of the standard but hold, release, and 7, which is used by nobody."""
    assert sorted(REASONS.values()) == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert sorted(REASON_CODES) == [0, 1, 2, 3, 4, 5, 9, 10]


def test_a_code_has_one_word__rfc5280_5_3_1() -> None:
    """In the standard's spelling."""
    assert [reason_word(code) for code in (0, 1, 4)] == ["unspecified", "keyCompromise", "superseded"]
