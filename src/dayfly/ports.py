"""What may be asked of the world: Protocols, and the frozen values that cross them.

Rules: a port has at most six methods; what crosses it is plain data; ports are async where the world is slow; a missing
thing is `NotFound`, a lost race `Conflict`, a store that cannot be used right now `Unavailable` (errors.py). Each
Protocol's prose is its contract, and tests/contracts holds every adapter to it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

import msgspec

from dayfly.core.acme.caa import CaaRecord
from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import Account, AuthorizationRef, Certificate, Order, SharedAuthorization
from dayfly.core.events import Event
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.denials import KeptDenial
from dayfly.core.problems import Refused
from dayfly.core.settings.documents import Settings, SettingsChange
from dayfly.core.transparency.checkpoint import Checkpoint
from dayfly.core.x509.crl import RevokedLeaf
from dayfly.core.x509.crl_lint import CheckedCRL
from dayfly.core.x509.lint import LintedCertificate
from dayfly.core.x509.profile import IssuerFacts
from dayfly.errors import DayflyError

Record = Account | Order | Certificate | SharedAuthorization | ExternalAccountKey


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Something that may be used once, such as a token: `digest` (SHA-256) tells it, and is kept until `expires`."""

    digest: bytes
    expires: datetime


class Changes(msgspec.Struct, frozen=True):
    """One use case's writes: they happen together, or not at all.

    `insert` holds new rows. `update` holds rows as they shall become, with the `version` they were *read* at; the store
    raises `Conflict` where a row has another version by now, and writes version + 1. `unchanged` holds rows that the
    plan relied on: the same condition, and nothing is written. `claims` are things that may be
    used once: `Claimed` where one was used before. `unrevoked` are row ids of certificates that are relied on together
    with all that they were renewed from: a `Conflict` where one of those is revoked by now. `compromised_keys` are
    SHA-256 (hex) of the SubjectPublicKeyInfo of keys that get no certificate any more: from then on a
    `CertificateIssued` for such a key is a `Conflict`. `sound_keys` are such hashes that the plan relied on:
    a `Conflict` where one of those keys is compromised by now. `settings` is a change of the settings documents.
    `settings_revision`, where given, is the revision the plan relied on: another one by now is a `Conflict`. Logged
    events become entries of the log in the same transaction; all events go to the observers after the commit.
    """

    insert: tuple[Record, ...] = ()
    update: tuple[Record, ...] = ()
    unchanged: tuple[Record, ...] = ()
    claims: tuple[Claim, ...] = ()
    unrevoked: tuple[int, ...] = ()
    compromised_keys: tuple[str, ...] = ()
    sound_keys: tuple[str, ...] = ()
    settings: SettingsChange | None = None
    settings_revision: int | None = None
    events: tuple[Event, ...] = ()


class Receipt(msgspec.Struct, frozen=True):
    """The proof of a durable commit: `log_size` is the size of the log after this change set's group."""

    log_size: int


class LogHead(msgspec.Struct, frozen=True, gc=False):
    """The log as committed: number of entries, root hash (RFC 6962), and the bytes of the Merkle frontier."""

    size: int
    root: bytes
    frontier: bytes


class StoredEntry(msgspec.Struct, frozen=True, gc=False):
    """One row of the log: its index, canonical bytes, and leaf hash."""

    index: int
    body: bytes
    leaf_hash: bytes


class StoredGroup(msgspec.Struct, frozen=True, gc=False):
    """One commit's mark in the log: its size and root hash after the group."""

    size: int
    root: bytes


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Now: aware, UTC, with microseconds."""
        ...


class Entropy(Protocol):
    """Randomness from the system's CSPRNG."""

    def octets(self, count: int) -> bytes:
        """`count` random octets, for serials, tokens and jitter."""
        ...


class Ids(Protocol):
    """Row ids."""

    def new(self) -> int:
        """A new time-ordered id (core/ids): never one that this worker gave before, also when the clock steps back."""
        ...


