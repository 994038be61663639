"""The http-01 validator against real sockets: what passes, what does not, what is never dialled (acme.md V5 to V13)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from dayfly.adapters.validators import look as look_at
from dayfly.adapters.validators import make_validators
from dayfly.adapters.validators.http01 import MAX_BODY, Http01
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget
from factories import told

NAME = Identifier(IdentifierType.DNS, "api.internal.example")
KEY_AUTHORIZATION = "dG9rZW4.dGh1bWJwcmludA"
TARGET = ValidationTarget(NAME, "dG9rZW4", KEY_AUTHORIZATION)
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class NoDNS(Resolver):
    """A resolver with a fixed table, and no network."""

    def __init__(self, **table: str) -> None:
        """Names with `_` for `.`."""
        self._table = {name.replace("_", "."): addresses for name, addresses in table.items()}

    async def addresses(self, name: str) -> tuple[Any, ...]:
        """The table's addresses."""
        return tuple(ip_address(text) for text in self._table[name].split())


def plain(*, status: str = "200 OK", body: bytes = KEY_AUTHORIZATION.encode(), headers: str = "") -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def serving(*answers: bytes, hold: bool = False) -> Any:
    """A server that gives these answers in turn, the last one for ever; yields its port and the paths asked for."""
    asked: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.split(b" ")[1].decode())
            writer.write(answers[min(len(asked), len(answers)) - 1])
            await writer.drain()
            if hold:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


def validator(
    port: int,
    *,
    allow: Any = LOOPBACK,
    own: frozenset[Any] = frozenset(),
    own_ports: frozenset[int] = frozenset(),
    **table: str,
) -> Http01:
    """The validator with a static host, or with a table of names."""
    reach = Reach(
        resolver=NoDNS(**table),
        hosts={} if table else {NAME.value: "127.0.0.1"},
        allow=allow,
        own_listeners=own,
        own_ports=own_ports,
    )
    return Http01(reach, port=port, tls_port=port)


async def look(one: Http01) -> Validated:
    """Locate and look once."""
    return await look_at(one, TARGET)


def outcome(answer: bytes, **options: Any) -> Validated | ValidationFailed:
    """What one validation gives against a server with this answer."""

    async def run() -> Validated | ValidationFailed:
        async with serving(answer) as (port, _):
            try:
                return await look(validator(port, **options))
            except ValidationFailed as failure:
                return told(failure)

    return asyncio.run(run())


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n \t"])
def test_exact_body_passes_with_white_space_behind__rfc8555_8_3(tail: bytes) -> None:
    """The key authorization, with nothing but white space after it."""
    found = outcome(plain(body=KEY_AUTHORIZATION.encode() + tail))
    assert isinstance(found, Validated)
    assert found.address.startswith("127.0.0.1:")


