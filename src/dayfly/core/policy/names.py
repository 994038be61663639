"""Name rules: who may have which name (security.md section 4).

Rules: default deny; deny wins; `a.b` is exact, `*.a.b` exactly one label, `**.a.b` any depth below and not `a.b`
itself; a network allows the addresses in it; `@a.b` allows all mailboxes of a domain; of a URI the host is judged;
a rule holds for the whole authority or for one provisioner, and an allow rule may be bound to source networks; a
wildcard needs a rule that says so, and falls with any name that it would stand for. Only canonical names are asked
about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice

import msgspec

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import MAX_NAME, Identifier, IdentifierType, parse_dns, uri_host
from dayfly.core.policy.nearest import Hints, add_base, add_exact, add_network, near_names, near_network
from dayfly.core.policy.rules import (
    Network,
    Rule,
    RuleAction,
    RuleError,
    RuleKind,
    check_rule,
    parse_network,
    parse_pattern,
)
from dayfly.core.problems import Denial, Refused, RejectedIdentifier, Subproblem

__all__ = [
    "DEFAULT_DENY",
    "ISSUER_CONSTRAINTS",
    "Allowed",
    "Denied",
    "NameRules",
    "Rule",
    "RuleAction",
    "RuleError",
    "RuleKind",
    "check_decisions",
    "check_names",
    "check_rule",
    "compile_rules",
    "decide",
    "first_rules",
    "is_within",
    "matching_allows",
    "may_be_given",
    "smallest_rule",
]

DEFAULT_DENY = "default-deny"
ISSUER_CONSTRAINTS = "issuer-constraints"  # in a denial: the issuing certificate's name constraints decided
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

REMEMBERED = 4096  # names
NEAR_NAMES = 8  # candidates that a denial asks the rules about, so that its cost has a bound

_SOURCE = "gives it, but not to this network"

Source = IPv4Address | IPv6Address


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """A name is allowed: by which rule, and whose it is."""

    rule: str
    owner: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A name is denied: by what, the reason as a label, and `why` in words."""

    denial: Denial
    reason: Reason
    why: str


@dataclass(frozen=True, slots=True)
class _Compiled:
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

    exact: dict[str, list[_Compiled]] = field(default_factory=dict)
    one_label: dict[str, list[_Compiled]] = field(default_factory=dict)
    any_depth: dict[str, list[_Compiled]] = field(default_factory=dict)
    denied_in: dict[str, list[_Compiled]] = field(default_factory=dict)
    networks: dict[Network, list[_Compiled]] = field(default_factory=dict)
    others: dict[tuple[RuleKind, str], list[_Compiled]] = field(default_factory=dict)
    prefixes: dict[int, list[int]] = field(default_factory=lambda: {4: [], 6: []})
    hints: Hints = field(default_factory=Hints)
    given: dict[tuple[Identifier, str], Allowed] = field(default_factory=dict, compare=False, repr=False)


def compile_rules(rules: Iterable[Rule]) -> NameRules:
    """The index of these rules; RuleError."""
    index = NameRules()
    for rule in rules:
        check_rule(rule)
        one = _Compiled(rule, tuple(parse_network(text, what=f"rule {rule.id}") for text in rule.sources))
        if rule.kind is RuleKind.DNS:
            _index_name(index, one)
        elif rule.kind is RuleKind.IP:
            _index_network(index, one)
        else:
            _index_other(index, one)
    for lengths in index.prefixes.values():
        lengths.sort(reverse=True)
    return index


def _index_name(index: NameRules, one: _Compiled) -> None:
    stars, base = parse_pattern(one.rule.pattern, what=f"rule {one.rule.id}")
    table = {"": index.exact, "*": index.one_label, "**": index.any_depth}[stars]
    table.setdefault(base, []).append(one)
    if one.rule.action is RuleAction.ALLOW:
        (add_base if stars else add_exact)(index.hints, one.rule.provisioner, base)
    elif not stars:
        index.denied_in.setdefault(base.partition(".")[2], []).append(one)


