"""The next step after a refusal is found by the words of the CA's own texts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import dayfly
from dayfly.authority.signing import already_used
from dayfly.client.next_steps import NEXT, next_step
from dayfly.core.policy.lifetimes import Lifetimes, plan_validity
from dayfly.core.problems import Malformed
from factories import NOW

SOURCES = Path(dayfly.__file__).parent

HOUR = timedelta(hours=1)


def test_a_lifetime_above_the_longest_says_how_to_get_less_or_more() -> None:
    """With the text that the policy itself makes."""
    with pytest.raises(Malformed) as caught:
        plan_validity(
            NOW,
            lifetimes=Lifetimes(HOUR, HOUR, HOUR),
            requested_not_before=None,
            requested_not_after=NOW + 2 * HOUR,
            issuer_not_after=NOW + 100 * HOUR,
        )
    assert "--not-after" in next_step(caught.value.detail)
    assert "dayfly ca provisioner update NAME --x509-max-dur" in next_step(caught.value.detail)


def test_a_used_token_is_made_anew() -> None:
    """With the text of the second use."""
    assert next_step(already_used().detail) == "make one: dayfly ca token SUBJECT"


@pytest.mark.parametrize("words", NEXT)
def test_every_text_that_has_a_next_step_is_one_of_the_servers(words: str) -> None:
    """A text that was reworded there must be reworded here."""
    rooms = ("authority", "core/acme", "core/policy", "server")
    texts = [path.read_text() for room in rooms for path in (SOURCES / room).glob("*.py")]
    assert any(words in text for text in texts)


def test_a_text_that_nobody_knows_has_no_next_step() -> None:
    """Another CA's, or one that says all itself."""
    assert next_step("no") == ""
