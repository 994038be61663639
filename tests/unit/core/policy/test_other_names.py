"""Rules for e-mail addresses, URIs and common names (security.md section 4; step-compat.md part 10)."""

from __future__ import annotations

from typing import Any

import pytest

from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType, parse_common_name, parse_name
from dayfly.core.policy.decisions import Allowed, Denied
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import Rule, RuleAction, RuleError, RuleKind, check_rule, parse_target
from dayfly.core.policy.rules import smallest_rule as smallest
from dayfly.core.problems import Malformed

RULE = Rule("r1", RuleKind.EMAIL, "@a.b", "team")


def ask(name: str, *rules: Rule, provisioner: str = "p") -> Allowed | Denied:
    """The decision about a name of any type."""
    return decide(compile_rules(rules), parse_common_name(name), provisioner=provisioner, source=None)


def allow(kind: RuleKind, pattern: str, *, action: RuleAction = RuleAction.ALLOW, provisioner: str = "") -> Rule:
    """A rule."""
    return Rule(f"{action}-{kind}", kind, pattern, "team", action, provisioner=provisioner)


@pytest.mark.parametrize(
    ("kind", "pattern", "name", "allowed"),
    [
        (RuleKind.EMAIL, "@a.b", "ops@a.b", True),
        (RuleKind.EMAIL, "@a.b", "ops@A.B", True),
        (RuleKind.EMAIL, "@a.b", "ops@x.a.b", False),
        (RuleKind.EMAIL, "@a.b", "ops@xa.b", False),
        (RuleKind.EMAIL, "ops@a.b", "ops@a.b", True),
        (RuleKind.EMAIL, "ops@a.b", "Ops@a.b", False),
        (RuleKind.EMAIL, "ops@a.b", "root@a.b", False),
        (RuleKind.URI, "a.b", "spiffe://a.b/ns/x", True),
        (RuleKind.URI, "a.b", "https://A.B:8443/?q#f", True),
        (RuleKind.URI, "a.b", "https://x.a.b/", False),
        (RuleKind.URI, "*.a.b", "https://x.a.b", True),
        (RuleKind.URI, "*.a.b", "https://y.x.a.b", False),
        (RuleKind.URI, "**.a.b", "https://y.x.a.b", True),
        (RuleKind.URI, "**.a.b", "https://a.b", False),
        (RuleKind.URI, "a.b", "https://evil.c/a.b", False),
        (RuleKind.URI, "corp", "https://corp/x", True),
        (RuleKind.CN, "Build robot", "Build robot", True),
        (RuleKind.CN, "Build robot", "build robot", False),
        (RuleKind.DNS, "a.b", "ops@a.b", False),
        (RuleKind.DNS, "**.a.b", "https://x.a.b", False),
        (RuleKind.EMAIL, "@a.b", "a.b", False),
        (RuleKind.URI, "**.a.b", "x.a.b", False),
    ],
)
def test_rules_speak_of_names_of_their_kind_alone__step_compat_10(
    kind: RuleKind, pattern: str, name: str, *, allowed: bool
) -> None:
    """`@domain` for e-mail; scheme and path of a URI are ignored; a common name is what it says."""
    assert isinstance(ask(name, allow(kind, pattern)), Allowed) is allowed


@pytest.mark.parametrize(
    ("kind", "wide", "narrow", "name"),
    [
        (RuleKind.EMAIL, "@a.b", "root@a.b", "root@a.b"),
        (RuleKind.URI, "**.a.b", "x.a.b", "https://x.a.b/y"),
        (RuleKind.CN, "Robot one", "Robot one", "Robot one"),
    ],
)
def test_a_rule_that_denies_wins__security_4(kind: RuleKind, wide: str, narrow: str, name: str) -> None:
    """Whatever allows the name, too."""
    found = ask(name, allow(kind, wide), allow(kind, narrow, action=RuleAction.DENY))
    assert isinstance(found, Denied)
    assert found.denial.rule == f"deny-{kind}"


@pytest.mark.parametrize(
    ("rules", "name", "nearest"),
    [
        ((allow(RuleKind.EMAIL, "@mail.a.b"),), "ops@a.b", "ops@mail.a.b"),
        (
            (allow(RuleKind.EMAIL, "@mail.a.b"), allow(RuleKind.EMAIL, "ops@mail.a.b", action=RuleAction.DENY)),
            "ops@a.b",
            "",
        ),
        ((allow(RuleKind.URI, "**.mesh.a.b"),), "spiffe://x.a.b/ns", "spiffe://x.mesh.a.b/ns"),
        ((allow(RuleKind.URI, "mesh.a.b", provisioner="p"),), "https://a.b:8443/y", "https://mesh.a.b:8443/y"),
        ((allow(RuleKind.URI, "mesh.a.b", provisioner="q"),), "https://a.b/y", ""),
        ((allow(RuleKind.CN, "Robot one"),), "Robot two", ""),
        ((allow(RuleKind.EMAIL, "ops@a.b"),), "root@a.b", ""),
    ],
)
def test_a_denial_tells_the_nearest_of_its_kind__security_4(rules: tuple[Rule, ...], name: str, nearest: str) -> None:
    """The same mailbox elsewhere, the same URI at another host; only what would be allowed."""
    found = ask(name, *rules)
    assert isinstance(found, Denied)
    assert found.denial.nearest == nearest


