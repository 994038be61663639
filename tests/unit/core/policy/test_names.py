"""Names are earned: rules, decisions and denials (security.md section 4)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, parse_dns, parse_ip
from dayfly.core.policy.decisions import Allowed, Denied
from dayfly.core.policy.index import NameRules, compile_rules
from dayfly.core.policy.names import REMEMBERED, check_names, decide
from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind, Source, smallest_rule
from dayfly.core.problems import Denial, RejectedIdentifier

HERE = ip_address("10.1.2.3")
RULE = Rule("r1", RuleKind.DNS, "**.web.corp", "web-team")
NETWORK = Rule("n1", RuleKind.IP, "10.0.0.0/8", "net-team")


def rules(*patterns: str | Rule) -> NameRules:
    """Allow rules for patterns, r1 and so on; whole rules as they are."""
    return compile_rules(
        one if isinstance(one, Rule) else replace(RULE, id=f"r{number}", pattern=one)
        for number, one in enumerate(patterns, start=1)
    )


def ask(index: NameRules, name: str, *, provisioner: str = "acme", source: Source | None = HERE) -> Allowed | Denied:
    """The decision about a DNS name, or an address."""
    identifier = parse_ip(name) if name[0].isdigit() or ":" in name else parse_dns(name)
    return decide(index, identifier, provisioner=provisioner, source=source)


def denied(index: NameRules, name: str, *, provisioner: str = "acme", source: Source | None = HERE) -> Denied:
    """The denial of a name that must be denied."""
    found = ask(index, name, provisioner=provisioner, source=source)
    assert isinstance(found, Denied)
    return found


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("a.b", "a.b", True),
        ("a.b", "x.a.b", False),
        ("a.b", "xa.b", False),
        ("*.a.b", "x.a.b", True),
        ("*.a.b", "a.b", False),
        ("*.a.b", "y.x.a.b", False),
        ("*.a.b", "x.aa.b", False),
        ("**.a.b", "x.a.b", True),
        ("**.a.b", "z.y.x.a.b", True),
        ("**.a.b", "a.b", False),
        ("**.a.b", "xa.b", False),
        ("**.a.b", "x.a.b.c", False),
        ("corp", "corp", True),
        ("*.corp", "web.corp", True),
        ("**.corp", "a.web.corp", True),
    ],
)
def test_pattern_covers_exactly_its_names__security_4(pattern: str, name: str, *, allowed: bool) -> None:
    """Exact, one label, any depth; the apex needs a rule of its own."""
    assert isinstance(ask(rules(pattern), name), Allowed) is allowed


@pytest.mark.parametrize(
    ("network", "address", "allowed"),
    [
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("10.0.0.7/32", "10.0.0.7", True),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "::1", False),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "fe00::1", False),
        ("::/0", "10.0.0.1", False),
    ],
)
def test_network_covers_its_addresses_of_its_version(network: str, address: str, *, allowed: bool) -> None:
    """CIDR for addresses."""
    assert isinstance(ask(rules(replace(NETWORK, pattern=network)), address), Allowed) is allowed


def test_name_is_owned_by_the_owner_of_the_rule_that_decided__security_4() -> None:
    """The first rule that gives it: exact, then one label, then any depth, then the narrowest network."""
    index = compile_rules(
        [
            replace(RULE, id="any", pattern="**.corp", owner="all"),
            replace(RULE, id="one", pattern="*.web.corp", owner="web"),
            replace(RULE, id="exact", pattern="a.web.corp", owner="a"),
            replace(NETWORK, id="wide", owner="all"),
            replace(NETWORK, id="narrow", pattern="10.1.0.0/16", owner="one"),
        ]
    )
    assert ask(index, "a.web.corp") == Allowed("exact", "a")
    assert ask(index, "b.web.corp") == Allowed("one", "web")
    assert ask(index, "c.b.web.corp") == Allowed("any", "all")
    assert ask(index, "10.1.0.1") == Allowed("narrow", "one")
    assert ask(index, "10.2.0.1") == Allowed("wide", "all")


def test_without_rules_nothing_is_allowed__readme_4() -> None:
    """Default deny, and nothing to suggest."""
    assert denied(rules(), "web.corp") == Denied(Denial("default-deny"), Reason.NAME_NOT_ALLOWED, "no rule allows it")
    assert denied(rules(), "10.0.0.1").denial == Denial("default-deny")


@pytest.mark.parametrize("pattern", ["secret.web.corp", "*.web.corp", "**.corp"])
def test_deny_wins_whatever_allows__security_4(pattern: str) -> None:
    """However exact the allow rule is; the denial names the rule that decided and its owner."""
    deny = replace(RULE, id="d1", pattern=pattern, owner="security", action=RuleAction.DENY)
    found = denied(rules("secret.web.corp", "**.web.corp", deny), "secret.web.corp")
    assert (found.denial.rule, found.denial.owner) == ("d1", "security")
    assert found.why == "rule d1 of security denies it"


def test_deny_wins_for_addresses() -> None:
    """A denied network inside an allowed one stays denied, and its neighbourhood is no advice."""
    deny = replace(NETWORK, id="d1", pattern="10.1.0.0/16", action=RuleAction.DENY)
    assert denied(rules(NETWORK, deny), "10.1.0.1").denial == Denial("d1", "net-team")
    assert isinstance(ask(rules(NETWORK, deny), "10.2.0.1"), Allowed)


def test_wildcard_needs_a_rule_that_says_so__acme_o6() -> None:
    """A rule for all names below a domain does not give the wildcard that stands for them."""
    found = denied(rules("**.web.corp", "web.corp"), "*.web.corp")
    assert found.why == "rule r1 of web-team gives no wildcards"
    assert found.denial == Denial("default-deny", "web-team", nearest="web.corp")
    giving = replace(RULE, wildcards=True)
    assert ask(rules(giving), "*.web.corp") == Allowed("r1", "web-team")
    assert ask(rules(giving), "*.a.web.corp") == Allowed("r1", "web-team")
    assert isinstance(ask(rules(giving), "*.corp"), Denied)


@pytest.mark.parametrize("pattern", ["secret.web.corp", "*.web.corp", "**.web.corp", "**.corp"])
def test_wildcard_falls_with_any_denied_name_that_it_stands_for(pattern: str) -> None:
    """`*.web.corp` would be good for secret.web.corp, so a rule against that one denies it."""
    deny = replace(RULE, id="d1", pattern=pattern, action=RuleAction.DENY)
    assert denied(rules(replace(RULE, wildcards=True), deny), "*.web.corp").denial.rule == "d1"


@pytest.mark.parametrize("pattern", ["web.corp", "a.secret.web.corp", "**.a.web.corp", "other.corp"])
def test_wildcard_stands_for_one_label_only(pattern: str) -> None:
    """What it does not stand for is denied beside it."""
    deny = replace(RULE, id="d1", pattern=pattern, action=RuleAction.DENY)
    assert isinstance(ask(rules(replace(RULE, wildcards=True), deny), "*.web.corp"), Allowed)


def test_excluded_name_is_never_given_by_its_rule() -> None:
    """The CA's own name is left out, and so is a wildcard that would stand for it; another rule may give it."""
    ours = replace(RULE, wildcards=True, excluded=("ca.web.corp",))
    found = denied(rules(ours), "ca.web.corp")
    assert found.why == "rule r1 of web-team excludes it"
    assert found.denial.owner == "web-team"
    assert isinstance(ask(rules(ours), "*.web.corp"), Denied)
    assert isinstance(ask(rules(ours), "*.b.web.corp"), Allowed)
    assert isinstance(ask(rules(ours), "a.ca.web.corp"), Allowed)
    assert ask(rules(ours, "ca.web.corp"), "ca.web.corp") == Allowed("r2", "web-team")


