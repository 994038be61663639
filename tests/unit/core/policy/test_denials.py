"""Denials that are kept: what makes two equal, what an id looks like, and the smallest rule for each."""

from __future__ import annotations

import itertools
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType, parse_identifier
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.denials import (
    ALPHABET,
    Asker,
    KeptDenial,
    allowed_by,
    denials_in,
    once_more,
    put_ids,
    render_denial_id,
    share_of,
    smallest_rule_for,
    source_network,
)
from dayfly.core.policy.index import compile_rules, matching_allows
from dayfly.core.policy.names import check_names, decide
from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind, check_rule
from dayfly.core.problems import Malformed, RejectedIdentifier
from dayfly.core.x509.constraints import NameConstraints, check_constraints
from factories import NOW, denial, dns

ASKER = Asker("acme", "account 7", ip_address("10.1.2.3"))
RULES = (
    Rule("r1", RuleKind.DNS, "**.internal.example", "team", excluded=("ca.internal.example",)),
    Rule("r2", RuleKind.DNS, "far.example", "net-team", sources=("192.0.2.0/24",)),
    Rule("d1", RuleKind.DNS, "**.secret.internal.example", "security", RuleAction.DENY),
)


def refusal(*names: Identifier) -> RejectedIdentifier:
    """What the rules say to these names."""
    with pytest.raises(RejectedIdentifier) as caught:
        check_names(compile_rules(RULES), names, provisioner="acme", source=ASKER.source)
    return caught.value


def kept(name: str) -> KeptDenial:
    """The denial of one name."""
    identifier = parse_identifier("ip" if name[0].isdigit() or ":" in name else "dns", name)
    (found,) = denials_in(refusal(identifier), ASKER, NOW)
    return found


def test_every_denied_name_is_kept_and_says_all_there_is_to_say() -> None:
    """A refusal of two names makes two denials, with what decided, who asked, and from where."""
    first, second = denials_in(refusal(dns("a.corp"), dns("far.example"), dns("ok.internal.example")), ASKER, NOW)
    assert (first.identifier, first.rule, first.reason) == (dns("a.corp"), "default-deny", Reason.NAME_NOT_ALLOWED)
    assert (first.owner, first.nearest) == ("", "a.internal.example")
    assert (first.provisioner, first.requester, first.source) == ("acme", "account 7", "10.1.2.3/32")
    assert (first.first_at, first.last_at, first.count, first.id) == (NOW, NOW, 1, "")
    assert (second.owner, second.reason) == ("net-team", Reason.SOURCE_NOT_ALLOWED)


def test_a_refusal_of_another_kind_keeps_nothing() -> None:
    """A malformed order is no denial."""
    assert denials_in(Malformed("no names"), ASKER, NOW) == ()


@pytest.mark.parametrize(
    ("source", "network"),
    [("10.1.2.3", "10.1.2.3/32"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), (None, "")],
)
def test_a_source_is_an_address_or_its_slash_64(source: str | None, network: str) -> None:
    """As limits count them; unknown is empty."""
    assert source_network(None if source is None else ip_address(source)) == network


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({}, True),
        ({"requester": "account 9", "source": "10.9.9.9/32", "owner": "x", "nearest": "y", "count": 9}, True),
        ({"identifier": dns("other.corp")}, False),
        ({"identifier": Identifier(IdentifierType.IP, "shop.corp")}, False),
        ({"provisioner": "other"}, False),
        ({"rule": "d1"}, False),
        ({"reason": "source_not_allowed"}, False),
    ],
)
def test_denials_are_equal_where_the_same_rule_would_help(changes: dict[str, Any], equal: bool) -> None:
    """Who asked does not matter, since a client may make an account for each try."""
    assert (denial(**changes).key == denial().key) is equal


def test_networks_tell_denials_apart_only_where_the_network_was_wrong() -> None:
    """Two networks that lack the same grant need two rules."""
    near, far = (denial(reason="source_not_allowed", source=one) for one in ("10.0.0.1/32", "10.0.0.2/32"))
    assert near.key != far.key


def test_once_more_counts_and_keeps_the_first_time_and_the_id() -> None:
    """The newer one says by whom; a clock that stepped back does not."""
    later = NOW + timedelta(seconds=9)
    newer = denial(id="ZZZZ", requester="account 8", first_at=later, last_at=later, count=2)
    assert once_more(denial(count=3), newer) == denial(requester="account 8", last_at=later, count=5)
    assert once_more(denial(last_at=later), denial()).last_at == later


def test_ids_are_short_and_take_every_letter_of_an_alphabet_without_lookalikes() -> None:
    """Four characters, none of which is taken for another; all octets give one."""
    ids = {render_denial_id(number.to_bytes(4)) for number in range(0, 1 << 32, 999_983)}
    assert all(len(one) == 4 and set(one) <= set(ALPHABET) for one in ids)
    assert set("".join(ids)) == set(ALPHABET)
    assert len(ids) > 4_200
    assert not set(ALPHABET) & set("01OILU")
    assert ALPHABET.isupper()


