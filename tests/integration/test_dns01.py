"""dns-01 and the resolver against real name servers on loopback, honest and hostile (acme.md V10, V18, V19)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.adapters.validators import dnsclient, resolver
from dayfly.adapters.validators import look as look_at
from dayfly.adapters.validators.dns01 import MAX_VALUES, Dns01
from dayfly.adapters.validators.dnsclient import NameServer, read_reply
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver, parse_hosts, parse_resolv_conf
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.jose.encoding import b64u_encode
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget
from dns_peer import Responder, Zone, asking, dns_server

NAME = "api.internal.example"
OWNER = f"_acme-challenge.{NAME}"
KEY_AUTHORIZATION = "dG9rZW4.dGh1bWJwcmludA"
DIGEST = b64u_encode(hashlib.sha256(KEY_AUTHORIZATION.encode()).digest())
TARGET = ValidationTarget(Identifier(IdentifierType.DNS, NAME), "dG9rZW4", KEY_AUTHORIZATION)


def quoted(*values: str) -> list[str]:
    """TXT values in presentation format."""
    return [f'"{value}"' for value in values]


def outcome(responder: Responder, target: ValidationTarget = TARGET) -> Validated | ValidationFailed:
    """What dns-01 makes of a server that answers like this."""

    async def look(found: Resolver) -> Validated:
        return await look_at(Dns01(found), target)

    return asking(responder, look)


def chain(length: int) -> dict[str, list[str]]:
    """The digest behind so many aliases."""
    names = [OWNER, *(f"hop{number}.example" for number in range(length))]
    aliases = {f"{a} CNAME": [f"{b}."] for a, b in pairwise(names)}
    return {**aliases, f"{names[-1]} TXT": quoted(DIGEST)}


@pytest.mark.parametrize(
    "records",
    [
        {f"{OWNER} TXT": quoted(DIGEST)},
        {f"{OWNER} TXT": quoted(*(f"other{number}" for number in range(49)), DIGEST)},
        {f"{OWNER} TXT": [f'"{DIGEST[:20]}" "{DIGEST[20:]}"']},
        chain(1),
        chain(8),
        {f"{OWNER} TXT": quoted(*("x" * 40 + str(number) for number in range(MAX_VALUES - 1)), DIGEST)},
    ],
    ids=["alone", "among 50", "split", "one alias", "eight aliases", "cut short over UDP"],
)
def test_right_value_passes__v18(records: dict[str, list[str]]) -> None:
    """Alone, among others, in two strings, behind aliases, and over TCP after a truncated answer."""
    found = outcome(Zone(records))
    assert isinstance(found, Validated)
    assert found.address.startswith("127.0.0.1:")


def test_wildcard_is_proved_below_its_name__rfc8555_8_4() -> None:
    """The name of a wildcard without its `*.` is what the state machine hands over, and its records decide."""
    zone = Zone({f"{OWNER} TXT": quoted(DIGEST)})
    assert isinstance(outcome(zone), Validated)
    assert zone.asked == [f"{OWNER} TXT"]
    assert Dns01.spec.wildcards is True


def junk(query: dns.message.Message) -> Iterable[bytes]:
    """Datagrams that answer something else, or nothing."""
    good = Zone({f"{OWNER} TXT": quoted(DIGEST)}).reply(query)
    wrong_id = bytes([query.id >> 8 ^ 1, query.id & 0xFF]) + good.to_wire()[2:]
    other = dns.message.make_query("elsewhere.example", "TXT", id=query.id)
    not_a_reply = query.to_wire()
    half = good.to_wire()[:-9]
    trailing = good.to_wire() + b"\0"
    pointer_loop = query.id.to_bytes(2) + bytes.fromhex("8180 0001 0000 0000 0000 c00c 0010 0001")
    another = Zone({"elsewhere.example TXT": quoted("evil")}).reply(other).to_wire()
    return (b"", b"x", wrong_id, another, not_a_reply, half, trailing, pointer_loop, os.urandom(40), b"\0" * 60_000)


def test_junk_before_the_answer_is_skipped__v18_s31() -> None:
    """Wrong ids, wrong questions, queries, halves, trailing octets, pointer loops and noise change nothing."""
    zone = Zone({f"{OWNER} TXT": quoted(DIGEST)})
    found = outcome(lambda query, tcp: (*junk(query), *zone(query, tcp)))
    assert isinstance(found, Validated)


@pytest.mark.parametrize(
    ("records", "problem", "words"),
    [
        ({f"{OWNER} TXT": quoted(f" {DIGEST}")}, "unauthorized", "1 value, which is not"),
        ({f"{OWNER} TXT": quoted(f"{DIGEST}=")}, "unauthorized", "1 value"),
        ({f"{OWNER} TXT": quoted(KEY_AUTHORIZATION, DIGEST.upper())}, "unauthorized", "2 values, none of which"),
        ({f"{OWNER} TXT": quoted(*map(str, range(MAX_VALUES + 1)))}, "dns", "101 values; at most 100 are read"),
        ({}, "dns", "NXDOMAIN"),
        ({f"{OWNER} A": ["192.0.2.1"]}, "dns", "no such record"),
        ({f"{OWNER} CNAME": ["gone.example."]}, "dns", "NXDOMAIN), after 1 aliases"),
        ({f"{OWNER} CNAME": [f"{OWNER}."]}, "dns", "form a loop"),
        ({f"{OWNER} CNAME": ["b.example."], "b.example CNAME": [f"{OWNER.upper()}."]}, "dns", "form a loop"),
        (chain(9), "dns", "more than 8 aliases"),
    ],
)
def test_other_values_and_none_fail_and_may_be_tried_again__v18_v19(
    records: dict[str, list[str]], problem: str, words: str
) -> None:
    """Raw, padded, other or no values, loops and long chains: transient, counted, and never shown."""
    found = outcome(Zone(records))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == (problem, True)
    assert words in found.problem.detail
    assert DIGEST not in found.problem.detail
    assert "gone.example" not in found.problem.detail


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR])
def test_servers_failure_is_named__v18(code: dns.rcode.Rcode) -> None:
    """SERVFAIL and its kin are the server's word, known at once."""

    def answer(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        del tcp
        failed = dns.message.make_response(query)
        failed.set_rcode(code)
        return (failed.to_wire(),)

    found = outcome(answer)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", True)
    assert dns.rcode.to_text(code) in found.problem.detail


def test_record_of_another_name_is_not_believed() -> None:
    """A record counts under the name that was asked for, and an alias's target is asked for anew."""
    zone = Zone({f"{OWNER} CNAME": ["target.example."], "target.example TXT": quoted("other")})

    def answer(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        del tcp
        reply = zone.reply(query)
        for name in ("target.example.", "elsewhere.example."):
            if str(query.question[0].name) != name:
                reply.answer.append(dns.rrset.from_text(name, 0, "IN", "TXT", DIGEST))
        return (reply.to_wire(),)

    found = outcome(answer)
    assert isinstance(found, ValidationFailed)
    assert "1 value, which is not" in found.problem.detail
    assert zone.asked == [f"{OWNER} TXT", "target.example TXT"]


def test_silent_server_is_a_failure_in_bounded_time__v18(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is waited for so long and no longer, in as many rounds as there are."""
    monkeypatch.setattr(dnsclient, "EXCHANGE_TIMEOUT", 0.2)
    asked = []

    def answer(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        asked.append(tcp)
        return junk(query)

    began = time.monotonic()
    found = outcome(answer)
    assert time.monotonic() - began < 2
    assert isinstance(found, ValidationFailed)
    assert "no name server answered in time" in found.problem.detail
    assert asked == [False] * dnsclient.ROUNDS


def test_lookup_has_a_time_of_its_own__v18(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many slow aliases end when the time for the whole look-up does."""
    monkeypatch.setattr(dnsclient, "LOOKUP_TIMEOUT", 0.5)
    zone = Zone(chain(8))

    def answer(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        time.sleep(0.2)
        return zone(query, tcp)

    found = outcome(answer)
    assert isinstance(found, ValidationFailed)
    assert "no answer within" in found.problem.detail


def cut_short(query: dns.message.Message) -> bytes:
    """An answer with nothing but the mark that there is more."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def many(query: dns.message.Message, count: int, *, padding: int = 40) -> bytes:
    """An answer with so many TXT records, the right one last; the others have four characters and the padding."""
    reply = dns.message.make_response(query)
    values = quoted(*(f"{number:04}" + "x" * padding for number in range(count - 1)), DIGEST)
    reply.answer.append(dns.rrset.from_text_list(query.question[0].name, 0, "IN", "TXT", values))
    return reply.to_wire(max_size=65_535)


@pytest.mark.parametrize(
    ("over_tcp", "words"),
    [
        (lambda query: b"\0" * 65_000, "more than 8192 octets"),
        (lambda query: b"\0" * 8_193, "more than 8192 octets"),
        (lambda query: many(query, 270, padding=0), "none to the question, or too long"),
        (lambda query: many(query, 130), "130 values; at most 100"),
        (lambda query: dns.message.make_response(dns.message.make_query(OWNER, "TXT")).to_wire(), "none to the"),
        (lambda query: cut_short(query)[:5], "none to the question"),
    ],
    ids=["64 KB", "8 KB and more", "too many records", "too many values", "another id", "half a header"],
)
def test_large_or_wrong_answer_over_tcp_is_refused__v18(
    over_tcp: Callable[[dns.message.Message], bytes], words: str
) -> None:
    """Size and number of what is read are bounded, and TCP is believed no more than UDP."""
    found = outcome(lambda query, tcp: (over_tcp(query) if tcp else cut_short(query),))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", True)
    assert words in found.problem.detail


def test_costly_answer_is_read_beside_the_loop__v18_s31(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of many empty strings takes long to read: another thread does it."""
    where: list[threading.Thread] = []

    def reading(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
        where.append(threading.current_thread())
        return read_reply(data, query)

    monkeypatch.setattr(dnsclient, "read_reply", reading)

    def answer(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        if not tcp:
            return (cut_short(query),)
        header = dns.message.make_response(query).to_wire()
        strings = b"\0" * 3_000
        record = bytes.fromhex("c00c 0010 0001 00000000") + len(strings).to_bytes(2) + strings
        return (header[:6] + b"\0\x01" + header[8:] + record,)

    found = asking(answer, lambda one: one.texts(OWNER))
    assert isinstance(found, resolver.Texts)
    assert found.values == (b"",)
    assert [one is threading.main_thread() for one in where] == [True, False]


def test_costly_answers_are_read_one_at_a_time__v18_s31(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten at once take no more of the machine than one does, so that nobody else waits for them."""
    reading, most = 0, 0

    def counted(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
        nonlocal reading, most
        if threading.current_thread() is threading.main_thread():
            return read_reply(data, query)
        reading += 1
        most = max(most, reading)
        time.sleep(0.02)  # what the reading costs
        try:
            return read_reply(data, query)
        finally:
            reading -= 1

    monkeypatch.setattr(dnsclient, "read_reply", counted)
    zone = Zone({f"{OWNER} TXT": quoted("x")})

    async def all_at_once(one: Resolver) -> list[resolver.Texts]:
        return await asyncio.gather(*(one.texts(OWNER) for _ in range(10)))

    found = asking(lambda query, tcp: zone(query, tcp) if tcp else (cut_short(query),), all_at_once)
    assert isinstance(found, list)
    assert [texts.values for texts in found] == [(b"x",)] * 10
    assert most == 1


def test_connection_that_closes_is_a_failure__v18() -> None:
    """A server that cuts its answer short, and says nothing over TCP."""
    found = outcome(lambda query, tcp: () if tcp else (cut_short(query),))
    assert isinstance(found, ValidationFailed)
    assert "closed the connection" in found.problem.detail


def test_name_that_is_too_long_is_final() -> None:
    """With the label in front a name may be longer than DNS allows, and no try will mend that."""
    name = ".".join(["a" * 61] * 4)
    found = outcome(Zone(), ValidationTarget(Identifier(IdentifierType.DNS, name), "dG9rZW4", KEY_AUTHORIZATION))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", False)


def test_next_server_is_asked_when_one_fails() -> None:
    """A server that is not there, and one that cannot, are passed over."""

    def broken(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        del tcp
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return (reply.to_wire(),)

    async def run(*ports: int) -> resolver.Texts:
        return await Resolver([NameServer("127.0.0.1", port) for port in ports]).texts(OWNER)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        gone = closed.getsockname()[1]
    with dns_server(broken) as first, dns_server(Zone({f"{OWNER} TXT": quoted("x")})) as second:
        found = asyncio.run(run(gone, first, second))
    assert found == resolver.Texts((b"x",), f"127.0.0.1:{second}")


def test_ids_are_random() -> None:
    """Twenty queries have about twenty ids, which nobody drew from a seeded generator."""
    random.seed(1)
    seen: list[int] = []

    def answer(query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        seen.append(query.id)
        return Zone({f"{OWNER} TXT": quoted("x")})(query, tcp)

    async def twenty(found: Resolver) -> None:
        for _ in range(20):
            await found.texts(OWNER)

    asking(answer, twenty)
    assert len(set(seen)) > 15


@settings(max_examples=300, deadline=1000)
@given(st.binary(max_size=200), st.booleans())
def test_no_datagram_breaks_the_reader__s31(tail: bytes, whole: bool) -> None:
    """Whatever follows the right id is read, or is junk; nothing else happens."""
    query = dns.message.make_query(OWNER, "TXT", id=0x1234)
    good = many(query, 3)
    data = good[: len(tail)] + tail if whole else b"\x12\x34" + tail
    reply = read_reply(data, query)
    assert reply is None or query.is_response(reply)


# --- addresses ----------------------------------------------------------------------------------------------------


def test_addresses_come_with_ipv6_first__acme_8() -> None:
    """AAAA and A, behind aliases too, without repetition."""
    zone = Zone({
        f"{NAME} CNAME": ["host.example."],
        "host.example A": ["10.0.0.1", "10.0.0.2"],
        "host.example AAAA": ["fd00::1"],
    })  # fmt: skip
    found = asking(zone, lambda one: one.addresses(NAME))
    assert not isinstance(found, ValidationFailed)
    assert found[0] == ip_address("fd00::1")
    assert sorted(map(str, found[1:])) == ["10.0.0.1", "10.0.0.2"]


def test_one_family_is_enough_and_none_is_a_failure() -> None:
    """A name without AAAA has its A records; a name without both has none."""
    assert asking(Zone({f"{NAME} A": ["10.0.0.1"]}), lambda one: one.addresses(NAME)) == (ip_address("10.0.0.1"),)
    found = asking(Zone(), lambda one: one.addresses(NAME))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", True)


DENIED = [
    "127.0.0.1", "10.0.0.1 127.0.0.1", "169.254.169.254", "0.0.0.0", "255.255.255.255", "224.0.0.1", "100.64.0.1",
    "::1", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1", "fec0::1", "ff02::1",
    "fd00:ec2::254",
]  # fmt: skip


@pytest.mark.parametrize("addresses", DENIED)
def test_denied_address_in_an_answer_refuses_the_name__v10_v12(addresses: str) -> None:
    """What a name server says is judged like all else: one denied address refuses the name, embedded forms included."""
    records: dict[str, list[str]] = {}
    for one in addresses.split():
        records.setdefault(f"{NAME} {'AAAA' if ':' in one else 'A'}", []).append(one)

    async def locate(found: Resolver) -> object:
        reach = Reach(resolver=found, hosts={}, allow=(), own_listeners=frozenset(), own_ports=frozenset())
        return await reach.locate(Identifier(IdentifierType.DNS, NAME), 80)

    found = asking(Zone(records), locate)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("connection", False)
    assert not any(one in found.problem.detail for one in addresses.split())


# --- the host's own way -------------------------------------------------------------------------------------------


def test_host_resolver_is_asked_without_servers_of_ours() -> None:
    """The host's files come first: localhost is in them."""
    assert ip_address("127.0.0.1") in asyncio.run(Resolver().addresses("localhost"))


def test_host_resolver_is_asked_for_the_name_as_it_is__s28(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full stop ends the name, so that no search domain of the host makes another of it; IPv6 comes first."""

    def answer(host: bytes, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        assert host == f"{NAME}.".encode()
        return [(0, 0, 0, "", (address, 0)) for address in ("10.0.0.1", "fd00::1", "fe80::1%eth0", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    found = asyncio.run(Resolver(hosts=tmp_path / "none").addresses(NAME))
    assert found == tuple(map(ip_address, ("fd00::1", "fe80::1", "10.0.0.1")))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"10.0.0.1 other {NAME}\n", ["10.0.0.1"]),
        (f"fd00::1\t{NAME.upper()} # x\n10.0.0.2 {NAME}\n", ["fd00::1", "10.0.0.2"]),
        (f"# 10.0.0.1 {NAME}\n10.0.0.1 x # {NAME}\n\n{NAME}\nnonsense {NAME}\n10.0.0.1 x{NAME}\n", []),
    ],
)
def test_hosts_file_is_read_like_the_c_library_does(text: str, found: list[str]) -> None:
    """Address, names, comments; what is no address is passed over."""
    assert parse_hosts(text, NAME) == found


def test_hosts_file_comes_first(tmp_path: Path) -> None:
    """A name in it is asked of nobody."""
    path = tmp_path / "hosts"
    path.write_text(f"10.0.0.7 {NAME}\n")
    assert asyncio.run(Resolver(hosts=path).addresses(NAME)) == (ip_address("10.0.0.7"),)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "no address was found"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the host's resolver failed"),
        (OSError(5, "x"), "it failed"),
    ],
)
def test_failure_of_the_host_resolver_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    """Not found, failed, broken: each in our words."""

    def fail(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ValidationFailed, match=words) as caught:
        asyncio.run(Resolver().addresses(NAME))
    assert caught.value.transient is True


def test_hanging_host_resolver_holds_up_neither_others_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that hangs is given up in time, and so many at most hang; the loop ends without them."""
    monkeypatch.setattr(resolver, "RESOLVE_TIMEOUT", 0.1)
    monkeypatch.setattr(resolver, "MAX_THREADS", 3)
    real, began = socket.getaddrinfo, time.monotonic()

    def hang(host: object, *rest: object, **more: object) -> object:
        if host == b"slow.example.":
            time.sleep(3)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def run() -> list[str]:
        one = Resolver()
        found = await asyncio.gather(*(one.addresses("slow.example") for _ in range(5)), return_exceptions=True)
        return [str(failure) for failure in found]

    found = asyncio.run(run())
    assert time.monotonic() - began < 2
    assert sum("no answer within" in one for one in found) == 3
    assert sum("too many look-ups wait" in one for one in found) == 2


def test_txt_is_asked_of_the_servers_of_resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the file is now: it may change while the CA runs."""
    path = tmp_path / "resolv.conf"
    with dns_server(Zone({f"{OWNER} TXT": quoted("x")})) as port:
        monkeypatch.setattr(NameServer, "__init__", _at_port(port))
        path.write_text("nameserver 127.0.0.1\n")
        assert asyncio.run(Resolver(resolv_conf=path).texts(OWNER)).values == (b"x",)


def _at_port(port: int) -> Callable[..., None]:
    """Name servers without a port of their own are on this one: port 53 is not ours to take."""

    def init(self: NameServer, host: str, given: int = port) -> None:
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", given)

    return init


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("nameserver 10.0.0.1\nnameserver fd00::1\nsearch x\n", ["10.0.0.1", "fd00::1"]),
        ("  nameserver   10.0.0.1  # x\n#nameserver 10.0.0.2\nnameserver\n\nnameserver x\n", ["10.0.0.1"]),
        ("".join(f"nameserver 10.0.0.{number}\n" for number in range(5)), ["10.0.0.0", "10.0.0.1", "10.0.0.2"]),
        ("nameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
        ("nameserver\t10.0.0.1\n", ["10.0.0.1"]),
        ("", ["127.0.0.1"]),
    ],
)
def test_resolv_conf_is_read_like_the_c_library_does(text: str, hosts: list[str]) -> None:
    """Three servers at most; what is no address is passed over; without any, the host itself."""
    assert [one.host for one in parse_resolv_conf(text)] == hosts


def test_missing_resolv_conf_means_the_host_itself(tmp_path: Path) -> None:
    """As resolv.conf(5) says."""
    assert resolver._servers_of(tmp_path / "none") == (NameServer("127.0.0.1"),)
    assert (str(NameServer("127.0.0.1")), str(NameServer("::1", 5353))) == ("127.0.0.1:53", "[::1]:5353")
