"""`policy allow`, `deny` and `remove`: one change of the rules, told before it is made and after."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from dayfly.cli.output import emit, say, tick
from dayfly.cli.policy.showing import rule_words
from dayfly.config.values import Config
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.denials import KeptDenial, allowed_by
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind, parse_network
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.core.settings.rule_changes import RulePlan, RuleRequest, covers, plan_denials, plan_removal, plan_rules
from dayfly.core.settings.rule_files import rule_document
from dayfly.core.x509.constraints import NameConstraints, is_permitted
from dayfly.errors import ConfigError, UsageError
from dayfly.wiring.commands import change_settings_of, is_public_suffix, read_denials_of, read_issuer_of
from dayfly.wiring.homes import enter_home

Planner = Callable[[Settings], RulePlan]


def allow(
    home: str | None, patterns: tuple[str, ...], denials: tuple[str, ...], options: dict[str, Any], *, as_json: bool
) -> None:
    """`policy allow`: patterns, or denials by their ids."""
    force = options.pop("force")
    if not denials:
        if not patterns:
            raise UsageError("nothing to allow is named", hint="name a pattern, or a denial: --denial ID")
        make(home, patterns, options, as_json=as_json)
        return
    if patterns or options["sources"] or options["wildcards"] or options["provisioner"]:
        raise UsageError(
            "--denial says all that its rule says: the name, the provisioner, wildcards and the network",
            hint="leave the other flags out, but for --owner",
        )
    _allow_denials(home, denials, options["owner"], force=force, as_json=as_json)


def make(home: str | None, patterns: tuple[str, ...], options: dict[str, Any], *, as_json: bool) -> None:
    """Make rules of patterns and networks."""
    is_suffix = is_public_suffix()
    config = enter_home(home)
    own = tuple(one.value for one in config.dns_names)
    request = RuleRequest(patterns, own_names=own, **options)
    plan = _carry_out(config, lambda settings: plan_rules(settings, request, is_public_suffix=is_suffix))
    _tell(config, plan, as_json=as_json)


def remove(home: str | None, rules: tuple[str, ...], *, as_json: bool) -> None:
    """`policy remove`: rules by their ids."""
    plan = _carry_out(enter_home(home), lambda settings: plan_removal(settings, rules))
    if as_json:
        emit({"removed": [rule_document(one) for one in plan.rules]})
    for rule in () if as_json else plan.rules:
        tick("Removed", f"{rule.id}: {rule_words(rule)}")


def _allow_denials(home: str | None, ids: tuple[str, ...], owner: str, *, force: bool, as_json: bool) -> None:
    """1. Find what was denied. 2. Show the smallest rules. 3. Ask a person. 4. Make them."""
    is_suffix = is_public_suffix()
    config = enter_home(home)
    own = tuple(one.value for one in config.dns_names)
    settings, kept = asyncio.run(read_denials_of(config))
    denied = [one for one in _find(ids, kept) if not _told_allowed(one, settings)]

    def planned(current: Settings) -> RulePlan:
        return plan_denials(current, denied, owner=owner, is_public_suffix=is_suffix, own_names=own)

    for denial in denied:
        _tell_denial(denial)
    for rule in planned(settings).rules if denied else ():
        tick("Smallest rule", rule_words(rule))
    if denied and not force and sys.stdin.isatty() and not click.confirm("Make it so?", default=False, err=True):
        raise UsageError("no rule was made")
    plan = _carry_out(config, planned) if denied else plan_removal(settings, ())
    _tell(config, plan, as_json=as_json, denials=denied)


def _find(ids: Sequence[str], kept: Sequence[KeptDenial]) -> list[KeptDenial]:
    """The denials by their ids, and each for the name that was said with it, as 4F2A=shop.corp; ConfigError."""
    by_id = {one.id: one for one in kept}
    asked = [text.strip().partition("=") for text in ids]
    wanted = dict.fromkeys(id_.strip().upper() for id_, _, _ in asked)
    missing = [one for one in wanted if one not in by_id]
    if missing:
        raise ConfigError("", f"there is no denial {', '.join(missing)}", hint="list them: dayfly ca denials")
    for id_, named, name in asked:
        denied = by_id[id_.strip().upper()]
        if named and name.strip().lower() != denied.identifier.value:
            raise ConfigError(
                "",
                f"denial {denied.id} is for {denied.identifier.value}, not for {name.strip()}",
                hint="list them: dayfly ca denials",
            )
    return [by_id[one] for one in wanted]


def _told_allowed(denial: KeptDenial, settings: Settings) -> bool:
    """Is it allowed by now? Then say so: nothing is to be done."""
    allowed = allowed_by(denial, settings.name_rules)
    if allowed is not None:
        tick("Denial", f"{denial.id}: {denial.identifier.value} is allowed by rule {allowed.rule} by now")
    return allowed is not None


def _tell_denial(denial: KeptDenial) -> None:
    times = "once" if denial.count == 1 else f"{denial.count} times"
    where = f" from {denial.source.removesuffix('/32')}" if denial.source else ""
    asked = f"asked for {times} of {denial.provisioner}, last by {denial.requester}{where}"
    tick("Denial", f"{denial.id}: {denial.identifier.value}, {asked}")


def _carry_out(config: Config, planner: Planner) -> RulePlan:
    """Make the change on the settings as they are at that moment; the plan that was made."""
    made: list[RulePlan] = []

    def plan(settings: Settings) -> SettingsChange:
        made.append(planner(settings))
        return made[-1].change

    asyncio.run(change_settings_of(config, plan))
    return made[-1]


def _tell(config: Config, plan: RulePlan, *, as_json: bool, denials: Sequence[KeptDenial] = ()) -> None:
    if plan.new_owner:
        tick("Owner", f"{plan.new_owner} (new)")
    for rule in plan.rules:
        there = "" if rule.id in plan.made else " (there already)"
        tick("Rule", f"{rule.id}: {rule_words(rule)}{there}")
        _warn(config, rule)
    if as_json:
        rules = [{**rule_document(one), "made": one.id in plan.made} for one in plan.rules]
        emit({"rules": rules, "denials": [one.id for one in denials]})


def _warn(config: Config, rule: Rule) -> None:
    """What the rule cannot give, and what it gives that is seldom meant."""
    if rule.action is RuleAction.DENY:
        return
    _, constraints = read_issuer_of(config)
    if not _can_be_given(rule, constraints):
        say(
            f"! {rule.pattern}: the issuing certificate is constrained to other names, so these stay refused; "
            "make another intermediate"
        )
    own = [one.value for one in config.dns_names if covers(rule, one.value) and one.value not in rule.excluded]
    if own:
        say(f"! {rule.pattern} gives {', '.join(own)} too: whoever has that certificate can pose as this CA")


def _can_be_given(rule: Rule, constraints: Sequence[NameConstraints]) -> bool:
    """Can the issuing certificates vouch for the pattern's base, for both ends of the network, for the kind at all?"""
    if rule.kind is RuleKind.DNS:
        names = [Identifier(IdentifierType.DNS, rule.pattern.lstrip("*").removeprefix("."))]
    elif rule.kind is not RuleKind.IP:
        names = [Identifier(IdentifierType(rule.kind.value), rule.pattern)]
    else:
        network = parse_network(rule.pattern, what=f"rule {rule.id}")
        names = [
            Identifier(IdentifierType.IP, str(one)) for one in (network.network_address, network.broadcast_address)
        ]
    return all(is_permitted(each, one) for each in constraints for one in names)
