"""A set of rules as a file."""

from __future__ import annotations

import msgspec
import pytest

from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind
from dayfly.core.settings.rule_files import MAX_OCTETS, parse_rule_file, rule_document

RULES = (
    Rule("r1", RuleKind.DNS, "**.web.corp", "team", provisioner="acme", wildcards=True, excluded=("ca.web.corp",)),
    Rule("r2", RuleKind.IP, "10.0.0.0/8", "team", sources=("10.0.0.0/8",)),
    Rule("r3", RuleKind.EMAIL, "@web.corp", "team", RuleAction.DENY),
)


def file_of(*rules: dict[str, object], **more: object) -> bytes:
    """A file with these rules."""
    return msgspec.json.encode({"rules": rules, **more})


def test_what_is_shown_reads_back() -> None:
    """With what `policy show` and `policy suggest` say beside the rules."""
    shown = [rule_document(one) for one in RULES]
    assert parse_rule_file(file_of(*shown, revision=7, owners=[{"name": "team", "contact": ""}])) == RULES
    suggested = [{**one, "command": "dayfly ca policy allow x"} for one in shown]
    assert parse_rule_file(file_of(*suggested, since="2026-11-24T12:00:00Z", requests=3, complete=True)) == RULES


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"rules": [], "rules": []}', "cannot be read"),
        (file_of({**rule_document(RULES[0]), "sourcse": ["10.0.0.0/8"]}), "sourcse"),
        (file_of({**rule_document(RULES[0]), "pattern": "a..b"}), "is no pattern"),
        (file_of(rule_document(RULES[0]), rule_document(RULES[0])), "the same id"),
        (b" " * (MAX_OCTETS + 1), "octets"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(body: bytes, says: str) -> None:
    """A rule that lost a condition would give more than was meant."""
    with pytest.raises(RuleError, match=says):
        parse_rule_file(body)
