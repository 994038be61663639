"""From a good token and a CSR to what shall be issued (step-compat.md part 4)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import msgspec
import pytest

from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType, parse_name
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.policy.step import Situation
from dayfly.core.problems import BadCSR, Malformed, Refused, RejectedIdentifier, ServiceUnavailable, Unauthorized
from dayfly.core.provisioners import renewal_grant_for
from dayfly.core.step.asked import Asked
from dayfly.core.step.signing import check_confirmed, plan_sign
from dayfly.core.step.tokens import VerifiedClaims
from dayfly.core.x509.csr import CSRFacts, parse_csr
from factories import NAME, NOW, csr_der, dns, settings

FACTS = parse_csr(csr_der())
OTHER = "b.internal.example"
CLAIMS = VerifiedClaims("platform-team", NAME, (NAME,), b"reuse", NOW + timedelta(minutes=6))
SITUATION = Situation(NOW, ip_address("10.1.2.3"), NOW + timedelta(days=300))


def grant() -> Grant:
    """What the tests' JWK provisioner grants."""
    found = renewal_grant_for(settings(), "platform-team")
    assert found is not None
    return found


def ip(text: str) -> Identifier:
    """An address."""
    return Identifier(IdentifierType.IP, text)


def csr(*names: Identifier, common_name: str | None = None) -> CSRFacts:
    """What a request says."""
    return msgspec.structs.replace(
        FACTS, names=frozenset(names), alternative_names=frozenset(names), common_name=common_name
    )


def plan(
    claims: VerifiedClaims = CLAIMS, facts: CSRFacts = FACTS, asked: tuple[Asked, Asked] = (None, None)
) -> IssuePlan:
    """What would be issued."""
    return plan_sign(claims, facts, asked=asked, grant=grant(), situation=SITUATION)


def test_the_plan_has_the_tokens_names_and_the_csrs_key__step_4() -> None:
    """One name, which is the CN as well; the rule that decided is the name's."""
    found = plan()
    assert (found.names, found.common_name, found.subject) == ((dns(),), NAME, None)
    assert (found.spki, found.provisioner, found.profile) == (FACTS.spki, "platform-team", "service")
    assert found.allowed.rule == "r2"
    assert found.validity.lifetime == timedelta(hours=24)


def test_a_subject_beside_the_names_is_the_cn_and_meets_the_rules__t14() -> None:
    """The first name's rule decides whose it is; the subject is told to the lint."""
    claims = replace(CLAIMS, sans=(OTHER, "10.0.0.1", "10.0.0.1"))
    found = plan(claims, csr(dns(OTHER), ip("10.0.0.1"), common_name=NAME))
    assert (found.names, found.common_name, found.subject) == ((dns(OTHER), ip("10.0.0.1")), NAME, dns())


@pytest.mark.parametrize(
    "facts",
    [
        csr(),
        csr(dns(NAME)),
        csr(common_name=NAME),
        csr(ip("10.0.0.1")),
        csr(dns(NAME), ip("10.0.0.1"), common_name="10.0.0.1"),
    ],
)
def test_a_csr_may_say_less_by_type__t15(facts: CSRFacts) -> None:
    """Nothing, one type, or all of it."""
    assert plan(replace(CLAIMS, sans=(NAME, "10.0.0.1")), facts).names == (dns(), ip("10.0.0.1"))


@pytest.mark.parametrize(
    "facts",
    [csr(dns(NAME), dns(OTHER)), csr(dns(OTHER)), csr(ip("10.0.0.1")), csr(common_name=OTHER), csr(dns("*." + NAME))],
)
def test_a_csr_may_not_say_more__t15(facts: CSRFacts) -> None:
    """Another name of a type, another type, another CN."""
    with pytest.raises(BadCSR, match="does not agree") as caught:
        plan(facts=facts)
    assert caught.value.http_status == 403


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        (replace(CLAIMS, sans=("a@b.example",)), "a@b.example: no rule allows it"),
        (replace(CLAIMS, sans=("spiffe://b.example/x",)), "spiffe://b.example/x: no rule allows it"),
        (replace(CLAIMS, subject="a device"), "a device: no rule allows it"),
        (replace(CLAIMS, subject="a device", sans=("a device",)), "names that cannot be given"),
        (replace(CLAIMS, subject="a.device", sans=("-",)), "names that cannot be given"),
        (replace(CLAIMS, subject="a" * 60 + ".internal.example"), "64 characters"),
        (replace(CLAIMS, sans=("api.example.org",)), "api.example.org"),
        (replace(CLAIMS, subject="api.example.org"), "api.example.org"),
    ],
)
def test_names_that_cannot_be_had_are_forbidden__t16(claims: VerifiedClaims, what: str) -> None:
    """No name, a subject that no CN can hold, no rule for a name or for the subject."""
    with pytest.raises(RejectedIdentifier, match=what) as caught:
        plan(claims, csr())
    assert caught.value.http_status == 403


