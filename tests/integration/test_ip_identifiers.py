"""Certificates for addresses, from the order to the leaf, over real sockets (RFC 8738, acme.md V16)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from acme_peer import BASE, Client, Peer, make_peer
from ca_world import found, free_ports
from dayfly.adapters.validators import make_validators
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.adapters.validators.tlsalpn01 import ACME_IDENTIFIER
from dayfly.authority.settings import change_settings
from dayfly.core.jose.jwk import public_key_of
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.revisions import SettingsChange
from factories import NOW, ec_key
from replies import Reply

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
REVERSE = {"127.0.0.1": "1.0.0.127.in-addr.arpa", "::1": "1." + "0." * 31 + "ip6.arpa"}


async def with_rules(peer: Peer, port: int) -> Peer:
    """A CA with rules for loopback, and validators that look there at this port."""
    rules = (
        Rule("four", RuleKind.IP, "127.0.0.0/8", "platform-team"),
        Rule("six", RuleKind.IP, "::1/128", "platform-team"),
    )
    await change_settings(peer.store, peer.clock, lambda current: SettingsChange(current.revision, put=rules))
    resolver = Resolver()
    reach = Reach(resolver=resolver, hosts={}, allow=LOOPBACK, own_listeners=frozenset(), own_ports=frozenset())
    return peer.with_authority(validators=make_validators(reach, resolver, http_port=port, tls_port=port))


async def order_of(client: Client, *addresses: str) -> Reply:
    """An order for addresses."""
    identifiers = [{"type": "ip", "value": one} for one in addresses]
    return await client.post(f"{BASE}/acme/acme/new-order", {"identifiers": identifiers})


class Peers:
    """What answers at an address: a web server or a TLS server, for one key authorization; keeps what it was asked."""

    def __init__(self, address: str, key_authorization: str) -> None:
        """Nothing listens yet."""
        self._address = address
        self._key_authorization = key_authorization
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def http(self, port: int) -> AsyncIterator[None]:
        """http-01: any path is answered; the Host header is kept."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked += [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Host: ")]
            body = self._key_authorization
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(handle, self._address, port):
            yield

    @contextlib.asynccontextmanager
    async def tls(self, port: int, where: Path) -> AsyncIterator[None]:
        """tls-alpn-01: the certificate of RFC 8737 3 with an iPAddress; the name in SNI is kept."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (where / "answer.pem").write_bytes(self._certificate())
        context.load_cert_chain(where / "answer.pem")
        context.set_alpn_protocols(["acme-tls/1"])
        context.sni_callback = lambda _socket, name, _context: self.asked.append(name)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()

        async with await asyncio.start_server(handle, self._address, port, ssl=context):
            yield

    def _certificate(self) -> bytes:
        key = ec_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "answer")])
        digest = hashlib.sha256(self._key_authorization.encode()).digest()
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(NOW)
            .not_valid_after(NOW + timedelta(minutes=5))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(self._address))]), critical=False)
            .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, b"\x04\x20" + digest), critical=True)
            .sign(key, SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return made.public_bytes(Encoding.PEM) + pem


def csr_for(*addresses: str) -> bytes:
    """A CSR for addresses alone."""
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(one)) for one in addresses])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    return builder.sign(ec_key(), SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_address_gets_its_certificate__rfc8738_3_acme_v16(tmp_path: Path, kind: str, address: str) -> None:
    """Both families by both challenges; dns-01 is not offered; the leaf has one iPAddress and nothing else."""

    async def run() -> None:
        (port,) = free_ports(1)
        bare = await make_peer(tmp_path)
        peer = await with_rules(bare, port)
        async with aclosing(peer):
            client = Client(peer)
            await client.register()
            order = await order_of(client, address)
            assert order.json["identifiers"] == [{"type": "ip", "value": address}]
            found = (await client.post(order.json["authorizations"][0])).json
            challenges = {one["type"]: one for one in found["challenges"]}
            assert set(challenges) == {"http-01", "tls-alpn-01"}
            token = challenges[kind]["token"]
            peers = Peers(address, f"{token}.{public_key_of(client.key.public_key()).thumbprint}")
            serving = peers.http(port) if kind == "http-01" else peers.tls(port, tmp_path)
            async with serving:
                await client.post(challenges[kind]["url"], {})
                await peer.settle()
            shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            assert peers.asked == ([shown] if kind == "http-01" else [REVERSE[address]])
            done = await client.finalize(order, csr_for(address))
            assert done.json["status"] == "valid", done.body
            chain = (await client.post(done.json["certificate"])).body
            (leaf, _) = x509.load_pem_x509_certificates(chain)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert list(names) == [x509.IPAddress(ip_address(address))]

    asyncio.run(run())


def test_client_gets_a_certificate_for_both_addresses__rfc8738(tmp_path: Path) -> None:
    """`ca certificate` for 127.0.0.2 and ::1, by http-01 against a real CA."""
    ca = found(tmp_path)
    toml = ca.home / "ca.toml"
    toml.write_text(toml.read_text().replace('allow = ["127.0.0.0/8"]', 'allow = ["127.0.0.0/8", "::1/128"]'))
    for address in ("127.0.0.2", "::1"):  # 127.0.0.1 is the CA itself, and excluded from its rules
        ca.dayfly("ca", "policy", "allow", address, "--owner", "platform-team")
    ca.start()
    try:
        ca.certificate("127.0.0.2", tmp_path, "--san", "::1", "--http-listen", f":{ca.http_port}")
    finally:
        ca.stop()
    leaf = x509.load_pem_x509_certificates((tmp_path / "api.crt").read_bytes())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.IPAddress)) == {ip_address("127.0.0.2"), ip_address("::1")}
