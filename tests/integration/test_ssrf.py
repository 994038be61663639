"""What strangers name is dialled only if it may be: every validator, every forbidden form (security.md 6, V9 to V13).

Each case looks at the interpreter's record of connect(), not only at the outcome: a refusal that comes after a packet
is no refusal.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import dns.message
import dns.rrset
import pytest

from dayfly.adapters.validators import look, make_validators
from dayfly.adapters.validators.dnsclient import NameServer
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.core.identifiers import Identifier, IdentifierType, parse_identifier
from dayfly.core.problems import Refused
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget
from dialled import Dialled, dialled
from dns_peer import Responder, Zone, dns_server
from factories import told

NAME = "web.internal.example"
EVIL = "evil.internal.example"
KEY_AUTHORIZATION = "dG9rZW4.dGh1bWJwcmludA"
DIALLING = ("http-01", "tls-alpn-01")
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# By the row of the table that refuses it; embedded forms carry 127.0.0.1 or the metadata address 169.254.169.254.
NEVER = {
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "unspecified, IPv6": "::",
    "link-local": "169.254.7.7",
    "link-local, IPv6": "fe80::7",
    "site-local": "fec0::7",
    "multicast": "224.0.0.251",
    "multicast, IPv6": "ff02::fb",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "metadata": "169.254.169.254",
    "metadata of Alibaba": "100.100.100.200",
    "metadata of Azure": "168.63.129.16",
    "metadata of AWS, IPv6": "fd00:ec2::254",
    "metadata of Google, IPv6": "fd20:ce::254",
    "metadata of Scaleway, IPv6": "fd00:42::42",
    "metadata, mapped": "::ffff:169.254.169.254",
    "metadata, compatible": "::a9fe:a9fe",
    "metadata, NAT64": "64:ff9b::a9fe:a9fe",
    "metadata, 6to4": "2002:a9fe:a9fe::1",
}
SPECIAL = {
    "loopback": "127.0.0.1",
    "loopback, elsewhere in its network": "127.8.9.10",
    "loopback, IPv6": "::1",
    "loopback, mapped": "::ffff:127.0.0.1",
    "loopback, compatible": "::7f00:1",
    "loopback, NAT64": "64:ff9b::7f00:1",
    "loopback, 6to4": "2002:7f00:1::",
    "shared address space": "100.64.0.1",
    "protocol assignments": "192.0.0.8",
    "documentation": "192.0.2.1",
    "benchmarking": "198.18.0.1",
    "6to4 relay": "192.88.99.1",
    "Teredo": "2001::1",
    "documentation, IPv6": "2001:db8::1",
    "discard": "100::1",
    "NAT64, local prefix": "64:ff9b:1::7f00:1",
    "not in use": "4000::1",
}
FORBIDDEN = {**NEVER, **SPECIAL}
# What inet_aton, a browser or a lenient library would take for 127.0.0.1, 169.254.169.254 or another one.
SPELLINGS = [
    "2130706433", "2852039166", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0xa9fea9fe", "017700000001", "0177.0.0.1",
    "0177.1", "127.1", "127.0.1", "127.000.000.001", "00000127.0.0.1", "0", "0.0", "0x0", "169.254.43518",
    "0251.0376.0251.0376", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[fe80::1%25lo]", "[fe80::1%lo]", "[64:ff9b::127.0.0.1]", "127.0.0.1.", "１２７.0.0.1", "127。0。0。1",
]  # fmt: skip


@dataclass
class Server:
    """The one name server of these tests, which answers as the test at hand wants it to."""

    zone: Responder = field(default_factory=Zone)
    port: int = 0

    def __call__(self, query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        """Answer from the zone as it is now."""
        return self.zone(query, tcp)


SERVER = Server()


@pytest.fixture(autouse=True, scope="module")
def server() -> Iterator[None]:
    """It runs while these tests do: starting one costs ten times what a case costs."""
    with dns_server(SERVER) as SERVER.port:
        yield


@dataclass
class World:
    """One CA's way out: a real name server on loopback, and what the settings say."""

    zone: Responder
    allow: Any = ()
    own: frozenset[Any] = frozenset()
    own_ports: frozenset[int] = frozenset()
    hosts: Mapping[str, str] = field(default_factory=dict)
    port: int = 80

    def look(self, kind: str, identifier: Identifier) -> tuple[Validated | ValidationFailed, Dialled]:
        """The outcome of one try, and what was dialled but the name server."""
        with dialled() as record:
            outcome = asyncio.run(self.validate(kind, identifier))
        return outcome, [one for one in record if one != ("127.0.0.1", SERVER.port)]

    async def validate(self, kind: str, identifier: Identifier) -> Validated | ValidationFailed:
        """Locate and look once."""
        SERVER.zone = self.zone
        resolver = Resolver([NameServer("127.0.0.1", SERVER.port)])
        reach = Reach(
            resolver=resolver,
            hosts=self.hosts,
            allow=self.allow,
            own_listeners=self.own,
            own_ports=self.own_ports,
        )
        validator = make_validators(reach, resolver, http_port=self.port, tls_port=self.port)[kind]
        target = ValidationTarget(identifier, "dG9rZW4", KEY_AUTHORIZATION)
        try:
            return await look(validator, target)
        except ValidationFailed as failure:
            return told(failure)


