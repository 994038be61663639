"""What is advised after a refusal of names: never a command that cannot help."""

from __future__ import annotations

import pytest

from dayfly.client.denied import hint_of_denials
from dayfly.core.policy.denials import is_denial_id
from dayfly.core.problems import Denial


def test_what_no_rule_gives_is_allowed_by_its_ids() -> None:
    """The nearest names, and one command with every id, each once."""
    found = hint_of_denials(
        [Denial("default-deny", "", "a.example", "4F2A"), Denial("default-deny", "", "b.example", "7QXP")] * 2
    )
    assert found == (
        "ask for a name that a rule gives, as a.example or b.example; or an admin of the CA allows exactly this by: "
        "dayfly ca policy allow --denial 4F2A --denial 7QXP"
    )


def test_what_a_deny_rule_takes_is_for_its_owner() -> None:
    """No `policy allow --denial`, which would be refused; the rule, whose it is, and how an admin takes it back."""
    found = hint_of_denials([Denial("r4", "db-team", "", "4F2A")])
    assert found == (
        "rule r4 of db-team denies it: talk to db-team; an admin can take it back by: dayfly ca policy remove r4"
    )
    assert "--denial" not in found
    assert hint_of_denials([Denial("r4")]) == (
        "rule r4 denies it; an admin can take it back by: dayfly ca policy remove r4"
    )
    mixed = hint_of_denials([Denial("r4", "db-team", "", "4F2A"), Denial("default-deny", "", "", "7QXP")])
    assert mixed.endswith("allow --denial 7QXP")
    assert "4F2A" not in mixed


def test_what_the_issuer_may_not_sign_has_no_command() -> None:
    """No rule widens the issuing certificate's name constraints."""
    assert hint_of_denials([Denial("issuer-constraints", "", "", "4F2A")]) == ""


@pytest.mark.parametrize(("owner", "who"), [("web-team", "web-team"), ("", "an admin of the CA")])
def test_scope_is_widened_by_another_key_only(owner: str, who: str) -> None:
    """No rule helps, so none is advised; a name within the scope is."""
    hint = hint_of_denials([Denial("eab:7hQ2bX0mT4kVw9Zc", owner, "a.internal.example", "4F2A")])
    assert f"the scope of eab:7hQ2bX0mT4kVw9Zc does not allow it: {who} must give another key" in hint
    assert "a.internal.example" in hint
    assert "policy" not in hint
    assert hint_of_denials([]) == ""


@pytest.mark.parametrize("text", ["$(x)", "4F2A; rm -rf /", "4f2a", "4F2", "4F2AA", "", "4F\n2", "4F2O", "\x1b[2J"])
def test_what_is_no_id_gets_into_no_command_line(text: str) -> None:
    """A CA, or who speaks in its place, writes it; a person copies it into a shell."""
    assert not is_denial_id(text)
    none, good = Denial("default-deny", "", "", text), Denial("default-deny", "", "", "4F2A")
    assert hint_of_denials([none]) == ""
    assert hint_of_denials([none, good]).endswith("allow --denial 4F2A")
    assert "dayfly ca policy" not in hint_of_denials([Denial(f"{text};", "db-team")])
