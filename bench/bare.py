"""The least that an ACME server in Python can do for a certificate: what no change to Dayfly could get below.

Same libraries (uvloop, httptools, msgspec, cryptography, SQLite), same work that cannot be saved: a signature verified
for each request, a certificate request verified, a certificate signed, an http-01 fetch, three commits shared by a
group before the answers that need them. Nothing else: no nonce is checked, no policy, no lint, no log, no metrics, no
limits, no errors but an end. It is for loopback and for this benchmark; nobody may trust it with anything.

Usage: bare.py PORT DIRECTORY SOLVER_PORT; root.pem appears in the directory once it listens.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sqlite3
import ssl
import sys
import traceback
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httptools
import msgspec
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ES256 = ec.ECDSA(SHA256())
CERTIFICATE = "application/pem-certificate-chain"
EXPIRES = "2099-01-01T00:00:00Z"
Statement = tuple[str, tuple[Any, ...]]


class Flat(msgspec.Struct):
    """A flattened JWS."""

    protected: str
    payload: str
    signature: str


class Head(msgspec.Struct):
    """What is read of its protected header."""

    kid: str | None = None
    jwk: dict[str, str] | None = None


@dataclass(slots=True)
class Order:
    """An order for one name, with all that belongs to it."""

    number: int
    name: str
    token: str
    validated: asyncio.Future[None]
    status: str = "pending"
    chain: bytes = b""
    asked: bool = False


read_flat = msgspec.json.Decoder(Flat).decode
read_head = msgspec.json.Decoder(Head).decode
write = msgspec.json.Encoder().encode


def octets(text: str) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(key: ec.EllipticCurvePublicKey, flat: Flat) -> None:
    """The signature of a request; InvalidSignature."""
    raw = octets(flat.signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key.verify(encode_dss_signature(r, s), f"{flat.protected}.{flat.payload}".encode(), ES256)


class Issuer:
    """A root, and an intermediate under it that signs."""

    def __init__(self) -> None:
        """New keys."""
        self.now = datetime.now(UTC)  # noqa: TID251 - a script
        root_key, self._key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self._name = _named("bare intermediate")
        self.root = self._build(_named("bare root"), _named("bare root"), root_key.public_key(), days=2, ca=True).sign(
            root_key, SHA256()
        )
        self.chain = (
            self._build(self._name, _named("bare root"), self._key.public_key(), days=2, ca=True)
            .sign(root_key, SHA256())
            .public_bytes(Encoding.PEM)
        )

    def issue(self, key: Any, san: x509.GeneralName) -> x509.Certificate:  # noqa: ANN401 - any public key
        """A certificate for one name."""
        builder = self._build(x509.Name([]), self._name, key, days=1, ca=False)
        return builder.add_extension(x509.SubjectAlternativeName([san]), critical=True).sign(self._key, SHA256())

    def _build(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: Any,  # noqa: ANN401 - as above
        *,
        days: int,
        ca: bool,
    ) -> x509.CertificateBuilder:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(minutes=1))
            .not_valid_after(self.now + timedelta(days=days))
        )
        return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True) if ca else builder


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


class Store:
    """SQLite, durable, commits shared by those who wait at the same time."""

    def __init__(self, path: Path) -> None:
        """Two tables of documents."""
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for statement in (
            "pragma journal_mode=wal", "pragma synchronous=full", "pragma wal_autocheckpoint=4000",
            "create table o(id integer primary key, doc blob)", "create table c(id integer primary key, doc blob)",
        ):  # fmt: skip
            self._db.execute(statement)
        self._commits = ThreadPoolExecutor(1)
        self._waiting: list[tuple[tuple[Statement, ...], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def keep(self, *statements: Statement) -> None:
        """Return once they are on the disk."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((statements, done))
        self._wake.set()
        await done

    async def run(self) -> None:
        """Commit group after group."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)
            self._wake.clear()
            group, self._waiting = self._waiting, []
            self._db.execute("begin immediate")
            for statements, _ in group:
                for statement in statements:
                    self._db.execute(*statement)
            await loop.run_in_executor(self._commits, self._db.execute, "commit")
            for _, done in group:
                done.set_result(None)


class Fetch(asyncio.Protocol):
    """One http-01 fetch."""

    def __init__(self, request: bytes, fetched: asyncio.Future[bytes]) -> None:
        """Ask, and tell what came."""
        self._request, self._fetched, self._read = request, fetched, b""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - a transport that writes
        """Ask."""
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """A head and a body fit into what came."""
        self._read += data
        _, ended, body = self._read.partition(b"\r\n\r\n")
        if ended and not self._fetched.done():
            self._fetched.set_result(body.strip())
            self._transport.close()


@dataclass(slots=True)
class Server:
    """All that the connections share."""

    base: str
    solver: int
    issuer: Issuer
    store: Store
    accounts: dict[str, tuple[ec.EllipticCurvePublicKey, str]] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the rest."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def validate(self, order: Order, thumbprint: str) -> None:
        """Fetch, compare, record."""
        loop = asyncio.get_running_loop()
        fetched: asyncio.Future[bytes] = loop.create_future()
        request = (
            f"GET /.well-known/acme-challenge/{order.token} HTTP/1.1\r\nHost: {order.name}\r\nConnection: close\r\n\r\n"
        )
        await loop.create_connection(lambda: Fetch(request.encode(), fetched), "127.0.0.1", self.solver)
        if await fetched != f"{order.token}.{thumbprint}".encode():
            raise ValueError("another key authorization")
        await self.store.keep(("update o set doc=? where id=?", (write({"status": "ready"}), order.number)))
        order.status = "ready"
        order.validated.set_result(None)

    def of_order(self, order: Order) -> bytes:
        """The order object."""
        number = order.number
        told = {
            "status": order.status,
            "expires": EXPIRES,
            "identifiers": [{"type": "dns", "value": order.name}],
            "authorizations": [f"{self.base}/authorization/{number}"],
            "finalize": f"{self.base}/finalize/{number}",
        }
        return write({**told, "certificate": f"{self.base}/certificate/{number}"} if order.chain else told)

    def of_challenge(self, order: Order, status: str) -> dict[str, str]:
        """The one challenge of an order."""
        url = f"{self.base}/challenge/{order.number}"
        return {"type": "http-01", "url": url, "token": order.token, "status": status}

    def of_authorization(self, order: Order) -> bytes:
        """The authorization object."""
        status = "pending" if order.status == "pending" else "valid"
        identifier = {"type": "dns", "value": order.name}
        challenges = [self.of_challenge(order, status)]
        return write({"status": status, "expires": EXPIRES, "identifier": identifier, "challenges": challenges})


class Connection(asyncio.Protocol):
    """One client, one request after the other."""

    def __init__(self, server: Server) -> None:
        """Nothing was read."""
        self._server, self._url, self._body = server, b"", b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as above
        """Keep where to write."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The target."""
        self._url = url

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """A request is whole."""
        body, self._body = self._body, b""
        self._server.start(self._handle(self._url.decode(), body, signed=self._parser.get_method() == b"POST"))

    def _answer(
        self, status: bytes, body: bytes, *, location: str = "", content_type: str = "application/json"
    ) -> None:
        nonce = base64.urlsafe_b64encode(os.urandom(18))
        where = f"location: {location}\r\n".encode() if location else b""
        self._transport.write(
            b"HTTP/1.1 %b\r\nreplay-nonce: %b\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (status, nonce, where, content_type.encode(), len(body), body)
        )

    async def _handle(self, url: str, body: bytes, *, signed: bool) -> None:
        try:
            await (self._signed(url, read_flat(body)) if signed else self._plain(url))
        except Exception:  # noqa: BLE001 - whatever it was, this run is worth nothing
            traceback.print_exc()
            os._exit(1)

    async def _plain(self, url: str) -> None:
        base = self._server.base
        names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order", "keyChange": "k", "revokeCert": "r"}
        document = {name: f"{base}/{path}" for name, path in names.items()}
        self._answer(b"200 OK", write({**document, "meta": {}}) if url == "/directory" else b"")

    async def _signed(self, url: str, flat: Flat) -> None:
        server = self._server
        head = read_head(octets(flat.protected))
        if head.jwk is not None:
            self._register(head.jwk, flat)
            return
        key, thumbprint = server.accounts[head.kid or ""]
        verify(key, flat)
        _, kind, *number = url.split("/")
        if kind == "order":
            await self._order(flat)
            return
        order = server.orders[number[0]]
        if kind == "challenge":
            server.start(server.validate(order, thumbprint))
            self._answer(b"200 OK", write(server.of_challenge(order, "processing")))
        elif kind == "authorization":
            if order.asked and order.status == "pending":  # the second question waits for the outcome
                await order.validated
            order.asked = True
            self._answer(b"200 OK", server.of_authorization(order))
        elif kind == "finalize":
            await self._finalize(order, octets(msgspec.json.decode(octets(flat.payload))["csr"]))
        else:
            del server.orders[number[0]]
            self._answer(b"200 OK", order.chain, content_type=CERTIFICATE)

    def _register(self, jwk: dict[str, str], flat: Flat) -> None:
        x, y = (int.from_bytes(octets(jwk[name]), "big") for name in ("x", "y"))
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        verify(key, flat)
        members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        thumbprint = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
        location = f"{self._server.base}/account/{len(self._server.accounts)}"
        self._server.accounts[location] = key, thumbprint
        self._answer(b"201 Created", b'{"status":"valid"}', location=location)

    async def _order(self, flat: Flat) -> None:
        server = self._server
        name = msgspec.json.decode(octets(flat.payload))["identifiers"][0]["value"]
        number = int.from_bytes(os.urandom(6), "big")
        token = base64.urlsafe_b64encode(os.urandom(24)).decode()
        order = Order(number, name, token, asyncio.get_running_loop().create_future())
        server.orders[str(number)] = order
        document = write({"status": "pending", "name": name, "token": token})
        await server.store.keep(("insert into o values(?,?)", (number, document)))
        self._answer(b"201 Created", server.of_order(order), location=f"{server.base}/o/{number}")

    async def _finalize(self, order: Order, csr: bytes) -> None:
        server = self._server
        request = x509.load_der_x509_csr(csr)
        if not request.is_signature_valid:
            raise ValueError("the request is not signed by its key")
        certificate = server.issuer.issue(request.public_key(), x509.DNSName(order.name))
        await server.store.keep(
            ("update o set doc=? where id=?", (write({"status": "valid"}), order.number)),
            ("insert into c values(?,?)", (order.number, certificate.public_bytes(Encoding.DER))),
        )
        order.chain = certificate.public_bytes(Encoding.PEM) + server.issuer.chain
        order.status = "valid"
        self._answer(b"200 OK", server.of_order(order), location=f"{server.base}/o/{order.number}")


def _context(issuer: Issuer, where: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issuer.issue(key.public_key(), x509.IPAddress(ip_address("127.0.0.1")))
    pem = where / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + leaf.public_bytes(Encoding.PEM) + issuer.chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def main(port: int, where: Path, solver: int) -> None:
    """Serve until somebody ends it."""
    issuer, store = Issuer(), Store(where / "bare.db")
    server = Server(f"https://127.0.0.1:{port}", solver, issuer, store)
    server.start(store.run())
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", port, ssl=_context(issuer, where)
    )
    (where / "root.pem").write_bytes(issuer.root.public_bytes(Encoding.PEM))
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
