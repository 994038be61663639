"""The strict front over real TLS and loopback sockets (security.md 8 and 15, H rows; acme.md J28)."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dayfly.core.frozen import replace
from dayfly.server import run
from dayfly.server.app import Application, Request, Response, Route
from dayfly.server.limits import FrontLimits
from dayfly.server.run import serve
from dayfly.server.shedding import Shed
from dayfly.server.tls import SwappableContext

NAME = "ca.internal.example"
GET = b"GET /echo HTTP/1.1\r\nHost: ca.internal.example\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: ca.internal.example\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BIG = b"x" * (1024 * 1024)
SHORT = FrontLimits(
    handshake_timeout=0.3,
    head_timeout=0.3,
    body_timeout=0.3,
    idle_timeout=0.3,
    write_timeout=0.3,
    linger_timeout=0.2,
    shutdown_timeout=0.2,
)


# --- a small PKI, and a server in a thread ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate, as an application sees it."""
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, directory: Path) -> tuple[str, str]:
        """The files that a client's `load_cert_chain` wants."""
        names = directory / "client.crt", directory / "client.key"
        names[0].write_bytes(self.pem)
        names[1].write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(names[0]), str(names[1])


def make_pair(name: str, issuer: Pair | None = None, *, is_ca: bool = False, expired: bool = False) -> Pair:
    """A certificate for this name; self-signed without an issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)  # noqa: TID251 - TLS compares with the real clock
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + timedelta(hours=-1 if expired else 1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(builder.sign(issuer.key if issuer else key, SHA256()), key)


@dataclass(slots=True)
class Server:
    """A running server: where it listens, its context, and the requests that its application has seen."""

    address: tuple[str, int]
    root: Pair
    context: SwappableContext
    seen: list[Request] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    stop_now: Callable[[], None] = lambda: None  # for its own thread
    shed: Counter[Shed] = field(default_factory=Counter)

    def connect(self, client: ssl.SSLContext | None = None, *, name: str | None = NAME) -> ssl.SSLSocket:
        """A TLS connection that has done its handshake."""
        context = client or self.client()
        context.check_hostname = name is not None
        return context.wrap_socket(socket.create_connection(self.address, 5), server_hostname=name)

    def client(self) -> ssl.SSLContext:
        """A client that trusts the server's root."""
        context = ssl.create_default_context(cadata=self.root.pem.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def say(self, octets: bytes) -> bytes:
        """All that the server says until it closes, for these octets on a new connection."""
        with self.connect() as connection:
            connection.sendall(octets)
            return read_to_end(connection)


def routes(server: Server) -> list[Route]:
    """What the test application serves."""

    async def echo(request: Request) -> Response:
        server.seen.append(request)
        return Response(200, request.body, media_type=b"application/octet-stream")

    async def big(_request: Request) -> Response:
        return Response(200, BIG)

    async def slow(request: Request) -> Response:
        server.seen.append(request)
        server.held.set()
        await asyncio.get_running_loop().run_in_executor(None, server.hold.wait, 10)
        return Response(200, b"{}")

    async def certificate(request: Request) -> Response:
        return Response(200, request.peer_certificate or b"none")

    async def broken(_request: Request) -> Response:
        raise ValueError("a secret")

    table = {"echo": echo, "big": big, "slow": slow, "certificate": certificate, "broken": broken}
    return [Route(method, f"/{name}", handler) for name, handler in table.items() for method in ("GET", "POST")]


@contextmanager
def running(limits: FrontLimits | None = None, *, grace: float = 5.0) -> Iterator[Server]:
    """A server on a loop of its own, in a thread of its own."""
    root = make_pair("Root", is_ca=True)
    leaf = make_pair(NAME, root)
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening.getsockname(), root, SwappableContext(leaf.pem, leaf.key, [root.pem]))
    ids = itertools.count()
    app = Application(routes(server), new_request_id=lambda: f"r{next(ids)}")
    ready = threading.Event()

    async def main() -> None:
        stop = asyncio.Event()
        server.stop_now = stop.set
        waiter = asyncio.get_running_loop().run_in_executor(None, server.stop.wait)
        waiter.add_done_callback(lambda _: stop.set())
        await serve(
            app,
            context=server.context,
            sockets=[listening],
            limits=limits,
            new_request_id=lambda: f"f{next(ids)}",
            on_ready=ready.set,
            stop=stop,
            signals=(),
            grace=grace,
            on_shed=server.shed.update,
        )

    thread = threading.Thread(target=lambda: uvloop.run(main()), daemon=True)
    thread.start()
    try:
        assert ready.wait(5)
        yield server
    finally:
        server.hold.set()
        server.stop.set()
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with the limits of a deployment, for tests that need no others."""
    with running() as one:
        yield one


def read_to_end(connection: ssl.SSLSocket) -> bytes:
    """What comes until the end of the connection, however it ends."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except (ConnectionError, ssl.SSLError):
        pass
    return b"".join(parts)


