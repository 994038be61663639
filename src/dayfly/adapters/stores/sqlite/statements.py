"""A change set as statements: what must hold, what is written, and what the log gets.

Rules: everything that can fail for want of a good value fails here, in the coroutine that asked, before any
transaction; a condition is one question with one right answer; an update writes the version read, plus one.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.log import entries_of
from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.objects import Account, Certificate, Order, SharedAuthorization
from dayfly.core.events import CertificateIssued
from dayfly.core.frozen import replace
from dayfly.core.settings.documents import document_kind, document_name, render_document
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.x509.reasons import SUPERSEDED
from dayfly.errors import Claimed, Conflict
from dayfly.ports.changes import Changes, Claim, Record

Statement = tuple[str, tuple[Any, ...]]


class Condition(msgspec.Struct, frozen=True):
    """A question, the one row (or None) under which the set may be written, and what to raise otherwise.

    The text of `otherwise` may show the values: most conditions hold, and their texts are never made.
    """

    question: str
    values: tuple[Any, ...]
    answer: tuple[Any, ...] | None
    otherwise: str
    kind: type[Conflict] = Conflict

    def broken(self) -> Conflict:
        """The error where the answer is another."""
        return self.kind(self.otherwise.format(*self.values))


class Writes(msgspec.Struct, frozen=True):
    """One change set, ready for a transaction.

    `entries` are leaf hashes and bodies, `records` the rows as they will stand.
    """

    conditions: tuple[Condition, ...]
    statements: tuple[Statement, ...]
    entries: tuple[tuple[bytes, bytes], ...]
    records: tuple[Record, ...] = ()
    changes_settings: bool = False


_TABLES: dict[type, str] = {
    Account: "accounts",
    Order: "orders",
    Certificate: "certificates",
    SharedAuthorization: "authorizations",
    ExternalAccountKey: "external_keys",
}
_VERSION_OF = {
    one: (f"SELECT version FROM {table} WHERE id = ?", f"{one.__name__.lower()} {{:016x}} changed meanwhile")  # noqa: S608 - ours
    for one, table in _TABLES.items()
}
_REVISION = "SELECT revision FROM settings_revision"
_RAISE_REVISION = "UPDATE settings_revision SET revision = revision + 1"
_ACCOUNT_OF_KEY = "SELECT 1 FROM accounts WHERE provisioner = ? AND thumbprint = ?"
_OTHER_OF_KEY = _ACCOUNT_OF_KEY + " AND id != ?"
_INSERT_ACCOUNT = "INSERT INTO accounts (id, provisioner, thumbprint, version, document) VALUES (?, ?, ?, ?, ?)"
_INSERT_ORDER = "INSERT INTO orders (id, account_id, status, version, document) VALUES (?, ?, ?, ?, ?)"
_INSERT_CERTIFICATE = f"INSERT INTO certificates ({rows.CERTIFICATE_COLUMNS}) VALUES ({', '.join('?' * 18)})"  # noqa: S608 - ours
_INSERT_AUTHORIZATION = (
    "INSERT INTO authorizations (id, account_id, identifier, status, expires, version, document) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_EXTERNAL_KEY = (
    "INSERT INTO external_keys (id, kid, provisioner, version, secret, scope, document) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE_EXTERNAL_KEY = (
    "UPDATE external_keys SET kid = ?, provisioner = ?, version = ?, secret = ?, scope = ?, document = ? WHERE id = ?"
)
_UPDATE_ACCOUNT = "UPDATE accounts SET provisioner = ?, thumbprint = ?, version = ?, document = ? WHERE id = ?"
_UPDATE_ORDER = "UPDATE orders SET status = ?, version = ?, document = ? WHERE id = ?"
_UPDATE_CERTIFICATE = (
    f"UPDATE certificates SET {' = ?, '.join(rows.CERTIFICATE_COLUMNS.split(', ')[1:])} = ? WHERE id = ?"  # noqa: S608 - ours
)
_UPDATE_AUTHORIZATION = "UPDATE authorizations SET status = ?, expires = ?, version = ?, document = ? WHERE id = ?"
_IS_CLAIMED = "SELECT 1 FROM claims WHERE digest = ?"
_INSERT_CLAIM = "INSERT INTO claims (digest, expires) VALUES (?, ?)"
LONGEST_LINE = 100_000  # renewals; a line of certificates of five minutes comes there in most of a year
REVOKED_IN_LINE = f"""
    WITH RECURSIVE line (parent_id, order_id, revoked_at) AS (
        SELECT parent_id, order_id, revoked_at FROM certificates WHERE id = ?
        UNION ALL
        SELECT older.parent_id, older.order_id,
            CASE older.revocation_reason WHEN {SUPERSEDED} THEN NULL ELSE older.revoked_at END
        FROM line JOIN certificates AS older ON older.id = line.parent_id AND line.order_id IS NULL
        LIMIT {LONGEST_LINE}
    )
    SELECT revoked_at FROM line WHERE revoked_at IS NOT NULL LIMIT 1
"""  # noqa: S608 - ours
IS_REPLACED = "SELECT 1 FROM certificates WHERE parent_id = ? AND order_id IS NOT NULL LIMIT 1"
ISSUANCES = """
    SELECT account_id, names, not_before, not_after FROM (
        SELECT id, account_id, names, not_before, not_after, revoked_at FROM certificates ORDER BY id DESC LIMIT ?
    ) WHERE account_id IS NOT NULL AND revoked_at IS NULL ORDER BY id DESC
