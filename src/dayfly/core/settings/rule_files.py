"""A set of rules as a file: what `ca policy show --json` and `ca policy suggest --json` print.

Rules: members that we do not know are an error, since what they say would be lost; each rule is well formed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind, check_rule

MAX_OCTETS = 8 << 20


class _Member(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A rule as it is printed."""

    rule: str
    action: RuleAction
    type: RuleKind
    pattern: str
    owner: str
    provisioner: str = ""
    wildcards: bool = False
    sources: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    requests: int = 0
    command: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The whole; only the rules count."""

    rules: tuple[_Member, ...]
    owners: Any = None
    revision: int = 0
    requests: int = 0
    since: str = ""
    complete: bool = True


def rule_document(rule: Rule) -> dict[str, Any]:
    """A rule as an object."""
    return {
        "rule": rule.id,
        "action": rule.action,
        "type": rule.kind,
        "pattern": rule.pattern,
        "owner": rule.owner,
        "provisioner": rule.provisioner,
        "wildcards": rule.wildcards,
        "sources": rule.sources,
        "excluded": rule.excluded,
    }


def parse_rule_file(body: bytes) -> tuple[Rule, ...]:
    """The rules in a file; RuleError."""
    if len(body) > MAX_OCTETS:
        raise RuleError(f"the file of rules has {len(body)} octets; at most {MAX_OCTETS} are read")
    try:
        strict_json_object(body)
        found = msgspec.json.decode(body, type=_File)
    except (EncodingError, msgspec.MsgspecError) as error:
        raise RuleError(
            f"the file of rules cannot be read: {error}", hint="write it as `dayfly ca policy show --json` does"
        ) from None
    rules = tuple(
        Rule(
            one.rule,
            one.type,
            one.pattern,
            one.owner,
            one.action,
            provisioner=one.provisioner,
            wildcards=one.wildcards,
            sources=one.sources,
            excluded=one.excluded,
        )
        for one in found.rules
    )
    for rule in rules:
        check_rule(rule)
    if len({rule.id for rule in rules}) < len(rules):
        raise RuleError("two rules of the file have the same id")
    return rules
