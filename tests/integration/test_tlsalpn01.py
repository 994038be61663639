"""tls-alpn-01 against real TLS servers on loopback, honest and hostile (acme.md V10, V15, V16)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.adapters.validators import look as look_at
from dayfly.adapters.validators import tlsalpn01
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.adapters.validators.tlsalpn01 import ACME_IDENTIFIER, OBSOLETE_IDENTIFIER, TlsAlpn01, check_certificate
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.problems import Refused
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget
from factories import NOW, told

NAME = "api.internal.example"
KEY_AUTHORIZATION = "dG9rZW4.dGh1bWJwcmludA"
DIGEST = hashlib.sha256(KEY_AUTHORIZATION.encode()).digest()
DNS_TARGET = ValidationTarget(Identifier(IdentifierType.DNS, NAME), "dG9rZW4", KEY_AUTHORIZATION)
IP_TARGET = ValidationTarget(Identifier(IdentifierType.IP, "127.0.0.1"), "dG9rZW4", KEY_AUTHORIZATION)
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def extension(oid: x509.ObjectIdentifier = ACME_IDENTIFIER, value: bytes = b"\x04\x20" + DIGEST) -> Any:
    """The acmeIdentifier, or something like it."""
    return x509.UnrecognizedExtension(oid, value)


def answer(
    *names: x509.GeneralName,
    extensions: tuple[tuple[Any, bool], ...] = ((extension(), True),),
    issuer: str = "answer",
    key: ec.EllipticCurvePrivateKey = KEY,
) -> x509.Certificate:
    """The certificate of RFC 8737 3; a test states its deviation."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "answer")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(minutes=5))  # long ago, which nobody asks: the digest is what is fresh
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(key, SHA256())


DNS_NAME = x509.DNSName(NAME)
IP_NAME = x509.IPAddress(ip_address("127.0.0.1"))
GOOD = answer(DNS_NAME)


def der(certificate: x509.Certificate) -> bytes:
    """Its bytes."""
    return certificate.public_bytes(Encoding.DER)