def test_ids_go_to_each_name_and_a_single_ones_to_the_refusal_too() -> None:
    """With one name the refusal itself has the id; with two only the subproblems have."""
    one, two = refusal(dns("a.corp")), refusal(dns("a.corp"), dns("b.corp"))
    put_ids(one, {dns("a.corp"): "AAAA"})
    put_ids(two, {dns("a.corp"): "AAAA"})
    assert one.denial is not None
    assert (one.denial.id, one.denial.nearest) == ("AAAA", "a.internal.example")
    assert [sub.denial.id for sub in (*one.subproblems, *two.subproblems) if sub.denial] == ["AAAA", "AAAA", ""]
    assert two.denial is None


def test_ids_leave_a_refusal_of_another_kind_alone() -> None:
    """No subproblem, no id."""
    refused = Malformed("no names")
    put_ids(refused, {})
    assert (refused.denial, refused.subproblems) == (None, ())


@pytest.mark.parametrize(
    "name",
    ["a.corp", "*.corp.example", "ca.internal.example", "*.web.internal.example", "far.example", "10.0.3.7", "fd00::7"],
)
def test_the_smallest_rule_gives_exactly_what_was_denied(name: str) -> None:
    """With it the same request is allowed, and no other provisioner, network or name."""
    denied = kept(name)
    rule = smallest_rule_for(denied, compile_rules(RULES), rule_id="r9", owner="team")
    check_rule(rule)
    rules = compile_rules((*RULES, rule))
    given = decide(rules, denied.identifier, provisioner="acme", source=ASKER.source)
    assert given == Allowed("r9", "team")
    assert not isinstance(decide(rules, denied.identifier, provisioner="other", source=ASKER.source), Allowed)
    assert rule.wildcards is name.startswith("*.")
    assert rule.sources == (("10.1.2.3/32",) if name == "far.example" else ())
    if not rule.wildcards and denied.identifier.type is IdentifierType.DNS:
        assert not isinstance(decide(rules, dns(f"x.{name}.x"), provisioner="acme", source=ASKER.source), Allowed)


def test_an_unknown_source_binds_no_rule() -> None:
    """Where the network is not known it cannot be named."""
    unknown = denial(reason="source_not_allowed", source="")
    assert smallest_rule_for(unknown, compile_rules(RULES), rule_id="r9", owner="team").sources == ()


@pytest.mark.parametrize("own", [("ca.internal.example",), ()], ids=["the CA's own", "excluded by a rule"])
def test_no_rule_is_made_for_a_wildcard_that_stands_for_a_name_held_back(own: tuple[str, ...]) -> None:
    """Whoever has the wildcard can pose as the CA, and a rule for it gives the exact name to anybody."""
    rules = () if own else RULES
    denied = denial("*.internal.example")
    with pytest.raises(RuleError, match=r"stands for ca\.internal\.example") as caught:
        smallest_rule_for(denied, compile_rules(rules), rule_id="r9", owner="team", own_names=own)
    assert "dayfly ca policy allow NAME" in caught.value.hint


def test_own_names_elsewhere_hold_no_wildcard_back() -> None:
    """Neither deeper nor higher names are what the wildcard stands for."""
    own = ("web.corp", "ca.a.web.corp", "ca.internal.example")
    rule = smallest_rule_for(denial("*.web.corp"), compile_rules(()), rule_id="r9", owner="team", own_names=own)
    assert (rule.pattern, rule.wildcards) == ("*.web.corp", True)


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("10.1.2.3/32", ("10.0.0.0/8",)),
        ("172.16.0.1/32", ("172.16.0.1/32",)),
        ("2001:db8::/64", ("2001:db8::/32",)),
        ("fd00::/64", ("fd00::/64",)),
        ("", ("10.0.0.0/8", "2001:db8::/32")),
    ],
)
def test_the_networks_of_the_rules_near_hold_for_the_smallest_rule_too(source: str, bound: tuple[str, ...]) -> None:
    """Where only the wildcard was lacking, what was for one network is not for the whole world afterwards."""
    near = Rule("r1", RuleKind.DNS, "**.corp", "team", sources=("10.0.0.0/8", "2001:db8::/32"))
    rules = compile_rules((near, replace(near, id="r2"), replace(near, id="r3", provisioner="jwk", sources=())))
    rule = smallest_rule_for(denial("*.web.corp", source=source), rules, rule_id="r9", owner="team")
    assert rule.sources == bound


def test_a_deny_rule_is_not_outdone_by_another_rule() -> None:
    """Deny wins, so the way is to remove it; the error says how."""
    with pytest.raises(RuleError, match="rule d1 denies") as caught:
        smallest_rule_for(kept("a.secret.internal.example"), compile_rules(RULES), rule_id="r9", owner="team")
    assert "policy remove d1" in caught.value.hint


def test_the_issuers_constraints_are_not_outdone_by_a_rule() -> None:
    """What the intermediate cannot vouch for no rule can give."""
    with pytest.raises(RejectedIdentifier) as caught:
        check_constraints([NameConstraints(permitted_dns=("corp",))], [dns()])
    (found,) = denials_in(caught.value, ASKER, NOW)
    with pytest.raises(RuleError, match="name constraints"):
        smallest_rule_for(found, compile_rules(RULES), rule_id="r9", owner="team")


