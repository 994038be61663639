"""Changes of the name rules as an admin asks for them (security.md section 4).

Rules: a rule is made once, and asking for it again changes nothing; its number is above that of every rule there is and
of the revision, so that a number seldom comes twice; a pattern never gives the CA's own names, only a rule for exactly
such a name does; a public suffix never becomes a rule that allows, and of single labels only a private one has names
below it to give; every rule has an owner, who is the only one there is unless somebody is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from dayfly.core.frozen import replace
from dayfly.core.policy.denials import KeptDenial, smallest_rule_for
from dayfly.core.policy.first_rules import may_be_given
from dayfly.core.policy.rules import (
    Rule,
    RuleAction,
    RuleError,
    RuleKind,
    check_rule,
    parse_network,
    parse_pattern,
    parse_target,
)
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.errors import ConfigError

IsPublicSuffix = Callable[[str], bool]

_NUMBERED = re.compile(r"r([0-9]{1,18})")
_NEW = "new"  # the id of a rule that has none yet


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """What an admin wants for some patterns.

    Empty `owner` means the only one, empty `provisioner` the authority; `own_names` are those of the CA, canonical.
    `kind` is that of all patterns, None to tell it by how each is written.
    """

    patterns: tuple[str, ...]
    action: RuleAction = RuleAction.ALLOW
    owner: str = ""
    provisioner: str = ""
    wildcards: bool = False
    sources: tuple[str, ...] = ()
    own_names: tuple[str, ...] = ()
    kind: RuleKind | None = None


@dataclass(frozen=True, slots=True)
class RulePlan:
    """The rules that were asked for, as they stand after the change, and the change; those that were there are not."""

    rules: tuple[Rule, ...]
    change: SettingsChange

    @property
    def made(self) -> frozenset[str]:
        """The ids of the rules that the change makes."""
        return frozenset(one.id for one in self.change.put if isinstance(one, Rule))

    @property
    def new_owner(self) -> str:
        """The owner that the change makes; "" where there was one."""
        return next((one.name for one in self.change.put if isinstance(one, Owner)), "")


def plan_rules(settings: Settings, request: RuleRequest, *, is_public_suffix: IsPublicSuffix) -> RulePlan:
    """The change that makes rules of patterns and networks; RuleError, and ConfigError for the owner."""
    owner = choose_owner(settings, request.owner)
    wanted = [_asked(text, request, owner) for text in request.patterns]
    return _plan(settings, wanted, is_public_suffix)


def _asked(text: str, request: RuleRequest, owner: str) -> Rule:
    kind, pattern = parse_target(text, kind=request.kind)
    rule = Rule(
        _NEW,
        kind,
        pattern,
        owner,
        request.action,
        provisioner=request.provisioner,
        wildcards=request.wildcards,
        sources=tuple(str(parse_network(one, what="--source")) for one in request.sources),
    )
    if request.action is RuleAction.DENY or pattern in request.own_names:
        return rule
    return replace(rule, excluded=tuple(one for one in request.own_names if covers(rule, one)))


def covers(rule: Rule, name: str) -> bool:
    """Is the name, a canonical one and no wildcard, one that the rule's pattern or network speaks of?"""
    if rule.kind not in {RuleKind.DNS, RuleKind.IP}:
        return False
    if rule.kind is RuleKind.IP:
        return _is_address(name) and ip_address(name) in ip_network(rule.pattern)
    stars, base = parse_pattern(rule.pattern, what=f"rule {rule.id}")
    parent = name.partition(".")[2]
    return {"": name == base, "*": parent == base, "**": name.endswith(f".{base}")}[stars]


