"""Name rules as step shows and changes them (step-compat.md part 14)."""

from __future__ import annotations

import pytest

from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind
from dayfly.core.settings.revisions import Settings, SettingsChange, apply_change, make_settings
from dayfly.core.settings.rule_changes import RuleRequest
from dayfly.core.settings.step_policy import (
    has_wildcards,
    plan_names,
    plan_names_removal,
    plan_policy_removal,
    plan_wildcards,
    render_policy,
)
from factories import settings


def changed(here: Settings, change: SettingsChange) -> Settings:
    """The settings after a change."""
    return apply_change(here, change)


def with_names(here: Settings, *names: str, kind: RuleKind = RuleKind.DNS, **request: object) -> Settings:
    """The settings after names were added."""
    wanted = RuleRequest(names, **request)  # type: ignore[arg-type]
    return changed(here, plan_names(here, wanted, kind, is_public_suffix=lambda name: name == "com"))


def test_a_policy_is_the_rules_of_its_scope() -> None:
    """The authority's and each provisioner's apart; a scope without rules has none."""
    scoped = Rule("r9", RuleKind.DNS, "shop.corp", "platform-team", provisioner="acme", wildcards=True)
    denying = Rule("d1", RuleKind.IP, "10.9.0.0/16", "platform-team", RuleAction.DENY)
    here = settings(scoped, denying)
    assert render_policy(here, "") == {
        "x509": {
            "allow": {"dns": ["internal.example", "**.internal.example"], "ips": ["10.0.0.0/8"]},
            "deny": {"ips": ["10.9.0.0/16"]},
            "allowWildcardNames": False,
        }
    }
    assert render_policy(here, "acme") == {
        "x509": {"allow": {"dns": ["shop.corp"]}, "deny": {}, "allowWildcardNames": True}
    }
    assert render_policy(here, "platform-team") is None
    assert render_policy(make_settings(0, ()), "") is None


def test_names_are_added_and_taken_out() -> None:
    """Of the kind that was said only; to take out what is not there changes nothing."""
    here = with_names(settings(), "*.web.corp", provisioner="acme")
    here = with_names(here, "10.1.0.0/16", "10.2.0.9", kind=RuleKind.IP, action=RuleAction.DENY)
    assert render_policy(here, "acme") == {
        "x509": {"allow": {"dns": ["*.web.corp"]}, "deny": {}, "allowWildcardNames": False}
    }
    denied = RuleRequest(("10.2.0.9", "10.3.0.0/16"), RuleAction.DENY)
    here = changed(here, plan_names_removal(here, denied, RuleKind.IP))
    assert [one.pattern for one in here.rules if one.action is RuleAction.DENY] == ["10.1.0.0/16"]
    elsewhere = RuleRequest(("*.web.corp",))  # the authority has no such rule
    assert plan_names_removal(here, elsewhere, RuleKind.DNS).remove == ()
    for kind, name in ((RuleKind.DNS, "10.0.0.1"), (RuleKind.IP, "a.corp")):
        with pytest.raises(RuleError, match="is of the kind"):
            plan_names(here, RuleRequest((name,)), kind, is_public_suffix=lambda _: False)
        with pytest.raises(RuleError, match="is of the kind"):
            plan_names_removal(here, RuleRequest((name,)), kind)


def test_public_suffixes_stay_out() -> None:
    """Step's words give no more than ours."""
    with pytest.raises(RuleError, match="public suffix"):
        with_names(settings(), "*.com")


def test_wildcards_are_a_switch_of_the_whole_policy() -> None:
    """On, they are on in all of its rules for names, and in those to come; off, in none."""
    here = with_names(settings(), "*.web.corp", provisioner="acme")
    here = changed(here, plan_wildcards(here, "acme", allowed=True))
    assert has_wildcards(here, "acme")
    assert not has_wildcards(here, "")
    here = with_names(here, "*.api.corp", provisioner="acme")
    here = with_names(here, "10.0.0.0/8", kind=RuleKind.IP, provisioner="acme")
    here = with_names(here, "secret.corp", action=RuleAction.DENY, provisioner="acme")
    assert [one.wildcards for one in here.rules if one.provisioner == "acme"] == [True, True, False, False]
    assert plan_wildcards(here, "acme", allowed=True).put == ()
    here = changed(here, plan_wildcards(here, "acme", allowed=False))
    assert not any(one.wildcards for one in here.rules)
    assert not has_wildcards(here, "platform-team")


def test_a_removed_policy_takes_the_rules_of_its_scope() -> None:
    """Other scopes stay."""
    here = with_names(settings(), "shop.corp", provisioner="acme")
    assert [one.provisioner for one in changed(here, plan_policy_removal(here, "")).rules] == ["acme"]
    assert len(changed(here, plan_policy_removal(here, "acme")).rules) == 3
