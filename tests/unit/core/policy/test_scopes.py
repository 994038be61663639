"""Scopes narrow what the rules give (acme.md part 5; security.md section 4)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, parse_dns, parse_ip
from dayfly.core.policy.decisions import Allowed, Denied
from dayfly.core.policy.grant import (
    Grant,
    check_granted,
    check_key_granted,
    check_profile_granted,
    decide_granted,
    within_scopes,
)
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.policy.rules import Rule, RuleError, RuleKind, Source
from dayfly.core.policy.scopes import BoundScope, Scope, check_scope, narrow_lifetimes, parse_scope, render_scope
from dayfly.core.problems import BadCSR, InvalidProfile, RejectedIdentifier

HERE = ip_address("10.1.2.3")
HOUR = timedelta(hours=1)
RULES = (
    Rule("r1", RuleKind.DNS, "**.web.corp", "web-team", wildcards=True),
    Rule("r2", RuleKind.IP, "10.0.0.0/8", "net-team"),
)
GRANT = Grant("acme", compile_rules(RULES), Lifetimes(HOUR, 24 * HOUR, 48 * HOUR), ("http-01",), "service")


def ask(scope: Scope, name: str, *, source: Source | None = HERE, more: tuple[Scope, ...] = ()) -> Allowed | Denied:
    """The decision about a name for the bearer of a scope, and of more."""
    bound = tuple(BoundScope(f"eab:k{number}", one) for number, one in enumerate((scope, *more)))
    return decide_granted(within_scopes(GRANT, bound), named(name), source=source)


def named(name: str) -> Identifier:
    """A DNS name, or an address."""
    return parse_ip(name) if name[0].isdigit() else parse_dns(name)


def denied(scope: Scope, name: str, *, source: Source | None = HERE) -> Denied:
    """The denial of a name that must be denied."""
    found = ask(scope, name, source=source)
    assert isinstance(found, Denied)
    return found


@pytest.mark.parametrize(
    ("scope", "name", "allowed"),
    [
        (Scope(), "a.web.corp", True),
        (Scope(), "*.web.corp", True),
        (Scope(allow=("a.web.corp",)), "a.web.corp", True),
        (Scope(allow=("a.web.corp",)), "b.web.corp", False),
        (Scope(allow=("*.web.corp",)), "*.web.corp", False),
        (Scope(allow=("*.web.corp",), wildcards=True), "*.web.corp", True),
        (Scope(allow=("**.other.corp",)), "x.other.corp", False),
        (Scope(deny=("a.web.corp",)), "a.web.corp", False),
        (Scope(deny=("a.web.corp",)), "*.web.corp", False),
        (Scope(deny=("a.web.corp",)), "b.web.corp", True),
        (Scope(allow=("10.1.0.0/16",)), "10.1.9.9", True),
        (Scope(allow=("10.1.0.0/16",)), "10.2.9.9", False),
        (Scope(allow=("10.1.0.0/16",)), "a.web.corp", False),
        (Scope(sources=("10.0.0.0/8",)), "a.web.corp", True),
        (Scope(sources=("192.168.0.0/16",)), "a.web.corp", False),
    ],
)
def test_scope_narrows_the_rules_and_never_widens_them__acme_5(scope: Scope, name: str, *, allowed: bool) -> None:
    """A name needs a rule, and every scope that binds the request."""
    assert isinstance(ask(scope, name), Allowed) is allowed


def test_a_source_that_is_not_known_is_in_no_network__security_4() -> None:
    """No limit by source fails open."""
    found = denied(Scope(sources=("10.0.0.0/8",)), "a.web.corp", source=None)
    assert (found.reason, found.denial.rule) == (Reason.SOURCE_NOT_ALLOWED, "eab:k0")


def test_all_scopes_must_let_a_name_pass__acme_5() -> None:
    """Key and account both hold; the first that does not let it pass is named."""
    found = ask(Scope(allow=("*.web.corp",)), "a.web.corp", more=(Scope(deny=("a.web.corp",), owner="ops"),))
    assert isinstance(found, Denied)
    assert (found.denial.rule, found.denial.owner) == ("eab:k1", "ops")


def test_certificates_of_a_scope_belong_to_its_owner__acme_5() -> None:
    """The narrowest that names an owner decides; the rule stays the one that gave the name."""
    assert ask(Scope(owner="team"), "a.web.corp") == Allowed("r1", "team")
    assert ask(Scope(), "a.web.corp") == Allowed("r1", "web-team")
    assert ask(Scope(owner="team"), "a.web.corp", more=(Scope(),)) == Allowed("r1", "team")


def test_a_scope_tells_the_nearest_only_where_it_would_be_allowed__security_4() -> None:
    """What the scope gives and the rules do not is no advice; a network of the scope is."""
    assert denied(Scope(allow=("a.web.corp",)), "b.web.corp").denial.nearest == "a.web.corp"
    assert denied(Scope(allow=("a.other.corp",)), "b.web.corp").denial.nearest == ""
    assert denied(Scope(allow=("10.1.0.0/16",)), "10.2.0.1").denial.nearest == "10.1.0.0/16"
    both = ask(Scope(allow=("a.web.corp",)), "b.web.corp", more=(Scope(deny=("a.web.corp",)),))
    assert isinstance(both, Denied)
    assert both.denial.nearest == ""


def test_a_refusal_names_every_name_that_a_scope_denies__rfc8555_6_7_1() -> None:
    """Collected as those of rules are."""
    grant = within_scopes(GRANT, (BoundScope("eab:k0", Scope(allow=("a.web.corp",))),))
    assert check_granted(grant, [named("a.web.corp")], source=HERE) == (Allowed("r1", "web-team"),)
    with pytest.raises(RejectedIdentifier, match="2 names are not allowed") as caught:
        check_granted(grant, [named("b.web.corp"), named("x.org")], source=HERE)
    rules = [one.denial.rule for one in caught.value.subproblems if one.denial is not None]
    assert rules == ["eab:k0", "default-deny"]


def test_lifetimes_shrink_to_the_scopes_longest_and_not_below_the_shortest__acme_5() -> None:
    """The shortest of the provisioner stays what it is."""
    life = GRANT.lifetimes
    assert narrow_lifetimes(life, ()) == life
    assert narrow_lifetimes(life, [BoundScope("e", Scope())]) == life
    assert narrow_lifetimes(life, [BoundScope("e", Scope(max_lifetime=8 * HOUR))]) == Lifetimes(
        HOUR, 8 * HOUR, 8 * HOUR
    )
    tiny = BoundScope("e", Scope(max_lifetime=timedelta(minutes=1)))
    assert narrow_lifetimes(life, [tiny]) == Lifetimes(HOUR, HOUR, HOUR)
    assert within_scopes(GRANT, (tiny,)).lifetimes.maximum == HOUR
    assert within_scopes(GRANT, ()) is GRANT


FULL = Scope(
    owner="team",
    allow=("**.web.corp", "10.1.0.0/16"),
    deny=("secret.web.corp",),
    wildcards=True,
    sources=("10.0.0.0/8",),
    profiles=("service",),
    key_types=(KeyType.P256,),
    max_lifetime=8 * HOUR,
)


@pytest.mark.parametrize("scope", [Scope(), FULL])
def test_a_scope_has_one_spelling_that_reads_back__acme_5(scope: Scope) -> None:
    """What was rendered is parsed to the same."""
    assert parse_scope(render_scope(scope)) == scope


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"allow":"a.b"}',
        b'{"allows":[]}',
        b'{"allow":["a..b"]}',
        b'{"key_types":["DSA"]}',
        b'{"a":1,"a":2}',
    ],
)
def test_a_scope_that_cannot_be_read_is_an_error_and_not_no_scope__security_14_s25(body: bytes) -> None:
    """A binding that is not understood never lets everything pass."""
    with pytest.raises(RuleError):
        parse_scope(body)


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (replace(FULL, allow=("A.b",)), "upper case"),
        (replace(FULL, deny=("10.0.0.1/8",)), "no network"),
        (replace(FULL, sources=("nowhere",)), "no network"),
        (replace(FULL, sources=("10.0.0.1",)), "canonical"),
        (replace(FULL, max_lifetime=timedelta(seconds=1)), "between"),
        (replace(FULL, max_lifetime=timedelta(days=400)), "between"),
        (Scope(wildcards=True), "allows none by name"),
        (Scope(allow=tuple(f"a{number}.b.c" for number in range(1001))), "at most 1000"),
    ],
)
def test_a_scope_that_is_not_well_formed_is_refused__acme_5(scope: Scope, text: str) -> None:
    """Each defect has its words."""
    with pytest.raises(RuleError, match=text):
        check_scope(scope, what="the key")


def test_an_address_may_stand_for_its_network__acme_5() -> None:
    """One address is allowed as a network of one."""
    assert isinstance(ask(Scope(allow=("10.1.2.3",)), "10.1.2.3"), Allowed)
    assert isinstance(ask(Scope(allow=("10.1.2.3",)), "10.1.2.4"), Denied)


def test_key_types_are_those_of_provisioner_and_scopes_together__acme_5() -> None:
    """The refusal says who does not allow it, and which are."""
    two = frozenset({KeyType.P256, KeyType.P384})
    both = replace(GRANT, key_types=two, named_keys=two)
    check_key_granted(both, KeyType.P384)
    with pytest.raises(BadCSR, match="provisioner acme takes no keys of type RSA-2048; use one of P-256, P-384"):
        check_key_granted(both, KeyType.RSA2048)
    held = within_scopes(both, (BoundScope("eab:k0", Scope()), BoundScope("eab:k1", Scope(key_types=(KeyType.P256,)))))
    check_key_granted(held, KeyType.P256)
    with pytest.raises(BadCSR, match="the scope of eab:k1 allows no keys of type P-384; use one of P-256") as caught:
        check_key_granted(held, KeyType.P384)
    assert caught.value.reason == Reason.KEY_NOT_ALLOWED
    none = within_scopes(held, (BoundScope("eab:k2", Scope(key_types=(KeyType.RSA4096,))),))
    with pytest.raises(BadCSR, match="none at all is allowed"):
        check_key_granted(none, KeyType.P256)


def test_profiles_are_those_of_the_scopes__acme_5() -> None:
    """The usual one counts as asked for; a scope that names none says nothing."""
    check_profile_granted(GRANT, "anything")
    held = within_scopes(GRANT, (BoundScope("eab:k0", Scope()), BoundScope("eab:k1", Scope(profiles=("device",)))))
    check_profile_granted(held, "device")
    for profile in ("", "service"):
        with pytest.raises(InvalidProfile, match="eab:k1 does not allow the profile service; ask for device"):
            check_profile_granted(held, profile)