def read_answer(connection: ssl.SSLSocket) -> tuple[int, dict[bytes, bytes], bytes]:
    """One answer with a Content-Length: status, headers, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    headers = {name: value for name, _, value in (one.partition(b": ") for one in lines)}
    while len(body) < int(headers.get(b"content-length", b"0")):
        body += connection.recv(65536)
    return int(line.split()[1]), headers, body


def statuses(said: bytes) -> list[int]:
    """The statuses of all answers in what the server said."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


# --- what is refused --------------------------------------------------------------------------------------------------

FAULTS = {
    "content-length-and-chunked": (400, POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked-and-content-length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "two-content-lengths": (400, POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "list-of-content-lengths": (400, POST + b"Content-Length: 3, 3\r\n\r\nabc"),
    "signed-content-length": (400, POST + b"Content-Length: +3\r\n\r\nabc"),
    "hexadecimal-content-length": (400, POST + b"Content-Length: 0x3\r\n\r\nabc"),
    "gzip-chunked": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked-twice": (400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "identity": (400, POST + b"Transfer-Encoding: identity\r\n\r\nabc"),
    "chunked-in-http-1.0": (400, b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "bare-line-feeds": (400, b"GET /echo HTTP/1.1\nHost: a\n\n"),
    "obsolete-folding": (400, GET[:-2] + b"X: a\r\n b\r\n\r\n"),
    "space-before-colon": (400, b"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n"),
    "space-in-name": (400, GET[:-2] + b"X y: a\r\n\r\n"),
    "empty-name": (400, GET[:-2] + b": a\r\n\r\n"),
    "nul-in-value": (400, GET[:-2] + b"X: a\0b\r\n\r\n"),
    "carriage-return-in-value": (400, GET[:-2] + b"X: a\rb\r\n\r\n"),
    "nul-in-target": (400, b"GET /e\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "high-octet-in-target": (400, b"GET /e\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment-in-target": (400, b"GET /echo#a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "absolute-form": (400, b"GET https://a/echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    "asterisk-form": (400, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no-host": (400, b"GET /echo HTTP/1.1\r\n\r\n"),
    "two-hosts": (400, GET[:-2] + b"Host: ca.internal.example\r\n\r\n"),
    "two-authorizations": (400, GET[:-2] + b"Authorization: Bearer a\r\nAuthorization: Bearer a\r\n\r\n"),
    "empty-host": (400, b"GET /echo HTTP/1.1\r\nHost:\r\n\r\n"),
    "host-with-path": (400, b"GET /echo HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "host-with-user": (400, b"GET /echo HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "http-0.9": (400, b"GET /echo\r\n\r\n"),
    "http-2.0": (400, b"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n"),
    "http-2-preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "unknown-method": (400, b"BREW /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no-http": (400, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    "connect": (405, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "webdav-method": (405, b"PROPFIND /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    "other-expectation": (417, POST + b"Expect: a-miracle\r\nContent-Length: 3\r\n\r\nabc"),
    "two-content-types": (400, POST + b"Content-Type: a/b\r\nContent-Type: a/c\r\nContent-Length: 0\r\n\r\n"),
    "trailers": (400, CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n"),
    "large-chunk-extension": (400, CHUNKED + b"5;" + b"e" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"),
    "large-unfinished-trailer": (400, CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: " + b"e" * 20_000),
    "chunk-size-of-17-digits": (400, CHUNKED + b"1" * 17 + b"\r\nhello"),
    "bad-chunk-end": (400, CHUNKED + b"5\r\nhelloXX0\r\n\r\n"),
    "bare-line-feed-after-chunk-size": (400, CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    "upgrade-with-body": (400, POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"),
    "header-of-20-kb": (431, GET[:-2] + b"X: " + b"a" * 20_000 + b"\r\n\r\n"),
    "unfinished-header-of-20-kb": (431, GET[:-2] + b"X: " + b"a" * 20_000),
    "200-headers": (431, GET[:-2] + b"X: a\r\n" * 200 + b"\r\n"),
    "url-of-16-kb": (414, b"GET /" + b"a" * 16_384 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "unfinished-url-of-16-kb": (414, b"GET /" + b"a" * 16_384),
    "content-length-one-above": (413, POST + b"Content-Length: 65537\r\n\r\n"),
    "content-length-1-gb": (413, POST + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 300_000),
    "chunked-one-above": (413, CHUNKED + b"10001\r\n" + b"x" * 65_537 + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("status", "octets"), FAULTS.values(), ids=FAULTS)
def test_front_refuses_framing_fault__security_8(server: Server, status: int, octets: bytes) -> None:
    """Each fault gets one problem document with its status and the end of the connection, and executes nothing."""
    server.seen.clear()
    unfinished = b"\r\n\r\n" not in octets or octets.endswith(b"e" * 99)
    said = server.say(octets if unfinished else octets + GET)
    head, _, body = said.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert statuses(said) == [status]
    assert (problem["type"], problem["status"]) == ("urn:ietf:params:acme:error:malformed", status)
    assert {b"connection: close", b"content-type: application/problem+json"} <= set(head.split(b"\r\n"))
    assert server.seen == []
    assert (b"\r\nallow: " in head) == (status == 405)


@pytest.mark.parametrize("fault", ["large-chunk-extension", "trailers", "header-of-20-kb", "two-hosts", "url-of-16-kb"])
def test_front_refuses_fault_in_pieces__security_8(server: Server, fault: str) -> None:
    """The same fault in small packets gets the same answer."""
    status, octets = FAULTS[fault]
    server.seen.clear()
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for start in range(0, len(octets), 1000):
                connection.sendall(octets[start : start + 1000])
        except (ConnectionError, ssl.SSLError):
            pass  # refused before it was all sent
        assert statuses(read_to_end(connection)) == [status]
    assert server.seen == []


def test_front_refuses_10_mb_chunked__acme_j28(server: Server) -> None:
    """A client that goes on sending a body above the cap is told 413, and the connection ends."""
    with server.connect() as connection:
        connection.sendall(CHUNKED)
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        try:
            for _ in range(640):
                connection.sendall(chunk)
        except (ConnectionError, ssl.SSLError):
            pass
        assert statuses(read_to_end(connection)) == [413]


def test_front_answers_earlier_requests_before_a_fault__security_h5(server: Server) -> None:
    """Requests before the fault are answered in order, then the fault, and nothing behind it is executed."""
    server.seen.clear()
    too_large = POST + b"Content-Length: 100000\r\n\r\n"
    assert statuses(server.say(GET + GET + too_large + GET)) == [200, 200, 413]
    assert len(server.seen) == 2


def test_front_executes_nothing_behind_the_last_request__rfc9112_9_6(server: Server) -> None:
    """After `Connection: close` what follows is not read."""
    server.seen.clear()
    assert statuses(server.say(GET[:-2] + b"Connection: close\r\n\r\n" + GET)) == [200]
    assert len(server.seen) == 1


def test_front_bounds_the_pipe(server: Server) -> None:
    """Seventeen requests in one packet are answered, the eighteenth is refused."""
    server.seen.clear()
    assert statuses(server.say(GET * 40)) == [200] * 17 + [400]
    assert len(server.seen) == 17


# --- what is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        GET,
        GET[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        POST + b"Content-Length: 65536\r\n\r\n" + b"x" * 65_536,
        CHUNKED + b"10000;ext=1\r\n" + b"x" * 65_536 + b"\r\n0\r\n\r\n",
        b"\r\n\r\n" + GET,
        GET.replace(b"ca.internal.example", b"[::1]:9000"),
    ],
    ids=["get", "h2c-ignored", "64-kib", "64-kib-chunked", "empty-lines-first", "ipv6-host"],
)
def test_front_takes_what_is_well_formed__security_h3(server: Server, octets: bytes) -> None:
    """The request is answered, and the connection takes another one."""
    server.seen.clear()
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(octets)
            status, headers, _body = read_answer(connection)
            assert (status, headers.get(b"connection")) == (200, None)
            assert {b"date", b"x-request-id"} <= headers.keys()
            assert b"server" not in headers
    assert len(server.seen) == 2


def test_front_takes_a_request_octet_by_octet(server: Server) -> None:
    """Packet borders mean nothing."""
    octets = POST + b"Content-Length: 5\r\n\r\nhello"
    with server.connect() as connection:
        for octet in octets:
            connection.sendall(bytes([octet]))
        assert read_answer(connection)[2] == b"hello"


def test_front_answers_http_1_0_without_host_and_closes__rfc9112_3_2(server: Server) -> None:
    """HTTP/1.0 needs no Host, and the connection ends after the answer."""
    assert statuses(server.say(b"GET /echo HTTP/1.0\r\n\r\n")) == [200]


def test_front_invites_an_expected_body__rfc9110_10_1_1(server: Server) -> None:
    """100 comes before the body is sent, the answer after it."""
    with server.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert read_answer(connection)[2] == b"hello"


def test_front_does_not_invite_a_body_above_the_cap__security_h4(server: Server) -> None:
    """413 comes instead of 100."""
    assert statuses(server.say(POST + b"Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n")) == [413]


def test_front_keeps_requests_of_a_connection_apart(server: Server) -> None:
    """Body, headers and id of one request are not seen in the next one."""
    server.seen.clear()
    with server.connect() as connection:
        connection.sendall(POST + b"X-Request-Id: mine\r\nX-One: 1\r\nContent-Length: 3\r\n\r\nabc")
        assert read_answer(connection)[1][b"x-request-id"] == b"mine"
        connection.sendall(GET)
        status, headers, body = read_answer(connection)
    assert (status, body) == (200, b"")
    assert headers[b"x-request-id"] != b"mine"
    assert server.seen[1].header(b"x-one") is None
    assert [request.peer[0] for request in server.seen] == ["127.0.0.1", "127.0.0.1"]


def test_front_answers_head_without_body__rfc9110_9_3_2(server: Server) -> None:
    """HEAD has GET's headers and no body, so that the next answer is found where it belongs."""
    with server.connect() as connection:
        connection.sendall(GET.replace(b"GET /echo", b"HEAD /big"))
        head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-length: %d\r\n" % len(BIG) in head
        assert head.endswith(b"\r\n\r\n")
        connection.sendall(GET)
        assert read_answer(connection)[0] == 200


def test_front_tells_nothing_of_an_error__security_l2(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a handler is 500 with a request id; its text goes to the log and not to the client."""
    with server.connect() as connection:
        connection.sendall(GET.replace(b"/echo", b"/broken"))
        status, headers, body = read_answer(connection)
    assert (status, headers[b"retry-after"]) == (500, b"5")
    assert b"secret" not in body
    assert headers[b"x-request-id"].decode() in caplog.text


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty() -> Iterator[Server]:
    """A server that waits a third of a second for everything."""
    with running(SHORT) as one:
        yield one


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(b"", []), (b"\r\n", []), (GET[:-4], [408]), (POST + b"Content-Length: 5\r\n\r\nhel", [408]), (GET, [200])],
    ids=["nothing", "empty-line", "half-a-head", "half-a-body", "idle-after-an-answer"],
)
def test_front_sheds_a_silent_connection__security_h6(hasty: Server, octets: bytes, expected: list[int]) -> None:
    """A connection that stops in any state is closed after that state's timeout, with 408 inside a request."""
    began = time.monotonic()
    assert statuses(hasty.say(octets)) == expected
    assert 0.2 < time.monotonic() - began < 2


@pytest.mark.parametrize("begin", [b"", GET[:-4] + b"\r\nX: ", POST + b"Content-Length: 9999\r\n\r\n"])
def test_front_sheds_a_trickle__security_h6(hasty: Server, begin: bytes) -> None:
    """Octets that come one by one, empty lines too, do not move the deadline."""
    trickle = b"a" if begin else b"\r\n"
    with hasty.connect() as connection:
        connection.sendall(begin)
        connection.settimeout(0.05)
        began, said = time.monotonic(), b""
        while time.monotonic() - began < 5:
            try:
                connection.sendall(trickle)
                part = connection.recv(4096)
            except TimeoutError:
                continue
            except (ConnectionError, ssl.SSLError):
                break
            if not part:
                break
            said += part
        assert time.monotonic() - began < 2
    assert statuses(said) in ([[408]] if begin else [[]])


def test_front_sheds_a_half_open_connection__security_h6(hasty: Server) -> None:
    """A peer that does not begin, or finish, its handshake is closed."""
    for octets in (b"", b"\x16\x03\x01"):
        with socket.create_connection(hasty.address, 5) as connection:
            connection.sendall(octets)
            began = time.monotonic()
            with suppress(ConnectionError):
                assert connection.recv(100) == b""
            assert time.monotonic() - began < 2


def test_front_sheds_a_slow_reader__security_h7(hasty: Server) -> None:
    """A peer that asks for a megabyte and does not read it is cut off; the server keeps no more than its buffer."""
    with socket.create_connection(hasty.address, 5) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        with hasty.client().wrap_socket(plain, server_hostname=NAME) as connection:
            connection.sendall(GET.replace(b"/echo", b"/big") * 16)
            time.sleep(1.0)  # the reader's slowness is what is tested
            said = read_to_end(connection)
    assert len(said) < 16 * len(BIG)


def test_front_serves_a_patient_reader(hasty: Server) -> None:
    """A megabyte arrives whole for a peer that reads."""
    with hasty.connect() as connection:
        connection.sendall(GET.replace(b"/echo", b"/big"))
        assert read_answer(connection)[2] == BIG


# --- places -----------------------------------------------------------------------------------------------------------


def test_front_limits_connections_per_peer__security_h8(server: Server) -> None:
    """The peer's share is a limit, and a place comes back when a connection ends."""
    del server
    limits = replace(FrontLimits(), private_peer_connections=2)
    with running(limits) as one:
        first, second = one.connect(), one.connect()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            one.connect()
        for connection in (first, second):
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
        abort(first)
        second.sendall(GET)
        assert read_answer(second)[0] == 200
        with eventually_connected(one) as third:
            third.sendall(GET)
            assert read_answer(third)[0] == 200
        second.close()


def test_front_makes_room_by_closing_the_idle__reliability_r11() -> None:
    """With all places taken, the connection that has been idle for longest gives way to a new one."""
    with running(replace(FrontLimits(), connections=2)) as one:
        first, second = one.connect(), one.connect()
        for connection in (first, second):
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
            threading.Event().wait(0.01)  # the loop's clock counts milliseconds, and longest must be longer
        with eventually_connected(one) as third:
            third.sendall(GET)
            assert read_answer(third)[0] == 200
        assert read_to_end(first) == b""
        first.close()
        second.close()


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", POST + b"Content-Length: 9\r\n\r\n"], ids=["nothing", "head", "body"]
)
def test_front_makes_room_by_closing_those_that_ask_nothing__security_h7(said: bytes) -> None:
    """A crowd that shakes hands and leaves its requests unsaid, or unfinished, keeps nobody out."""
    with running(replace(FrontLimits(), connections=4)) as one, ExitStack() as stack:
        crowd = [stack.enter_context(one.connect()) for _ in range(4)]
        for connection in crowd:
            connection.sendall(said)
            threading.Event().wait(0.02)  # the loop's clock counts milliseconds, and longest must be longer
        for plain in [stack.enter_context(socket.create_connection(one.address, 5)) for _ in range(3)]:
            with one.client().wrap_socket(plain, server_hostname=NAME) as honest:
                honest.sendall(GET)
                assert read_answer(honest)[0] == 200
        assert read_to_end(crowd[0]) == b""


def test_front_gives_a_place_back_that_it_had_no_descriptor_for__security_h6(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection too many for the process is closed, and counts nowhere after that."""
    with running(replace(FrontLimits(), connections=1)) as one:

        def none_left(_: socket.socket) -> socket.socket:
            raise OSError(errno.EMFILE, "too many open files")

        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "dup", none_left)
            with pytest.raises((ConnectionError, ssl.SSLError)):
                one.connect()
        with one.connect() as connection:
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200


def test_front_keeps_the_idle_from_a_peer_above_its_share__security_h7() -> None:
    """With all places taken, a peer that has its share is refused, and the honest idle connection stays."""
    with running(replace(FrontLimits(), connections=3, private_peer_connections=2)) as one:
        with socket.create_connection(one.address, 5, source_address=("127.0.0.2", 0)) as plain:
            honest = one.client().wrap_socket(plain, server_hostname=NAME)
            honest.sendall(GET)
            assert read_answer(honest)[0] == 200
            greedy = [one.connect() for _ in range(2)]
            for _ in range(3):
                with pytest.raises((ConnectionError, ssl.SSLError)):
                    one.connect()
            honest.sendall(GET)
            assert read_answer(honest)[0] == 200
        for connection in (honest, *greedy):
            connection.close()


def test_front_serves_while_half_open_connections_wait__security_h6() -> None:
    """When too many are half open the oldest is dropped, and an honest handshake succeeds."""
    with running(replace(FrontLimits(), half_open=8, private_peer_rate=0)) as one:
        idle = [socket.create_connection(one.address, 5) for _ in range(50)]
        with one.connect() as connection:
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
        for waiting in idle:
            waiting.close()


def test_front_lets_go_of_what_it_drops_at_once__security_h6() -> None:
    """A half-open connection that is dropped ends for its peer, long before the handshake's time is up."""
    with running(replace(FrontLimits(), half_open=8, private_peer_rate=0)) as one:
        idle = [socket.create_connection(one.address, 5) for _ in range(50)]
        for dropped in idle[:42]:
            dropped.settimeout(5)  # of the ten seconds that a handshake may take
            assert dropped.recv(1) == b""
        for waiting in idle:
            waiting.close()
    assert one.shed == {Shed.HALF_OPEN: 42}


def test_front_tells_what_it_has_shed() -> None:
    """Each reason is counted where it holds, and what was counted last is told when the server ends."""
    with running(replace(SHORT, private_peer_rate=2, private_peer_connections=2)) as one:
        silent = socket.create_connection(one.address, 5)
        begun = socket.create_connection(one.address, 5)
        begun.sendall(client_hello(one))
        for expected in (Shed.SHARE, Shed.SHARE):
            with socket.create_connection(one.address, 5) as refused, suppress(ConnectionError):
                assert refused.recv(1) == b"", expected
        assert silent.recv(1) == b""
        while begun.recv(65_536):
            pass
        for _ in range(8):
            with socket.create_connection(one.address, 5) as refused, suppress(ConnectionError):
                refused.shutdown(socket.SHUT_WR)
                refused.recv(1)
        silent.close()
        begun.close()
    assert one.shed[Shed.SHARE] == 2
    assert one.shed[Shed.HANDSHAKE] == 2
    assert one.shed[Shed.RATE] >= 1
    assert set(one.shed) == {Shed.SHARE, Shed.HANDSHAKE, Shed.RATE}


def client_hello(server: Server) -> bytes:
    """The first flight of a client."""
    said = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        server.client().wrap_bio(ssl.MemoryBIO(), said, server_hostname=NAME).do_handshake()
    return said.read()


def test_front_drops_the_oldest_whether_it_spoke_or_not__security_h6() -> None:
    """A handshake that was begun and left is as old as it is: it goes before a silent one that came later."""
    with running(replace(FrontLimits(), half_open=2, private_peer_rate=0)) as one, ExitStack() as stack:
        begun, silent = (stack.enter_context(socket.create_connection(one.address, 5)) for _ in range(2))
        begun.sendall(client_hello(one))
        assert begun.recv(65_536)[:1] == b"\x16"
        third = stack.enter_context(socket.create_connection(one.address, 5))
        while begun.recv(65_536):
            pass
        stack.enter_context(socket.create_connection(one.address, 5))
        assert silent.recv(1) == b""
        third.settimeout(0.05)
        with pytest.raises(TimeoutError):
            third.recv(1)


def test_front_serves_a_handshake_that_comes_in_pieces__security_h6(server: Server) -> None:
    """An honest peer behind a slow line: its first flight arrives octet by octet, and it is served."""
    context, incoming, outgoing = server.client(), ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with socket.create_connection(server.address, 5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        for start in range(0, len(hello), 40):
            plain.sendall(hello[start : start + 40])
            threading.Event().wait(0.002)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65_536))
        client.write(GET)
        plain.sendall(outgoing.read())
        incoming.write(plain.recv(65_536))
        assert client.read(12) == b"HTTP/1.1 200"


def test_front_limits_new_connections_per_second__security_h9() -> None:
    """A peer above its rate is refused before the handshake."""
    with running(replace(FrontLimits(), private_peer_rate=5)) as one:
        refused = 0
        for _ in range(20):
            try:
                one.connect().close()
            except (ConnectionError, ssl.SSLError):
                refused += 1
        assert refused > 0


def abort(connection: ssl.SSLSocket) -> None:
    """Close with a reset, so that the other side hears at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def eventually_connected(server: Server) -> ssl.SSLSocket:
    """A connection, as soon as the server has noticed that there is a place."""
    for _ in range(500):
        try:
            return server.connect()
        except (ConnectionError, ssl.SSLError):
            threading.Event().wait(0.01)
    raise AssertionError("no place came back")


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_tls_shows_the_client_certificate_to_the_application(server: Server, tmp_path: Path) -> None:
    """Each connection sees its own certificate, and one without sees none (architecture.md 7)."""
    pairs = [make_pair(name, server.root) for name in ("a.internal.example", "b.internal.example")]
    connections = [server.connect()]
    for pair in pairs:
        client = server.client()
        client.load_cert_chain(*pair.write(tmp_path))
        connections.append(server.connect(client))
    told = []
    for connection in connections:
        connection.sendall(GET.replace(b"/echo", b"/certificate"))
        told.append(read_answer(connection)[2])
        connection.close()
    assert told == [b"none", pairs[0].der, pairs[1].der]


@pytest.mark.parametrize("kind", ["foreign", "expired"])
def test_tls_refuses_a_bad_client_certificate__security_n3(server: Server, tmp_path: Path, kind: str) -> None:
    """A certificate of another CA, or one that has expired, fails the handshake."""
    issuer = make_pair("Root", is_ca=True) if kind == "foreign" else server.root
    client = server.client()
    client.load_cert_chain(*make_pair("a.internal.example", issuer, expired=kind == "expired").write(tmp_path))
    with pytest.raises((ConnectionError, ssl.SSLError)), server.connect(client) as connection:
        connection.sendall(GET)
        assert connection.recv(100) == b""
        raise ConnectionError("closed")


@pytest.mark.parametrize("name", [NAME, None], ids=["sni", "no-sni"])
def test_tls_swaps_the_certificate_under_live_connections(name: str | None) -> None:
    """The next handshake gets the new certificate, with and without SNI; the old connection goes on."""
    with running() as one, one.connect(name=name) as old:
        newer = make_pair(NAME, one.root)
        assert old.getpeercert(binary_form=True) != newer.der
        one.context.swap(newer.pem, newer.key)
        with one.connect(name=name) as new:
            assert new.getpeercert(binary_form=True) == newer.der
            for connection in (old, new):
                connection.sendall(GET)
                assert read_answer(connection)[0] == 200


def test_tls_accepts_client_certificates_of_the_new_roots_after_a_swap(tmp_path: Path) -> None:
    """Trust in client certificates is swapped with the pair."""
    with running() as one:
        root = make_pair("Other root", is_ca=True)
        newer, pair = make_pair(NAME, one.root), make_pair("a.internal.example", root)
        one.context.swap(newer.pem, newer.key, client_roots=[root.pem])
        client = one.client()
        client.load_cert_chain(*pair.write(tmp_path))
        with one.connect(client) as connection:
            connection.sendall(GET.replace(b"/echo", b"/certificate"))
            assert read_answer(connection)[2] == pair.der


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_gives_no_identity_to_a_resumed_session(tmp_path: Path, version: ssl.TLSVersion, *, swapped: bool) -> None:
    """No tickets are given, and a session resumed by its id has no certificate (architecture.md 7)."""
    with running() as one:
        if swapped:
            newer = make_pair(NAME, one.root)
            one.context.swap(newer.pem, newer.key)
        client = one.client()
        client.maximum_version = client.minimum_version = version
        client.load_cert_chain(*make_pair("a.internal.example", one.root).write(tmp_path))
        with one.connect(client) as connection:
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
            session = connection.session
            assert session is None or not session.has_ticket
        plain = socket.create_connection(one.address, 5)
        with client.wrap_socket(plain, server_hostname=NAME, session=session) as connection:
            connection.sendall(GET.replace(b"/echo", b"/certificate"))
            assert (read_answer(connection)[2] == b"none") == bool(connection.session_reused)


def test_tls_refuses_old_versions_and_speaks_http_1_1__security_h8(server: Server) -> None:
    """TLS 1.1 fails; ALPN chooses http/1.1."""
    client = server.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    with server.connect(client) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    old = server.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ConnectionError, ssl.SSLError)):
        server.connect(old)


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_stop_finishes_requests_in_flight__reliability_r18() -> None:
    """A request being handled is answered with `Connection: close`; idle connections end, new ones are refused."""
    with running() as one:
        idle, busy = one.connect(), one.connect()
        busy.sendall(GET.replace(b"/echo", b"/slow"))
        assert one.held.wait(5)
        one.stop.set()
        assert read_to_end(idle) == b""
        with pytest.raises((ConnectionError, ssl.SSLError)):
            one.connect()
        one.hold.set()
        status, headers, _body = read_answer(busy)
        assert (status, headers[b"connection"]) == (200, b"close")
        idle.close()
        busy.close()


def test_stop_waits_for_nobody_whose_place_was_given_away__reliability_r18(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that makes room in the very turn of the stop is gone at once, and none of the grace is used."""
    make_room = run._Listener._drop_idle
    with running(replace(FrontLimits(), connections=1), grace=12.0) as one:

        def make_room_and_stop(listener: run._Listener) -> None:
            make_room(listener)
            one.stop_now()

        monkeypatch.setattr(run._Listener, "_drop_idle", make_room_and_stop)
        with one.connect() as idle:
            idle.sendall(GET)
            assert read_answer(idle)[0] == 200
            began = time.monotonic()
            socket.create_connection(one.address, 5).close()
            assert read_to_end(idle) == b""
    assert time.monotonic() - began < 10


def test_stop_cuts_off_what_takes_too_long__reliability_r18() -> None:
    """After the grace the request is dropped, and the server ends."""
    with running(grace=0.2) as one:
        busy = one.connect()
        busy.sendall(GET.replace(b"/echo", b"/slow"))
        assert one.held.wait(5)
        one.stop.set()
        assert read_to_end(busy) == b""
        busy.close()
