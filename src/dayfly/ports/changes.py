"""One use case's writes, as a value, and the proof that they are durable.

Rules: what a use case wants written is told whole, once, by one `Changes`; every condition that the plan relied on is
in it, so that the commit decides between two requests; a `Receipt` is made by a store, after the sync, and by nobody
else.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.objects import Account, Certificate, Order, SharedAuthorization
from dayfly.core.events import Event
from dayfly.core.settings.revisions import SettingsChange

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