def test_interim_answers_are_passed_over__rfc9110_15_2() -> None:
    """100 and 103 come before the answer; a server that says nothing else is told to be none."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert isinstance(outcome(interim + plain()), Validated)
    failed = outcome(interim * 3)
    assert isinstance(failed, ValidationFailed)
    assert "not HTTP/1.1 within the limits" in failed.problem.detail


def test_chunked_body_passes() -> None:
    """Chunked framing is read, extensions ignored."""
    body = KEY_AUTHORIZATION.encode()
    framed = b"4;x=y\r\n" + body[:4] + b"\r\n" + f"{len(body) - 4:x}".encode() + b"\r\n" + body[4:] + b"\r\n0\r\n\r\n"
    found = outcome(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed)
    assert isinstance(found, Validated)


def test_body_until_close_passes() -> None:
    """Without a length the body ends with the connection."""
    assert isinstance(outcome(b"HTTP/1.0 200 OK\r\n\r\n" + KEY_AUTHORIZATION.encode()), Validated)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (plain(body=b" " + KEY_AUTHORIZATION.encode()), "unauthorized"),
        (plain(body=b"\xef\xbb\xbf" + KEY_AUTHORIZATION.encode()), "unauthorized"),
        (plain(body=b"dG9rZW4.c29tZWJvZHktZWxzZQ"), "unauthorized"),
        (plain(body=b""), "unauthorized"),
        (plain(body=KEY_AUTHORIZATION.encode() + b" " * MAX_BODY), "incorrectResponse"),
        (plain(status="404 Not Found"), "incorrectResponse"),
        (plain(status="500 Oops"), "incorrectResponse"),
        (plain(status="204 No Content"), "incorrectResponse"),
        (plain(status="206 Partial"), "incorrectResponse"),
        (plain(status="300 Choices", headers="Location: http://api.internal.example/x\r\n"), "incorrectResponse"),
        (plain(status="303 Other", headers="Location: http://api.internal.example/x\r\n"), "incorrectResponse"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "connection"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "connection"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 40_000 + b"\r\n\r\n", "connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "connection"),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "connection"),
    ],
)
def test_wrong_answer_is_final__v5_v6_v7_v8(answer: bytes, problem: str) -> None:
    """An answer that came and is wrong settles the challenge, and no byte of it is shown."""
    found = outcome(answer)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == (problem, False)
    assert "OpenSSH" not in found.problem.detail


def test_connection_that_breaks_may_be_tried_again() -> None:
    """A peer that closes too early is a transient failure."""
    found = outcome(b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\nhalf")
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("connection", True)


def test_refused_connection_may_be_tried_again() -> None:
    """Nobody listens: transient, and the text names address and port."""

    async def run() -> None:
        async with serving(b"") as (port, _):
            pass
        with pytest.raises(ValidationFailed) as caught:
            await look(validator(port))
        assert caught.value.transient is True
        assert f"127.0.0.1 port {port}" in caught.value.problem.detail

    asyncio.run(run())


def test_gzip_bomb_is_not_decompressed__v8() -> None:
    """A compressed body is compared as it is."""
    found = outcome(plain(body=b"\x1f\x8b" + b"\0" * 100, headers="Content-Encoding: gzip\r\n"))
    assert isinstance(found, ValidationFailed)
    assert found.problem.type == "unauthorized"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_followed__v9(code: int) -> None:
    """The four redirects that keep a GET are followed, relative ones too."""

    async def run() -> None:
        redirect = plain(status=f"{code} Moved", headers="Location: /elsewhere\r\n")
        async with serving(redirect, plain()) as (port, asked):
            await look(validator(port))
            assert asked == ["/.well-known/acme-challenge/dG9rZW4", "/elsewhere"]

    asyncio.run(run())


@pytest.mark.parametrize(
    "location",
    [
        "ftp://api.internal.example/x",
        "file:///etc/passwd",
        "http://api.internal.example:22/x",
        "http://user@api.internal.example/x",
        "http://[fe80::1%25eth0]/x",
        "http://10.0.0.1/x",
        "http://api.internal.example/" + "x" * 3000,
        "http://api.internal.example.well-known/acme-challenge/x",
        "//api.internal.example/x",
        "http://api.internal.example/\x01",
        "http://127.1/x",
        "",
    ],
)
def test_redirect_elsewhere_is_refused__v9(location: str) -> None:
    """Other schemes, ports, users, zones, addresses and lengths are refused, without a second connection."""
    found = outcome(plain(status="302 Found", headers=f"Location: {location}\r\n"))
    assert isinstance(found, ValidationFailed)
    assert found.transient is False


def test_redirect_with_a_fragment_is_refused__v9() -> None:
    """What stands behind a `#` is never sent to a server (RFC 9110 7.1), so nothing is asked for there."""

    async def run() -> None:
        async with serving(plain(status="302 Found", headers="Location: /x#y\r\n"), plain()) as (port, asked):
            with pytest.raises(ValidationFailed, match="without user or fragment"):
                await look(validator(port))
            assert len(asked) == 1

    asyncio.run(run())


def test_redirect_loop_is_refused__v9() -> None:
    """A redirect to where it came from is a loop."""
    found = outcome(plain(status="302 Found", headers="Location: /.well-known/acme-challenge/dG9rZW4\r\n"))
    assert isinstance(found, ValidationFailed)
    assert "loop" in found.problem.detail


def test_too_many_redirects_are_refused__v9() -> None:
    """The sixth redirect is one too many."""

    async def run() -> None:
        answers = [plain(status="302 Found", headers=f"Location: /{number}\r\n") for number in range(7)]
        async with serving(*answers) as (port, asked):
            with pytest.raises(ValidationFailed, match="more than 5 redirects"):
                await look(validator(port))
            assert len(asked) == 6

    asyncio.run(run())


def test_redirect_to_a_denied_address_is_not_dialled__v9() -> None:
    """Every hop goes through the address table."""

    async def run() -> None:
        redirect = plain(status="302 Found", headers="Location: http://evil.example/x\r\n")
        async with serving(redirect, plain()) as (port, asked):
            looking = validator(port, api_internal_example="127.0.0.1", evil_example="169.254.169.254")
            with pytest.raises(ValidationFailed, match="may not dial"):
                await look(looking)
            assert len(asked) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "addresses", ["127.0.0.1", "10.0.0.1 127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::1"]
)
def test_one_denied_address_refuses_the_name__v10_v12(addresses: str) -> None:
    """No connect() happens when any address of the name is denied; the operator is told how to open it."""
    found = outcome(plain(), allow=(), api_internal_example=addresses)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("connection", False)
    assert not any(address in found.problem.detail for address in addresses.split())
    assert "169.254" in addresses or "allow = [" in found.operator_note


def test_own_listener_is_never_dialled__v10() -> None:
    """The CA does not talk to itself, whatever the settings allow."""

    async def run() -> None:
        async with serving(plain()) as (port, asked):
            own = frozenset({(ip_address("127.0.0.1"), port)})
            with pytest.raises(ValidationFailed, match="listener of the CA itself"):
                await look(validator(port, own=own))
            assert asked == []

    asyncio.run(run())


def test_port_that_the_ca_has_on_every_address_is_its_own_on_each_of_this_hosts__v10() -> None:
    """Listening on all addresses, it is found under each of them, embedded forms included; other ports are dialled."""

    async def run() -> None:
        async with serving(plain()) as (port, asked):
            for address in ("127.0.0.1", "127.9.9.9", "::ffff:7f00:1"):
                looking = validator(port, own_ports=frozenset({port}), api_internal_example=address)
                with pytest.raises(ValidationFailed, match="listener of the CA itself") as caught:
                    await look(looking)
                assert str(ip_address(address)) in caught.value.operator_note
                assert address not in caught.value.problem.detail
            assert asked == []
            other = validator(port, own_ports=frozenset({port + 1}), api_internal_example="127.0.0.1")
            assert isinstance(await look(other), Validated)
            elsewhere = validator(port, own_ports=frozenset({port}), api_internal_example="192.0.2.1")
            with pytest.raises(ValidationFailed, match="special-purpose"):  # not the CA's, and judged as what it is
                await look(elsewhere)

    asyncio.run(run())


def test_ipv4_is_dialled_after_ipv6_fails__acme_8() -> None:
    """IPv6 first; where nobody answers there, the next judged address."""

    async def run() -> None:
        async with serving(plain()) as (port, _):
            found = await look(validator(port, api_internal_example="::1 127.0.0.1"))
            assert found.address == f"127.0.0.1:{port}"

    asyncio.run(run())


def test_name_without_any_address_may_be_tried_again() -> None:
    """A look-up that finds nothing is a DNS failure."""
    found = outcome(plain(), api_internal_example="")
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("dns", True)


def test_address_that_takes_no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose queue of connections is full answers nothing: the dial has a time of its own."""
    monkeypatch.setattr("dayfly.adapters.validators.reach.DIAL_TIMEOUT", 0.2)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        port = listening.getsockname()[1]
        with pytest.raises(ValidationFailed, match=f"no connection to 127.0.0.1 port {port} within") as caught:
            asyncio.run(look(validator(port)))
    assert caught.value.transient is True