def test_a_denial_tells_whether_it_would_be_denied_today() -> None:
    """By the rules of today, for the same provisioner and network; the issuer's constraints are not in the rules."""
    rule = Rule("r9", RuleKind.DNS, "shop.corp", "team", provisioner="acme", sources=("10.1.2.0/24",))
    today = compile_rules((*RULES, rule))
    assert allowed_by(denial(), today) == Allowed("r9", "team")
    assert allowed_by(denial(), compile_rules(RULES)) is None
    assert allowed_by(denial(source="10.9.9.9/32"), today) is None
    assert allowed_by(denial(source=""), today) is None
    assert allowed_by(denial(provisioner="other"), today) is None
    assert allowed_by(denial(rule="issuer-constraints"), today) is None


# --- whatever the rules are -------------------------------------------------------------------------------------------

BASES = ("corp", "web.corp", "a.web.corp", "b.web.corp", "c.a.web.corp", "other.example")
ASKED = (*BASES[1:], "*.web.corp", "*.a.web.corp", "*.corp")
NETWORKS = ("10.0.0.0/8", "192.0.2.0/24")


@st.composite
def name_rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    """A few rules of every kind on a small tree of names."""
    found = []
    for number in range(draw(st.integers(0, 5))):
        action = draw(st.sampled_from(RuleAction))
        giving = action is RuleAction.ALLOW
        found.append(
            Rule(
                f"r{number}",
                RuleKind.DNS,
                draw(st.sampled_from(("", "*.", "**."))) + draw(st.sampled_from(BASES)),
                draw(st.sampled_from(("team", "other"))),
                action,
                provisioner=draw(st.sampled_from(("", "acme", "jwk"))),
                wildcards=giving and draw(st.booleans()),
                sources=draw(st.sampled_from(((), NETWORKS[:1], NETWORKS[1:]))) if giving else (),
                excluded=draw(st.sampled_from(((), ("a.web.corp",)))) if giving else (),
            )
        )
    return tuple(found)


@given(
    name_rules(), st.sampled_from(ASKED), st.sampled_from(("acme", "jwk")), st.sampled_from(("10.1.2.3", "192.0.2.9"))
)
def test_a_denial_is_undone_by_its_smallest_rule_and_nothing_else_changes__o9(
    rules: tuple[Rule, ...], name: str, provisioner: str, source: str
) -> None:
    """The same request is allowed, or a deny rule or an exclusion stands in the way.

    Who asks for anything else, or from a network that no rule near the name speaks of, hears what he heard before.
    """
    asker = Asker(provisioner, "account 7", ip_address(source))
    before = compile_rules(rules)
    try:
        check_names(before, [dns(name)], provisioner=provisioner, source=asker.source)
    except RejectedIdentifier as refused:
        (denied,) = denials_in(refused, asker, NOW)
    else:
        return
    try:
        rule = smallest_rule_for(denied, before, rule_id="new", owner="team")
    except RuleError:
        near = matching_allows(before, dns(name), provisioner=provisioner)
        assert denied.rule != "default-deny" or (name == "*.web.corp" and any(one.excluded for one in near))
        return
    after = compile_rules((*rules, rule))
    assert isinstance(decide(after, dns(name), provisioner=provisioner, source=asker.source), Allowed)
    assert allowed_by(denied, after) is not None
    held = any(one.sources for one in matching_allows(before, dns(name), provisioner=provisioner))
    stood_for = {name, *(one for one in ASKED if name.startswith("*.") and one.partition(".")[2] == name[2:])}
    for other, scope, place in itertools.product(ASKED, ("acme", "jwk"), ("10.1.2.3", "192.0.2.9")):
        if other in stood_for and scope == provisioner and (place == source or not held):
            continue
        was, is_ = (
            isinstance(decide(each, dns(other), provisioner=scope, source=ip_address(place)), Allowed)
            for each in (before, after)
        )
        assert was == is_, (other, scope, place)


def test_one_asker_holds_a_tenth_and_never_nothing() -> None:
    """Nine others have room beside it; a tiny store keeps one of each."""
    assert share_of(1_000) == 100
    assert share_of(1) == 1


@pytest.mark.parametrize("where", ["eab:7hQ2", "account:00000b1e5f400000"])
def test_no_rule_widens_a_scope__acme_5(where: str) -> None:
    """What the scope of a key or an account denied is not to be had by a rule, and no rule of today undoes it."""
    held = replace(kept("a.corp"), rule=where)
    index = compile_rules((Rule("r1", RuleKind.DNS, "a.corp", "team"),))
    assert allowed_by(replace(held, rule="default-deny"), index) is not None
    assert allowed_by(held, index) is None
    with pytest.raises(RuleError, match=f"outside the scope of {where}"):
        smallest_rule_for(held, index, rule_id="r2", owner="team")
