"""Rules against what was asked for lately: what would differ, and which rules cover it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType, parse_common_name
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from dayfly.core.settings.rehearsal import Asked, asked_for, compare, suggest_rules
from factories import denial

SUFFIXES = frozenset({"com", "corp.com"})
RULES = (
    Rule("r1", RuleKind.DNS, "**.web.corp", "web-team"),
    Rule("r2", RuleKind.DNS, "db.corp", "db-team", sources=("10.0.0.0/8",)),
)


@dataclass(frozen=True)
class Given:
    """A certificate, as far as it counts here."""

    names: tuple[Identifier, ...]
    provisioner: str = "acme"
    owner: str = "web-team"


def asked(name: str, owner: str = "web-team", **more: object) -> Asked:
    """A name that was asked for through `acme`."""
    return Asked(parse_common_name(name), "acme", owner, **more)  # type: ignore[arg-type]  # a test's own fields


def names(*texts: str) -> tuple[Identifier, ...]:
    """Names of any type."""
    return tuple(map(parse_common_name, texts))


def test_equal_requests_are_one_with_a_count() -> None:
    """By name, provisioner and owner; denials by their network, with their own counts."""
    met = replace(denial("x.corp"), count=7, source="10.1.2.3/32")
    found = asked_for([Given(names("a.b", "c.d")), Given(names("a.b")), Given(names("a.b"), owner="other")], [met])
    assert [(one.identifier.value, one.owner, one.count, one.was_denied) for one in found] == [
        ("a.b", "web-team", 2, False),
        ("c.d", "web-team", 1, False),
        ("a.b", "other", 1, False),
        ("x.corp", "", 7, True),
    ]
    assert found[-1].source == "10.1.2.3/32"


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (RULES, None),
        ((RULES[0], replace(RULES[1], sources=())), "widened"),
        ((replace(RULES[0], sources=("10.0.0.0/8",)), RULES[1]), "narrowed"),
        ((replace(RULES[0], owner="other"), RULES[1]), "moved"),
        ((RULES[1],), "newly_denied"),
        ((*RULES, Rule("d1", RuleKind.DNS, "**.web.corp", "security", RuleAction.DENY)), "newly_denied"),
        ((*RULES, Rule("r9", RuleKind.DNS, "shop.corp", "web-team")), "newly_allowed"),
    ],
)
def test_what_other_rules_would_change_is_told_by_its_kind(after: tuple[Rule, ...], kind: str | None) -> None:
    """Where a certificate was asked for from is not kept: a rule for some networks gives the name to some."""
    requests = (asked("a.web.corp"), asked("db.corp", "db-team"), asked("shop.corp", "", source="192.0.2.1/32"))
    found = compare(requests, compile_rules(RULES), compile_rules(after))
    assert [one.kind for one in found] == ([] if kind is None else [kind])


def test_differences_come_by_kind_and_the_most_asked_first() -> None:
    """What a person looks at first stands first."""
    requests = (asked("a.web.corp"), asked("b.web.corp", count=9), asked("shop.corp", "", count=99))
    after = compile_rules((Rule("r9", RuleKind.DNS, "shop.corp", "web-team"),))
    found = compare(requests, compile_rules(RULES), after)
    assert [one.asked.identifier.value for one in found] == ["shop.corp", "b.web.corp", "a.web.corp"]
    assert found[0].before.rule == "default-deny"
    assert found[0].after.owner == "web-team"


def test_a_denied_request_is_judged_from_where_it_came() -> None:
    """Its network is kept, so a rule for another one denies it."""
    requests = (asked("db.corp", "", source="192.0.2.1/32"), asked("db.corp", "", source="10.1.0.0/16"))
    found = compare(requests, compile_rules(()), compile_rules(RULES))
    assert [(one.asked.source, one.after.standing) for one in found] == [("10.1.0.0/16", "allowed")]
    held = decide(compile_rules(RULES), requests[0].identifier, provisioner="acme", source=None)
    assert not isinstance(held, Allowed)
    assert held.reason is Reason.SOURCE_NOT_ALLOWED


def suggested(*texts: str, own: tuple[str, ...] = (), wide: int = 3) -> list[tuple[str, bool, tuple[str, ...]]]:
    """Pattern, wildcards and exclusions of what is suggested for these names."""
    found = suggest_rules(
        [asked(one) for one in texts],
        owner="team",
        own_names=own,
        is_public_suffix=SUFFIXES.__contains__,
        wide=wide,
    )
    return [(one.pattern, one.wildcards, one.excluded) for one in found]


def test_the_fewest_rules_cover_what_was_asked() -> None:
    """Three names of a domain are a pattern, two are themselves; a wildcard joins the pattern of its domain."""
    assert suggested("a.web.corp", "b.web.corp") == [("a.web.corp", False, ()), ("b.web.corp", False, ())]
    three = ("a.web.corp", "b.web.corp", "c.web.corp")
    assert suggested(*three) == [("*.web.corp", False, ())]
    assert suggested(*three, "*.web.corp") == [("*.web.corp", True, ())]
    assert suggested("*.web.corp") == [("*.web.corp", True, ())]
    assert suggested(*three, wide=4) == [(one, False, ()) for one in three]


def test_nobodys_domain_is_given_away_and_the_cas_names_neither() -> None:
    """Names below a public suffix stay single; the CA's own name is held back, unless it was asked for."""
    assert suggested("a.com", "b.com", "c.com") == [(one, False, ()) for one in ("a.com", "b.com", "c.com")]
    assert suggested("a.b", "c.b", "d.b") == [(one, False, ()) for one in ("a.b", "c.b", "d.b")]
    three = ("a.web.corp", "b.web.corp", "c.web.corp")
    assert suggested(*three, own=("ca.web.corp", "ca.corp")) == [("*.web.corp", False, ("ca.web.corp",))]
    assert suggested(*three, "ca.web.corp", own=("ca.web.corp",)) == [("*.web.corp", False, ())]
    assert suggested(*three, "*.web.corp", own=("ca.web.corp",)) == [("*.web.corp", True, ())]


