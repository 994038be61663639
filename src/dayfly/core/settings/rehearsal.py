"""What rules would have done with the requests of the last while, and which rules those requests need.

Rules: the engine's own answer is asked twice, for the rules of today and for the others; where a certificate was asked
for from is not kept, so a rule that is bound to networks is taken to give the name, to some; what is suggested allows
every request that it was made for, names the CA's own names never, and gives nobody's domain away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Protocol

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType, uri_host
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.denials import KeptDenial
from dayfly.core.policy.first_rules import may_be_given
from dayfly.core.policy.index import NameRules
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.rule_changes import IsPublicSuffix, covers

WIDE = 3  # names below one domain that make a pattern of it

IsGiven = Callable[[str], bool]


class Given(Protocol):
    """A certificate, as far as it counts here."""

    @property
    def names(self) -> tuple[Identifier, ...]:
        """Its names."""
        ...

    @property
    def provisioner(self) -> str:
        """Through which it was given."""
        ...

    @property
    def owner(self) -> str:
        """Whose it is."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A name that was asked for so often through a provisioner; `owner` is the certificates', "" where it was denied.

    `source` is the network that a denied request came from, "" where it is not known.
    """

    identifier: Identifier
    provisioner: str
    owner: str = ""
    source: str = ""
    count: int = 1

    @property
    def was_denied(self) -> bool:
        """Was it refused, and never given?"""
        return not self.owner


def asked_for(certificates: Iterable[Given], denials: Iterable[KeptDenial]) -> tuple[Asked, ...]:
    """The names of certificates and denials, equal ones once; the denials are the newest that are kept."""
    counts: dict[Asked, int] = defaultdict(int)
    for one in certificates:
        for name in one.names:
            counts[Asked(name, one.provisioner, one.owner)] += 1
    for denial in denials:
        counts[Asked(denial.identifier, denial.provisioner, source=denial.source)] += denial.count
    return tuple(replace(one, count=count) for one, count in counts.items())


class Standing(StrEnum):
    """How a name stands with some rules; `somewhere` is from some networks only."""

    ALLOWED = "allowed"
    SOMEWHERE = "somewhere"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Answer:
    """What rules say to a request: the rule that decided, or `default-deny`, and whose the certificate would be."""

    standing: Standing
    rule: str
    owner: str
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that the other rules answer otherwise."""

    asked: Asked
    before: Answer
    after: Answer

    @property
    def kind(self) -> str:
        """`newly_denied`, `newly_allowed`, `narrowed` or `widened` to networks, `moved` to another owner."""
        before, after = self.before.standing, self.after.standing
        if after is Standing.DENIED:
            return "newly_denied"
        if before is Standing.DENIED:
            return "newly_allowed"
        if before is after:
            return "moved"
        return "narrowed" if after is Standing.SOMEWHERE else "widened"


def compare(asked: Iterable[Asked], before: NameRules, after: NameRules) -> tuple[Difference, ...]:
    """The requests that the rules `after` answer otherwise than those `before`, most often asked first."""
    answers = ((one, _answer(before, one), _answer(after, one)) for one in asked)
    found = [Difference(*each) for each in answers if _differ(each[1], each[2])]
    return tuple(sorted(found, key=lambda one: (one.kind, -one.asked.count, one.asked.identifier)))


def _differ(before: Answer, after: Answer) -> bool:
    if before.standing is not after.standing:
        return True
    return before.standing is not Standing.DENIED and before.owner != after.owner


def _answer(rules: NameRules, asked: Asked) -> Answer:
    source = ip_network(asked.source).network_address if asked.source else None
    found = decide(rules, asked.identifier, provisioner=asked.provisioner, source=source)
    if isinstance(found, Allowed):
        return Answer(Standing.ALLOWED, found.rule, found.owner, f"allowed by {found.rule}")
    if found.reason is Reason.SOURCE_NOT_ALLOWED and source is None:
        return Answer(Standing.SOMEWHERE, found.denial.rule, found.denial.owner, found.why)
    return Answer(Standing.DENIED, found.denial.rule, found.denial.owner, found.why)


