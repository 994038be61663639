"""Changes of the name rules as an admin asks for them (security.md section 4)."""

from __future__ import annotations

from typing import Any

import pytest

from dayfly.core.frozen import replace
from dayfly.core.identifiers import parse_name
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind, parse_target
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import Settings, apply_change, make_settings
from dayfly.core.settings.rule_changes import (
    RulePlan,
    RuleRequest,
    choose_owner,
    covers,
    plan_denials,
    plan_removal,
    plan_rules,
)
from dayfly.errors import ConfigError
from factories import denial, dns, settings

SUFFIXES = frozenset({"com", "example.net", "uk", "co.uk"})
OWN = ("ca.internal.example", "10.0.0.1")


def is_public_suffix(name: str) -> bool:
    """A short list."""
    return name in SUFFIXES


def plan(*patterns: str, here: Settings | None = None, **request: Any) -> RulePlan:
    """The plan for patterns."""
    wanted = RuleRequest(patterns, own_names=OWN, **request)
    return plan_rules(here or settings(), wanted, is_public_suffix=is_public_suffix)


def test_a_rule_gets_a_number_above_all_there_are_and_the_only_owner() -> None:
    """r1 to r3 are there, so it is r4; after revision 7 it would be r8; an id that is no number does not count."""
    (rule,) = plan("shop.corp").rules
    assert rule == Rule("r4", RuleKind.DNS, "shop.corp", "platform-team")
    later = replace(settings(Rule("special", RuleKind.DNS, "a.b", "platform-team")), revision=7)
    assert [one.id for one in plan("a.corp", "b.corp", here=later).rules] == ["r8", "r9"]
    empty = make_settings(0, (Owner("a"),))
    assert [one.id for one in plan("a.corp", here=empty).rules] == ["r1"]


def test_a_request_says_whom_a_rule_is_for_and_from_where() -> None:
    """Scope, wildcards and source networks go into each rule; the change can be made."""
    found = plan("*.web.corp", "10.2.0.0/16", provisioner="acme", wildcards=True, sources=("10.0.0.0/8",))
    assert [(one.kind, one.pattern) for one in found.rules] == [
        (RuleKind.DNS, "*.web.corp"),
        (RuleKind.IP, "10.2.0.0/16"),
    ]
    assert {(one.provisioner, one.wildcards, one.sources) for one in found.rules} == {("acme", True, ("10.0.0.0/8",))}
    assert apply_change(settings(), found.change).rules[-2:] == found.rules
    assert found.made == {"r4", "r5"}


def test_the_same_rule_again_changes_nothing() -> None:
    """Asked for twice, also at once, it is one rule; the first rules count, whatever they exclude beside the point."""
    found = plan("internal.example", "**.internal.example", "10.0.0.0/8")
    assert [one.id for one in found.rules[:2]] == ["r1", "r2"]
    assert found.made == {"r4"}  # the one there does not exclude the CA's own address
    twice = plan("a.corp", "a.corp")
    assert [one.id for one in twice.change.put] == [one.id for one in twice.rules] == ["r4"]  # type: ignore[union-attr]
    again = plan("a.corp", here=apply_change(settings(), twice.change))
    assert (again.made, again.change.put, again.change.remove) == (frozenset(), (), ())


@pytest.mark.parametrize(
    ("pattern", "excluded"),
    [
        ("**.internal.example", ("ca.internal.example",)),
        ("*.internal.example", ("ca.internal.example",)),
        ("**.example", ("ca.internal.example",)),
        ("*.example", ()),
        ("web.corp", ()),
        ("ca.internal.example", ()),
        ("10.0.0.0/24", ("10.0.0.1",)),
        ("10.0.1.0/24", ()),
        ("10.0.0.1", ("10.0.0.1",)),
    ],
)
def test_patterns_do_not_give_the_cas_own_names(pattern: str, excluded: tuple[str, ...]) -> None:
    """Who has the CA's name can pose as it; a rule for exactly that name says so, and gives it."""
    (rule,) = plan(pattern, owner="platform-team", sources=("10.0.0.0/8",)).rules
    assert rule.excluded == excluded


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a.b", (RuleKind.DNS, "a.b")),
        ("**.a.b", (RuleKind.DNS, "**.a.b")),
        ("10.0.0.7", (RuleKind.IP, "10.0.0.7/32")),
        ("fd00::7", (RuleKind.IP, "fd00::7/128")),
        ("fd00::/8", (RuleKind.IP, "fd00::/8")),
    ],
)
def test_a_target_is_a_pattern_an_address_or_a_network(text: str, target: tuple[RuleKind, str]) -> None:
    """What a person writes, in the spelling of a rule."""
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["a..b", "A.b", "*.*.b", "10.0.0.1/8", "10.0.0.0/40", "::ffff:10.0.0.1", ""])
def test_what_is_neither_is_refused(text: str) -> None:
    """A typing error makes no rule."""
    with pytest.raises(RuleError):
        parse_target(text)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("**.com", "public suffix"),
        ("*.co.uk", "public suffix"),
        ("co.uk", "public suffix"),
        ("*.example.net", "public suffix"),
        ("**.printers", "single label"),
        ("@co.uk", "public suffix"),
        ("uri:*.com", "public suffix"),
    ],
)
def test_no_rule_gives_what_belongs_to_nobody(pattern: str, why: str) -> None:
    """A public suffix, or all names below a label that is not known to be private."""
    with pytest.raises(RuleError, match=why):
        plan(pattern)


