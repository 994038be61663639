"""Who may have which name (security.md section 4).

Rules: default deny; deny wins; a rule holds for the whole authority or for one provisioner, and an allow rule may be
bound to source networks; a wildcard needs a rule that says so, and falls with any name that it would stand for. Only
canonical names are asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from itertools import islice

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import MAX_NAME, Identifier, IdentifierType, uri_host
from dayfly.core.policy.decisions import DEFAULT_DENY, Allowed, Denied, check_decisions
from dayfly.core.policy.index import CompiledRule, NameRules, hint_scope, matching_rules
from dayfly.core.policy.nearest import near_names, near_network
from dayfly.core.policy.rules import (
    RuleAction,
    Source,
    is_within,
)
from dayfly.core.problems import Denial

REMEMBERED = 4096  # names
NEAR_NAMES = 8  # candidates that a denial asks the rules about, so that its cost has a bound

_SOURCE = "gives it, but not to this network"


def check_names(
    rules: NameRules, identifiers: Sequence[Identifier], *, provisioner: str, source: Source | None
) -> tuple[Allowed, ...]:
    """The decision for every name, in order; RejectedIdentifier names all that are denied (RFC 8555 6.7.1)."""
    return check_decisions([(one, decide(rules, one, provisioner=provisioner, source=source)) for one in identifiers])


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
    matching = [one for one in matching_rules(rules, identifier) if one.rule.provisioner in {"", provisioner}]
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
    rules: NameRules, identifier: Identifier, provisioner: str, matching: Sequence[CompiledRule], allowed: Allowed
) -> Allowed:
    """The same, kept for the next look where it holds for every source; bounded by forgetting all at once."""
    if not any(one.sources for one in matching):
        if len(rules.given) >= REMEMBERED:
            rules.given.clear()
        rules.given[identifier, provisioner] = allowed
    return allowed


def _lacking(one: CompiledRule, identifier: Identifier, source: Source | None) -> str:
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
    scopes = (hint_scope(identifier.type, provisioner), hint_scope(identifier.type, ""))
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