def test_excluded_address_is_never_given_by_its_rule() -> None:
    """The same for the CA's address, and no network is advised where one covers it already."""
    found = denied(rules(replace(NETWORK, excluded=("10.0.0.1",))), "10.0.0.1")
    assert found.denial == Denial("default-deny", "net-team")


def test_rule_of_a_provisioner_holds_for_it_alone() -> None:
    """Allowing and denying: another provisioner neither sees it nor is advised by it."""
    scoped = replace(RULE, provisioner="acme")
    assert isinstance(ask(rules(scoped), "a.web.corp"), Allowed)
    assert denied(rules(scoped), "a.web.corp", provisioner="other").denial == Denial("default-deny")
    deny = replace(scoped, id="d1", action=RuleAction.DENY)
    assert denied(rules("**.web.corp", deny), "a.web.corp").denial.rule == "d1"
    assert isinstance(ask(rules("**.web.corp", deny), "a.web.corp", provisioner="other"), Allowed)


def test_rule_bound_to_networks_gives_to_them_alone__security_4() -> None:
    """The source must be known, of the same version, and inside; the reason says that it was the source."""
    bound = replace(RULE, sources=("10.0.0.0/8", "fd00::/8"))
    assert isinstance(ask(rules(bound), "a.web.corp"), Allowed)
    assert isinstance(ask(rules(bound), "a.web.corp", source=ip_address("fd00::1")), Allowed)
    for source in (None, ip_address("192.0.2.1"), ip_address("2001:db8::1")):
        found = denied(rules(bound), "a.web.corp", source=source)
        assert found.reason is Reason.SOURCE_NOT_ALLOWED
        assert found.why == "rule r1 of web-team gives it, but not to this network"
    assert ask(rules(bound, "a.web.corp"), "a.web.corp", source=None) == Allowed("r2", "web-team")