@pytest.mark.parametrize("pattern", ["**.internal", "**.lan", "printer", "**.shop.com", "*.home.arpa"])
def test_private_suffixes_and_single_names_can_be_given(pattern: str) -> None:
    """A single label needs a rule of its own, and gets it."""
    assert plan(pattern).made


def test_a_rule_that_denies_may_name_a_public_suffix_and_excludes_nothing() -> None:
    """To deny all of .com is a good idea; a condition on it is none."""
    (rule,) = plan("**.com", action=RuleAction.DENY).rules
    assert (rule.action, rule.excluded) == (RuleAction.DENY, ())
    assert plan("10.0.0.0/8", action=RuleAction.DENY).rules[0].excluded == ()
    for condition in ({"wildcards": True}, {"sources": ("10.0.0.0/8",)}):
        with pytest.raises(RuleError, match="holds from everywhere"):
            plan("a.corp", action=RuleAction.DENY, **condition)


def test_an_owner_is_named_or_the_only_one() -> None:
    """With two owners one must be named; a new name is a new owner, made with the rule."""
    two = settings(Owner("web-team"))
    with pytest.raises(ConfigError, match="platform-team, web-team") as caught:
        choose_owner(two, "")
    assert "--owner" in caught.value.hint
    with pytest.raises(ConfigError, match="named here"):
        choose_owner(make_settings(0, ()), "")
    assert (choose_owner(two, "web-team"), choose_owner(settings(), "")) == ("web-team", "platform-team")
    found = plan("a.corp", "b.corp", owner="new-team")
    assert found.new_owner == "new-team"
    assert apply_change(settings(), found.change).owners[-1] == Owner("new-team")
    assert plan("a.corp").new_owner == ""


def test_denials_become_their_smallest_rules() -> None:
    """The owner is that of the rule that came near, if he is still there, else the only one, else the named one."""
    here = settings(Owner("net-team"))
    denials = (
        denial("a.corp", owner="net-team", reason="source_not_allowed"),
        denial("*.b.corp", owner="gone"),
    )
    with pytest.raises(ConfigError, match="named here"):
        plan_denials(here, denials, owner="", is_public_suffix=is_public_suffix)
    first, second = plan_denials(settings(), denials, owner="", is_public_suffix=is_public_suffix).rules
    assert (first.owner, first.sources, second.owner, second.wildcards) == (
        "platform-team",
        ("10.1.2.3/32",),
        "platform-team",
        True,
    )
    found = plan_denials(here, denials, owner="gone", is_public_suffix=is_public_suffix)
    assert [one.owner for one in found.rules] == ["gone", "gone"]
    near = plan_denials(here, denials[:1], owner="", is_public_suffix=is_public_suffix)
    assert near.rules[0].owner == "net-team"
    changed = apply_change(here, found.change)
    given = decide(changed.name_rules, dns("*.b.corp"), provisioner="acme", source=None)
    assert given == Allowed(found.rules[1].id, "gone")


def test_a_denied_public_suffix_stays_denied() -> None:
    """Nor does the way round by a denial give it."""
    with pytest.raises(RuleError, match="public suffix"):
        plan_denials(settings(), [denial("*.co.uk")], owner="", is_public_suffix=is_public_suffix)


def test_a_denied_wildcard_never_gives_the_cas_own_name() -> None:
    """With the first rules of a CA and without: by `own_names`, or by what they exclude."""
    here = [denial("*.internal.example")]
    with pytest.raises(RuleError, match=r"stands for ca\.internal\.example"):
        plan_denials(settings(), here, owner="", is_public_suffix=is_public_suffix, own_names=("ca.internal.example",))


def test_rules_are_removed_by_their_ids() -> None:
    """Twice named is once removed; one that is not there stops the whole change."""
    found = plan_removal(settings(), ["r1", "r3", "r1"])
    assert [one.id for one in found.rules] == ["r1", "r3"]
    assert [one.id for one in apply_change(settings(), found.change).rules] == ["r2"]
    assert (found.made, found.new_owner) == (frozenset(), "")
    with pytest.raises(ConfigError, match="there is no rule r8, r9"):
        plan_removal(settings(), ["r1", "r8", "r9"])


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("a.b", "a.b", True),
        ("a.b", "c.a.b", False),
        ("*.a.b", "c.a.b", True),
        ("*.a.b", "d.c.a.b", False),
        ("**.a.b", "d.c.a.b", True),
        ("**.a.b", "a.b", False),
        ("@a.b", "a.b", False),
        ("uri:a.b", "a.b", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "fd00::1", False),
        ("10.0.0.0/8", "a.b", False),
        ("**.a.b", "10.0.0.1", False),
    ],
)
def test_what_a_rule_speaks_of(pattern: str, name: str, covered: bool) -> None:
    """The engine agrees for each name that it would be asked about."""
    rule = Rule("r1", *parse_target(pattern), "team")
    assert covers(rule, name) is covered
    rules = make_settings(0, (Owner("team"), rule)).name_rules
    assert isinstance(decide(rules, parse_name(name), provisioner="", source=None), Allowed) is covered