def named(text: str = NAME) -> Identifier:
    """A DNS identifier."""
    return Identifier(IdentifierType.DNS, text)


def records(name: str, *addresses: str) -> dict[str, list[str]]:
    """A zone's records for these addresses."""
    found: dict[str, list[str]] = {}
    for one in addresses:
        found.setdefault(f"{name} {'AAAA' if ':' in one else 'A'}", []).append(one)
    return found


def assert_refused(found: Validated | ValidationFailed, record: Dialled, *addresses: str) -> None:
    """It is refused for good, nobody was dialled, and the text gives no address away."""
    assert record == []
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("connection", False)
    assert not any(address in found.problem.detail for address in addresses if len(address) > 4)


# --- what a name or an identifier leads to ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("form", FORBIDDEN)
def test_name_that_leads_to_a_forbidden_address_is_not_dialled__acme_v10(kind: str, form: str) -> None:
    """Whatever a name server says; the operator is told which line opens it, where one does."""
    address = FORBIDDEN[form]
    found, record = World(Zone(records(NAME, address))).look(kind, named())
    assert_refused(found, record, address)
    assert isinstance(found, ValidationFailed)
    assert ("allow = [" in found.operator_note) == (form in SPECIAL)


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("form", NEVER)
def test_no_setting_opens_what_is_never_dialled__acme_v10(kind: str, form: str) -> None:
    """With the whole of both address families allowed, and the address in `hosts`, it is refused all the same."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    world = World(Zone(), allow=everything, hosts={NAME: FORBIDDEN[form]})
    assert_refused(*world.look(kind, named()), FORBIDDEN[form])


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("form", FORBIDDEN)
def test_address_that_is_the_identifier_is_judged_too__acme_v10_v16(kind: str, form: str) -> None:
    """An identifier of type ip is an address that somebody else chose."""
    identifier = Identifier(IdentifierType.IP, FORBIDDEN[form])
    assert_refused(*World(Zone()).look(kind, identifier))


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("form", FORBIDDEN)
def test_one_forbidden_address_among_good_ones_refuses_the_name__acme_v12(kind: str, form: str) -> None:
    """None of the others is dialled either, whether they come before it or behind it."""
    good, bad = ("10.0.0.1", "10.0.0.2", "fd12:3456::1"), FORBIDDEN[form]
    for addresses in ((bad, *good), (*good, bad)):
        assert_refused(*World(Zone(records(NAME, *addresses))).look(kind, named()), bad)


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("form", FORBIDDEN)
def test_alias_to_a_forbidden_address_is_not_dialled__acme_v10(kind: str, form: str) -> None:
    """What stands behind a CNAME is judged like what stands at the name."""
    zone = Zone({f"{NAME} CNAME": [f"{EVIL}."], **records(EVIL, FORBIDDEN[form])})
    assert_refused(*World(zone).look(kind, named()), FORBIDDEN[form])


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1"])
@pytest.mark.parametrize("everywhere", [False, True])
def test_own_listener_is_not_dialled_in_any_form__acme_v10(kind: str, address: str, everywhere: bool) -> None:
    """The CA's own (address, port), and a port that it has on every address, with loopback allowed."""
    own = frozenset() if everywhere else frozenset({(ip_address("127.0.0.1"), 9000)})
    ports = frozenset({9000}) if everywhere else frozenset[int]()
    world = World(Zone(records(NAME, address)), allow=LOOPBACK, own=own, own_ports=ports, port=9000)
    found, record = world.look(kind, named())
    assert_refused(found, record, address)
    assert isinstance(found, ValidationFailed)
    assert "own listener" in found.operator_note


