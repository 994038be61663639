"""The server application in this process, without sockets: a real store, signer and nonces, a scripted validator."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.prometheus import Metrics
from dayfly.adapters.signers.keyfile import KeyFileSigner
from dayfly.adapters.signers.notekey import NoteKeySigner, verifier_key
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import SystemEntropy, TimeOrderedIds
from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority, Caps
from dayfly.authority.limits import Limits
from dayfly.authority.log import sign_checkpoint, verify_log
from dayfly.authority.settings import change_settings
from dayfly.core.events import LogStarted, Throttled
from dayfly.core.frozen import replace
from dayfly.core.identifiers import IdentifierType
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import KeyAlgorithm
from dayfly.core.jose.jws import sign_flattened
from dayfly.core.policy.rules import Rule
from dayfly.core.problems import Connection
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.core.transparency.checkpoint import VerifierKey, parse_verifier_key
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from dayfly.ports.validation import Location, Validated, ValidationFailed, ValidationTarget, ValidatorSpec
from dayfly.server.acme_gate import Bases
from dayfly.server.acme_routes import AcmeRoutes
from dayfly.server.app import Application, Request
from dayfly.server.crl_routes import CRLRoutes
from dayfly.server.step_certificates import StepCertificates
from dayfly.server.step_routes import StepRoutes
from factories import NAME, NOW, csr_der, ec_key, settings
from replies import Reply
from secrecy.recording import record

BASE = "https://ca.internal.example:9000"
BASES = (BASE, "https://10.0.0.1:9000")
JOSE = "application/jose+json"


@dataclass
class Clock:
    """A clock that stands until it is told to move."""

    moment: datetime = NOW

    def now(self) -> datetime:
        return self.moment


@dataclass
class ScriptedValidator:
    """Gives what it is told, then success for ever; counts its looks; may be held."""

    outcomes: list[ValidationFailed] = field(default_factory=list)
    looks: int = 0
    gate: asyncio.Event | None = None
    address: str = "127.0.0.1"
    kind: str = "http-01"
    wildcards: bool = False

    @property
    def spec(self) -> ValidatorSpec:
        return ValidatorSpec(self.kind, frozenset({IdentifierType.DNS, IdentifierType.IP}), wildcards=self.wildcards)

    async def locate(self, target: ValidationTarget) -> Location:
        return Location((IPv4Address(self.address),))

    async def validate(self, target: ValidationTarget, location: Location) -> Validated:
        self.looks += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.outcomes:
            raise self.outcomes.pop(0)
        return Validated("127.0.0.1:80")


def refused_connection(*, transient: bool) -> ValidationFailed:
    """A failure of a validation."""
    return ValidationFailed(Connection("connecting to 192.0.2.1 port 80: refused"), transient=transient)


@dataclass
class Peer:
    """A whole CA without sockets."""

    authority: Authority
    app: Application
    validator: ScriptedValidator
    clock: Clock
    validations: Validations
    key: VerifierKey
    metrics: Metrics
    root_key: ec.EllipticCurvePrivateKey

    source: ClassVar[str] = "10.1.2.3"
    """Where requests come from."""

    @property
    def store(self) -> Store:
        return self.authority.store

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        media_type: str = JOSE,
        headers: Any = (),
        certificate: bytes | None = None,
    ) -> Reply:
        """One request, as the front would hand it over; `certificate` is what the handshake verified."""
        path, _, query = path.partition("?")
        own = {b"host": b"ca.internal.example:9000", b"content-type": media_type.encode()}
        fields = dict(headers) | own  # the first of a name counts, as at the front
        given = fields.get(b"x-request-id", b"").decode() or self.app.new_request_id()
        answer = await self.app.respond(
            Request(method, path, {}, query.encode(), fields, body, (self.source, 40000), certificate, given)
        )
        content = answer.body
        found: dict[str, str] = {}
        for line in answer.lines.decode().splitlines():  # several of one name are one list (RFC 9110 5.3)
            name, _, value = line.partition(": ")
            found[name] = ", ".join(filter(None, (found.get(name), value)))
        assert answer.status != 500, content
        record(f"{method} {path}", kind="answer", said=content if answer.status >= 400 else b"")
        return Reply(answer.status, found, content)

    def with_authority(self, **changes: Any) -> Peer:
        """The same CA with other ports, as after a restart: its store, and nothing of what it had in memory."""
        authority = replace(self.authority, **changes)
        validations = Validations(authority)
        routes = AcmeRoutes(authority, validations, Bases(BASES)).routes()
        app = Application(routes, new_request_id=lambda: "request-of-the-twin")
        return replace(self, authority=authority, validations=validations, app=app)

    async def nonce(self) -> str:
        """A fresh nonce."""
        return (await self.send("HEAD", "/acme/acme/new-nonce")).headers["replay-nonce"]

    async def aclose(self) -> None:
        """End what is looked at, and let go of the database."""
        await self.validations.close()
        await self.store.close()

    async def check_log(self) -> None:
        """The log verifies, with a checkpoint of its head."""
        await sign_checkpoint(self.authority, last_size=0)
        report = await verify_log(self.store, self.key)
        assert report.ok, report.findings

    async def settle(self) -> None:
        """Let the validations that run come to their end."""
        for _ in range(200):
            if not self.validations.waiting:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("validations did not end")


@dataclass
class Client:
    """An ACME client that says exactly what a test wants it to say."""

    peer: Peer
    key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)
    kid: str | None = None

    async def post(self, url: str, payload: object = None, **changes: Any) -> Reply:
        """A signed request; `changes` replace what is signed, or the `path` that it is sent to."""
        body = None if payload is None else msgspec.json.encode(payload)
        signed = sign_flattened(
            body,
            key=changes.get("key", self.key),
            alg=KeyAlgorithm.ES256,
            url=changes.get("signed_url", url),
            nonce=changes["nonce"] if "nonce" in changes else await self.peer.nonce(),
            kid=None if changes.get("jwk") else changes.get("kid", self.kid),
            jwk=bool(changes.get("jwk")),
        )
        path = changes.get("path", url.removeprefix(BASE))
        media_type, headers = changes.get("media_type", JOSE), changes.get("headers", ())
        return await self.peer.send("POST", path, signed, media_type=media_type, headers=headers)

    async def register(self, **payload: Any) -> Reply:
        """newAccount; the account is remembered."""
        reply = await self.post(f"{BASE}/acme/acme/new-account", payload, jwk=True)
        self.kid = reply.headers.get("location")
        return reply

    async def order(self, *names: str, **members: Any) -> Reply:
        """NewOrder for DNS names."""
        identifiers = [{"type": "dns", "value": name} for name in names or (NAME,)]
        return await self.post(f"{BASE}/acme/acme/new-order", {"identifiers": identifiers, **members})

    async def prove(self, order: Reply) -> None:
        """Answer every authorization's challenge, and wait for the outcome."""
        for url in order.json["authorizations"]:
            authorization = (await self.post(url)).json
            await self.post(authorization["challenges"][0]["url"], {})
        await self.peer.settle()

    async def ready(self, *names: str) -> Reply:
        """An order that is ready."""
        order = await self.order(*names)
        assert order.status == 201, order.body
        await self.prove(order)
        return order

    async def finalize(self, order: Reply, csr: bytes | None = None, **changes: Any) -> Reply:
        """Finalize with a CSR for the order's names."""
        names = [one["value"] for one in order.json["identifiers"]]
        return await self.post(order.json["finalize"], {"csr": b64u_encode(csr or csr_der(*names))}, **changes)