def test_rebinding_changes_nothing__v11() -> None:
    """The name is looked up once: what is dialled is what was judged, whatever the name leads to a moment later."""

    class Rebinding(NoDNS):
        asked = 0

        async def addresses(self, name: str) -> tuple[Any, ...]:
            self.asked += 1
            return (ip_address("127.0.0.1" if self.asked == 1 else "169.254.169.254"),)

    async def run() -> None:
        async with serving(plain()) as (port, asked):
            resolver = Rebinding()
            reach = Reach(resolver=resolver, hosts={}, allow=LOOPBACK, own_listeners=frozenset(), own_ports=frozenset())
            assert isinstance(await look(Http01(reach, port=port)), Validated)
            assert (resolver.asked, len(asked)) == (1, 1)

    asyncio.run(run())


def test_slow_answer_is_cut_off__v8(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that trickles is dropped when the time is up."""
    monkeypatch.setattr("dayfly.adapters.validators.http01.TOTAL_TIMEOUT", 0.2)

    async def run() -> None:
        async with serving(b"HTTP/1.1 200 OK\r\n", hold=True) as (port, _):
            with pytest.raises(ValidationFailed, match="did not answer in full") as caught:
                await look(validator(port))
            assert caught.value.transient is True

    asyncio.run(run())


@pytest.mark.parametrize(
    ("head", "again", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096, "incorrectResponse"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 700, "incorrectResponse"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"x" * 4096, "incorrectResponse"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 700, "connection"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4096, "connection"),
        (b"", b"x" * 4096, "connection"),
    ],
    ids=["body", "chunks", "1 GB", "headers", "header", "status line"],
)
def test_endless_answer_is_cut_off_at_once__v8(head: bytes, again: bytes, problem: str) -> None:
    """What never ends is read as far as the limits go, and the connection is closed: the peer can send no more."""
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while True:
                writer.write(again)
                await writer.drain()
                sent += len(again)
        except ConnectionError:
            return
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            with pytest.raises(ValidationFailed) as caught:
                await look(validator(server.sockets[0].getsockname()[1]))
            assert told(caught.value).problem.type == problem

    asyncio.run(run())
    assert sent < 20_000_000  # what fits into the buffers between the two


def test_proxy_variables_are_ignored__v13(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY changes nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    assert isinstance(outcome(plain()), Validated)


def test_table_of_validators_has_all_types__acme_8() -> None:
    """The table gives validators by the type of their challenge, in the order in which they are offered."""
    reach = Reach(resolver=NoDNS(), hosts={}, allow=(), own_listeners=frozenset(), own_ports=frozenset())
    found = make_validators(reach, NoDNS(), http_port=80, tls_port=443)
    assert list(found) == ["http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"]
