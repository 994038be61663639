"""A serving process, built from the configuration, the keys and the store.

Rules: nothing here knows how many processes there are beyond its own place; the own certificate is issued before the
first connection is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.adapters.chaos import ChaoticNonces
from dayfly.adapters.observers.outcomes import OTHER, SIGNING_PATH
from dayfly.adapters.system import SystemClock, SystemEntropy, TimeOrderedIds
from dayfly.adapters.validators.caa import CaaClimber
from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority, CRLSettings
from dayfly.authority.limits import Limits
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.upkeep import Upkeep
from dayfly.config.values import Config
from dayfly.core.events import Event, Throttled
from dayfly.core.identifiers import IdentifierType
from dayfly.ports.limits import Buckets
from dayfly.ports.marks import MarkBoard
from dayfly.ports.nonces import Nonces
from dayfly.ports.store import Store
from dayfly.ports.system import Ids
from dayfly.server.acme_gate import Bases
from dayfly.server.acme_routes import AcmeRoutes
from dayfly.server.app import Application, Request
from dayfly.server.chaos import chaotic
from dayfly.server.crl_routes import CRLRoutes
from dayfly.server.exchange import Route
from dayfly.server.step_certificates import StepCertificates
from dayfly.server.step_routes import StepRoutes
from dayfly.wiring.configured import caps_of, resolver_of, validators_of
from dayfly.wiring.health import Health
from dayfly.wiring.keys import Keys
from dayfly.wiring.place import ALONE, Place, RequestIds
from dayfly.wiring.process import Process, Tls


class Counting(Protocol):
    """Who counts: the metrics themselves, or what hands the counts to another process."""

    def notify(self, events: Sequence[Event]) -> None:
        """Count committed events."""
        ...

    def handled(self, op: str, provisioner: str, *, status: int, problem: str | None, seconds: float) -> None:
        """Count one answer of the signing path."""
        ...


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
    authority = authority_of(
        config, keys, store, counting=counting, nonces=nonces, place=place, board=board, buckets=buckets,
        ids=TimeOrderedIds(place.number, floor=await store.newest_id()),
    )  # fmt: skip
    tls = Tls(tuple(_pem(der) for der in (*keys.roots, *keys.signer.chain)))
    own = OwnCertificate(authority, config.dns_names, tls.install)
    await own.renew_if_due(authority.clock.now())
    health = Health(store, keys.signer, own, authority.clock, config.home)
    await health.checks()
    validations = Validations(authority)
    new_request_id = RequestIds(place).new
    app = Application(
        routes_of(config, authority, validations, health.can_issue),
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


def authority_of(
    config: Config,
    keys: Keys,
    store: Store,
    *,
    counting: Counting,
    nonces: Nonces,
    ids: Ids,
    place: Place,
    board: MarkBoard | None,
    buckets: Buckets | None,
) -> Authority:
    """What the use cases work with, as the configuration has it."""
    clock = SystemClock()
    return Authority(
        clock=clock,
        entropy=SystemEntropy(),
        ids=ids,
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


def routes_of(
    config: Config, authority: Authority, validations: Validations, can_issue: Callable[[], Awaitable[bool]]
) -> tuple[Route, ...]:
    """All routes of the listener; those of ACME are chaotic where the configuration says so."""
    acme = AcmeRoutes(authority, validations, Bases(config.base_urls)).routes()
    if config.chaos is not None:
        acme = chaotic(acme, retry_after=config.chaos.retry_after, now=authority.clock.now)
    return (
        *acme,
        *StepRoutes(authority.roots, authority.signer.chain, can_issue).routes(),
        *StepCertificates(authority, config.base_urls).routes(),
        *CRLRoutes(authority).routes(),
    )


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