def _index_network(index: NameRules, one: _Compiled) -> None:
    network = parse_network(one.rule.pattern, what=f"rule {one.rule.id}")
    index.networks.setdefault(network, []).append(one)
    if network.prefixlen not in index.prefixes[network.version]:
        index.prefixes[network.version].append(network.prefixlen)
    if one.rule.action is RuleAction.ALLOW:
        add_network(index.hints, one.rule.provisioner, network)


def _index_other(index: NameRules, one: _Compiled) -> None:
    kind, pattern = one.rule.kind, one.rule.pattern
    index.others.setdefault((kind, pattern), []).append(one)
    if one.rule.action is RuleAction.DENY:
        return
    if kind is RuleKind.URI:
        stars, base = parse_pattern(pattern, what=f"rule {one.rule.id}")
        (add_base if stars else add_exact)(index.hints, _hint_scope(kind, one.rule.provisioner), base)
    elif kind is RuleKind.EMAIL and pattern.startswith("@"):
        add_exact(index.hints, _hint_scope(kind, one.rule.provisioner), pattern[1:])


def _hint_scope(kind: str, provisioner: str) -> str:
    """Where hints of a kind beside names are kept; no provisioner's name holds a slash."""
    return f"{kind}/{provisioner}"


def decide(rules: NameRules, identifier: Identifier, *, provisioner: str, source: Source | None) -> Allowed | Denied:
    """May this name be had from this provisioner, asked for from this source?

    1. Every rule that matches the name, for this provisioner; for a wildcard also what denies a name it stands for.
    2. A deny rule among them decides.
    3. Else the first allow rule that takes the wildcard, the name and the source.
    4. Else the default: no; if a rule came near, the denial says what it lacks, and whose it is.
    """
    known = rules.given.get((identifier, provisioner))
    if known is not None:
        return known
    found = _decide(rules, identifier, provisioner=provisioner, source=source)
    if isinstance(found, Allowed):
        return found
    if identifier.type is IdentifierType.DNS:
        near = _near_name(rules, identifier, provisioner=provisioner, source=source)
    elif identifier.type is not IdentifierType.IP:
        near = _near_other(rules, identifier, provisioner=provisioner, source=source)
    else:  # where a rule speaks of the address already, its network is no advice
        near = "" if found.denial.owner else near_network(rules.hints, ip_address(identifier.value), provisioner)
    return replace(found, denial=replace(found.denial, nearest=near))


def _decide(rules: NameRules, identifier: Identifier, *, provisioner: str, source: Source | None) -> Allowed | Denied:
    """Steps 1 to 4, without the nearest."""
    matching = [one for one in _matching(rules, identifier) if one.rule.provisioner in {"", provisioner}]
    for one in matching:
        if one.rule.action is RuleAction.DENY:
            why = f"rule {one.rule.id} of {one.rule.owner} denies it"
            return Denied(Denial(one.rule.id, one.rule.owner), Reason.NAME_NOT_ALLOWED, why)
    near = Denied(Denial(DEFAULT_DENY), Reason.NAME_NOT_ALLOWED, "no rule allows it")
    for one in matching:
        lacking = _lacking(one, identifier, source)
        if not lacking:
            return _remembered(rules, identifier, provisioner, matching, Allowed(one.rule.id, one.rule.owner))
        if near.reason is Reason.NAME_NOT_ALLOWED:
            reason = Reason.SOURCE_NOT_ALLOWED if lacking == _SOURCE else Reason.NAME_NOT_ALLOWED
            why = f"rule {one.rule.id} of {one.rule.owner} {lacking}"
            near = Denied(Denial(DEFAULT_DENY, one.rule.owner), reason, why)
    return near


