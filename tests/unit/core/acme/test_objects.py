"""References to authorizations: one spelling, both ways."""

from __future__ import annotations

import pytest

from dayfly.core.acme.objects import OWN_ROW, AuthorizationRef, parse_authorization_ref, render_authorization_ref


@pytest.mark.parametrize("index", [0, 9, 10, 99, 999, OWN_ROW])
def test_reference_is_read_back__rfc8555_7_5(index: int) -> None:
    """What is rendered is parsed."""
    ref = AuthorizationRef(0x1234567890, index)
    assert parse_authorization_ref(render_authorization_ref(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "", "-0", "000000123456789A", "0000001234567890-", "0000001234567890-00", "0000001234567890-01",
        "0000001234567890-1000", "0000001234567890--1", "1234567890-0", "000000123456789A-0", "ffffffffffffffff-0",
        "0000001234567890-0\n", "0000001234567890-\u0661",
    ],
)  # fmt: skip
def test_other_spelling_is_none__rfc8555_10_5(text: str) -> None:
    """Leading zeros, capitals, what is out of range, and digits of other scripts."""
    assert parse_authorization_ref(text) is None
