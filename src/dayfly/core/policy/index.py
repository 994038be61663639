"""Name rules as an index: which of them speak of a name (security.md section 4).

Rules: look-ups are by name, suffix and prefix length, so that the number of rules does not matter; `a.b` is exact,
`*.a.b` exactly one label, `**.a.b` any depth below and not `a.b` itself; a network covers the addresses in it; `@a.b`
covers all mailboxes of a domain; of a URI the host is judged. What covers a name is not yet what gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from dayfly.core.identifiers import Identifier, IdentifierType, uri_host
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.nearest import Hints, add_base, add_exact, add_network
from dayfly.core.policy.rules import (
    Network,
    Rule,
    RuleAction,
    RuleKind,
    Source,
    check_rule,
    parse_network,
    parse_pattern,
)


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its source networks parsed."""

    rule: Rule
    sources: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class NameRules:
    """Compiled rules: look-ups by name, suffix and prefix length, so that their number does not matter.

    `denied_in` has the exact deny rules by the parent of their name: a wildcard there would stand for that name too.
    `others` has the rules of the other kinds by kind and pattern.
    `given` remembers what was allowed lately, whoever asked from wherever: a name is judged again when it is issued.
    """

    exact: dict[str, list[CompiledRule]] = field(default_factory=dict)
    one_label: dict[str, list[CompiledRule]] = field(default_factory=dict)
    any_depth: dict[str, list[CompiledRule]] = field(default_factory=dict)
    denied_in: dict[str, list[CompiledRule]] = field(default_factory=dict)
    networks: dict[Network, list[CompiledRule]] = field(default_factory=dict)
    others: dict[tuple[RuleKind, str], list[CompiledRule]] = field(default_factory=dict)
    prefixes: dict[int, list[int]] = field(default_factory=lambda: {4: [], 6: []})
    hints: Hints = field(default_factory=Hints)
    given: dict[tuple[Identifier, str], Allowed] = field(default_factory=dict, compare=False, repr=False)


def compile_rules(rules: Iterable[Rule]) -> NameRules:
    """The index of these rules; RuleError."""
    index = NameRules()
    for rule in rules:
        check_rule(rule)
        one = CompiledRule(rule, tuple(parse_network(text, what=f"rule {rule.id}") for text in rule.sources))
        if rule.kind is RuleKind.DNS:
            _index_name(index, one)
        elif rule.kind is RuleKind.IP:
            _index_network(index, one)
        else:
            _index_other(index, one)
    for lengths in index.prefixes.values():
        lengths.sort(reverse=True)
    return index


def _index_name(index: NameRules, one: CompiledRule) -> None:
    stars, base = parse_pattern(one.rule.pattern, what=f"rule {one.rule.id}")
    table = {"": index.exact, "*": index.one_label, "**": index.any_depth}[stars]
    table.setdefault(base, []).append(one)
    if one.rule.action is RuleAction.ALLOW:
        (add_base if stars else add_exact)(index.hints, one.rule.provisioner, base)
    elif not stars:
        index.denied_in.setdefault(base.partition(".")[2], []).append(one)


def _index_network(index: NameRules, one: CompiledRule) -> None:
    network = parse_network(one.rule.pattern, what=f"rule {one.rule.id}")
    index.networks.setdefault(network, []).append(one)
    if network.prefixlen not in index.prefixes[network.version]:
        index.prefixes[network.version].append(network.prefixlen)
    if one.rule.action is RuleAction.ALLOW:
        add_network(index.hints, one.rule.provisioner, network)


def _index_other(index: NameRules, one: CompiledRule) -> None:
    kind, pattern = one.rule.kind, one.rule.pattern
    index.others.setdefault((kind, pattern), []).append(one)
    if one.rule.action is RuleAction.DENY:
        return
    if kind is RuleKind.URI:
        stars, base = parse_pattern(pattern, what=f"rule {one.rule.id}")
        (add_base if stars else add_exact)(index.hints, hint_scope(kind, one.rule.provisioner), base)
    elif kind is RuleKind.EMAIL and pattern.startswith("@"):
        add_exact(index.hints, hint_scope(kind, one.rule.provisioner), pattern[1:])


def hint_scope(kind: str, provisioner: str) -> str:
    """Where hints of a kind beside names are kept; no provisioner's name holds a slash."""
    return f"{kind}/{provisioner}"


def matching_rules(rules: NameRules, identifier: Identifier) -> list[CompiledRule]:
    """The rules whose pattern covers the name; a wildcard is covered where the names that it stands for are."""
    if identifier.type is IdentifierType.IP:
        return _matching_networks(rules, ip_address(identifier.value))
    if identifier.type is not IdentifierType.DNS:
        kind = RuleKind(identifier.type.value)
        return [one for pattern in _patterns_for(identifier) for one in rules.others.get((kind, pattern), ())]
    name = identifier.value
    parent = name.partition(".")[2]
    found = [*rules.exact.get(name, ()), *rules.one_label.get(parent, ())]
    if identifier.is_wildcard:
        found += rules.denied_in.get(parent, ())
    while parent:
        found += rules.any_depth.get(parent, ())
        parent = parent.partition(".")[2]
    return found


def _patterns_for(identifier: Identifier) -> Iterator[str]:
    """The patterns that would cover a name of another type than DNS and IP, the narrowest first."""
    if identifier.type is not IdentifierType.URI:
        yield identifier.value
        if identifier.type is IdentifierType.EMAIL:
            yield f"@{identifier.value.rpartition('@')[2]}"
        return
    host = uri_host(identifier)
    yield host
    parent = host.partition(".")[2]
    if parent:
        yield f"*.{parent}"
    while parent:
        yield f"**.{parent}"
        parent = parent.partition(".")[2]


def _matching_networks(rules: NameRules, address: Source) -> list[CompiledRule]:
    """The narrowest network first."""
    found: list[CompiledRule] = []
    for length in rules.prefixes[address.version]:
        found += rules.networks.get(ip_network((address, length), strict=False), ())
    return found


def matching_allows(rules: NameRules, identifier: Identifier, *, provisioner: str) -> tuple[Rule, ...]:
    """The allow rules that speak of this name for this provisioner, whether they give it or lack something."""
    found = (one.rule for one in matching_rules(rules, identifier))
    return tuple(one for one in found if one.action is RuleAction.ALLOW and one.provisioner in {"", provisioner})