def _remembered(
    rules: NameRules, identifier: Identifier, provisioner: str, matching: Sequence[_Compiled], allowed: Allowed
) -> Allowed:
    """The same, kept for the next look where it holds for every source; bounded by forgetting all at once."""
    if not any(one.sources for one in matching):
        if len(rules.given) >= REMEMBERED:
            rules.given.clear()
        rules.given[identifier, provisioner] = allowed
    return allowed


def _lacking(one: _Compiled, identifier: Identifier, source: Source | None) -> str:
    """Why a rule that matches the name does not give it; "" where it does."""
    if _is_excluded(identifier, one.rule.excluded):
        return "excludes it"
    if identifier.is_wildcard and not one.rule.wildcards:
        return "gives no wildcards"
    if one.sources and not is_within(source, one.sources):
        return _SOURCE
    return ""


def _is_excluded(identifier: Identifier, excluded: tuple[str, ...]) -> bool:
    """Is the name excluded, or a wildcard that stands for one that is?"""
    if identifier.value in excluded:
        return True
    return identifier.is_wildcard and any(name.partition(".")[2] == identifier.value[2:] for name in excluded)


def _matching(rules: NameRules, identifier: Identifier) -> list[_Compiled]:
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


def matching_allows(rules: NameRules, identifier: Identifier, *, provisioner: str) -> tuple[Rule, ...]:
    """The allow rules that speak of this name for this provisioner, whether they give it or lack something."""
    found = (one.rule for one in _matching(rules, identifier))
    return tuple(one for one in found if one.action is RuleAction.ALLOW and one.provisioner in {"", provisioner})


def _matching_networks(rules: NameRules, address: Source) -> list[_Compiled]:
    """The narrowest network first."""
    found: list[_Compiled] = []
    for length in rules.prefixes[address.version]:
        found += rules.networks.get(ip_network((address, length), strict=False), ())
    return found


def is_within(source: Source | None, networks: tuple[Network, ...]) -> bool:
    """Is the source, which must be known, in one of the networks?"""
    return source is not None and any(source.version == network.version and source in network for network in networks)


def _near_name(rules: NameRules, identifier: Identifier, *, provisioner: str, source: Source | None) -> str:
    """The nearest name that would be given to the same request; for a wildcard its base or none; "" where none is."""
    name = identifier.value.removeprefix("*.")
    candidates = islice(near_names(rules.hints, name, (provisioner, "")), NEAR_NAMES)
    for candidate in (name,) if identifier.is_wildcard else candidates:
        if len(candidate) > MAX_NAME:
            continue
        asked = Identifier(IdentifierType.DNS, candidate)
        if isinstance(_decide(rules, asked, provisioner=provisioner, source=source), Allowed):
            return candidate
    return ""


def _near_other(rules: NameRules, identifier: Identifier, *, provisioner: str, source: Source | None) -> str:
    """The same mailbox in another domain, or the same URI at another host, that would be given; "" where none is."""
    if identifier.type is IdentifierType.CN:
        return ""
    before, host, after = _around_host(identifier)
    scopes = (_hint_scope(identifier.type, provisioner), _hint_scope(identifier.type, ""))
    for candidate in islice(near_names(rules.hints, host, scopes), NEAR_NAMES):
        asked = Identifier(identifier.type, f"{before}{candidate}{after}")
        if isinstance(_decide(rules, asked, provisioner=provisioner, source=source), Allowed):
            return asked.value
    return ""


def _around_host(identifier: Identifier) -> tuple[str, str, str]:
    """What stands before the domain or host, it, and what stands behind it."""
    if identifier.type is IdentifierType.EMAIL:
        local, at, domain = identifier.value.rpartition("@")
        return local + at, domain, ""
    host = uri_host(identifier)
    scheme, _, rest = identifier.value.partition("://")
    return f"{scheme}://", host, rest[len(host) :]


def check_names(
    rules: NameRules, identifiers: Sequence[Identifier], *, provisioner: str, source: Source | None
) -> tuple[Allowed, ...]:
    """The decision for every name, in order; RejectedIdentifier names all that are denied (RFC 8555 6.7.1)."""
    return check_decisions([(one, decide(rules, one, provisioner=provisioner, source=source)) for one in identifiers])


