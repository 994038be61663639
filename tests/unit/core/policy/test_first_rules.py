"""The rules that a new CA begins with."""

from __future__ import annotations

import pytest

from dayfly.core.policy.first_rules import first_rules
from dayfly.core.policy.rules import Rule, RuleError, RuleKind


def is_public(domain: str) -> bool:
    """A small public suffix list; like the real one it takes every single label for public."""
    return "." not in domain or domain in {"co.uk", "home.arpa", "github.io"}


def first(*names: str, allow_dns: tuple[str, ...] = (), allow_ip: tuple[str, ...] = ()) -> list[str]:
    """The patterns of a new CA's rules."""
    made = first_rules(names, allow_dns=allow_dns, allow_ip=allow_ip, owner="admin", is_public_suffix=is_public)
    return [rule.pattern for rule in made]


def test_first_rules_are_the_ca_s_own_domain__security_4() -> None:
    """The parent and all below it, with the owner named, without wildcards and the CA's own names."""
    own = ("ca.internal.example",)
    assert first_rules(own, owner="admin", is_public_suffix=is_public) == (
        Rule("r1", RuleKind.DNS, "internal.example", "admin", excluded=own),
        Rule("r2", RuleKind.DNS, "**.internal.example", "admin", excluded=own),
    )


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("ca.corp", "corp"),
        ("ca.internal", "internal"),
        ("ca.home.arpa", "home.arpa"),
        ("ca.lan", "lan"),
        ("ca.example.com", "example.com"),
        ("ca.team.co.uk", "team.co.uk"),
        ("a.ca.corp", "ca.corp"),
    ],
)
def test_parent_that_somebody_owns_becomes_a_rule(name: str, parent: str) -> None:
    """A private parent of one label, or a domain below a public suffix."""
    assert first(name) == [parent, f"**.{parent}"]


@pytest.mark.parametrize(
    "name",
    ["ca", "localhost", "ca.localhost", "example.com", "ca.co.uk", "ca.dev", "10.0.0.1", "fd00::1", "me.github.io"],
)
def test_other_names_make_no_rule__security_4(name: str) -> None:
    """One label, an address, or a parent that is a public suffix: nothing is allowed until somebody says what."""
    assert first(name) == []


def test_equal_parents_make_their_rules_once() -> None:
    """Names are excluded together, in every DNS rule; an address of the CA's in every IP rule."""
    own = ("ca.corp", "ca2.corp", "10.0.0.1")
    made = first_rules(own, allow_dns=("corp",), allow_ip=("10.0.0.0/8",), owner="o", is_public_suffix=is_public)
    assert [(rule.id, rule.pattern, rule.excluded) for rule in made] == [
        ("r1", "corp", own[:2]),
        ("r2", "**.corp", own[:2]),
        ("r3", "10.0.0.0/8", own[2:]),
    ]


def test_first_rules_can_be_widened_by_flags() -> None:
    """`--allow-dns` means the same two rules, `--allow-ip` one."""
    found = first("ca", allow_dns=("Shop.example.com",), allow_ip=("10.0.0.0/8", "10.0.0.0/8", "fd00::1"))
    assert found == ["shop.example.com", "**.shop.example.com", "10.0.0.0/8", "fd00::1/128"]


@pytest.mark.parametrize("domain", ["com", "co.uk", "*.corp", "10.0.0.1", "", "a..b"])
def test_flag_cannot_give_a_public_suffix_or_what_is_no_domain__security_4(domain: str) -> None:
    """None becomes a rule; the error names the flag."""
    with pytest.raises(RuleError, match=r"^--allow-dns: "):
        first("ca", allow_dns=(domain,))


@pytest.mark.parametrize("network", ["10.0.0.1/8", "corp", ""])
def test_flag_cannot_give_what_is_no_network(network: str) -> None:
    """The error names the flag."""
    with pytest.raises(RuleError, match=r"^--allow-ip: "):
        first("ca", allow_ip=(network,))
