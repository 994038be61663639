"""One serving process of a CA, whether it is alone or one of several workers: built here, then run to its end.

Rules: nothing here knows how many processes there are beyond its own place; the own certificate is issued before the
first connection is taken; at the end requests under way are finished and a last checkpoint is signed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.adapters.chaos import ChaoticNonces, DelayedValidator
from dayfly.adapters.observers.prometheus import OTHER, SIGNING_PATH
from dayfly.adapters.system import SystemClock, SystemEntropy, TimeOrderedIds
from dayfly.adapters.validators import make_validators
from dayfly.adapters.validators.caa import CaaClimber
from dayfly.adapters.validators.dnsclient import NameServer
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority, Caps, CRLSettings
from dayfly.authority.limits import Limits
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.upkeep import Upkeep
from dayfly.config.values import Config
from dayfly.core.events import Event, Throttled
from dayfly.core.frozen import replace
from dayfly.core.identifiers import IdentifierType
from dayfly.errors import Unavailable
from dayfly.ports.limits import Buckets
from dayfly.ports.marks import MarkBoard
from dayfly.ports.nonces import Nonces
from dayfly.ports.store import Store
from dayfly.ports.validation import Validator
from dayfly.server.acme_gate import Bases
from dayfly.server.acme_routes import AcmeRoutes
from dayfly.server.app import Application, Request
from dayfly.server.chaos import chaotic
from dayfly.server.crl_routes import CRLRoutes
from dayfly.server.limits import FrontLimits
from dayfly.server.run import Share, serve
from dayfly.server.step_certificates import StepCertificates
from dayfly.server.step_routes import StepRoutes
from dayfly.server.tls import SwappableContext
from dayfly.wiring.health import Health
from dayfly.wiring.keys import Keys
from dayfly.wiring.listeners import own_listeners
from dayfly.wiring.place import ALONE, Place, RequestIds

_LOG = logging.getLogger("dayfly.server")
CRL_LIMITS = FrontLimits(connections=512, half_open=64, peer_connections=16, private_peer_connections=256)
FATAL_GRACE = 0.5  # seconds, for refusals that are on their way


OF_THE_HOST = (
    "validations",
    "validations_per_account",
    "validations_per_address",
    "waiting_validations",
    "waiting_per_account",
)
"""The caps that hold for all workers together."""


class Counting(Protocol):
    """Who counts: the metrics themselves, or what hands the counts to another process."""

    def notify(self, events: Sequence[Event]) -> None:
        """Count committed events."""
        ...

    def handled(self, op: str, provisioner: str, *, status: int, problem: str | None, seconds: float) -> None:
        """Count one answer of the signing path."""
        ...


class Fatal:
    """A failed sync: what is on disk is unknown, so the process ends and its supervisor starts it anew.

    No peer may hold it up: what was not answered within FATAL_GRACE is not answered (reliability.md R3).
    """

    def __init__(self, stop: asyncio.Event) -> None:
        """Nothing has failed; `stop` ends the server."""
        self._stop = stop
        self._error: Exception | None = None

    def happened(self, error: Exception) -> None:
        """Stop the server."""
        _LOG.error("the database failed; this process ends", extra={"detail": str(error)})
        self._error = error
        self._stop.set()
        asyncio.get_running_loop().call_later(FATAL_GRACE, os._exit, 1)

    def raise_if_happened(self) -> None:
        """Unavailable, so that the process ends with an error."""
        if self._error is not None:
            raise Unavailable(f"the database failed: {self._error}", hint="look at the disk, then start the CA again")


@dataclass(slots=True)
class Tls:
    """The listener's context: made with the first certificate, swapped with each later one."""

    client_roots: tuple[bytes, ...]
    context: SwappableContext | None = None

    def install(self, chain_pem: bytes, key: EllipticCurvePrivateKey) -> None:
        """Present this pair from the next handshake on."""
        if self.context is None:
            self.context = SwappableContext(chain_pem, key, self.client_roots)
        else:
            self.context.swap(chain_pem, key)


@dataclass(slots=True)
class Process:
    """A process that is built and takes no connection yet."""

    authority: Authority
    own: OwnCertificate
    upkeep: Upkeep
    validations: Validations
    health: Health
    app: Application
    tls: Tls
    new_request_id: Callable[[], str]
    stop: asyncio.Event
    share: Share | None = None

    async def run(
        self, listener: socket.socket, on_ready: Callable[[], None], *, crl: socket.socket | None = None
    ) -> None:
        """Serve until the stop, CRLs on a socket of their own; then finish what is under way, and sign a checkpoint."""
        keeping = asyncio.create_task(self.upkeep.run())
        beside = None if crl is None else asyncio.create_task(self._serve_crls(crl))
        try:
            await serve(
                self.app,
                context=self.tls.context,
                sockets=[listener],
                new_request_id=self.new_request_id,
                stop=self.stop,
                signals=(),
                on_ready=on_ready,
                share=self.share,
            )
        finally:
            if beside is not None:
                await beside
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self.validations.close()
            await self.upkeep.finish()

    async def _serve_crls(self, listener: socket.socket) -> None:
        await serve(
            Application(CRLRoutes(self.authority).routes(), new_request_id=self.new_request_id),
            context=None,
            sockets=[listener],
            new_request_id=self.new_request_id,
            limits=CRL_LIMITS,
            stop=self.stop,
            signals=(),
        )


