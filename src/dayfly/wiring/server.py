"""`ca start`: one server process, from its keys to its last checkpoint."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.prometheus import SIGNING_PATH, Metrics, State
from dayfly.adapters.serverlock import ServerLock
from dayfly.adapters.signers.keyfile import KeyFileSigner, open_signer
from dayfly.adapters.signers.notekey import NoteKeySigner, open_note_signer
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import SystemClock, SystemEntropy, TimeOrderedIds
from dayfly.adapters.validators import make_validators
from dayfly.adapters.validators.reach import Reach, Resolver
from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority, Caps
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.upkeep import Upkeep
from dayfly.config import Config
from dayfly.core.ids import render_id
from dayfly.core.transparency.checkpoint import parse_verifier_key
from dayfly.errors import ConfigError, Unavailable
from dayfly.ports import Store
from dayfly.server.acme_gate import Bases
from dayfly.server.acme_routes import AcmeRoutes
from dayfly.server.app import Application, Request
from dayfly.server.metrics_routes import MetricsRoutes
from dayfly.server.run import serve
from dayfly.server.step_routes import StepRoutes
from dayfly.server.tls import SwappableContext
from dayfly.systemd import notify
from dayfly.wiring.commands import verifier_key_of
from dayfly.wiring.health import Health
from dayfly.wiring.listeners import bind, own_listeners

_LOG = logging.getLogger("dayfly.server")
PAGE = 1000  # rows, when the fleet is read at start


def _read_certificates(path: Path, key: str) -> tuple[bytes, ...]:
    """The certificates (DER) of a PEM file; ConfigError."""
    try:
        loaded = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(key, f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(key, f"{path} holds no PEM certificate") from None
    return tuple(one.public_bytes(Encoding.DER) for one in loaded)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def _key_path(config: Config, uri: str) -> Path:
    return config.home / uri.removeprefix("file:")


@dataclass(slots=True)
class _Tls:
    """The listener's context: made with the first certificate, swapped with each later one."""

    client_roots: tuple[bytes, ...]
    context: SwappableContext | None = None

    def install(self, chain_pem: bytes, key: EllipticCurvePrivateKey) -> None:
        """Present this pair from the next handshake on."""
        if self.context is None:
            self.context = SwappableContext(chain_pem, key, self.client_roots)
        else:
            self.context.swap(chain_pem, key)


async def run_server(config: Config, password: bytes | None) -> None:
    """Run the CA until SIGTERM or SIGINT.

    1. Keys and certificates are opened; the root's key is never read.
    2. The lock is taken and the listeners are bound.
    3. The database is opened; the fleet is read.
    4. The own certificate is issued; the server is ready.
    5. At the end requests under way are finished, a last checkpoint is signed, the database is closed.
    """
    signer = open_signer(
        certificate=config.issuer_certificate, key_file=_key_path(config, config.issuer_key), password=password
    )
    origin = parse_verifier_key(verifier_key_of(config)).name
    notes = open_note_signer(_key_path(config, config.log_key), origin, password=password)
    roots = _read_certificates(config.root, "root")
    _check_issuer(signer, SystemClock().now())
    _warn_of_root_key(config)
    lock = ServerLock(config.home)
    sockets = [bind(config.address, "address")]
    try:
        if config.metrics is not None:
            sockets.append(bind(config.metrics, "metrics.address"))
        await _run_bound(config, signer, notes, roots, sockets)
    finally:
        for listening in sockets:
            listening.close()
        lock.release()


def _check_issuer(signer: KeyFileSigner, now: datetime) -> None:
    if now >= signer.issuer.not_after:
        raise ConfigError(
            "issuer.certificate",
            f"the issuing certificate expired at {signer.issuer.not_after:%Y-%m-%d %H:%M} UTC",
            hint="issue a new intermediate from the root",
        )


def _warn_of_root_key(config: Config) -> None:
    key = config.home / "offline" / "root_ca_key"
    if key.exists():
        _LOG.warning("the root key is still on this machine", extra={"path": str(key), "next": "move it away"})


async def _run_bound(
    config: Config,
    signer: KeyFileSigner,
    notes: NoteKeySigner,
    roots: tuple[bytes, ...],
    sockets: list[socket.socket],
) -> None:
    fleet = Fleet()
    metrics = Metrics(fleet, authority=config.name)
    stop = asyncio.Event()
    fatal = _Fatal(stop)
    store = await open_store(config.database, home=config.home, notify=metrics.notify, on_fatal=fatal.happened)
    try:
        await _load_fleet(store, fleet)
        authority = _authority(config, store, signer, notes, metrics)
        await _serve(config, authority, metrics, roots, sockets, stop)
    finally:
        await store.close()
    fatal.raise_if_happened()


@dataclass(slots=True)
class _Fatal:
    """A failed sync: what is on disk is unknown, so the process ends and its supervisor starts it anew."""

    stop: asyncio.Event
    error: Exception | None = None

    def happened(self, error: Exception) -> None:
        """Stop the server."""
        _LOG.error("the database failed; this process ends", extra={"detail": str(error)})
        self.error = error
        self.stop.set()

    def raise_if_happened(self) -> None:
        """Unavailable, so that the process ends with an error."""
        if self.error is not None:
            raise Unavailable(f"the database failed: {self.error}", hint="look at the disk, then start the CA again")