class Peer:
    """A TLS server: what it shows, and what it was asked for."""

    def __init__(self, where: Path, *chain: x509.Certificate, protocols: tuple[str, ...] = ("acme-tls/1",)) -> None:
        """It shows this chain, whatever name is asked for."""
        key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain) + key
        (where / "answer.pem").write_bytes(pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(where / "answer.pem")
        if protocols:
            self.context.set_alpn_protocols(list(protocols))
        self.asked: list[str | None] = []
        self.got = b""
        self.context.sni_callback = lambda _socket, name, _context: self.asked.append(name)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Listen on loopback; yields the port."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                self.got += await reader.read(1000)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=self.context)
        async with server:
            yield server.sockets[0].getsockname()[1]


def reach(*, allow: Any = LOOPBACK, own: frozenset[Any] = frozenset()) -> Reach:
    """The way to loopback."""
    return Reach(resolver=Resolver(), hosts={NAME: "127.0.0.1"}, allow=allow, own_listeners=own, own_ports=frozenset())


async def look(port: int, target: ValidationTarget = DNS_TARGET, **options: Any) -> Validated | ValidationFailed:
    """One validation against what listens on this port."""
    validator = TlsAlpn01(reach(**options), port=port)
    try:
        return await look_at(validator, target)
    except ValidationFailed as failure:
        return told(failure)


def outcome(peer: Peer, target: ValidationTarget = DNS_TARGET, run: Callable[..., Any] = asyncio.run) -> Any:
    """What one validation gives against a peer."""

    async def serve() -> Validated | ValidationFailed:
        async with peer.serving() as port:
            return await look(port, target)

    return run(serve())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_right_certificate_passes__rfc8737_3(tmp_path: Path, version: ssl.TLSVersion, run: Callable[..., Any]) -> None:
    """TLS 1.2 and 1.3: the name goes into SNI, the digest is found, and no data follows the handshake."""
    peer = Peer(tmp_path, GOOD)
    peer.context.maximum_version = version
    found = outcome(peer, run=run)
    assert isinstance(found, Validated)
    assert found.address.startswith("127.0.0.1:")
    assert peer.asked == [NAME]
    assert peer.got == b""


def test_address_is_proved_by_its_reverse_name__v16(tmp_path: Path) -> None:
    """SNI in reverse-arpa form, SAN iPAddress (RFC 8738 6)."""
    peer = Peer(tmp_path, answer(IP_NAME))
    assert isinstance(outcome(peer, IP_TARGET), Validated)
    assert peer.asked == ["1.0.0.127.in-addr.arpa"]
    six = tlsalpn01.server_name(Identifier(IdentifierType.IP, "2001:db8::1"))
    assert six == "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


WRONG = {
    "no SAN": (answer(), "no subject alternative name"),
    "extra SAN": (answer(DNS_NAME, x509.DNSName("b.internal.example")), "this identifier alone (2 names)"),
    "same SAN twice": (answer(DNS_NAME, DNS_NAME), "this identifier alone (2 names)"),
    "SAN of another kind beside": (answer(DNS_NAME, IP_NAME), "this identifier alone"),
    "other SAN": (answer(x509.DNSName("b.internal.example")), "this identifier alone (1 names)"),
    "wildcard": (answer(x509.DNSName("*.internal.example")), "this identifier alone"),
    "mail address": (answer(x509.RFC822Name(f"a@{NAME}")), "this identifier alone"),
    "other issuer": (answer(DNS_NAME, issuer="another"), "not signed by itself"),
    "other key": (answer(DNS_NAME, key=OTHER_KEY), "not signed by itself"),
    "no acmeIdentifier": (answer(DNS_NAME, extensions=()), "has no acmeIdentifier"),
    "not critical": (answer(DNS_NAME, extensions=((extension(), False),)), "not critical"),
    "obsolete": (answer(DNS_NAME, extensions=((extension(OBSOLETE_IDENTIFIER), True),)), "30.1"),
    "obsolete beside": (
        answer(DNS_NAME, extensions=((extension(), True), (extension(OBSOLETE_IDENTIFIER), False))),
        "30.1",
    ),
    "31 octets": (answer(DNS_NAME, extensions=((extension(value=b"\x04\x1f" + DIGEST[:31]), True),)), "(33 octets)"),
    "33 octets": (answer(DNS_NAME, extensions=((extension(value=b"\x04\x21" + DIGEST + b"x"), True),)), "(35 octets)"),
    "trailing DER": (answer(DNS_NAME, extensions=((extension(value=b"\x04\x20" + DIGEST + b"\0"), True),)), "(35"),
    "long form of the length": (
        answer(DNS_NAME, extensions=((extension(value=b"\x04\x81\x20" + DIGEST), True),)),
        "(35 octets)",
    ),
    "no OCTET STRING": (answer(DNS_NAME, extensions=((extension(value=b"\x03\x20" + DIGEST), True),)), "no OCTET"),
}


@pytest.mark.parametrize("defect", WRONG)
def test_wrong_certificate_is_final__v15(tmp_path: Path, defect: str) -> None:
    """Every deviation from RFC 8737 3 settles the challenge, over a real handshake."""
    certificate, words = WRONG[defect]
    found = outcome(Peer(tmp_path, certificate))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("incorrectResponse", False)
    assert words in found.problem.detail
    assert "answer" not in found.problem.detail


def test_dns_name_does_not_prove_an_address__v16(tmp_path: Path) -> None:
    """Nor an address a name, nor the address as text."""
    for target, name in (
        (IP_TARGET, x509.DNSName("127.0.0.1")),
        (IP_TARGET, x509.IPAddress(ip_address("127.0.0.2"))),
        (IP_TARGET, x509.IPAddress(ip_network("127.0.0.1/32"))),
        (DNS_TARGET, IP_NAME),
    ):
        found = outcome(Peer(tmp_path, answer(name)), target)
        assert isinstance(found, ValidationFailed)
        assert found.problem.type == "incorrectResponse"


def test_digest_of_another_account_is_unauthorized__v15(tmp_path: Path) -> None:
    """The right form with another account's digest."""
    other = b"\x04\x20" + hashlib.sha256(b"dG9rZW4.c29tZWJvZHktZWxzZQ").digest()
    found = outcome(Peer(tmp_path, answer(DNS_NAME, extensions=((extension(value=other), True),))))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.problem.http_status, found.transient) == ("unauthorized", 403, False)


def test_upper_case_name_is_the_name(tmp_path: Path) -> None:
    """DNS names have no case."""
    assert isinstance(outcome(Peer(tmp_path, answer(x509.DNSName(NAME.upper())))), Validated)


def test_what_follows_the_certificate_is_not_looked_at(tmp_path: Path) -> None:
    """A chain behind it changes nothing: Apache's mod_md shows one."""
    assert isinstance(outcome(Peer(tmp_path, GOOD, WRONG["other SAN"][0])), Validated)
    assert isinstance(outcome(Peer(tmp_path, WRONG["other SAN"][0], GOOD)), ValidationFailed)


@pytest.mark.parametrize("protocols", [(), ("h2",)], ids=["none", "another"])
def test_protocol_that_is_not_echoed_is_refused__v15(tmp_path: Path, protocols: tuple[str, ...]) -> None:
    """A server that knows nothing of tls-alpn-01 proves nothing, though its certificate be right."""
    found = outcome(Peer(tmp_path, GOOD, protocols=protocols))
    assert isinstance(found, ValidationFailed)
    assert found.problem.type == "tls"