async def build_process(
    config: Config,
    keys: Keys,
    store: Store,
    *,
    counting: Counting,
    nonces: Nonces,
    stop: asyncio.Event,
    place: Place = ALONE,
    board: MarkBoard | None = None,
    buckets: Buckets | None = None,
) -> Process:
    """Everything that a process needs, its own certificate included. DayflyError."""
    clock = SystemClock()
    authority = Authority(
        clock=clock,
        entropy=SystemEntropy(),
        ids=TimeOrderedIds(place.number, floor=await store.newest_id()),
        store=store,
        signer=keys.signer,
        note_signer=keys.notes,
        nonces=nonces if config.chaos is None else ChaoticNonces(nonces, config.chaos.bad_nonces),
        validators=validators_of(config),
        observer=counting,
        caps=caps_of(config, place),
        roots=keys.roots,
        alternates=keys.alternates,
        board=board,
        limits=Limits(
            config.limit_figures,
            enabled=config.limits_enabled,
            buckets=buckets,
            refused=lambda limit: counting.notify((Throttled(clock.now(), limit),)),
        ),
        explanation_url=config.explanation_url,
        crl=CRLSettings() if config.crl is None else CRLSettings(config.crl.url, config.crl.validity),
        caa=CaaClimber(resolver_of(config)),
        base_urls=config.base_urls,
        reuse_share=1.0 if config.chaos is None else config.chaos.reuse,
        dns_names=tuple(one.value for one in config.dns_names if one.type is IdentifierType.DNS),
    )
    tls = Tls(tuple(_pem(der) for der in (*keys.roots, *keys.signer.chain)))
    own = OwnCertificate(authority, config.dns_names, tls.install)
    await own.renew_if_due(clock.now())
    health = Health(store, keys.signer, own, clock, config.home)
    await health.checks()
    validations = Validations(authority)
    new_request_id = RequestIds(place).new
    acme = AcmeRoutes(authority, validations, Bases(config.base_urls)).routes()
    app = Application(
        (
            *(acme if config.chaos is None else chaotic(acme, retry_after=config.chaos.retry_after, now=clock.now)),
            *StepRoutes(keys.roots, keys.signer.chain, health.can_issue).routes(),
            *StepCertificates(authority, config.base_urls).routes(),
            *CRLRoutes(authority).routes(),
        ),
        new_request_id=new_request_id,
        on_handled=_handled(counting, health),
    )
    return Process(
        authority,
        own,
        Upkeep(authority, own, timed_work=place.number == 0),
        validations,
        health,
        app,
        tls,
        new_request_id,
        stop,
    )


def validators_of(config: Config) -> dict[str, Validator]:
    """The validators by challenge type, under the address rules of the configuration."""
    pairs, ports = own_listeners(config)
    validation = config.validation
    resolver = resolver_of(config)
    reach = Reach(
        resolver=resolver,
        hosts=validation.hosts,
        allow=validation.allow,
        own_listeners=pairs,
        own_ports=ports,
    )
    made = make_validators(reach, resolver, http_port=validation.http_port, tls_port=validation.tls_port)
    if config.chaos is None:
        return dict(made)
    return {kind: DelayedValidator(validator, config.chaos.delay) for kind, validator in made.items()}


def resolver_of(config: Config) -> Resolver:
    """The resolver of the configuration."""
    return Resolver([NameServer(one.host, one.port) for one in config.validation.resolver])


def caps_of(config: Config, place: Place = ALONE) -> Caps:
    """The counted limits of the configuration; what holds for the host is shared out among its workers."""
    figures = config.limit_figures
    open_orders = figures.open_orders if config.limits_enabled else 0
    caps = Caps(open_orders=open_orders, pending_authorizations=figures.pending_authorizations)
    if config.chaos is not None:
        caps = replace(caps, orders_page=config.chaos.orders_page)
    shared = {name: max(1, getattr(caps, name) // place.workers) for name in OF_THE_HOST}
    return replace(caps, **shared)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def _handled(counting: Counting, health: Health) -> Callable[[str, int, str | None, float, Request], None]:
    """What the application tells after each answer: the signing path is counted, the rest is not.

    What stands in the path of a refused request may be anything: it is a label only if a provisioner has that name. An
    answer that is no refusal has found its provisioner, though the last check of health came before it was added.
    """

    def note(name: str, status: int, problem: str | None, seconds: float, request: Request) -> None:
        if name in SIGNING_PATH:
            asked = request.params.get("provisioner", OTHER)
            found = status < 400 or any(asked == known for known, *_ in health.provisioners)
            provisioner = asked if found else OTHER
            counting.handled(name, provisioner, status=status, problem=problem, seconds=seconds)

    return note


def authorities_of(process: Process) -> list[tuple[str, datetime, datetime]]:
    """Role, begin and end of the CA's own certificates, for the metrics."""
    issuer, own = process.authority.signer.issuer, process.own
    rows = [("intermediate", issuer.not_before, issuer.not_after)]
    if own.not_before is not None and own.not_after is not None:
        rows.append(("tls", own.not_before, own.not_after))
    return rows