async def can_issue() -> bool:
    """It can."""
    return True


async def make_peer(where: Path, *, caps: Caps | None = None, store: Store | None = None) -> Peer:
    """A CA in a directory; with `store` another process on what is there already."""
    clock, validator = Clock(), ScriptedValidator()
    root_key, issuer_key, log_key = ec_key(), ec_key(), Ed25519PrivateKey.generate()
    begin, end = NOW - timedelta(hours=1), NOW + timedelta(days=3650)
    root = build_root(name="Test CA", key=root_key, serial=1 << 100, not_before=begin, not_after=end)
    intermediate = build_intermediate(
        name="Test CA", public_key=issuer_key.public_key(), issuer=root, issuer_key=root_key, serial=1 << 101,
        not_before=begin, not_after=end,
    )  # fmt: skip
    metrics = Metrics(Fleet(), "Test CA")
    if store is None:
        store = await open_store("sqlite:dayfly.db", home=where, notify=metrics.notify)
        await store.commit(Changes(events=(LogStarted(NOW, "test"),)))
        documents = settings().documents
        await change_settings(store, clock, lambda current: SettingsChange(current.revision, put=documents))
    authority = Authority(
        clock=clock,
        entropy=SystemEntropy(),
        ids=TimeOrderedIds(),
        store=store,
        signer=KeyFileSigner(issuer_key, (intermediate,)),
        note_signer=NoteKeySigner(log_key, "test"),
        nonces=RingNonces(),
        validators={"http-01": validator},
        observer=metrics,
        roots=(root,),
        caps=caps or Caps(),
        sleep=lambda _: asyncio.sleep(0),
        limits=Limits(refused=lambda limit: metrics.notify((Throttled(clock.now(), limit),))),
    )
    validations = Validations(authority)
    numbers = itertools.count()
    app = Application(
        (
            *AcmeRoutes(authority, validations, Bases(BASES)).routes(),
            *StepRoutes((root,), (intermediate,), can_issue).routes(),
            *StepCertificates(authority, BASES).routes(),
            *CRLRoutes(authority).routes(),
        ),
        new_request_id=lambda: f"request-{next(numbers)}",
    )
    key = parse_verifier_key(verifier_key(log_key, "test"))
    return Peer(authority, app, validator, clock, validations, key, metrics, root_key)


Scenario = Callable[[Peer], Coroutine[Any, Any, None]]
Play = Callable[..., None]


def playing(where: Path) -> Play:
    """Runs a scenario against a fresh CA in this directory; afterwards the log verifies, whatever happened."""

    def run(scenario: Scenario, *, caps: Caps | None = None) -> None:
        async def body() -> None:
            async with aclosing(await make_peer(where, caps=caps)) as peer:
                await scenario(peer)
                await peer.check_log()

        asyncio.run(body())

    return run


async def change_acme(peer: Peer, *rules: Rule, **changes: Any) -> None:
    """Change the ACME provisioner, and put these rules beside those that are there."""

    def plan(current: Settings) -> SettingsChange:
        found = current.find_provisioner("acme")
        assert found is not None
        return SettingsChange(current.revision, put=(replace(found, **changes), *rules))

    await change_settings(peer.store, peer.clock, plan)


async def joined(peer: Peer) -> Client:
    """A client with an account."""
    client = Client(peer)
    reply = await client.register()
    assert reply.status == 201, reply.body
    return client