@pytest.mark.parametrize("kind", DIALLING)
def test_other_port_at_the_address_of_an_own_listener_is_dialled__acme_v10(kind: str) -> None:
    """Own listeners are pairs: another port there is judged by the address alone."""
    own = frozenset({(ip_address("127.0.0.1"), 9000)})
    world = World(Zone(records(NAME, "127.0.0.1")), allow=LOOPBACK, own=own, port=9)
    found, record = world.look(kind, named())
    assert record == [("127.0.0.1", 9)]
    assert isinstance(found, ValidationFailed)
    assert found.transient is True  # nobody listens there


# --- a name that moves ------------------------------------------------------------------------------------------------


def rebinding(*answers: str) -> Responder:
    """A name server that gives the next address at each question for A, with a TTL of 0."""
    turn = itertools.count()

    def respond(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        del tcp
        reply = dns.message.make_response(query)
        question = query.question[0]
        if question.rdtype == 1:
            address = answers[min(next(turn), len(answers) - 1)]
            reply.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", address))
        return (reply.to_wire(),)

    return respond


@pytest.mark.parametrize("kind", DIALLING)
@pytest.mark.parametrize("later", ["169.254.169.254", "0.0.0.0", "100.100.100.200"])
def test_rebinding_with_ttl_0_changes_nothing__acme_v11(kind: str, later: str) -> None:
    """What is dialled is what was judged; the next try looks again and is refused without a packet."""
    world = World(rebinding("127.0.0.1", later), allow=LOOPBACK, port=9)
    with dialled() as record:
        first = asyncio.run(world.validate(kind, named()))
        dialled_first = [one for one in record if one[1] == 9]
        second = asyncio.run(world.validate(kind, named()))
        dialled_later = [one for one in record if one[1] == 9]
    assert isinstance(first, ValidationFailed)
    assert first.transient is True  # nobody listens there
    assert dialled_first == [("127.0.0.1", 9)]
    assert dialled_later == dialled_first
    assert_refused(second, [], later)


# --- where a redirect leads -------------------------------------------------------------------------------------------


def redirected(location: str, *, zone: dict[str, list[str]], identifier: Identifier) -> tuple[Any, Dialled, Dialled]:
    """http-01 against a server on loopback that redirects: the outcome, what was dialled of it, and of all others."""

    async def run() -> tuple[Validated | ValidationFailed, int]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode("latin-1", "replace"))
            await writer.drain()
            writer.close()

        listening = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            only = (ip_network("127.0.0.1/32"),)
            world = World(Zone(zone), allow=only, hosts={NAME: "127.0.0.1"}, port=port)
            return await world.validate("http-01", identifier), port

    with dialled() as record:
        outcome, port = asyncio.run(run())
    others = [one for one in record if one not in {("127.0.0.1", SERVER.port), ("127.0.0.1", port)}]
    return outcome, [one for one in record if one == ("127.0.0.1", port)], others


@pytest.mark.parametrize("form", [form for form, address in FORBIDDEN.items() if address != "127.0.0.1"])
def test_redirect_to_a_name_behind_a_forbidden_address_is_not_dialled__acme_v9(form: str) -> None:
    """Every hop is judged anew; only the first one was dialled."""
    address = FORBIDDEN[form]
    if ip_address(address) == ip_address("::ffff:127.0.0.1") or "7f00:1" in address:
        address = address.replace("7f00:1", "7f00:2").replace("127.0.0.1", "127.0.0.2")  # 127.0.0.1 is open here
    scheme = "https" if ":" in address else "http"
    found, first, others = redirected(f"{scheme}://{EVIL}/x", zone=records(EVIL, address), identifier=named())
    assert len(first) == 1
    assert_refused(found, others, address)


@pytest.mark.parametrize("spelling", [*SPELLINGS, "127.0.0.2", "169.254.169.254", "10.0.0.1"])
def test_redirect_of_a_name_to_an_address_in_any_spelling_is_refused__acme_v9(spelling: str) -> None:
    """Decimal, hex, octal, short and bracketed spellings are neither names nor followed as addresses."""
    found, first, others = redirected(f"http://{spelling}/x", zone={}, identifier=named())
    assert len(first) == 1
    assert_refused(found, others)


