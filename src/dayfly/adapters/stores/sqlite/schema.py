"""The schema, brought up to date.

Rules: a change is a transaction of its own, made once, whichever process comes first; a newer schema is left alone.
"""

from __future__ import annotations

import sqlite3

from dayfly.adapters.stores import migrations
from dayfly.errors import Unavailable


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [one.strip() for one in "\n".join(lines).split(";") if one.strip()]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each change in a transaction of its own; Unavailable for a newer one.

    Nothing is locked where nothing is to do: a command starts beside a busy server.
    """
    changes = migrations()
    version, newest = _schema_version(connection), changes[-1][0]
    if version > newest:
        raise Unavailable(
            f"the database has schema {version}, this Dayfly knows {newest}",
            hint="run the Dayfly that made it, or a newer one",
        )
    for number, script in changes:
        if version < number:
            _change_schema(connection, number, script)


def _change_schema(connection: sqlite3.Connection, number: int, script: str) -> None:
    """One change, unless another process came first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _schema_version(connection) < number:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