def test_name_given_to_one_network_is_asked_about_for_the_next() -> None:
    """What depends on the source is decided each time, also where another rule, or another provisioner, gives it."""
    bound = replace(RULE, sources=("10.0.0.0/8",))
    elsewhere = ip_address("192.0.2.1")
    index = rules(bound)
    assert ask(index, "a.web.corp") == Allowed("r1", "web-team")
    assert denied(index, "a.web.corp", source=elsewhere).reason is Reason.SOURCE_NOT_ALLOWED
    both = rules(bound, replace(RULE, id="r2", pattern="**.corp"))
    assert ask(both, "a.web.corp", source=elsewhere) == Allowed("r2", "web-team")
    assert ask(both, "a.web.corp") == Allowed("r1", "web-team")
    one = rules(replace(RULE, provisioner="acme"))
    assert ask(one, "a.web.corp") == Allowed("r1", "web-team")
    assert denied(one, "a.web.corp", provisioner="other").reason is Reason.NAME_NOT_ALLOWED


def test_what_is_remembered_of_names_is_bounded() -> None:
    """However many names are asked for, and the answers stay the same."""
    index = rules("**.web.corp")
    for number in range(2 * REMEMBERED + 1):
        assert ask(index, f"n{number}.web.corp") == ask(index, f"n{number}.web.corp") == Allowed("r1", "web-team")
        assert len(index.given) <= REMEMBERED


def test_source_is_the_reason_before_any_other_that_a_rule_lacks() -> None:
    """Of several rules that came near, the one that would give it elsewhere is named."""
    bound = replace(RULE, id="b", sources=("192.0.2.0/24",))
    excluding = replace(RULE, id="e", excluded=("a.web.corp",))
    for index in (rules(bound, excluding), rules(excluding, bound)):
        assert denied(index, "a.web.corp").reason is Reason.SOURCE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("patterns", "name", "nearest"),
    [
        (["**.web.corp"], "shop.corp", "shop.web.corp"),
        (["*.web.corp", "api.corp"], "shop.corp", "shop.web.corp"),
        (["*.web.corp"], "a.b.web.corp", "a.web.corp"),
        (["**.web.corp"], "shop", "shop.web.corp"),
        (["**.web.corp"], "web.corp", "web.web.corp"),
        (["**.web.corp"], "shop.example", "shop.web.corp"),
        (["**.b.corp", "**.a.corp"], "shop.corp", "shop.a.corp"),
        (["**.a.b.corp", "**.z.corp"], "shop.corp", "shop.z.corp"),
        (["**.eu.example", "**.web.corp"], "shop.us.corp", "shop.web.corp"),
        (["db.prod.corp", "**.web.example"], "db2.prod.corp", "db.prod.corp"),
        (["api.corp"], "shop.corp", "api.corp"),
        (["**.web.corp"], "*.shop.corp", ""),
        (["**.web.corp"], "*.web.corp", ""),
        (["**.corp"], "*.web.corp", "web.corp"),
        ([replace(RULE, provisioner="acme"), "**.api.corp"], "shop.web", "shop.web.corp"),
    ],
)
def test_denial_says_what_would_have_been_allowed__acme_o9(patterns: list[str | Rule], name: str, nearest: str) -> None:
    """The same first label where most labels are shared from the right; else a whole name."""
    assert denied(rules(*patterns), name).denial.nearest == nearest