@pytest.mark.parametrize("spelling", [*SPELLINGS, "127.0.0.2", "169.254.169.254", "[64:ff9b::a9fe:a9fe]"])
def test_redirect_of_an_address_to_a_forbidden_one_is_refused__acme_v9_v16(spelling: str) -> None:
    """An address may be redirected to an address, which is judged; other spellings of one are refused as ever."""
    identifier = Identifier(IdentifierType.IP, "127.0.0.1")
    found, first, others = redirected(f"http://{spelling}/x", zone={}, identifier=identifier)
    assert len(first) == 1
    assert_refused(found, others)


# --- what may be asked for at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [IdentifierType.DNS, IdentifierType.IP])
@pytest.mark.parametrize("spelling", [one for one in SPELLINGS if one != "[::1]"])
def test_address_in_another_spelling_is_no_identifier__acme_v10_o4_o7(kind: str, spelling: str) -> None:
    """Neither a name nor an address: such an order is refused before anything is looked up."""
    with pytest.raises(Refused) as caught:
        parse_identifier(kind, spelling)
    assert caught.value.type == "malformed"


# --- the resolver -----------------------------------------------------------------------------------------------------


def with_referral(zone: Zone, address: str) -> Responder:
    """Answers that name other servers with their addresses, as a name server that wants to be left would."""

    def respond(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        del tcp
        reply = zone.reply(query)
        kind = "AAAA" if ":" in address else "A"
        reply.authority.append(dns.rrset.from_text("internal.example.", 0, "IN", "NS", "ns.evil.example."))
        reply.additional.append(dns.rrset.from_text("ns.evil.example.", 0, "IN", kind, address))
        return (reply.to_wire(),)

    return respond


@pytest.mark.parametrize("form", FORBIDDEN)
@pytest.mark.parametrize("kind", ["dns-01", *DIALLING])
def test_servers_that_an_answer_names_are_not_asked__acme_v10(kind: str, form: str) -> None:
    """The configured resolvers are trusted and nobody else is asked: referrals and glue are not followed."""
    world = World(with_referral(Zone(), FORBIDDEN[form]))
    found, record = world.look(kind, named())
    assert record == []
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", True)


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1", "169.254.169.254"])
@pytest.mark.parametrize("kind", ["dns-01", *DIALLING])
def test_alias_that_looks_like_an_address_is_a_name__acme_v10(kind: str, spelling: str) -> None:
    """It is asked of the resolver as a name, and is never taken for the address that it spells."""
    owner = f"_acme-challenge.{NAME}" if kind == "dns-01" else NAME
    zone = Zone({f"{owner} CNAME": [f"{spelling}."]})
    found, record = World(zone).look(kind, named())
    assert record == []
    assert isinstance(found, ValidationFailed)
    assert found.problem.type == "dns"
    assert any(asked.startswith(f"{spelling} ") for asked in zone.asked)


@pytest.mark.parametrize("form", FORBIDDEN)
def test_dns_01_dials_nothing_of_the_names__acme_v10(form: str) -> None:
    """TXT records are read and no address is looked up, whatever addresses the name and the label have."""
    owner = f"_acme-challenge.{NAME}"
    zone = Zone({**records(NAME, FORBIDDEN[form]), **records(owner, FORBIDDEN[form])})
    found, record = World(zone).look("dns-01", named())
    assert record == []
    assert isinstance(found, ValidationFailed)
    assert zone.asked == [f"{owner} TXT"]


# --- proxies ----------------------------------------------------------------------------------------------------------

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SOCKS_PROXY")


@pytest.mark.parametrize("kind", DIALLING)
def test_proxy_variables_are_ignored__acme_v13(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dialled is the name's own address."""
    for variable in PROXIES:
        monkeypatch.setenv(variable, "http://127.0.0.9:3128")
    world = World(Zone(records(NAME, "127.0.0.1")), allow=LOOPBACK, port=9)
    _, record = world.look(kind, named())
    assert record == [("127.0.0.1", 9)]


def test_record_of_connections_hears_one__acme_v10() -> None:
    """The measure itself: a dialled address is in the record, so that an empty one means something."""
    _, record = World(Zone(records(NAME, "127.0.0.1")), allow=LOOPBACK, port=9).look("http-01", named())
    assert record == [("127.0.0.1", 9)]
