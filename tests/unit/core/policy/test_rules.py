"""What makes a name rule well formed (security.md section 4)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from dayfly.core.frozen import replace
from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind, check_rule, parse_network, parse_pattern
from dayfly.errors import ConfigError

DNS = Rule("r1", RuleKind.DNS, "**.corp", "team", excluded=("ca.corp",), sources=("10.0.0.0/8", "fd00::/8"))
IP = Rule("r2", RuleKind.IP, "10.0.0.0/8", "team", excluded=("10.0.0.1",))
DENY = Rule("r3", RuleKind.DNS, "secret.corp", "team", action=RuleAction.DENY)


@pytest.mark.parametrize("rule", [DNS, IP, DENY], ids=lambda rule: rule.id)
def test_complete_rules_pass(rule: Rule) -> None:
    """Each kind and action, with all that it may carry."""
    check_rule(rule)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (replace(DNS, id=""), "rule id"),
        (replace(DNS, id="-a"), "rule id"),
        (replace(DNS, id="a b"), "rule id"),
        (replace(DNS, id="r1\n"), "rule id"),
        (replace(DNS, id="x" * 64), "rule id"),
        (replace(DNS, owner=""), "no owner"),
        (replace(DNS, pattern="10.0.0.1"), "no pattern"),
        (replace(DNS, sources=("10.0.0.1/8",)), "source: .* no network"),
        (replace(DNS, sources=("corp",)), "source: .* no network"),
        (replace(DNS, excluded=("CA.corp",)), "excludes"),
        (replace(DNS, excluded=("*.corp",)), "excludes"),
        (replace(DNS, excluded=("10.0.0.1",)), "excludes"),
        (replace(IP, pattern="corp"), "no network"),
        (replace(IP, excluded=("ca.corp",)), "excludes"),
        (replace(IP, excluded=("FD00::1",)), "excludes"),
        (replace(DENY, wildcards=True), "denies"),
        (replace(DENY, sources=("10.0.0.0/8",)), "denies"),
        (replace(DENY, excluded=("ca.corp",)), "denies"),
    ],
)
def test_each_defect_of_a_rule_is_refused(rule: Rule, why: str) -> None:
    """A rule that could be read in two ways, or would not do what it says, is an error that names it."""
    with pytest.raises(RuleError, match=why) as caught:
        check_rule(rule)
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("text", "found"),
    [("a.b", ("", "a.b")), ("*.a.b", ("*", "a.b")), ("**.a.b", ("**", "a.b")), ("corp", ("", "corp"))],
)
def test_pattern_is_exact_one_label_or_any_depth__security_4(text: str, found: tuple[str, str]) -> None:
    """The stars in front say how much is covered."""
    assert parse_pattern(text, what="rule r1") == found


@pytest.mark.parametrize(
    "text", ["", "*", "**", "*.", "***.a", "*a.b", "a.*.b", "*.*.b", "*.**.b", "a.b.", ".b", "a_b"]
)
def test_other_patterns_are_refused(text: str) -> None:
    """Nothing is guessed, and the hint shows the three forms."""
    with pytest.raises(RuleError, match=r"^rule r1: .* is no pattern") as caught:
        parse_pattern(text, what="rule r1")
    assert "**.a.b" in caught.value.hint


def test_pattern_in_upper_case_is_refused_with_the_right_one() -> None:
    """A pattern has one spelling."""
    with pytest.raises(RuleError, match="upper case") as caught:
        parse_pattern("**.Corp", what="rule r1")
    assert caught.value.hint == "write **.corp"


def test_network_is_cidr_without_host_bits() -> None:
    """An address alone is the network of one."""
    assert parse_network("10.0.0.0/24", what="x") == ip_network("10.0.0.0/24")
    assert parse_network("fd00::1", what="x") == ip_network("fd00::1/128")
    assert parse_network("::/0", what="x") == ip_network("::/0")


@pytest.mark.parametrize("text", ["10.0.0.1/24", "10.0.0.0/33", "010.0.0.0/8", "::1%eth0/x", "::ffff:10.0.0.0/104"])
def test_other_networks_are_refused(text: str) -> None:
    """Host bits, and a network that no canonical address is in, are errors."""
    with pytest.raises(RuleError, match=r"^here: "):
        parse_network(text, what="here")