def test_addresses_mailboxes_uris_and_common_names_are_covered_too() -> None:
    """Addresses by the networks that they fill, mailboxes of a domain together, URIs by their hosts."""
    assert suggested("10.0.0.0", "10.0.0.1", "10.0.0.3", "fd00::1") == [
        ("10.0.0.0/31", False, ()), ("10.0.0.3/32", False, ()), ("fd00::1/128", False, ()),
    ]  # fmt: skip
    assert suggested("a@web.corp", "b@web.corp", "c@web.corp", "d@x.corp") == [
        ("@web.corp", False, ()), ("d@x.corp", False, ()),
    ]  # fmt: skip
    assert suggested("spiffe://a.mesh.corp/x", "spiffe://a.mesh.corp/y", "Build robot") == [
        ("a.mesh.corp", False, ()), ("Build robot", False, ()),
    ]  # fmt: skip


_HOSTS = st.sampled_from(["a", "b", "c", "d", "*"])
_BASES = st.sampled_from(["web.corp", "x.web.corp", "corp", "b.com", "com.corp"])
_NAMES = st.one_of(
    st.builds(lambda host, base: f"{host}.{base}", _HOSTS, _BASES),
    st.integers(0, 40).map(lambda last: f"10.0.0.{last}"),
    st.builds(lambda host, base: f"{host}@{base}", st.sampled_from("abcd"), _BASES),
    st.builds(lambda host, base: f"spiffe://{host}.{base}/x", st.sampled_from("abcd"), _BASES),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(_NAMES, st.sampled_from(["p", "q"]), st.sampled_from(["", "one", "two"])), max_size=30),
    st.integers(2, 5),
)
def test_a_suggestion_allows_every_request_that_it_was_made_for(
    requests: list[tuple[str, str, str]], wide: int
) -> None:
    """Whoever made it, to whom it belonged: with no other rule all of it would pass."""
    wanted = [Asked(parse_common_name(name), provisioner, owner) for name, provisioner, owner in requests]
    rules = suggest_rules(
        wanted,
        owner="team",
        own_names=("a.web.corp", "10.0.0.7"),
        is_public_suffix=SUFFIXES.__contains__,
        wide=wide,
    )
    index = compile_rules(rules)
    for one in wanted:
        found = decide(index, one.identifier, provisioner=one.provisioner, source=None)
        assert isinstance(found, Allowed), (one, rules)
    kinds = {one.identifier.type for one in wanted}
    assert {IdentifierType(one.kind.value) for one in rules} == kinds
