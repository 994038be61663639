"""Name rules as step shows and changes them: a policy of the authority, and one of each provisioner.

Rules: a policy is the rules of its scope and nothing else; what step cannot say of a rule (owner, source networks,
exclusions) stays as it is and is not shown; wildcards are on where all rules that allow names say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dayfly.core.frozen import replace
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind, parse_target
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.core.settings.rule_changes import IsPublicSuffix, RuleRequest, plan_rules

_MEMBERS: Mapping[RuleKind, str] = {
    RuleKind.DNS: "dns",
    RuleKind.IP: "ips",
    RuleKind.EMAIL: "emails",
    RuleKind.URI: "uris",
    RuleKind.CN: "commonNames",
}


def render_policy(settings: Settings, scope: str) -> dict[str, Any] | None:
    """The policy of a scope ("" is the authority) in the shape of step's; None where it has no rule."""
    rules = _of(settings, scope)
    if not rules:
        return None
    x509: dict[str, Any] = {str(action): _names(rules, action) for action in RuleAction}
    return {"x509": {**x509, "allowWildcardNames": has_wildcards(settings, scope)}}


def _of(settings: Settings, scope: str) -> tuple[Rule, ...]:
    return tuple(one for one in settings.rules if one.provisioner == scope)


def _names(rules: tuple[Rule, ...], action: RuleAction) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in rules:
        if one.action is action:
            found.setdefault(_MEMBERS[one.kind], []).append(one.pattern)
    return {member: list(dict.fromkeys(patterns)) for member, patterns in found.items()}


def has_wildcards(settings: Settings, scope: str) -> bool:
    """Do all rules of the scope that allow names allow wildcards, and is there one?"""
    giving = [one.wildcards for one in _of(settings, scope) if _gives_names(one)]
    return bool(giving) and all(giving)


def _gives_names(rule: Rule) -> bool:
    return rule.action is RuleAction.ALLOW and rule.kind is RuleKind.DNS


def plan_names(
    settings: Settings, request: RuleRequest, kind: RuleKind, *, is_public_suffix: IsPublicSuffix
) -> SettingsChange:
    """The change that adds names or networks to a policy; RuleError for one that is not of this kind."""
    wildcards = kind is RuleKind.DNS and request.action is RuleAction.ALLOW
    wanted = replace(request, kind=kind, wildcards=wildcards and has_wildcards(settings, request.provisioner))
    return plan_rules(settings, wanted, is_public_suffix=is_public_suffix).change


def plan_names_removal(settings: Settings, request: RuleRequest, kind: RuleKind) -> SettingsChange:
    """The change that takes names or networks out of a policy; what is not in it is no error, as in step."""
    targets = {parse_target(text, kind=kind) for text in request.patterns}
    gone = [
        one.id
        for one in _of(settings, request.provisioner)
        if one.action is request.action and (one.kind, one.pattern) in targets
    ]
    return SettingsChange(settings.revision, remove=tuple(("rule", one) for one in gone))


def plan_wildcards(settings: Settings, scope: str, *, allowed: bool) -> SettingsChange:
    """The change that lets all rules of a scope that allow names allow wildcards too, or none of them."""
    changed = [one for one in _of(settings, scope) if _gives_names(one) and one.wildcards is not allowed]
    return SettingsChange(settings.revision, put=tuple(replace(one, wildcards=allowed) for one in changed))


def plan_policy_removal(settings: Settings, scope: str) -> SettingsChange:
    """The change that removes all rules of a scope."""
    return SettingsChange(settings.revision, remove=tuple(("rule", one.id) for one in _of(settings, scope)))