"""
CERTIFICATE_CHANGES = "SELECT count FROM certificate_changes"
_COUNT_CHANGE = "UPDATE certificate_changes SET count = count + 1"
IS_COMPROMISED = "SELECT 1 FROM compromised_keys WHERE spki_hash = ?"
KEY_BARS = (
    "SELECT 'compromised' FROM compromised_keys WHERE spki_hash = ? "
    "UNION ALL SELECT 'account' FROM accounts WHERE thumbprint = ? LIMIT 1"
)
_ADD_COMPROMISED = "INSERT OR IGNORE INTO compromised_keys (spki_hash) VALUES (?)"
_PUT_SETTING = "INSERT OR REPLACE INTO settings (kind, name, body) VALUES (?, ?, ?)"
_REMOVE_SETTING = "DELETE FROM settings WHERE kind = ? AND name = ?"


def plan_writes(changes: Changes) -> Writes:
    """What a transaction has to do for this change set; EntryError for an event that the log cannot take."""
    updated = tuple([replace(record, version=record.version + 1) for record in changes.update])
    statements = [*map(_insert, changes.insert), *map(_update, updated), *map(_claim, changes.claims)]
    statements += [(_COUNT_CHANGE, ()) for one in updated if isinstance(one, Certificate)]
    statements += [(_ADD_COMPROMISED, (one,)) for one in changes.compromised_keys]
    if changes.settings is not None:
        statements += _settings_statements(changes.settings)
    return Writes(
        _conditions(changes),
        tuple(statements),
        entries_of(changes.events),
        (*changes.insert, *updated),
        changes.settings is not None,
    )


def _conditions(changes: Changes) -> tuple[Condition, ...]:
    """Settings revision, versions of rows, keys that nobody may have, lines that are good, what may be used once."""
    found = []
    if changes.settings_revision is not None:
        found.append(_revision_is(changes.settings_revision))
    if changes.settings is not None:
        found.append(_revision_is(changes.settings.revision))
    found += [_version_is(record) for record in (*changes.update, *changes.unchanged)]
    found += [_key_is_new(record) for record in changes.insert if isinstance(record, Account)]
    found += [_key_is_free(record) for record in changes.update if isinstance(record, Account)]
    found += map(_is_unclaimed, changes.claims)
    found += map(_line_is_good, changes.unrevoked)
    found += map(_key_is_good, changes.sound_keys)
    found += [_key_is_good(event.spki_hash) for event in changes.events if isinstance(event, CertificateIssued)]
    return tuple(found)


def _revision_is(revision: int) -> Condition:
    return Condition(_REVISION, (), (revision,), "the settings changed meanwhile")


def _version_is(record: Record) -> Condition:
    question, otherwise = _VERSION_OF[type(record)]
    return Condition(question, (record.id,), (record.version,), otherwise)


def _key_is_new(account: Account) -> Condition:
    values = (account.provisioner, account.thumbprint)
    return Condition(_ACCOUNT_OF_KEY, values, None, "this key has an account already")


def _key_is_free(account: Account) -> Condition:
    values = (account.provisioner, account.thumbprint, account.id)
    return Condition(_OTHER_OF_KEY, values, None, "another account has this key")


def _is_unclaimed(claim: Claim) -> Condition:
    return Condition(_IS_CLAIMED, (claim.digest,), None, "this was used before", Claimed)


def _line_is_good(certificate_id: int) -> Condition:
    what = "a certificate that {:016x} comes from was revoked meanwhile"
    return Condition(REVOKED_IN_LINE, (certificate_id,), None, what)


def _key_is_good(spki_hash: str) -> Condition:
    return Condition(IS_COMPROMISED, (spki_hash,), None, "the key was reported as compromised meanwhile")


def _claim(claim: Claim) -> Statement:
    return _INSERT_CLAIM, (claim.digest, math.ceil(claim.expires.timestamp()))


def _insert(record: Record) -> Statement:
    if isinstance(record, Order):
        return _INSERT_ORDER, rows.order_row(record)
    if isinstance(record, Certificate):
        return _INSERT_CERTIFICATE, rows.certificate_row(record)
    if isinstance(record, SharedAuthorization):
        return _INSERT_AUTHORIZATION, rows.authorization_row(record)
    if isinstance(record, ExternalAccountKey):
        return _INSERT_EXTERNAL_KEY, rows.external_key_row(record)
    return _INSERT_ACCOUNT, rows.account_row(record)


def _update(newer: Record) -> Statement:
    """The row as it stands under its next version."""
    if isinstance(newer, Order):
        row_id, _, *values = rows.order_row(newer)  # an order never changes its account
        return _UPDATE_ORDER, (*values, row_id)
    if isinstance(newer, Account):
        row_id, *values = rows.account_row(newer)
        return _UPDATE_ACCOUNT, (*values, row_id)
    if isinstance(newer, SharedAuthorization):
        row_id, _, _, *values = rows.authorization_row(newer)  # nor does an authorization, or its name
        return _UPDATE_AUTHORIZATION, (*values, row_id)
    if isinstance(newer, ExternalAccountKey):
        row_id, *values = rows.external_key_row(newer)
        return _UPDATE_EXTERNAL_KEY, (*values, row_id)
    row_id, *values = rows.certificate_row(newer)
    return _UPDATE_CERTIFICATE, (*values, row_id)


def _settings_statements(change: SettingsChange) -> list[Statement]:
    removed: list[Statement] = [(_REMOVE_SETTING, key) for key in change.remove]
    put: list[Statement] = [
        (_PUT_SETTING, (document_kind(one), document_name(one), render_document(one))) for one in change.put
    ]
    return [*removed, *put, (_RAISE_REVISION, ())]
