"""Who may be chaotic, and which nonces are refused."""

from __future__ import annotations

import pytest

from dayfly.core.acme.chaos import Chaos, is_bad_nonce, is_for_tests


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (("TEST ONLY CA Intermediate CA", "TEST ONLY CA Root CA"), True),
        (("Internal CA Intermediate CA", "TEST ONLY CA Root CA"), False),
        (("TEST ONLY CA Intermediate CA", "Internal CA Root CA"), False),
        (("Internal TEST ONLY CA",), False),
        (("",), False),
        ((), False),
    ],
)
def test_every_certificate_must_say_that_it_is_for_tests__acme_15(names: tuple[str, ...], answer: bool) -> None:
    """One real certificate among them is enough to make the CA a real one."""
    assert is_for_tests(names) is answer


def test_share_of_nonces_is_refused_and_each_always__acme_15() -> None:
    """About the share that was asked for; the same nonce gives the same answer wherever it is asked."""
    nonces = [f"nonce-{number}" for number in range(10_000)]
    bad = [one for one in nonces if is_bad_nonce(one, Chaos().bad_nonces)]
    assert 400 < len(bad) < 600
    assert [one for one in nonces if is_bad_nonce(one, Chaos().bad_nonces)] == bad
    assert not any(is_bad_nonce(one, 0.0) for one in nonces)