@pytest.mark.parametrize(
    ("name", "kind", "pattern"),
    [
        ("ops@a.b", RuleKind.EMAIL, "ops@a.b"),
        ("spiffe://a.b/c", RuleKind.URI, "a.b"),
        ("Build robot", RuleKind.CN, "Build robot"),
    ],
)
def test_the_smallest_rule_gives_the_name__security_4(name: str, kind: RuleKind, pattern: str) -> None:
    """One mailbox, one host, one common name."""
    assert smallest(parse_common_name(name)) == (kind, pattern)
    assert isinstance(ask(name, allow(kind, pattern)), Allowed)


@pytest.mark.parametrize(
    ("text", "kind", "pattern"),
    [
        ("@a.b", RuleKind.EMAIL, "@a.b"),
        ("ops@a.b", RuleKind.EMAIL, "ops@a.b"),
        ("uri:**.a.b", RuleKind.URI, "**.a.b"),
        ("cn:Build robot", RuleKind.CN, "Build robot"),
        ("dns:a.b", RuleKind.DNS, "a.b"),
        ("email:@a.b", RuleKind.EMAIL, "@a.b"),
        ("a.b", RuleKind.DNS, "a.b"),
        ("10.0.0.1", RuleKind.IP, "10.0.0.1/32"),
        ("fd00::/8", RuleKind.IP, "fd00::/8"),
        ("fd00::1", RuleKind.IP, "fd00::1/128"),
    ],
)
def test_a_person_names_a_pattern_of_any_kind(text: str, kind: RuleKind, pattern: str) -> None:
    """By its looks, or by its kind in front."""
    assert parse_target(text) == (kind, pattern)
    check_rule(allow(kind, pattern))


@pytest.mark.parametrize(
    ("text", "kind"),
    [("a.b", RuleKind.URI), ("Build robot", RuleKind.CN), ("10.0.0.0/8", RuleKind.IP), ("a.b", RuleKind.DNS)],
)
def test_where_the_kind_is_known_the_text_is_a_pattern_of_it(text: str, kind: RuleKind) -> None:
    """As in step's words."""
    assert parse_target(text, kind=kind) == (kind, text)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("@", None, "no pattern of e-mail"),
        ("*@a.b", None, "no pattern of e-mail"),
        ("@*.a.b", None, "no pattern of e-mail"),
        ("ops@A.b", None, "no pattern of e-mail"),
        ("https://a.b/c", None, "a rule is for all of a host"),
        ("cn:a.b", None, "no common name that is not"),
        ("cn:10.0.0.1", None, "no common name that is not"),
        ("uri:A.b", None, "upper case"),
        ("10.0.0.1", RuleKind.DNS, "of the kind ip, not dns"),
        ("@a.b", RuleKind.DNS, "of the kind email, not dns"),
        ("a.b", RuleKind.IP, "of the kind dns, not ip"),
        ("a.b", RuleKind.EMAIL, "no pattern of e-mail"),
    ],
)
def test_a_pattern_that_is_none_is_refused(text: str, kind: RuleKind | None, says: str) -> None:
    """With the reason."""
    with pytest.raises(RuleError, match=says):
        parse_target(text, kind=kind)


@pytest.mark.parametrize("changes", [{"wildcards": True}, {"excluded": ("ops@a.b",)}])
def test_rules_for_mail_have_no_wildcards_and_no_exclusions(changes: dict[str, Any]) -> None:
    """What would do nothing is not taken."""
    with pytest.raises(RuleError, match="no wildcards and no exclusions"):
        check_rule(replace(RULE, **changes))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("a.b+c@X.example", IdentifierType.EMAIL, "a.b+c@x.example"),
        ("HTTPS://X.example/Y?Z", IdentifierType.URI, "https://x.example/Y?Z"),
        ("Jane Doe", IdentifierType.CN, "Jane Doe"),
        ("api.b", IdentifierType.DNS, "api.b"),
        ("2001:DB8::1", IdentifierType.IP, "2001:db8::1"),
        ("localhost", IdentifierType.DNS, "localhost"),
        ("build_robot", IdentifierType.CN, "build_robot"),
    ],
)
def test_a_subject_is_the_name_that_it_looks_like(text: str, kind: IdentifierType, value: str) -> None:
    """And text only where it is none, so that no rule for text gives a host away."""
    assert parse_common_name(text) == Identifier(kind, value)
    assert parse_common_name(value) == Identifier(kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "a@b@c d",
        ".a@b.c",
        "a..b@b.c",
        '"a"@b.c',
        "*@b.c",
        "a@*.b.c",
        "a@10.0.0.1",
        "x" * 65 + "@b.c",
        "a@\u00fc.c",
        "https://u@a.b/",
        "https://10.0.0.1/",
        "https:///x",
        "ht tp://a.b",
        "https://a.b/ c",
        "https://[::1]/",
        "urn:x:y",
        "https://a.b/" + "x" * 1024,
        "https://a.b\\@c.d/",
        "https://a.b:123456/",
    ],
)
def test_what_is_no_name_of_any_type_is_refused(text: str) -> None:
    """User parts, addresses, quoting, other spellings."""
    with pytest.raises(Malformed):
        parse_name(text)


@pytest.mark.parametrize(
    "text", ["", " a", "a ", "a.b_c", "1.2.3", "a:b", "a<b>", "x y" * 30, "*.a b", "\u00fcmlaut x", "a\nb c"]
)
def test_text_that_could_be_taken_for_a_host_is_no_common_name(text: str) -> None:
    """It has a space, or neither dot nor colon; and no character that anything reads."""
    with pytest.raises(Malformed):
        parse_common_name(text)