async def _load_fleet(store: Store, fleet: Fleet) -> None:
    """The names in use before this start, page by page."""
    now, after = SystemClock().now(), 0
    while page := await store.certificates.live_certificates(now, after=after, limit=PAGE):
        fleet.load(page)
        after = page[-1].id


def _authority(
    config: Config, store: Store, signer: KeyFileSigner, notes: NoteKeySigner, metrics: Metrics
) -> Authority:
    pairs, ports = own_listeners(config)
    reach = Reach(
        resolver=Resolver(),
        hosts=config.validation.hosts,
        allow=config.validation.allow,
        own_listeners=pairs,
        own_ports=ports,
    )
    validation = config.validation
    return Authority(
        clock=SystemClock(),
        entropy=SystemEntropy(),
        ids=TimeOrderedIds(),
        store=store,
        signer=signer,
        note_signer=notes,
        nonces=RingNonces(),
        validators=make_validators(reach, http_port=validation.http_port, tls_port=validation.tls_port),
        observer=metrics,
        caps=Caps() if config.limits_enabled else Caps(open_orders=0),
    )


async def _serve(
    config: Config,
    authority: Authority,
    metrics: Metrics,
    roots: tuple[bytes, ...],
    sockets: list[socket.socket],
    stop: asyncio.Event,
) -> None:
    tls = _Tls(tuple(_pem(der) for der in (*roots, *authority.signer.chain)))
    own = OwnCertificate(authority, config.dns_names, tls.install)
    upkeep = Upkeep(authority, own)
    await own.renew_if_due(authority.clock.now())
    health = Health(authority.store, authority.signer, own, authority.clock, config.home)
    validations = Validations(authority)
    app = Application(
        (
            *AcmeRoutes(authority, validations, Bases(config.base_urls)).routes(),
            *StepRoutes(roots, authority.signer.chain, health.can_issue).routes(),
        ),
        new_request_id=RequestIds().new,
        on_handled=_handled(metrics),
    )
    metrics.state = await _state(authority, health, own, app)
    await health.checks()
    keeping = asyncio.create_task(upkeep.run())
    try:
        await _listen(config, app, metrics, health, tls, sockets, stop, roots[0])
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await validations.close()
        await upkeep.finish()


def quiet_collector() -> None:
    """Leave what was made at start out of every collection, and collect less often: requests make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class RequestIds:
    """Ids for requests that bring none: time-ordered, and the same in answer and log."""

    def __init__(self) -> None:
        """Row ids are made for this, too."""
        self._ids = TimeOrderedIds()

    def new(self) -> str:
        """The next one, 16 hex digits."""
        return render_id(self._ids.new())


def _handled(metrics: Metrics) -> Callable[[str, int, str | None, float, Request], None]:
    """What the application tells after each answer: the signing path is counted, the rest is not."""

    def note(name: str, status: int, problem: str | None, seconds: float, request: Request) -> None:
        if name in SIGNING_PATH:
            provisioner = request.params.get("provisioner", "other") if status != 404 else "other"
            metrics.handled(name, provisioner, status=status, problem=problem, seconds=seconds)

    return note


async def _state(authority: Authority, health: Health, own: OwnCertificate, app: Application) -> State:
    """What the collector reads at a scrape; the settings are those that the last check saw."""
    issuer = authority.signer.issuer

    def authorities() -> list[tuple[str, float, float]]:
        rows = [("intermediate", issuer.not_before.timestamp(), issuer.not_after.timestamp())]
        if own.not_before is not None and own.not_after is not None:
            rows.append(("tls", own.not_before.timestamp(), own.not_after.timestamp()))
        return rows

    return State(
        now=time.time,
        checks=lambda: health.last,
        authorities=authorities,
        inflight=lambda: app.in_flight,
        log_size=lambda: health.log_size,
        provisioners=lambda: health.provisioners,
    )


async def _listen(
    config: Config,
    app: Application,
    metrics: Metrics,
    health: Health,
    tls: _Tls,
    sockets: list[socket.socket],
    stop: asyncio.Event,
    root: bytes,
) -> None:
    """Serve until the stop; both listeners end together."""
    ids = RequestIds()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    beside = Application(MetricsRoutes(registry, health.checks).routes(), new_request_id=ids.new)

    def ready() -> None:
        quiet_collector()
        line = {
            "event": "ready",
            "url": config.base_urls[0],
            "metrics": f"http://{config.metrics}" if config.metrics else "",
            "fingerprint": hashlib.sha256(root).hexdigest(),
            "pid": os.getpid(),
            "workers": 1,
        }
        sys.stderr.write(msgspec.json.encode(line).decode() + "\n")
        sys.stderr.flush()
        notify("READY=1")

    async with asyncio.TaskGroup() as group:
        if len(sockets) > 1:
            group.create_task(
                serve(beside, context=None, sockets=sockets[1:], new_request_id=ids.new, stop=stop, signals=())
            )
        group.create_task(
            serve(app, context=tls.context, sockets=sockets[:1], new_request_id=ids.new, stop=stop, on_ready=ready)
        )
