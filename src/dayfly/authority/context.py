"""What every use case is given: the ports, chosen by wiring, and the few things that live in memory only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from dayfly.authority.limits import Limits
from dayfly.authority.renewals_told import RenewalInfos
from dayfly.core.acme.objects import Account
from dayfly.core.acme.ordering import ChallengeOffer
from dayfly.core.acme.persistent import LASTING
from dayfly.core.acme.urls import Urls
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.policy.denials import KEPT, KeptDenial
from dayfly.core.policy.grant import Grant, without_crl
from dayfly.core.policy.limits import DEFAULT_FIGURES
from dayfly.core.problems import NoSuchResource
from dayfly.core.provisioners import grant_for
from dayfly.core.settings.revisions import Settings
from dayfly.core.x509.alternates import AlternateChain
from dayfly.ports.crls import StoredCRL
from dayfly.ports.marks import MarkBoard
from dayfly.ports.nonces import Nonces
from dayfly.ports.observer import Observer
from dayfly.ports.signing import NoteSigner, Signer
from dayfly.ports.store import Store
from dayfly.ports.system import Clock, Entropy, Ids
from dayfly.ports.validation import CaaReader, Validator

TOKEN_OCTETS = 24  # 192 bits; RFC 8555 8 asks for 128

Source = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits that are counted, not timed; 0 means none.

    `open_orders` and `pending_authorizations` are per account; `validations` at once in all, of them
    `validations_per_account` for one account and `validations_per_address` at one target address; `waiting_validations`
    in the queue, of them `waiting_per_account`; `orders_page` in one page of an account's orders.
    """

    open_orders: int = DEFAULT_FIGURES.open_orders
    pending_authorizations: int = DEFAULT_FIGURES.pending_authorizations
    validations: int = 64
    validations_per_account: int = 8
    validations_per_address: int = 4
    waiting_validations: int = 10_000
    waiting_per_account: int = 1_000
    orders_page: int = 50


@dataclass(slots=True)
class RecentDenial:
    """A denial that this process wrote at `written`, and as it was met since; `pending` times were not written yet."""

    denial: KeptDenial
    written: datetime
    pending: int = 0


@dataclass(frozen=True, slots=True)
class CRLSettings:
    """Where leaves are told to look for CRLs, as http://ca.internal.example:9080, and how long each is good.

    An empty `base`: there are none, and no leaf may need one.
    """

    base: str = ""
    validity: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SeenCRL:
    """A CRL as this process has it, and the count of changes of certificates under which it was the newest."""

    crl: StoredCRL
    changes: int


class RecentDenials:
    """Denials that this process wrote, by their key: a client that loops is counted here, and costs no write a try."""

    def __init__(self) -> None:
        """Nothing was denied yet."""
        self._recent: dict[str, RecentDenial] = {}

    def get(self, key: str) -> RecentDenial | None:
        """What is known of it."""
        return self._recent.get(key)

    def put(self, denial: KeptDenial, written: datetime) -> None:
        """It was written just now; the one that was written longest ago is forgotten where there are too many."""
        self._recent.pop(denial.key, None)
        self._recent[denial.key] = RecentDenial(denial, written)
        if len(self._recent) > KEPT:
            del self._recent[next(iter(self._recent))]

    def pending(self) -> list[RecentDenial]:
        """Those that were met since they were written."""
        return [one for one in self._recent.values() if one.pending]


class SingleFlight:
    """One at a time per key, within this process; between processes the commit decides."""

    def __init__(self) -> None:
        """Nothing is under way yet."""
        self._locks: dict[int, tuple[asyncio.Lock, int]] = {}

    def alone(self, key: int) -> AbstractAsyncContextManager[None]:
        """Wait for this key's turn and hold it; the lock goes when nobody wants it any more."""
        return _Alone(self, key)

    async def enter(self, key: int) -> None:
        """Wait for the turn."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._forget(key)
            raise

    def leave(self, key: int) -> None:
        """Give the turn to the next."""
        self._locks[key][0].release()
        self._forget(key)

    def _forget(self, key: int) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = (lock, users - 1)


class _Alone:
    """A turn while it is held."""

    __slots__ = ("_flight", "_key")

    def __init__(self, flight: SingleFlight, key: int) -> None:
        self._flight = flight
        self._key = key

    async def __aenter__(self) -> None:
        await self._flight.enter(self._key)

    async def __aexit__(self, *_: object) -> None:
        self._flight.leave(self._key)


class Grants:
    """What each ACME provisioner grants, made once for the settings of a revision."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._settings: Settings | None = None
        self._known: dict[str, Grant] = {}

    def find(self, settings: Settings, provisioner: str) -> Grant | None:
        """The grant of the named provisioner; None where it grants nothing, or is not there, which is not kept."""
        if settings is not self._settings:
            self._settings, self._known = settings, {}
        grant = self._known.get(provisioner) or grant_for(settings, provisioner)
        if grant is not None:
            self._known[provisioner] = grant
        return grant


