"""dns-account-01, dns-persist-01 and CAA against a real name server on loopback (acme.md part 8)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

import dns.message
import dns.rcode
import pytest

from dayfly.adapters.validators import caa as caa_adapter
from dayfly.adapters.validators import look
from dayfly.adapters.validators.caa import CaaClimber
from dayfly.adapters.validators.dnsaccount01 import DnsAccount01, record_name
from dayfly.adapters.validators.dnspersist01 import DnsPersist01
from dayfly.core.acme.caa import CaaRecord
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.jose.encoding import b64u_encode
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget
from dns_peer import Responder, Zone, asking
from factories import NOW

NAME = "api.internal.example"
KEY_AUTHORIZATION = "dG9rZW4.dGh1bWJwcmludA"
DIGEST = b64u_encode(hashlib.sha256(KEY_AUTHORIZATION.encode()).digest())
URLS = (
    "https://ca.internal.example:9000/acme/acme/account/0000000000000007",
    "https://10.0.0.1:9000/acme/acme/account/0000000000000007",
)
TARGET = ValidationTarget(
    Identifier(IdentifierType.DNS, NAME), "dG9rZW4", KEY_AUTHORIZATION, URLS, ("ca.internal.example",)
)
PERSIST = f"_validation-persist.{NAME}"


@dataclass
class Standing:
    """A clock that stands."""

    moment: datetime = field(default=NOW)

    def now(self) -> datetime:
        return self.moment


# --- dns-account-01 ---------------------------------------------------------------------------------------------------


def test_label_is_that_of_the_draft() -> None:
    """The example of draft-ietf-acme-dns-account-label, section 3.2."""
    name = record_name("https://example.com/acme/acct/ExampleAccount", "example.org")
    assert name == "_ujmmovf2vn55tgye._acme-challenge.example.org"


@pytest.mark.parametrize("url", URLS)
def test_digest_at_the_accounts_label_passes__acme_8(url: str) -> None:
    """At the label of any URL of the account, since a client knows the one under which it met the CA."""
    zone = Zone({f"{record_name(url, NAME)} TXT": [f'"{DIGEST}"']})
    found = asking(zone, lambda resolver: look(DnsAccount01(resolver), TARGET))
    assert isinstance(found, Validated)
    assert found.reuse_for is None


@pytest.mark.parametrize(
    ("owner", "text", "problem"),
    [
        (f"_acme-challenge.{NAME}", DIGEST, "dns"),
        (record_name(URLS[0] + "8", NAME), DIGEST, "dns"),
        (record_name(URLS[0], NAME), DIGEST + "=", "unauthorized"),
    ],
    ids=["label of dns-01", "another account's label", "another value"],
)
def test_digest_elsewhere_or_another_one_may_be_tried_again__acme_8(owner: str, text: str, problem: str) -> None:
    """Neither the label of dns-01 nor another account's counts."""
    found = asking(Zone({f"{owner} TXT": [f'"{text}"']}), lambda resolver: look(DnsAccount01(resolver), TARGET))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == (problem, True)


# --- dns-persist-01 ---------------------------------------------------------------------------------------------------


def persist(zone: Zone, *, wildcard: bool = False) -> Validated | ValidationFailed:
    """What dns-persist-01 makes of a zone."""
    target = ValidationTarget(TARGET.identifier, "", "", URLS, TARGET.issuers, wildcard)
    return asking(zone, lambda resolver: look(DnsPersist01(resolver, clock=Standing()), target))


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize("url", URLS)
def test_record_that_stays_passes_and_serves_no_longer_than_its_ttl__acme_8(url: str, wildcard: bool) -> None:
    """Strings are joined, and the least TTL of the way there is how long it may be used again."""
    text = f"ca.internal.example; accounturi={url}; policy=wildcard"
    zone = Zone(
        {f"{PERSIST} CNAME": ["p.example."], "p.example TXT": ['"v=spf1 -all"', f'"{text[:30]}" "{text[30:]}"']},
        ttls={"TXT": 600, "CNAME": 60},
    )
    found = persist(zone, wildcard=wildcard)
    assert isinstance(found, Validated)
    assert found.reuse_for == 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"other.example; accounturi={URLS[0]}", "names this CA"),
        ("ca.internal.example; accounturi=https://evil.example/1", "names another account"),
        (f"ca.internal.example; accounturi={URLS[0]}; persistUntil=1", "has ended"),
        (f"ca.internal.example; accounturi={URLS[0]}", "has no policy=wildcard"),
    ],
)
def test_record_that_does_not_count_may_be_tried_again__acme_8(text: str, words: str) -> None:
    """The problem says what is wrong with the nearest record, in our words alone."""
    found = persist(Zone({f"{PERSIST} TXT": [f'"{text}"']}), wildcard=True)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("unauthorized", True)
    assert words in found.problem.detail
    assert "evil" not in found.problem.detail


# --- CAA --------------------------------------------------------------------------------------------------------------


def climb(responder: Responder, name: str = NAME) -> tuple[CaaRecord, ...] | ValidationFailed:
    """The relevant set of a name."""
    return asking(responder, lambda resolver: CaaClimber(resolver).relevant(name))


def test_nearest_records_above_a_name_count__rfc8659_3() -> None:
    """The climb ends at the first name that has any; flags, tags and values come as they are."""
    zone = Zone(
        {
            "internal.example CAA": ['128 ISSUE "ca.internal.example; x=y"', '0 iodef "mailto:pki@internal.example"'],
            "example CAA": ['0 issue ";"'],
            f"{NAME} A": ["10.0.0.1"],
        }
    )
    found = climb(zone)
    assert isinstance(found, tuple)
    assert set(found) == {
        CaaRecord(128, "issue", b"ca.internal.example; x=y"),
        CaaRecord(0, "iodef", b"mailto:pki@internal.example"),
    }
    assert zone.asked == [f"{NAME} CAA", "internal.example CAA"]


def test_alias_is_followed_and_the_climb_goes_on_from_the_name__rfc8659_3() -> None:
    """Records at the end of an alias are the name's; where there are none, the name's own parent is next."""
    at_the_end = Zone({f"{NAME} CNAME": ["x.other.example."], "x.other.example CAA": ['0 issue "a.example"']})
    assert climb(at_the_end) == (CaaRecord(0, "issue", b"a.example"),)
    beside = Zone(
        {
            f"{NAME} CNAME": ["x.other.example."],
            "other.example CAA": ['0 issue "wrong.example"'],
            "internal.example CAA": ['0 issue "right.example"'],
        }
    )
    assert climb(beside) == (CaaRecord(0, "issue", b"right.example"),)


def test_no_records_up_to_the_top_are_none__rfc8659_3() -> None:
    """The root is not asked."""
    zone = Zone()
    assert climb(zone) == ()
    assert zone.asked == [f"{NAME} CAA", "internal.example CAA", "example CAA"]


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_server_that_says_nothing_is_a_failure__rfc8659_3(code: dns.rcode.Rcode) -> None:
    """At whatever step of the climb: it is no empty set."""

    def respond(query: dns.message.Message, tcp: bool) -> list[bytes]:
        if query.question[0].name.to_text() == "internal.example.":
            reply = dns.message.make_response(query)
            reply.set_rcode(code)
            return [reply.to_wire()]
        return list(Zone()(query, tcp))

    found = climb(respond)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", True)


def test_climb_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers holds nobody up."""
    monkeypatch.setattr(caa_adapter, "CLIMB_TIMEOUT", 0.05)
    found = climb(lambda query, tcp: ())
    assert isinstance(found, ValidationFailed)
    assert "no answer within" in found.problem.detail
