"""Name rules: who may have which name (security.md section 4).

Rules: default deny; deny wins; `a.b` is exact, `*.a.b` exactly one label, `**.a.b` any depth below and not `a.b`
itself; a network allows the addresses in it; a rule holds for the whole authority or for one provisioner, and may be
bound to source networks; a wildcard needs a rule that says so. Only canonical names are asked about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier, IdentifierType, parse_dns
from dayfly.core.problems import Denial, Refused, RejectedIdentifier, Subproblem

DEFAULT_DENY = "default-deny"
# Parents of one label that are private, by RFC or by wide use, and so may become a rule of their own.
PRIVATE_PARENTS = frozenset(
    {
        "internal",  # reserved for private use by ICANN, 2024
        "test",  # RFC 6761
        "example",  # RFC 6761
        "local",  # RFC 6762; used for unicast all the same
        "lan",
        "home",
        "corp",
        "intranet",
        "private",
    }
)
PRIVATE_SUFFIXES = frozenset({"home.arpa"})  # RFC 8375

_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

Network = IPv4Network | IPv6Network
Source = IPv4Address | IPv6Address


class RuleKind(StrEnum):
    """What a rule speaks of."""

    DNS = "dns"
    IP = "ip"


class RuleAction(StrEnum):
    """What a rule does."""

    ALLOW = "allow"
    DENY = "deny"


class RuleError(ValueError):
    """A rule cannot be read."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One name rule.

    `provisioner` empty means the whole authority; `excluded` are exact names that an allow rule never gives;
    `sources` are networks (CIDR) that a request must come from.
    """

    id: str
    kind: RuleKind
    pattern: str
    owner: str
    action: RuleAction = RuleAction.ALLOW
    provisioner: str = ""
    wildcards: bool = False
    sources: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """A name is allowed: by which rule, and whose it is."""

    rule: str
    owner: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A name is denied, and why."""

    denial: Denial
    reason: Reason


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule with its networks parsed."""

    rule: Rule
    sources: tuple[Network, ...]
    network: Network | None = None


@dataclass(slots=True)
class NameRules:
    """Compiled rules: look-ups by name and suffix, so that their number does not matter for DNS names."""

    exact: dict[str, list[_Compiled]] = field(default_factory=dict)
    one_label: dict[str, list[_Compiled]] = field(default_factory=dict)
    any_depth: dict[str, list[_Compiled]] = field(default_factory=dict)
    networks: list[_Compiled] = field(default_factory=list)


def check_rule(rule: Rule) -> None:
    """Raise RuleError where the rule is not well formed."""
    if _RULE_ID.fullmatch(rule.id) is None:
        raise RuleError(f"rule id {rule.id!r} is not 1 to 63 letters, digits, dots, hyphens or underscores")
    if not rule.owner:
        raise RuleError(f"rule {rule.id} has no owner; every rule has one")
    if rule.kind is RuleKind.DNS:
        _check_pattern(rule)
    else:
        _parse_network(rule.pattern, rule)
    for text in rule.sources:
        _parse_network(text, rule)


def _check_pattern(rule: Rule) -> None:
    base = rule.pattern.removeprefix("**.") if rule.pattern.startswith("**.") else rule.pattern.removeprefix("*.")
    try:
        canonical = parse_dns(base, wildcard=False).value
    except Refused as error:
        raise RuleError(f"rule {rule.id}: {rule.pattern!r} is no pattern: {error.detail}") from None
    if canonical != base:
        raise RuleError(f"rule {rule.id}: write {rule.pattern!r} in lower case")


def _parse_network(text: str, rule: Rule) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise RuleError(f"rule {rule.id}: {text!r} is no network such as 10.0.0.0/24: {error}") from None


def compile_rules(rules: Iterable[Rule]) -> NameRules:
    """The index of these rules; RuleError."""
    index = NameRules()
    for rule in rules:
        check_rule(rule)
        sources = tuple(_parse_network(text, rule) for text in rule.sources)
        if rule.kind is RuleKind.IP:
            index.networks.append(_Compiled(rule, sources, _parse_network(rule.pattern, rule)))
            continue
        table, base = index.exact, rule.pattern
        if base.startswith("**."):
            table, base = index.any_depth, base[3:]
        elif base.startswith("*."):
            table, base = index.one_label, base[2:]
        table.setdefault(base, []).append(_Compiled(rule, sources))
    return index


def decide(rules: NameRules, identifier: Identifier, *, provisioner: str, source: Source | None) -> Allowed | Denied:
    """May this name be had from this provisioner, asked for from this source?

    1. Every rule that matches the name, for this provisioner.
    2. A deny rule among them decides.
    3. Else the first allow rule that takes the wildcard, the name and the source.
    4. Else the default: no.
    """
    matching = [one for one in _matching(rules, identifier) if one.rule.provisioner in {"", provisioner}]
    for one in matching:
        if one.rule.action is RuleAction.DENY:
            return Denied(Denial(one.rule.id, one.rule.owner), Reason.NAME_NOT_ALLOWED)
    reason = Reason.NAME_NOT_ALLOWED
    for one in matching:
        if identifier.value in one.rule.excluded or (identifier.is_wildcard and not one.rule.wildcards):
            continue
        if one.sources and not _within(source, one.sources):
            reason = Reason.SOURCE_NOT_ALLOWED
            continue
        return Allowed(one.rule.id, one.rule.owner)
    return Denied(Denial(DEFAULT_DENY, nearest=_nearest(rules, identifier, provisioner)), reason)


def _matching(rules: NameRules, identifier: Identifier) -> list[_Compiled]:
    """The rules whose pattern covers the name; a wildcard is covered where the names that it stands for are."""
    if identifier.type is IdentifierType.IP:
        address = ip_address(identifier.value)
        return [one for one in rules.networks if one.network is not None and address in one.network]
    name = identifier.value
    found = list(rules.exact.get(name, ()))
    parent = name.partition(".")[2]
    found += rules.one_label.get(parent, ())
    while parent:
        found += rules.any_depth.get(parent, ())
        parent = parent.partition(".")[2]
    return found


def _within(source: Source | None, networks: tuple[Network, ...]) -> bool:
    return source is not None and any(source.version == network.version and source in network for network in networks)


def _nearest(rules: NameRules, identifier: Identifier, provisioner: str) -> str:
    """What would be allowed and looks most like the name; "" where nothing of the kind is."""
    if identifier.type is IdentifierType.IP:
        networks = [one.rule.pattern for one in rules.networks if _gives(one, provisioner)]
        return networks[0] if networks else ""
    labels = identifier.value.removeprefix("*.").split(".")
    below = [
        base
        for table in (rules.any_depth, rules.one_label)
        for base, found in table.items()
        if any(_gives(one, provisioner) for one in found)
    ]
    if below:
        base = max(below, key=lambda one: (_shared(one.split("."), labels), -len(one)))
        return f"{labels[0]}.{base}"
    exact = [base for base, found in rules.exact.items() if any(_gives(one, provisioner) for one in found)]
    return max(exact, key=lambda one: _shared(one.split("."), labels), default="")


def _gives(one: _Compiled, provisioner: str) -> bool:
    return one.rule.action is RuleAction.ALLOW and one.rule.provisioner in {"", provisioner}


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """How many labels the two have in common, wherever they stand."""
    return len(set(first) & set(second))


def check_names(
    rules: NameRules, identifiers: Sequence[Identifier], *, provisioner: str, source: Source | None
) -> tuple[Allowed, ...]:
    """The decision for every name, in order; RejectedIdentifier names all that are denied (RFC 8555 6.7.1)."""
    decisions = [(one, decide(rules, one, provisioner=provisioner, source=source)) for one in identifiers]
    denied = [(one, found) for one, found in decisions if isinstance(found, Denied)]
    if not denied:
        return tuple(found for _, found in decisions if isinstance(found, Allowed))
    subproblems = [Subproblem(RejectedIdentifier.type, _told(one, found), one, found.denial) for one, found in denied]
    if len(denied) == 1:
        raise RejectedIdentifier(subproblems[0].detail, subproblems=subproblems, denial=denied[0][1].denial)
    names = ", ".join(one.value for one, _ in denied[:5])
    raise RejectedIdentifier(f"{len(denied)} names are not allowed: {names}"[:300], subproblems=subproblems)


def _told(identifier: Identifier, found: Denied) -> str:
    """One sentence for the client: the name, the rule, what would be allowed, who can help."""
    denial = found.denial
    if found.reason is Reason.SOURCE_NOT_ALLOWED:
        why = "a rule allows it, but not from this network"
    elif denial.rule == DEFAULT_DENY:
        why = "no rule allows it"
    else:
        why = f"rule {denial.rule} of {denial.owner} denies it"
    nearest = f"; nearest that would be allowed: {denial.nearest}" if denial.nearest else ""
    return f"{identifier.value}: {why} ({denial.rule}){nearest}; the owner of a rule must allow it"


def first_rules(
    dns_names: Sequence[str],
    *,
    allow_dns: Sequence[str] = (),
    allow_ip: Sequence[str] = (),
    owner: str,
    is_public_suffix: Callable[[str], bool],
) -> tuple[Rule, ...]:
    """The rules that a new CA begins with (security.md section 4, "First rule").

    The parent of each of the CA's own names, and everything below it, without wildcards and the CA's own names; the
    same for `allow_dns`; the networks of `allow_ip`. RuleError for a suffix that is public, or for what is no domain.
    """
    own = tuple(dns_names)
    parents = [parent for name in own if (parent := _own_parent(name, is_public_suffix))]
    asked = [_asked_domain(name, is_public_suffix) for name in allow_dns]
    patterns = [(RuleKind.DNS, pattern) for base in dict.fromkeys(parents + asked) for pattern in (base, f"**.{base}")]
    patterns += [(RuleKind.IP, text) for text in dict.fromkeys(allow_ip)]
    rules = tuple(
        Rule(f"r{number}", kind, pattern, owner, excluded=own if kind is RuleKind.DNS else ())
        for number, (kind, pattern) in enumerate(patterns, start=1)
    )
    for rule in rules:
        check_rule(rule)
    return rules


def _own_parent(name: str, is_public_suffix: Callable[[str], bool]) -> str:
    """The domain that the CA lives in, "" where that is none to give away."""
    if _is_address(name) or "." not in name:
        return ""
    parent = name.partition(".")[2]
    return parent if _may_be_given(parent, is_public_suffix) else ""


def _asked_domain(name: str, is_public_suffix: Callable[[str], bool]) -> str:
    try:
        domain = parse_dns(name, wildcard=False).value
    except Refused as error:
        raise RuleError(f"--allow-dns: {error.detail}") from None
    if not _may_be_given(domain, is_public_suffix):
        raise RuleError(f"--allow-dns: {domain} is a public suffix; nobody owns all names below it")
    return domain


def _may_be_given(domain: str, is_public_suffix: Callable[[str], bool]) -> bool:
    if domain in PRIVATE_SUFFIXES:
        return True
    if "." not in domain:
        return domain in PRIVATE_PARENTS
    return not is_public_suffix(domain)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def smallest_rule(identifier: Identifier) -> tuple[RuleKind, str]:
    """The kind and pattern of the smallest rule that would allow exactly this name."""
    if identifier.type is IdentifierType.IP:
        return RuleKind.IP, str(ip_network(identifier.value))
    return RuleKind.DNS, identifier.value.removeprefix("*.") if not identifier.is_wildcard else identifier.value