@pytest.mark.parametrize(
    ("networks", "address", "nearest"),
    [
        (["10.0.0.0/8"], "11.0.0.1", "10.0.0.0/8"),
        (["10.0.0.0/24", "10.0.9.0/24"], "10.0.8.1", "10.0.9.0/24"),
        (["10.0.0.0/24", "10.0.9.0/24"], "10.0.1.1", "10.0.0.0/24"),
        (["10.0.0.0/24", "10.0.9.0/24"], "9.0.0.1", "10.0.0.0/24"),
        (["10.0.0.0/24", "10.0.9.0/24"], "192.0.2.1", "10.0.9.0/24"),
        (["10.0.0.0/8", "fd00::/8"], "2001:db8::1", "fd00::/8"),
        (["10.0.0.0/8"], "2001:db8::1", ""),
    ],
)
def test_denied_address_is_told_the_nearest_network(networks: list[str], address: str, nearest: str) -> None:
    """By distance, and of the same version."""
    index = rules(*(replace(NETWORK, id=f"n{number}", pattern=one) for number, one in enumerate(networks)))
    assert denied(index, address).denial.nearest == nearest


def test_nearest_is_never_the_name_that_was_denied() -> None:
    """A denial of the CA's own name suggests another one."""
    index = rules(
        replace(RULE, id="a", pattern="internal", excluded=("ca.internal",)),
        replace(RULE, id="b", pattern="**.internal", excluded=("ca.internal",)),
    )
    assert denied(index, "ca.internal").denial.nearest == "internal"


def test_nearest_is_no_name_that_is_too_long() -> None:
    """Where the label does not fit below the domain, nothing is suggested."""
    long = ".".join(["a" * 63, "b" * 63, "c" * 62])
    assert denied(rules(f"**.{long}.corp"), f"{'x' * 63}.example").denial.nearest == ""


def reference(all_rules: list[Rule], identifier: Identifier, provisioner: str) -> bool:
    """May the name be had? The definition, without any index, for names that are no wildcards."""

    def covers(rule: Rule) -> bool:
        labels, (stars, _, base) = identifier.value.split("."), rule.pattern.rpartition("*.")
        below = labels[-len(base.split(".")) :] == base.split(".")
        extra = len(labels) - len(base.split("."))
        return (
            below and {"": extra == 0, "*": extra >= 1}[stars]
            if rule.pattern.startswith("**")
            else (below and extra == (1 if rule.pattern.startswith("*") else 0))
        )

    matching = [rule for rule in all_rules if rule.provisioner in {"", provisioner} and covers(rule)]
    if any(rule.action is RuleAction.DENY for rule in matching):
        return False
    return any(identifier.value not in rule.excluded for rule in matching)


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)
RULES = st.lists(
    st.builds(
        lambda stars, base, action, scope, excluded: Rule(
            "r", RuleKind.DNS, stars + base, "team", action, scope, excluded=excluded if action == "allow" else ()
        ),
        st.sampled_from(["", "*.", "**."]),
        WORDS,
        st.sampled_from([RuleAction.ALLOW, RuleAction.ALLOW, RuleAction.DENY]),
        st.sampled_from(["", "acme", "other"]),
        st.lists(WORDS, max_size=1).map(tuple),
    ),
    max_size=8,
)


@given(RULES, WORDS)
def test_index_decides_as_the_definition_does(all_rules: list[Rule], name: str) -> None:
    """Look-ups and definition agree for every name, and what a denial suggests would be allowed."""
    index, identifier = compile_rules(all_rules), parse_dns(name)
    found = decide(index, identifier, provisioner="acme", source=None)
    assert isinstance(found, Allowed) is reference(all_rules, identifier, "acme")
    if isinstance(found, Denied) and found.denial.nearest:
        assert isinstance(ask(index, found.denial.nearest), Allowed)
        assert found.denial.nearest != name


@given(RULES, WORDS, st.sampled_from(["a", "b", "c", "d"]))
def test_wildcard_is_never_more_than_the_names_it_stands_for(all_rules: list[Rule], base: str, label: str) -> None:
    """Where every rule gives wildcards, a given wildcard stands only for names that are given too."""
    index = compile_rules(replace(one, wildcards=one.action is RuleAction.ALLOW) for one in all_rules)
    if isinstance(ask(index, f"*.{base}"), Allowed):
        assert isinstance(ask(index, f"{label}.{base}"), Allowed)