def test_a_key_that_is_not_given_is_forbidden__step_4() -> None:
    """403 with the reason, and with what is given; a key that is given passes."""
    narrow = replace(grant(), key_types=frozenset({KeyType.P384}))
    with pytest.raises(BadCSR, match=r"takes no keys of type P-256; use one of P-384") as caught:
        plan_sign(CLAIMS, FACTS, asked=(None, None), grant=narrow, situation=SITUATION)
    assert (caught.value.http_status, caught.value.reason) == (403, "key_not_allowed")
    wide = replace(grant(), key_types=frozenset({KeyType.P256}))
    assert plan_sign(CLAIMS, FACTS, asked=(None, None), grant=wide, situation=SITUATION) == plan()


def test_every_bad_name_is_told() -> None:
    """Collect what can be collected."""
    with pytest.raises(RejectedIdentifier) as caught:
        plan(replace(CLAIMS, sans=("a@", "c d", NAME)), csr())
    assert len(caught.value.subproblems) == 2


def test_a_long_name_goes_without_cn() -> None:
    """A CN of more than 64 characters is none (RFC 5280)."""
    name = "a" * 60 + ".internal.example"
    found = plan(replace(CLAIMS, subject=name, sans=(name,)), csr())
    assert (found.names, found.common_name) == ((dns(name),), None)


def test_what_is_asked_of_time_is_exact_or_forbidden__t18() -> None:
    """A span from now; beyond the longest lifetime 403 with the reason; beyond the calendar 400."""
    assert plan(asked=(None, timedelta(hours=1))).validity.not_after == NOW + timedelta(hours=1)
    with pytest.raises(Malformed, match="longest") as caught:
        plan(asked=(None, timedelta(hours=25)))
    assert (caught.value.http_status, caught.value.reason) == (403, "lifetime_not_allowed")
    with pytest.raises(Malformed, match="calendar") as beyond:
        plan(asked=(timedelta(days=900_000_000), None))
    assert beyond.value.http_status == 400


def test_an_issuer_that_ends_is_no_fault_of_the_client() -> None:
    """503, not 403."""
    ending = replace(SITUATION, issuer_not_after=NOW + timedelta(minutes=1))
    with pytest.raises(ServiceUnavailable):
        plan_sign(CLAIMS, FACTS, asked=(None, None), grant=grant(), situation=ending)


def test_a_bound_token_takes_its_own_request_only__t17() -> None:
    """By the digest of the whole request."""
    check_confirmed(CLAIMS, "00" * 32)
    check_confirmed(replace(CLAIMS, confirmed=bytes(32)), "00" * 32)
    with pytest.raises(Unauthorized) as caught:
        check_confirmed(replace(CLAIMS, confirmed=bytes(32)), "01" * 32)
    assert caught.value.http_status == 403


@pytest.mark.parametrize(
    ("text", "name"),
    [("API.internal.example", dns()), ("2001:DB8::1", ip("2001:db8::1")), ("10.0.0.1", ip("10.0.0.1"))],
)
def test_names_of_tokens_become_canonical(text: str, name: Identifier) -> None:
    """Case and spelling are the token maker's; what is compared and issued is one spelling."""
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text", ["a b@b.example", "https://a b.example", "urn:x:y", "::ffff:10.0.0.1", "fe80::1%1", ""]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """No mailbox, no host, a URI without one, an address with a zone or in another version."""
    with pytest.raises(Refused):
        parse_name(text)


MANY = (
    Rule("e1", RuleKind.EMAIL, "@b.example", "team"),
    Rule("u1", RuleKind.URI, "**.mesh.example", "team"),
    Rule("c1", RuleKind.CN, "Build robot", "team"),
)


def test_mail_uri_and_common_name_are_had_by_rules_alone__t16() -> None:
    """With rules for them the token's names and its subject are in the plan; the CSR may repeat them."""
    given = replace(grant(), rules=compile_rules(MANY))
    claims = replace(CLAIMS, subject="Build robot", sans=("ops@B.example", "SPIFFE://a.mesh.example/ns/x"))
    found = plan_sign(claims, csr(), asked=(None, None), grant=given, situation=SITUATION)
    email = Identifier(IdentifierType.EMAIL, "ops@b.example")
    uri = Identifier(IdentifierType.URI, "spiffe://a.mesh.example/ns/x")
    assert (found.names, found.common_name) == ((email, uri), "Build robot")
    assert found.subject == Identifier(IdentifierType.CN, "Build robot")
    assert found.allowed.rule == "e1"