class AccountReads(Protocol):
    """Accounts, as committed."""

    async def account(self, account_id: int) -> Account:
        """The account with this id; NotFound."""
        ...

    async def account_by_key(self, provisioner: str, thumbprint: str) -> Account | None:
        """The account of this provisioner with this key's thumbprint, in whatever status."""
        ...

    async def accounts_of_key(self, thumbprint: str) -> tuple[Account, ...]:
        """The accounts of all provisioners with this key, in whatever status."""
        ...

    async def accounts(self, *, after: int, limit: int) -> tuple[Account, ...]:
        """Accounts with ids above `after`, ascending, at most `limit`: a page."""
        ...


class OrderSlice(msgspec.Struct, frozen=True, gc=False):
    """Some orders, newest first, and the id below which the next ones are; None where there are no more."""

    orders: tuple[Order, ...]
    following: int | None


class OrderReads(Protocol):
    """Orders, as committed."""

    async def order(self, order_id: int) -> Order:
        """The order with this id; NotFound."""
        ...

    async def open_orders(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """The account's pending and ready orders, newest first, at most `limit`; for reuse of the same order."""
        ...

    async def count_open_orders(self, account_id: int, *, since: int) -> int:
        """How many orders of the account with ids from `since` on are pending or ready."""
        ...

    async def count_open_authorizations(self, account_id: int, *, since: int) -> int:
        """How many authorizations these orders have together; reads them all, so only for accounts with many."""
        ...

    async def orders_of(self, account_id: int, *, before: int | None, limit: int) -> OrderSlice:
        """The account's orders below an id that are not stored as invalid, newest first, at most `limit`."""
        ...

    async def account_orders(self, account_id: int, *, since: int, below: int, limit: int) -> tuple[Order, ...]:
        """The account's orders with ids from `since` on and below `below`, in whatever status, newest first: a page."""
        ...

    async def orders(self, *, before: int | None, limit: int) -> tuple[Order, ...]:
        """Orders of all accounts with ids below `before`, newest first, at most `limit`: a page."""
        ...

    async def order_counts(self) -> dict[str, int]:
        """How many orders there are in each status, by the status's word; for metrics."""
        ...


class AuthorizationReads(Protocol):
    """Authorizations in rows of their own, as committed."""

    async def authorization(self, row_id: int) -> SharedAuthorization:
        """The one with this id; NotFound."""
        ...

    async def live_authorizations(
        self, account_id: int, identifiers: Sequence[Identifier], *, now: datetime
    ) -> tuple[SharedAuthorization, ...]:
        """The account's pending and valid ones for these names that end after `now`.

        By name as asked, newest first, of one name at most LIVE_ONES.
        """
        ...

    async def count_pending(self, account_id: int, *, now: datetime) -> int:
        """How many of the account's are pending and end after `now`."""
        ...


LIVE_ONES = 8
"""Of one name; an account has one or two."""


class KeyBar(StrEnum):
    """Why a key gets no certificate: it was reported as compromised, or is an account's, in whatever status."""

    COMPROMISED = "compromised"
    ACCOUNT = "account"


class CertificateReads(Protocol):
    """Certificates, as committed."""

    async def certificate(self, certificate_id: int) -> Certificate:
        """The certificate with this row id; NotFound."""
        ...

    async def certificates(self, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """Certificates with ids above `after`, ascending, at most `limit`: a page."""
        ...

    async def live_certificates(self, now: datetime, *, after: int, limit: int) -> tuple[Certificate, ...]:
        """The same for those with notAfter at or after `now` that are not revoked."""
        ...

    async def issuances(self, *, limit: int) -> tuple[Issuance, ...]:
        """What accounts were given of the newest `limit` certificates, newest first, without what is revoked."""
        ...

    async def line_revoked_at(self, certificate_id: int) -> datetime | None:
        """When this certificate, or one that it was renewed from, however long ago, was revoked; None if none was.

        One that it was renewed from and that was revoked as superseded does not count: it was replaced by this one.
        What an order gave was not renewed from anything, whatever it replaces.
        """
        ...

    async def is_compromised(self, spki_hash: str) -> bool:
        """Does the key with this SHA-256 (hex) of its SubjectPublicKeyInfo get no certificate any more?"""
        ...

    async def key_bar(self, spki_hash: str, thumbprint: str) -> KeyBar | None:
        """Why the key with this hash, or thumbprint (RFC 7638), gets no certificate; None where it may.

        Both are asked at once. "" is no account's thumbprint.
        """
        ...


class RenewalReads(Protocol):
    """What renewal information rests on beside the certificates (RFC 9773), as committed."""

    async def is_replaced(self, certificate_id: int) -> bool:
        """Was a certificate issued to an order that named this one as its predecessor?"""
        ...

    async def changes(self) -> int:
        """How many certificates' rows were changed after they were made, by a revocation mostly, in whatever process.

        Rows that were read since it had this value stand as they were read.
        """
        ...


class ExternalKeyReads(Protocol):
    """Keys for external account bindings, as committed, revoked ones too."""

    async def external_key(self, kid: str) -> ExternalAccountKey:
        """The key of this `kid`; NotFound, in the time that a key takes: strangers ask, and shall not learn from it."""
        ...

    async def external_keys(self, *, after: int, limit: int) -> tuple[ExternalAccountKey, ...]:
        """Keys with row ids above `after`, ascending, at most `limit`: a page."""
        ...


class ClaimReads(Protocol):
    """What was used up, as committed."""

    async def is_claimed(self, digest: bytes) -> bool:
        """Was it used before? A `no` may be out of date by the commit, which decides."""
        ...


class SettingsReads(Protocol):
    """Provisioners, rules and owners, under one revision number."""

    async def settings(self) -> Settings:
        """The settings of the newest committed revision; parsed once per revision, cheap to call for every request."""
        ...


class LogReads(Protocol):
    """The append-only log, as committed."""

    async def head(self) -> LogHead:
        """The newest head."""
        ...

    async def entries(self, start: int, *, limit: int) -> tuple[StoredEntry, ...]:
        """Entries with index >= `start`, ascending, at most `limit`."""
        ...

    async def groups(self, after_size: int, *, limit: int) -> tuple[StoredGroup, ...]:
        """Group marks with size > `after_size`, ascending, at most `limit`."""
        ...

    async def checkpoints(self, after_size: int, *, limit: int) -> tuple[str, ...]:
        """Signed notes of checkpoints with size > `after_size`, ascending, at most `limit`."""
        ...

    async def add_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint; a second one of the same size replaces the first."""
        ...


class Denials(Protocol):
    """Names that policy refused, for an admin; no part of the log, bounded, and of no weight for any decision."""

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        """Store each with its id, or count an equal one up, whose id stays; the ids, in order.

        Then those met longest ago go, first of each `first_by` until no more than his share of `keep` are left, then of
        all until `keep` are. Durable when it returns. Conflict, with nothing written, where another denial has the id
        of a new one, or had it within ID_REST before, or where the asker's gone ones have used up MOST_GONE ids.
        """
        ...

    async def denial(self, denial_id: str) -> KeptDenial:
        """The denial with this id; NotFound."""
        ...

    async def newest(self, *, limit: int) -> tuple[KeptDenial, ...]:
        """Those met last, newest first, at most `limit`."""
        ...


@dataclass(frozen=True, slots=True)
class CRLHead:
    """What is known of a partition's newest CRL; `digest` tells its entries (core/x509/crl)."""

    partition: int
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class StoredCRL:
    """A partition's newest CRL, `der` as it was signed."""

    head: CRLHead
    der: bytes


class CRLs(Protocol):
    """The newest CRL of each partition, for all processes; no part of the log, since its entries are in there."""

    async def crl(self, partition: int) -> StoredCRL | None:
        """The newest of this partition."""
        ...

    async def heads(self) -> tuple[CRLHead, ...]:
        """Those of all partitions, ascending; a bounded number, for a partition is a day."""
        ...

    async def revoked(self, begin: datetime, end: datetime) -> tuple[RevokedLeaf, ...]:
        """The revoked leaves that need a CRL and have their notAfter from `begin` on and before `end`."""
        ...

    async def keep(self, crl: StoredCRL, *, after: int) -> None:
        """Put it in place of number `after`, 0 for none; Conflict where another is the newest."""
        ...

    async def drop(self, before: int) -> int:
        """Forget partitions below `before`; how many."""
        ...


class Store(Protocol):
    """All that is durable.

    Any number of coroutines of one event loop may use it at once. Reads see committed rows only. `commit` returns only
    when the group that holds the changes is durable, log entries included; if it raises, nothing of this change set has
    happened (Conflict, Unavailable), and other change sets of the same group are not harmed. `prune` removes what
    retention says is over, in slices of at most `limit` rows of a kind, and gives the number removed: orders and
    authorizations whose `expires` lies before `orders_before`, claims whose `expires` lies before `claims_before`;
    never certificates, accounts or log entries. `check` raises Unavailable when the
    store cannot be used.
    """

    accounts: AccountReads
    orders: OrderReads
    authorizations: AuthorizationReads
    certificates: CertificateReads
    renewals: RenewalReads
    external_keys: ExternalKeyReads
    claims: ClaimReads
    settings: SettingsReads
    log: LogReads
    denials: Denials
    crls: CRLs

    async def commit(self, changes: Changes) -> Receipt:
        """Write the change set durably, with its log entries."""
        ...

    async def prune(self, *, orders_before: datetime, claims_before: datetime, limit: int) -> int:
        """Remove ended orders and claims that nobody can use again; how many went."""
        ...

    async def check(self) -> None:
        """Raise Unavailable when the store cannot be read or written."""
        ...

    async def newest_id(self) -> int:
        """The highest row id of orders, accounts and certificates, 0 for none: a new process goes on above it."""
        ...

    async def size_bytes(self) -> int:
        """The space that the store takes, in bytes."""
        ...

    async def close(self) -> None:
        """Finish what is under way, and let go of files and connections."""
        ...


class Nonces(Protocol):
    """Replay nonces, each good for one request (RFC 8555 6.5)."""

    def issue(self) -> str:
        """A fresh nonce: base64url, at least 128 bits, no row written."""
        ...

    async def spend(self, nonce: str) -> None:
        """Use it up; BadNonce when it is unknown, too old or spent, all with one text."""
        ...


class Signer(Protocol):
    """The issuing key. It signs what the lint has passed, and nothing else."""

    @property
    def issuer(self) -> IssuerFacts:
        """What the profile needs to know of the issuing certificate."""
        ...

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates (DER) to hand out after the leaf, issuer first, without the root."""
        ...

    async def sign_certificate(self, linted: LintedCertificate) -> bytes:
        """The certificate (DER) for the linted bytes; each draft once. SignerError."""
        ...

    async def sign_crl(self, checked: CheckedCRL) -> bytes:
        """The CRL (DER) for the checked bytes; each draft once. SignerError."""
        ...


class NoteSigner(Protocol):
    """The log's own key."""

    @property
    def origin(self) -> str:
        """The log's origin line, also the key's name in signed notes."""
        ...

    async def sign_checkpoint(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note. SignerError."""
        ...


class ValidatorSpec(msgspec.Struct, frozen=True, gc=False):
    """What a validator can prove: the challenge type, the identifier types, and whether a wildcard may be proved so.

    `token` is off where a proof lasts, and so cannot hold a token of one challenge.
    """

    type: str
    identifier_types: frozenset[IdentifierType]
    wildcards: bool
    token: bool = True


class ValidationTarget(msgspec.Struct, frozen=True):
    """What to fetch and what to expect; `key_authorization` is compared in constant time and never shown.

    A wildcard's identifier is the name below its `*.`, and `wildcard` is true. `account_urls` are those under which the
    account may know itself, the canonical one first; `issuers` the CA's names that a lasting record may have.
    """

    identifier: Identifier
    token: str
    key_authorization: str
    account_urls: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """Where a validator will look: addresses that were judged, in the order of dialling; none where DNS is asked.

    A validator may give a kind of its own, which says more about what it will do there.
    """

    addresses: tuple[IPv4Address | IPv6Address, ...] = ()


class Validated(msgspec.Struct, frozen=True):
    """A proof that matched; `address` is the address and port dialled, for the record.

    `reuse_for` is for how many seconds it may serve other orders, where the proof itself says so; None where it says
    nothing.
    """

    address: str
    reuse_for: int | None = None


class ValidationFailed(DayflyError):
    """A proof was not found.

    `problem` (Connection, Dns, Tls, IncorrectResponse, Unauthorized) says which step failed and holds no fetched byte.
    `transient` says that another try may mend it. `operator_note` is for the CA's own log only: the address that was
    refused and the setting that would open it.
    """

    def __init__(self, problem: Refused, *, transient: bool, operator_note: str = "") -> None:
        """Keep what the client may know beside what only the operator may."""
        super().__init__(problem.detail)
        self.problem = problem
        self.transient = transient
        self.operator_note = operator_note


class Validator(Protocol):
    """Looks whether the answer to a challenge is where it should be (RFC 8555 8).

    `locate` and `validate` each end in bounded time and memory. Between them the caller waits for its turn, so that
    few look at one address at once; so what was located may be a while old, and is dialled as it is. Where what is
    found leads elsewhere, `validate` gives that location instead of a proof, and is asked again with it once its turn
    there has come: that, too, ends, after a bounded number of steps. Every failure is a `ValidationFailed`; nothing
    else leaves them.
    """

    @property
    def spec(self) -> ValidatorSpec:
        """What this validator can prove."""
        ...

    async def locate(self, target: ValidationTarget) -> Location:
        """Find out where to look; an address that may not be dialled refuses the name."""
        ...

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        """Look there once: the proof, or where to look next."""
        ...


MARK_TEXT = 480
"""Octets of text that a mark on the board can have."""


class CaaReader(Protocol):
    """The CAA records of names (RFC 8659)."""

    async def relevant(self, name: str) -> tuple[CaaRecord, ...]:
        """The relevant set of records, found by climbing; empty where there is none. ValidationFailed, transient."""
        ...


Step = Callable[[datetime | None], datetime | None]


class Buckets(Protocol):
    """What was used of each limit by each key, as the moment until which that is paid for; bounded, and forgetful.

    Keys are values whose `repr` is the same in every worker. Where there is no room the entry goes that is free the
    soonest, or was used longest ago.
    """

    def look(self, limit: str, key: Hashable) -> datetime | None:
        """The moment; None where nothing is known."""
        ...

    def change(self, limit: str, key: Hashable, step: Step) -> None:
        """Let `step` make the new moment of the present one, alone; where it gives None nothing changes."""
        ...

    def forget(self, limit: str, key: Hashable) -> None:
        """Nothing is known of this key any more."""
        ...


class MarkBoard(Protocol):
    """Where the processes of one host mark what each of them validates, so that none does it a second time.

    A mark stands until it is released or its process has died. The text, of at most MARK_TEXT octets, is the holder's
    own. A full board shares no more marks: `claim` is then True, and `look` finds nothing.
    """

    def claim(self, ref: AuthorizationRef, text: bytes) -> bool:
        """Mark it as this process's; False where the mark of another one stands."""
        ...

    def look(self, ref: AuthorizationRef) -> bytes | None:
        """The text of the mark that stands, None where there is none."""
        ...

    def note(self, ref: AuthorizationRef, text: bytes) -> None:
        """Put another text on a mark of this process."""
        ...

    def release(self, ref: AuthorizationRef) -> None:
        """Take a mark of this process away."""
        ...


class Observer(Protocol):
    """Hears of events, after the commit; it must be quick, and an error in it harms nobody."""

    def notify(self, events: Sequence[Event]) -> None:
        """Take note of the events."""
        ...