def suggest_rules(
    asked: Sequence[Asked],
    *,
    owner: str,
    own_names: Sequence[str],
    is_public_suffix: IsPublicSuffix,
    wide: int = WIDE,
) -> tuple[Rule, ...]:
    """The fewest rules that allow all of these requests.

    Each provisioner and owner has rules of its own; a denied request's owner is `owner`. So many names (`wide`) right
    below a domain that may be given away become `*.domain`, addresses the networks that they fill, so many mailboxes of
    a domain `@domain`; all else stays as exact as it was asked for.
    """
    groups: dict[tuple[str, str], list[Identifier]] = defaultdict(list)
    for one in asked:
        groups[one.provisioner, one.owner or owner].append(one.identifier)
    made: list[Rule] = []
    for (provisioner, of), names in sorted(groups.items()):
        for kind, pattern, wildcards in _patterns(names, wide, lambda one: may_be_given(one, is_public_suffix)):
            rule = Rule(f"s{len(made) + 1}", kind, pattern, of, provisioner=provisioner, wildcards=wildcards)
            held = tuple(name for name in own_names if covers(rule, name) and not _is_asked(name, names))
            made.append(replace(rule, excluded=held))
    return tuple(made)


def _is_asked(own: str, names: Sequence[Identifier]) -> bool:
    return any(one.value == own or (one.is_wildcard and one.value[2:] == own.partition(".")[2]) for one in names)


def _patterns(names: Iterable[Identifier], wide: int, may: IsGiven) -> Iterable[tuple[RuleKind, str, bool]]:
    """Kind, pattern and wildcards of each rule, the kinds in a fixed order."""
    by_type: Mapping[IdentifierType, set[Identifier]] = {
        kind: {one for one in names if one.type is kind} for kind in IdentifierType
    }
    yield from _dns(by_type[IdentifierType.DNS], wide, may)
    yield from ((RuleKind.IP, str(one), False) for one in _networks(by_type[IdentifierType.IP]))
    mailboxes = {one.value for one in by_type[IdentifierType.EMAIL]}
    yield from ((RuleKind.EMAIL, one, False) for one in _together(mailboxes, "@", "@", wide, may))
    hosts = {uri_host(one) for one in by_type[IdentifierType.URI]}
    yield from ((RuleKind.URI, one, False) for one in _together(hosts, ".", "*.", wide, may))
    yield from ((RuleKind.CN, one.value, False) for one in sorted(by_type[IdentifierType.CN]))


def _dns(names: set[Identifier], wide: int, may: IsGiven) -> Iterable[tuple[RuleKind, str, bool]]:
    """A wildcard's rule says so, and is one for its domain if that has a rule anyway."""
    plain = {one.value for one in names if not one.is_wildcard}
    stars = {one.value.removeprefix("*.") for one in names if one.is_wildcard}
    for pattern in _together(plain, ".", "*.", wide, may):
        yield RuleKind.DNS, pattern, pattern.startswith("*.") and pattern[2:] in stars
        stars.discard(pattern[2:] if pattern.startswith("*.") else "")
    for base in sorted(stars):
        yield RuleKind.DNS, f"*.{base}", True


def _together(values: set[str], separator: str, head: str, wide: int, may: IsGiven) -> Iterable[str]:
    """The values, those of one domain as one pattern where they are so many and it may be given away."""
    domains: dict[str, set[str]] = defaultdict(set)
    for value in values:
        domains[value.partition(separator)[2]].add(value)
    for domain, members in sorted(domains.items()):
        if domain and len(members) >= wide and may(domain):
            yield f"{head}{domain}"
        else:
            yield from sorted(members)


def _networks(addresses: Iterable[Identifier]) -> Iterable[IPv4Network | IPv6Network]:
    """The networks that these addresses fill, and no other address."""
    single = [ip_network(one.value) for one in addresses]
    yield from collapse_addresses(one for one in single if isinstance(one, IPv4Network))
    yield from collapse_addresses(one for one in single if isinstance(one, IPv6Network))
