"""Name constraints: what an issuer can vouch for, wildcards and addresses included (RFC 5280 4.2.1.10)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from dayfly.core.problems import RejectedIdentifier
from dayfly.core.x509.constraints import (
    NameConstraints,
    check_constraints,
    is_permitted,
    parse_constraints,
    plan_constraints,
)
from factories import NOW

PERMITTED = NameConstraints(("internal.example",), (ip_network("10.0.0.0/8"),), (), (ip_network("::/0"),))
EXCLUDED = NameConstraints(excluded_dns=("secret.internal.example",))


def name(value: str) -> Identifier:
    """A DNS name or an address."""
    kind = IdentifierType.IP if value[0].isdigit() or ":" in value else IdentifierType.DNS
    return Identifier(kind, value)


@pytest.mark.parametrize(
    ("constraints", "value", "permitted"),
    [
        (PERMITTED, "internal.example", True),
        (PERMITTED, "a.b.internal.example", True),
        (PERMITTED, "*.internal.example", True),
        (PERMITTED, "notinternal.example", False),
        (PERMITTED, "example", False),
        (PERMITTED, "*.example", False),
        (PERMITTED, "10.1.2.3", True),
        (PERMITTED, "11.1.2.3", False),
        (PERMITTED, "fd00::1", False),
        (EXCLUDED, "a.internal.example", True),
        (EXCLUDED, "a.secret.internal.example", False),
        (EXCLUDED, "*.internal.example", False),
        (EXCLUDED, "*.secret.internal.example", False),
        (EXCLUDED, "10.1.2.3", True),
        (replace(EXCLUDED, excluded_dns=("",)), "a.b", False),
    ],
)
def test_name_is_permitted_or_not__rfc5280_4_2_1_10(constraints: NameConstraints, value: str, permitted: bool) -> None:
    """A domain covers itself and all below it, and a wildcard falls with what it would stand for."""
    assert is_permitted(constraints, name(value)) is permitted


def test_plan_permits_rules_and_own_names_and_no_other_kind_of_address() -> None:
    """What the first rules allow and the CA's own names; of the family without networks an address that nobody has."""
    rules = (
        Rule("r1", RuleKind.DNS, "internal.example", "p"),
        Rule("r2", RuleKind.DNS, "**.internal.example", "p"),
        Rule("r3", RuleKind.IP, "10.0.0.0/8", "p"),
        Rule("r4", RuleKind.DNS, "evil.internal.example", "p", action=RuleAction.DENY),
    )
    planned = plan_constraints(rules, (name("ca.internal.example"), name("ca.other.example"), name("192.0.2.1")))
    assert planned.permitted_dns == ("internal.example", "ca.other.example")
    assert planned.permitted_networks == tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.1/32", "::/128")))
    assert not planned.excluded_networks
    assert not planned.excluded_dns


@pytest.mark.parametrize(
    ("networks", "permitted", "excluded"),
    [
        ((), (), ("0.0.0.0/0", "::/0")),
        (("fd12::/16",), ("fd12::/16", "0.0.0.0/32"), ()),
        (("10.0.0.0/8", "fd12::/16"), ("10.0.0.0/8", "fd12::/16"), ()),
    ],
)
def test_plan_leaves_no_address_of_a_family_without_networks(
    networks: tuple[str, ...], permitted: tuple[str, ...], excluded: tuple[str, ...]
) -> None:
    """Without any network all addresses are excluded; with those of one family the other one gets nobody's."""
    rules = tuple(Rule(f"r{one}", RuleKind.IP, one, "p") for one in networks)
    planned = plan_constraints(rules, (name("ca.internal.example"),))
    assert planned.permitted_networks == tuple(map(ip_network, permitted))
    assert planned.excluded_networks == tuple(map(ip_network, excluded))


def test_check_names_every_outside_name() -> None:
    """A refusal names what is outside, and the rule that decided is the issuer itself."""
    with pytest.raises(RejectedIdentifier) as caught:
        check_constraints((PERMITTED, EXCLUDED), (name("a.internal.example"), name("a.b"), name("192.0.2.1")))
    assert [one.identifier.value for one in caught.value.subproblems if one.identifier] == ["a.b", "192.0.2.1"]
    assert caught.value.denial is not None
    assert caught.value.denial.rule == "issuer-constraints"
    check_constraints((PERMITTED, EXCLUDED), (name("a.internal.example"),))


@pytest.mark.parametrize(
    ("permitted", "excluded", "closed"),
    [
        ([x509.DNSName("corp")], None, ()),
        ([x509.RFC822Name("corp")], None, (IdentifierType.EMAIL,)),
        (None, [x509.UniformResourceIdentifier(".corp"), x509.RFC822Name("a@corp")], tuple(IdentifierType)[2:4]),
    ],
)
def test_where_mail_or_uris_are_constrained_none_is_vouched_for__rfc5280_4_2_1_10(
    permitted: list[x509.GeneralName] | None,
    excluded: list[x509.GeneralName] | None,
    closed: tuple[IdentifierType, ...],
) -> None:
    """Their constraints are not read closely, so none of these names is issued; a common name is none of them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    builder = builder.add_extension(x509.NameConstraints(permitted, excluded), critical=True)
    found = parse_constraints(builder.sign(key, SHA256()))
    assert found is not None
    assert found.closed == closed
    for kind, value in zip(tuple(IdentifierType)[2:], ("a@corp", "spiffe://corp", "A robot"), strict=True):
        assert is_permitted(found, Identifier(kind, value)) is (kind not in closed)