def plan_denials(
    settings: Settings,
    denials: Iterable[KeptDenial],
    *,
    owner: str,
    is_public_suffix: IsPublicSuffix,
    own_names: tuple[str, ...] = (),
) -> RulePlan:
    """The change that allows exactly what was denied; RuleError where no rule can, ConfigError for the owner.

    The owner is the named one, else that of the rule that came near, else the only one. `own_names` are those of the
    CA, canonical.
    """
    known = {one.name for one in settings.owners}
    wanted = [
        smallest_rule_for(
            one,
            settings.name_rules,
            rule_id=_NEW,
            owner=choose_owner(settings, owner or (one.owner if one.owner in known else "")),
            own_names=own_names,
        )
        for one in denials
    ]
    return _plan(settings, wanted, is_public_suffix)


def plan_removal(settings: Settings, rule_ids: Iterable[str]) -> RulePlan:
    """The change that removes rules; ConfigError where one is not there."""
    by_id = {one.id: one for one in settings.rules}
    wanted = tuple(dict.fromkeys(rule_ids))
    missing = [one for one in wanted if one not in by_id]
    if missing:
        raise ConfigError("", f"there is no rule {', '.join(missing)}", hint="list them: dayfly ca policy show")
    removal = SettingsChange(settings.revision, remove=tuple(("rule", one) for one in wanted))
    return RulePlan(tuple(by_id[one] for one in wanted), removal)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def choose_owner(settings: Settings, asked: str) -> str:
    """The owner that is asked for, who may be new, else the only one; ConfigError where there are more, or none."""
    if asked:
        return asked
    names = sorted(one.name for one in settings.owners)
    if len(names) == 1:
        return names[0]
    known = f"; there are {', '.join(names[:10])}" if names else ""
    raise ConfigError("", f"every rule has an owner, and it must be named here{known}", hint="add --owner NAME")


def _plan(settings: Settings, wanted: Iterable[Rule], is_public_suffix: IsPublicSuffix) -> RulePlan:
    """1. Each rule is well formed. 2. It may be given. 3. It is there already, or gets a number. 4. Its owner."""
    present = {_without_id(one): one for one in settings.rules}
    number, made = _highest(settings), []
    rules = []
    for rule in wanted:
        _check_new(rule)
        _check_given(rule, is_public_suffix)
        if rule not in present:
            number += 1
            present[rule] = replace(rule, id=f"r{number}")
            made.append(present[rule])
        rules.append(present[rule])
    known = {one.name for one in settings.owners}
    owners = [Owner(name) for name in dict.fromkeys(one.owner for one in made) if name not in known]
    return RulePlan(tuple(dict.fromkeys(rules)), SettingsChange(settings.revision, put=(*owners, *made)))


def _without_id(rule: Rule) -> Rule:
    """What the rule says, whatever it is called; an exclusion that it does not cover says nothing."""
    return replace(rule, id=_NEW, excluded=tuple(one for one in rule.excluded if covers(rule, one)))


def _highest(settings: Settings) -> int:
    numbers = [int(match[1]) for one in settings.rules if (match := _NUMBERED.fullmatch(one.id))]
    return max(settings.revision, *numbers, 0)


def _check_new(rule: Rule) -> None:
    if rule.action is RuleAction.DENY and (rule.sources or rule.wildcards):
        raise RuleError("a rule that denies holds from everywhere, wildcards included", hint="leave the flag out")
    check_rule(rule)


def _check_given(rule: Rule, is_public_suffix: IsPublicSuffix) -> None:
    """A public suffix belongs to nobody here, so no rule gives it, or what is below it."""
    if rule.action is RuleAction.DENY or rule.kind in {RuleKind.IP, RuleKind.CN}:
        return
    if rule.kind is RuleKind.EMAIL:
        stars, base = "", rule.pattern.rpartition("@")[2]
    else:
        stars, base = parse_pattern(rule.pattern, what="the pattern")
    if is_public_suffix(base) or (stars and not may_be_given(base, is_public_suffix)):
        what = "a public suffix" if is_public_suffix(base) else "a single label that is not known to be private"
        raise RuleError(
            f"{rule.pattern}: {base} is {what}; nobody owns all names below it", hint="name a domain of yours"
        )
