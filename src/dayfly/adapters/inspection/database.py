"""A CA's database as facts, read through a connection that can write nothing; it is not brought up to date.

Rules: the head, the last entry and the newest signed checkpoint are looked at, so the answer comes at once, however
long the log is; all of it is `dayfly ca log verify`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509

from dayfly.adapters.stores import migrations
from dayfly.adapters.stores.log import check_head
from dayfly.adapters.stores.rows import parse_account, parse_external_key, parse_issuance
from dayfly.adapters.stores.sqlite.certificates import LIVES_LONG
from dayfly.adapters.stores.sqlite.statements import ISSUANCES
from dayfly.core.acme.external_accounts import vouches
from dayfly.core.acme.habits import MOST_ISSUANCES, conduct_of, misfits
from dayfly.core.doctor.ca import DatabaseFacts, IssuingKey, LongLeaves
from dayfly.core.frozen import replace
from dayfly.core.settings.documents import parse_document
from dayfly.core.settings.provisioners import Provisioner
from dayfly.core.transparency.checkpoint import NoteError, VerifierKey, open_note
from dayfly.core.transparency.entries import EntryError, parse_entry
from dayfly.core.x509.leaf import authority_key_id
from dayfly.core.x509.unreadable import UNREADABLE
from dayfly.errors import DayflyError, Unavailable
from dayfly.ports.log import LogHead

WAIT = 5.0  # seconds, for a lock that another process holds


def inspect_database(path: Path, key: VerifierKey | None, *, now: datetime) -> DatabaseFacts:
    """What the file says, or why it cannot be read. `key` verifies the log's checkpoints, where it is known."""
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None)) as connection:
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            facts = DatabaseFacts(schema=int(schema), known_schema=migrations()[-1][0])
            if facts.schema != facts.known_schema:
                return facts  # its tables are not those that we know
            connection.execute("BEGIN")  # one moment for all reads
            facts = _external_keys(connection, _settings(connection, facts))
            facts = replace(facts, long_leaves=_long_leaves(connection, now=now))
            return _log(connection, _clients(connection, facts, now=now), key)
    except sqlite3.Error as error:
        return DatabaseFacts(trouble=f"the database {path} cannot be read: {error}")
    except DayflyError as error:
        return DatabaseFacts(trouble=f"the database {path} holds what cannot be read: {error.message}")


def _settings(connection: sqlite3.Connection, facts: DatabaseFacts) -> DatabaseFacts:
    documents = [parse_document(kind, body) for kind, body in connection.execute("SELECT kind, body FROM settings")]
    longest = [one.claims.max_lifetime for one in documents if isinstance(one, Provisioner) and one.enabled]
    (rules,) = connection.execute("SELECT count(*) FROM settings WHERE kind = 'rule'").fetchone()
    (ends,) = connection.execute("SELECT min(next_update) FROM crls").fetchone()
    crl_ends = None if ends is None else datetime.fromtimestamp(ends, UTC)
    return replace(facts, rules=rules, longest_leaf=max(longest, default=None), crl_ends=crl_ends)


def _long_leaves(connection: sqlite3.Connection, *, now: datetime) -> tuple[LongLeaves, ...]:
    """By the issuing certificate; one leaf of each says by whose name and key. What cannot be read the log tells of."""
    rows = connection.execute(
        "SELECT count(*), max(not_after), der FROM certificates INDEXED BY long_certificates "  # noqa: S608 - ours
        f"WHERE {LIVES_LONG} AND not_after > ? AND revoked_at IS NULL GROUP BY issuer",
        (int(now.timestamp()),),
    )
    found: dict[IssuingKey, LongLeaves] = {}
    for count, until, der in rows:
        try:
            key = IssuingKey(x509.load_der_x509_certificate(der).issuer.public_bytes(), authority_key_id(der))
        except UNREADABLE:
            continue
        end = datetime.fromtimestamp(until, UTC)
        known = found.get(key, LongLeaves(key, 0, end))
        found[key] = LongLeaves(key, known.count + count, max(known.until, end))
    return tuple(found.values())


def _external_keys(connection: sqlite3.Connection, facts: DatabaseFacts) -> DatabaseFacts:
    """Those that vouch for names; secrets are not read."""
    found = connection.execute("SELECT scope, document FROM external_keys ORDER BY id")
    keys = [parse_external_key(b"", *row) for row in found]
    return replace(facts, preauthorized=tuple(f"{one.provisioner} {one.kid}" for one in keys if vouches(one)))


def _clients(connection: sqlite3.Connection, facts: DatabaseFacts, *, now: datetime) -> DatabaseFacts:
    """Accounts that have certificates now, and whose clients do not fit them."""
    conducts = conduct_of(map(parse_issuance, connection.execute(ISSUANCES, (MOST_ISSUANCES,))), now)
    found = (_one(connection, "SELECT document FROM accounts WHERE id = ?", account_id) for account_id in conducts)
    return replace(facts, misfits=misfits((parse_account(row[0]) for row in found if row), conducts))


def _log(connection: sqlite3.Connection, facts: DatabaseFacts, key: VerifierKey | None) -> DatabaseFacts:
    """1. The head fits the entries. 2. The last entry can be read. 3. The newest checkpoint is ours, and fits."""
    row = _one(connection, "SELECT size, root, frontier FROM log_head")
    if not row:
        return replace(facts, log="it has no head")
    head = LogHead(*row)
    last = _one(connection, "SELECT idx, body FROM log_entries ORDER BY idx DESC LIMIT 1")
    mark = _one(connection, "SELECT size, root FROM log_groups ORDER BY size DESC LIMIT 1")
    facts = replace(facts, size=head.size)
    try:
        check_head(head, highest=last[0] if last else None, marked=(mark[0], mark[1]) if mark else None)
        if last:
            facts = replace(facts, newest=parse_entry(last[1]).at)
        note = _one(connection, "SELECT note FROM log_checkpoints ORDER BY size DESC LIMIT 1")
        return replace(facts, log=_checkpoint(connection, note[0], key) if note and key else "")
    except (Unavailable, EntryError) as error:
        return replace(facts, log=error.message)


def _checkpoint(connection: sqlite3.Connection, note: str, key: VerifierKey) -> str:
    """What is wrong with the newest checkpoint; empty where nothing is."""
    try:
        checkpoint = open_note(note, key)
    except NoteError as error:
        return f"its newest checkpoint: {error.message}"
    group = _one(connection, "SELECT root FROM log_groups WHERE size = ?", checkpoint.size)
    if not group or group[0] != checkpoint.root:
        return f"its newest checkpoint, of {checkpoint.size} entries, is not of this log"
    return ""


def _one(connection: sqlite3.Connection, statement: str, *values: object) -> tuple[Any, ...]:
    """The first row, or nothing."""
    row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
    return row or ()
