"""Denials that are kept, so that an admin can allow exactly what was asked (security.md section 4, "Denials").

Rules: equal denials are one, told apart by what a rule would have to say, never by who asked; an id is short, drawn at
random, without letters that look like digits, and for a day no other denial's after its row went; one asker has a share
of the rows; the smallest rule gives one name, to one provisioner, and to one network where only the network was wrong;
it undoes nothing else that the rules near it hold back: neither the names that they exclude nor their networks; what no
rule can change makes no rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.decisions import DEFAULT_DENY, ISSUER_CONSTRAINTS, Allowed
from dayfly.core.policy.index import NameRules, matching_allows
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import Rule, RuleError, parse_network, smallest_rule
from dayfly.core.problems import Denial, Refused

KEPT = 1_000  # denials; the one that was met longest ago goes first
SHARES = 10  # nobody has more than this part of them, so that nobody pushes out all that others were told
ID_REST = timedelta(days=1)  # after its row went an id is for no other denial for so long: somebody was told it
MOST_GONE = 1_000  # ids that one asker uses up in that time
ID_OCTETS = 4  # of randomness for an id
ID_LENGTH = 4
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # without 0 O, 1 I L, and U


@dataclass(frozen=True, slots=True)
class Asker:
    """Who was refused: through which provisioner, as whom (`account 00000b1e5f400000`), and from where."""

    provisioner: str
    requester: str
    source: IPv4Address | IPv6Address | None


@dataclass(frozen=True, slots=True)
class KeptDenial:
    """One name that was refused, how often, and by whom last.

    `reason` is a word of core/events.Reason; `source` the network that the last request came from, "" where it is not
    known; `count` how often it was refused, first at `first_at` and last at `last_at`. `id` is "" before it is stored.
    `first_by` is who asked first, in whose share it is for good; "" is in nobody's.
    """

    identifier: Identifier
    provisioner: str
    rule: str
    reason: str
    owner: str
    nearest: str
    requester: str
    source: str
    first_at: datetime
    last_at: datetime
    count: int = 1
    id: str = ""
    first_by: str = ""

    @property
    def scope(self) -> str:
        """Whose scope denied it, as `eab:7hQ2`; "" where rules did, whose ids have no colon."""
        return self.rule if ":" in self.rule else ""

    @property
    def key(self) -> str:
        """What makes denials equal; none of its parts holds a space."""
        where = self.source if self.reason == Reason.SOURCE_NOT_ALLOWED else ""
        name = self.identifier.value.replace(" ", "%")  # a common name has spaces, and never this
        return f"{self.identifier.type} {name} {self.provisioner} {self.rule} {self.reason} {where}"


def denials_in(refused: Refused, asker: Asker, now: datetime) -> tuple[KeptDenial, ...]:
    """What a refusal denies by policy, name by name; nothing where it is a refusal of another kind."""
    return tuple(
        _kept(one.identifier, one.denial, asker, now)
        for one in refused.subproblems
        if isinstance(one.identifier, Identifier) and one.denial is not None
    )


def _kept(identifier: Identifier, denial: Denial, asker: Asker, now: datetime) -> KeptDenial:
    return KeptDenial(
        identifier=identifier,
        provisioner=asker.provisioner,
        rule=denial.rule,
        reason=denial.reason,
        owner=denial.owner,
        nearest=denial.nearest,
        requester=asker.requester,
        source=source_network(asker.source),
        first_at=now,
        last_at=now,
        first_by=f"{asker.provisioner} {asker.requester}",
    )


def source_network(source: IPv4Address | IPv6Address | None) -> str:
    """The network that a request is taken to come from: the address itself, or its /64; "" where it is not known."""
    if source is None:
        return ""
    return str(ip_network((source, 32 if source.version == 4 else 64), strict=False))


def share_of(keep: int) -> int:
    """How many of `keep` denials may be of one asker."""
    return max(1, keep // SHARES)


def put_ids(refused: Refused, ids: Mapping[Identifier, str]) -> None:
    """Write the ids into a refusal: each name's into its subproblem, a single name's also beside the refusal itself."""
    refused.subproblems = tuple(
        replace(one, denial=replace(one.denial, id=ids[one.identifier]))
        if isinstance(one.identifier, Identifier) and one.denial is not None and one.identifier in ids
        else one
        for one in refused.subproblems
    )
    if refused.denial is not None and len(refused.subproblems) == 1 and refused.subproblems[0].denial is not None:
        refused.denial = refused.subproblems[0].denial


def once_more(stored: KeptDenial, newer: KeptDenial) -> KeptDenial:
    """The stored denial after it was met again: the id, the first time and asker stay, the newer says by whom."""
    return replace(
        newer,
        id=stored.id,
        first_by=stored.first_by,
        first_at=stored.first_at,
        last_at=max(stored.last_at, newer.last_at),
        count=stored.count + newer.count,
    )


def render_denial_id(octets: bytes) -> str:
    """An id of four characters out of random octets."""
    number, letters = int.from_bytes(octets), ""
    for _ in range(ID_LENGTH):
        number, place = divmod(number, len(ALPHABET))
        letters += ALPHABET[place]
    return letters


def is_denial_id(text: str) -> bool:
    """Is it spelled as an id, so that it may stand in a command line whoever wrote it?"""
    return len(text) == ID_LENGTH and set(text) <= set(ALPHABET)


def allowed_by(denial: KeptDenial, rules: NameRules) -> Allowed | None:
    """The rule of today that gives the name to the same request; None where it would be denied again."""
    source = ip_network(denial.source).network_address if denial.source else None
    found = decide(rules, denial.identifier, provisioner=denial.provisioner, source=source)
    return found if isinstance(found, Allowed) and denial.rule != ISSUER_CONSTRAINTS and not denial.scope else None


def smallest_rule_for(
    denial: KeptDenial, rules: NameRules, *, rule_id: str, owner: str, own_names: Sequence[str] = ()
) -> Rule:
    """The rule that gives this name to this provisioner, and nothing more; RuleError where none can.

    A wildcard's rule says `wildcards`, and gives what the wildcard stands for, so there is none for a wildcard that
    stands for one of `own_names`, the CA's, or for a name that a rule of today excludes. Where an allow rule would have
    given the name to another network, the rule is bound to the network that asked; where the rules that speak of the
    name are bound to networks for another reason, to those of them that the request came from.
    """
    name = denial.identifier.value
    if denial.rule == ISSUER_CONSTRAINTS:
        raise RuleError(
            f"{name} is outside the issuing certificate's name constraints, which no rule can widen",
            hint="make another intermediate: docs/how-to/found-a-ca.md",
        )
    if denial.scope:
        raise RuleError(
            f"{name} is outside the scope of {denial.scope}, and no rule widens a scope",
            hint="make another external account key, or change the account's scope: dayfly ca account update",
        )
    if denial.rule != DEFAULT_DENY:
        raise RuleError(
            f"rule {denial.rule} denies {name}, and a rule that denies wins over all that allow",
            hint=f"if it is no longer meant: dayfly ca policy remove {denial.rule}",
        )
    near = matching_allows(rules, denial.identifier, provisioner=denial.provisioner)
    if denial.identifier.is_wildcard:
        _check_stands_for(name, (*own_names, *(one for rule in near for one in rule.excluded)))
    kind, pattern = smallest_rule(denial.identifier)
    return Rule(
        rule_id,
        kind,
        pattern,
        owner,
        provisioner=denial.provisioner,
        wildcards=denial.identifier.is_wildcard,
        sources=_sources(denial, near),
    )


def _check_stands_for(wildcard: str, excluded: Iterable[str]) -> None:
    """RuleError where the wildcard stands for a name that is held back: whoever has it can pose as that name."""
    held = sorted({one for one in excluded if one.partition(".")[2] == wildcard.removeprefix("*.")})
    if held:
        raise RuleError(
            f"{wildcard} stands for {', '.join(held)} too, which is the CA's own name or excluded by a rule",
            hint="allow the names that are needed one by one: dayfly ca policy allow NAME",
        )


def _sources(denial: KeptDenial, near: Iterable[Rule]) -> tuple[str, ...]:
    """The networks for the rule; none where no network is held against the request by any rule that speaks of it."""
    bound = tuple(dict.fromkeys(one for rule in near for one in rule.sources))
    if not denial.source:
        return bound
    if denial.reason == Reason.SOURCE_NOT_ALLOWED:
        return (denial.source,)
    if not bound:
        return ()
    return tuple(one for one in bound if _is_within(denial.source, one)) or (denial.source,)


def _is_within(inner: str, outer: str) -> bool:
    one, other = parse_network(inner, what="a denial's source"), parse_network(outer, what="a rule's source")
    return one.version == other.version and one.network_address in other and one.prefixlen >= other.prefixlen