def test_tls_1_1_is_refused__v15(tmp_path: Path) -> None:
    """An old protocol is a failed handshake, which may be tried again."""
    peer = Peer(tmp_path, GOOD)
    peer.context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        peer.context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning):
        peer.context.maximum_version = ssl.TLSVersion.TLSv1_1
    found = outcome(peer)
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("tls", True)


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9\r\n", b"", b"\x16\x03\x03\xff\xff" + b"x" * 70_000])
def test_what_is_no_tls_is_a_failed_handshake__v15(said: bytes) -> None:
    """Another protocol, nothing at all, a record without end: transient, and no octet of it is shown."""

    async def run() -> Validated | ValidationFailed:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await reader.read(100)
                writer.write(said)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            return await look(server.sockets[0].getsockname()[1])

    found = asyncio.run(run())
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("tls", True)
    assert "SSH" not in found.problem.detail


def test_silent_server_is_given_up__v15(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing holds nobody for longer than the time allowed."""
    monkeypatch.setattr(tlsalpn01, "TOTAL_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = asyncio.run(look(listening.getsockname()[1]))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("connection", True)
    assert "did not shake hands within" in found.problem.detail


def test_refused_connection_may_be_tried_again() -> None:
    """Nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = asyncio.run(look(closed.getsockname()[1]))
    assert isinstance(found, ValidationFailed)
    assert (found.problem.type, found.transient) == ("connection", True)


def test_denied_address_and_own_listener_are_not_dialled__v10(tmp_path: Path) -> None:
    """The address table and the CA's own listeners count here, too, also for an address that is the identifier."""
    peer = Peer(tmp_path, GOOD)

    async def run() -> None:
        async with peer.serving() as port:
            own = frozenset({(ip_address("127.0.0.1"), port)})
            mapped = ValidationTarget(Identifier(IdentifierType.IP, "::ffff:7f00:1"), "x", "x")
            for target, options, words in (
                (DNS_TARGET, {"allow": ()}, "may not dial"),
                (IP_TARGET, {"allow": ()}, "may not dial"),
                (DNS_TARGET, {"own": own}, "listener of the CA itself"),
                (IP_TARGET, {"own": own}, "listener of the CA itself"),
                (mapped, {"own": own}, "listener of the CA itself"),
            ):
                found = await look(port, target, **options)
                assert isinstance(found, ValidationFailed)
                assert (found.problem.type, found.transient) == ("connection", False)
                assert words in found.problem.detail

    asyncio.run(run())
    assert peer.asked == []


@pytest.mark.parametrize("cut", [0, 1, 50, 200])
def test_broken_certificate_is_not_well_formed__v15(cut: int) -> None:
    """Halves, nothing, and an octet too many."""
    whole = der(GOOD)
    for broken in (whole[:cut], whole + b"\0", whole[:cut] + b"\xff" + whole[cut + 1 :] if cut == 0 else whole[:cut]):
        with pytest.raises(Refused, match="not well formed"):
            check_certificate(broken, DNS_TARGET)


def test_signature_with_unused_bits_is_not_well_formed__v15() -> None:
    """The same signature twice is two certificates; where its last bit is 0 the library takes both."""
    even = next(one for one in map(answer, [DNS_NAME] * 100) if not one.signature[-1] & 1)
    whole = bytearray(der(even))
    check_certificate(bytes(whole), DNS_TARGET)
    whole[-len(even.signature) - 1] = 1
    assert x509.load_der_x509_certificate(bytes(whole)).signature == even.signature
    with pytest.raises(Refused, match="bits that are not used"):
        check_certificate(bytes(whole), DNS_TARGET)


@pytest.mark.filterwarnings("ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=500, deadline=1000)
@given(st.data())
def test_no_certificate_breaks_the_check__s31(data: st.DataObject) -> None:
    """Any octets of a certificate may be others: it is refused in our words, or they do not matter."""
    whole = bytearray(der(GOOD))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    if bytes(whole) == der(GOOD):
        return
    with pytest.raises(Refused) as caught:
        check_certificate(bytes(whole), DNS_TARGET)
    assert caught.value.detail.isprintable()


def test_version_that_there_is_none_of_is_not_well_formed__v15() -> None:
    """The library has an error of its own for it."""
    version = bytes.fromhex("a003020102")
    whole = der(GOOD)
    assert whole.count(version) == 1
    with pytest.raises(Refused, match="not well formed"):
        check_certificate(whole.replace(version, bytes.fromhex("a003020126")), DNS_TARGET)


def test_extension_twice_is_refused__v15() -> None:
    """The acmeIdentifier twice, which no builder makes: an extension of the same length becomes one in the DER."""
    twin = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.99")
    whole = der(answer(DNS_NAME, extensions=((extension(), True), (extension(twin), True))))
    oid = bytes.fromhex("06082b06010505070163")
    assert whole.count(oid) == 1
    with pytest.raises(Refused, match="has an extension twice"):
        check_certificate(whole.replace(oid, bytes.fromhex("06082b0601050507011f")), DNS_TARGET)
