"""What somebody is told to do whose name was refused."""

from __future__ import annotations

import pytest

from dayfly.client.denied import hint_of_denial
from dayfly.core.policy.denials import is_denial_id


def test_the_command_names_each_denial_once() -> None:
    """Beside the nearest name; with neither there is nothing to say."""
    hint = hint_of_denial("a.corp", ["4F2A", "9XYZ", "4F2A"])
    assert hint.startswith("ask for a name that a rule gives, as a.corp; or ")
    assert hint.endswith("dayfly ca policy allow --denial 4F2A --denial 9XYZ")
    assert hint_of_denial("", []) == ""


@pytest.mark.parametrize("text", ["$(x)", "4F2A; rm -rf /", "4f2a", "4F2", "4F2AA", "", "4F\n2", "4F2O", "\x1b[2J"])
def test_what_is_no_id_gets_into_no_command_line(text: str) -> None:
    """A CA, or who speaks in its place, writes it; a person copies it into a shell."""
    assert not is_denial_id(text)
    assert hint_of_denial("", [text]) == ""
    assert hint_of_denial("", [text, "4F2A"]).endswith("allow --denial 4F2A")