def check_decisions(decisions: Sequence[tuple[Identifier, Allowed | Denied]]) -> tuple[Allowed, ...]:
    """What allows each name, in order; RejectedIdentifier names all that are denied (RFC 8555 6.7.1)."""
    denied = [(one, found) for one, found in decisions if isinstance(found, Denied)]
    if not denied:
        return tuple([found for _, found in decisions if isinstance(found, Allowed)])
    subproblems = [
        Subproblem(RejectedIdentifier.type, _told(one, found), one, replace(found.denial, reason=found.reason))
        for one, found in denied
    ]
    if len(denied) == 1:
        raise RejectedIdentifier(subproblems[0].detail, subproblems=subproblems, denial=subproblems[0].denial)
    names = ", ".join(one.value for one, _ in denied[:5])
    raise RejectedIdentifier(f"{len(denied)} names are not allowed: {names}"[:300], subproblems=subproblems)


def _told(identifier: Identifier, found: Denied) -> str:
    """One sentence for the client: the name, why, the rule that decided, what would be allowed, who can help."""
    denial = found.denial
    nearest = f"; nearest that would be allowed: {denial.nearest}" if denial.nearest else ""
    helper = denial.owner or "an owner of a rule"
    return f"{identifier.value}: {found.why} ({denial.rule}){nearest}; {helper} must allow it"


def first_rules(
    dns_names: Sequence[str],
    *,
    allow_dns: Sequence[str] = (),
    allow_ip: Sequence[str] = (),
    owner: str,
    is_public_suffix: Callable[[str], bool],
) -> tuple[Rule, ...]:
    """The rules that a new CA begins with (security.md section 4, "First rule").

    The parent of each of the CA's own names (canonical; addresses may be among them), and everything below it, without
    wildcards and the CA's own names; the same for `allow_dns`; the networks of `allow_ip`. RuleError for a suffix that
    is public, or for what is no domain or network.
    """
    own = tuple(name for name in dns_names if not _is_address(name))
    addresses = tuple(name for name in dns_names if _is_address(name))
    parents = [parent for name in own if (parent := _own_parent(name, is_public_suffix))]
    asked = [_asked_domain(name, is_public_suffix) for name in allow_dns]
    patterns = [(RuleKind.DNS, pattern) for base in dict.fromkeys(parents + asked) for pattern in (base, f"**.{base}")]
    networks = [str(parse_network(text, what="--allow-ip")) for text in allow_ip]
    patterns += [(RuleKind.IP, text) for text in dict.fromkeys(networks)]
    rules = tuple(
        Rule(f"r{number}", kind, pattern, owner, excluded=own if kind is RuleKind.DNS else addresses)
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
    return parent if may_be_given(parent, is_public_suffix) else ""


def _asked_domain(name: str, is_public_suffix: Callable[[str], bool]) -> str:
    try:
        domain = parse_dns(name, wildcard=False).value
    except Refused as error:
        raise RuleError(f"--allow-dns: {error.detail}") from None
    if not may_be_given(domain, is_public_suffix):
        raise RuleError(
            f"--allow-dns: {domain} is a public suffix; nobody owns all names below it", hint="name a domain of yours"
        )
    return domain


def may_be_given(domain: str, is_public_suffix: Callable[[str], bool]) -> bool:
    """May a rule give the names below this domain? No public suffix, and of single labels only private ones."""
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
    """The kind and pattern of the smallest rule that would allow this name; a wildcard's must say `wildcards` too."""
    if identifier.type is IdentifierType.IP:
        return RuleKind.IP, str(ip_network(identifier.value))
    if identifier.type is IdentifierType.URI:
        return RuleKind.URI, uri_host(identifier)
    return RuleKind(identifier.type.value), identifier.value