class Keeping(Protocol):
    """As much of a CA as it takes to change what is stored: an Authority, or a command on the CA's host."""

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def store(self) -> Store:
        """All that is durable."""
        ...


@dataclass(slots=True)
class Authority:
    """The ports of one CA, the roots (DER) that its certificates chain to, and other chains that they have.

    `explanation_url` is where a client's owner reads why a certificate should be renewed early (RFC 9773 4.2). Only
    wiring changes any of it, when the configuration is reloaded: `validators`, `caa`, `caps` and `explanation_url`.
    `base_urls` are the configured ones, the canonical one first, `dns_names` the CA's own names. `reuse_share` is how
    often an authorization that may be used again is; always, but in chaos.
    """

    clock: Clock
    entropy: Entropy
    ids: Ids
    store: Store
    signer: Signer
    note_signer: NoteSigner
    nonces: Nonces
    validators: Mapping[str, Validator]
    observer: Observer
    roots: tuple[bytes, ...] = ()
    alternates: tuple[AlternateChain, ...] = ()
    caps: Caps = field(default_factory=Caps)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    board: MarkBoard | None = None
    finalizing: SingleFlight = field(default_factory=SingleFlight)
    binding: SingleFlight = field(default_factory=SingleFlight)
    denials: RecentDenials = field(default_factory=RecentDenials)
    limits: Limits = field(default_factory=Limits)
    crl: CRLSettings = field(default_factory=CRLSettings)
    crls: dict[int, SeenCRL] = field(default_factory=dict)
    making_crl: SingleFlight = field(default_factory=SingleFlight)
    renewal_infos: RenewalInfos = field(default_factory=RenewalInfos)
    explanation_url: str = ""
    grants: Grants = field(default_factory=Grants)
    caa: CaaReader | None = None
    base_urls: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    reuse_share: float = 1.0
    _offered: tuple[object, tuple[ChallengeOffer, ...]] = field(default=(None, ()), init=False)

    @property
    def offers(self) -> tuple[ChallengeOffer, ...]:
        """The challenge types that this CA has validators for, gathered once for each set of them."""
        if self._offered[0] is not self.validators:
            specs = [validator.spec for validator in self.validators.values()]
            offers = [ChallengeOffer(spec.type, spec.identifier_types, spec.wildcards, spec.token) for spec in specs]
            self._offered = (self.validators, tuple(offers))
        return self._offered[1]

    def token(self) -> str:
        """A fresh challenge token (RFC 8555 8)."""
        return b64u_encode(self.entropy.octets(TOKEN_OCTETS))

    def uses_again(self) -> bool:
        """Shall an authorization that may be used again be used again?"""
        return self.reuse_share >= 1 or self.jitter() < self.reuse_share

    def jitter(self) -> float:
        """A random share in [0, 1)."""
        return int.from_bytes(self.entropy.octets(4)) / 2**32

    async def acme_grant(self, provisioner: str) -> tuple[Settings, Grant]:
        """The settings as of now, and what the named ACME provisioner grants; NoSuchResource where there is none."""
        settings, grant = await self.acme_grant_if_any(provisioner)
        if grant is None:
            raise NoSuchResource("there is no such ACME provisioner here, or it is disabled")
        return settings, grant if self.crl.base else without_crl(grant)

    async def acme_grant_if_any(self, provisioner: str) -> tuple[Settings, Grant | None]:
        """The same; None where there is no such provisioner any more, or it is disabled."""
        settings = await self.store.settings.settings()
        grant = self.grants.find(settings, provisioner)
        if grant is not None and not grant.identities and (grant.caa or LASTING in grant.challenges):
            grant = replace(grant, identities=self.dns_names)
        return settings, grant

    def account_urls(self, account: Account) -> tuple[str, ...]:
        """The URLs under which the account may know itself, one for each base URL, the canonical one first."""
        bases = [f"{base}/acme/{account.provisioner}" for base in self.base_urls]
        return tuple(Urls(base).account(account.id) for base in bases)