NETWORKS = st.builds(
    lambda number, length: str(ip_network((number, length), strict=False)),
    st.integers(0x0A000000, 0x0A0000FF),
    st.integers(22, 32),
)


@given(st.lists(NETWORKS, max_size=6), st.integers(0x09FFFFF0, 0x0A00010F))
def test_address_is_allowed_exactly_inside_a_network(networks: list[str], number: int) -> None:
    """Look-ups by prefix length and membership agree; the nearest network is one that is allowed."""
    address = ip_address(number)
    found = ask(rules(*(replace(NETWORK, pattern=one) for one in networks)), str(address))
    assert isinstance(found, Allowed) is any(address in ip_network(one) for one in networks)
    if isinstance(found, Denied):
        assert found.denial.nearest in networks or not networks


def test_check_names_gives_a_decision_for_each_name_in_order() -> None:
    """All allowed: whose each one is."""
    index = rules("**.web.corp", NETWORK)
    names = [parse_ip("10.0.0.1"), parse_dns("a.web.corp")]
    found = check_names(index, names, provisioner="acme", source=HERE)
    assert found == (Allowed("n1", "net-team"), Allowed("r1", "web-team"))


def test_one_denied_name_is_told_in_full__acme_o9() -> None:
    """Name, rule, nearest and who can help; the denial stands on the problem and on its subproblem."""
    names = [parse_dns("a.web.corp"), parse_dns("shop.corp")]
    with pytest.raises(RejectedIdentifier) as caught:
        check_names(rules("**.web.corp"), names, provisioner="acme", source=HERE)
    problem = caught.value
    assert problem.detail == (
        "shop.corp: no rule allows it (default-deny); nearest that would be allowed: shop.web.corp; "
        "an owner of a rule must allow it"
    )
    assert problem.denial == Denial("default-deny", nearest="shop.web.corp", reason="name_not_allowed")
    (part,) = problem.subproblems
    assert (part.type, part.identifier, part.denial) == ("rejectedIdentifier", names[1], problem.denial)


def test_denial_by_a_rule_names_its_owner() -> None:
    """Who can help is known."""
    deny = replace(RULE, id="d1", pattern="secret.corp", owner="security", action=RuleAction.DENY)
    with pytest.raises(RejectedIdentifier) as caught:
        check_names(rules(deny), [parse_dns("secret.corp")], provisioner="acme", source=HERE)
    assert caught.value.detail == "secret.corp: rule d1 of security denies it (d1); security must allow it"


def test_several_denied_names_give_a_subproblem_each__rfc8555_6_7_1() -> None:
    """The denials stand with their names; the detail stays short."""
    names = [parse_dns(f"{'x' * 60}{number}.corp") for number in range(10)]
    with pytest.raises(RejectedIdentifier) as caught:
        check_names(rules("**.web.corp"), names, provisioner="acme", source=HERE)
    problem = caught.value
    assert [one.identifier for one in problem.subproblems] == names
    assert all(one.denial is not None and one.denial.nearest for one in problem.subproblems)
    assert problem.denial is None
    assert problem.detail.startswith("10 names are not allowed: ")
    assert len(problem.detail) <= 300


@pytest.mark.parametrize(
    ("name", "kind", "pattern"),
    [
        ("shop.corp", RuleKind.DNS, "shop.corp"),
        ("*.shop.corp", RuleKind.DNS, "*.shop.corp"),
        ("10.0.0.1", RuleKind.IP, "10.0.0.1/32"),
        ("fd00::1", RuleKind.IP, "fd00::1/128"),
    ],
)
def test_smallest_rule_allows_just_this__security_4(name: str, kind: RuleKind, pattern: str) -> None:
    """What an admin is offered for a denial; made into a rule, it gives the name."""
    identifier = parse_ip(name) if kind is RuleKind.IP else parse_dns(name)
    assert smallest_rule(identifier) == (kind, pattern)
    made = Rule("r1", kind, pattern, "team", wildcards=identifier.is_wildcard)
    assert isinstance(ask(compile_rules([made]), name), Allowed)


def test_rule_that_is_not_well_formed_is_not_compiled() -> None:
    """RuleError, whoever made the rule."""
    with pytest.raises(RuleError):
        compile_rules([replace(RULE, pattern="a..b")])
