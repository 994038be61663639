"""Joins what clients hold with what the CA has (reliability.md 3): acknowledged is a subset of stored, and of logged.

Rules: the database is only read, beside the running server, in one transaction a look; every line and every log entry
is looked at once; a fault is a sentence, and one is too many.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from crash.ledger import LedgerReader, Line
from dayfly.core.ids import serial_row_id
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, Frontier, extend, leaf_hash, root_hash

ISSUED, ACCOUNT = 2, 4  # kinds of log entries
WRONG_PROBLEMS = (
    "serverInternal 500",
    "accountDoesNotExist",
    "malformed",
    "incorrectResponse",
    "another key",
    "accepted twice",
)


def id_of(url: str) -> int:
    """The row id that a URL ends in."""
    return int(url.rpartition("/")[2], 16)


@dataclass(slots=True)
class Checker:
    """What was seen so far, and every fault that was found."""

    database: Path
    ledgers: LedgerReader
    acknowledged: int = 0
    certificates: int = 0
    errors: int = 0
    faults: list[str] = field(default_factory=list)
    size: int = 0
    _frontier: Frontier = EMPTY_FRONTIER
    _logged: dict[str, str] = field(default_factory=dict)
    _accounts: set[int] = field(default_factory=set)
    _keys: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Read what is new in ledgers and log, and hold it against the tables."""
        lines = list(self.ledgers.new_lines())  # first: what is acknowledged is stored already
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as connection:
            connection.execute("BEGIN")
            self._read_log(connection)
            for line in lines:
                self._check(connection, line)
            self._check_tables(connection)

    def _read_log(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT idx, leaf_hash, body FROM log_entries WHERE idx >= ? ORDER BY idx", (self.size,)
        )
        for index, leaf, body in rows.fetchall():
            if index != self.size or leaf != leaf_hash(body):
                self.faults.append(f"log entry {index} is not the one that belongs at {self.size}")
            self._frontier = extend(self._frontier, [leaf])
            self.size += 1
            self._note(json.loads(body))
        size, root = connection.execute("SELECT size, root FROM log_head").fetchone()
        if (size, root) != (self.size, root_hash(self._frontier)):
            self.faults.append(f"the log's head of size {size} is not that of its {self.size} entries")

    def _note(self, entry: dict[str, object]) -> None:
        if entry["t"] == ISSUED:
            serial = f"{int(str(entry['serial'])):x}"
            if serial in self._logged:
                self.faults.append(f"serial {serial} is in the log twice")
            self._logged[serial] = str(entry["fingerprint"])
            if entry["spki_hash"] in self._keys:
                self.faults.append(f"two certificates were issued for one request: the second is {serial}")
            self._keys.add(str(entry["spki_hash"]))
        elif entry["t"] == ACCOUNT:
            self._accounts.add(int(str(entry["account_id"])))

    def _check(self, connection: sqlite3.Connection, line: Line) -> None:
        """One line against tables and log."""
        if line.what == "error":
            self.errors += 1
            refused = line.error.startswith("step ") and not line.error.startswith("step 503")
            if refused or any(word in line.error for word in WRONG_PROBLEMS):
                self.faults.append(f"client {line.id} was told: {line.error}")
            return
        self.acknowledged += 1
        if not self._is_there(connection, line):
            self.faults.append(f"acknowledged to client {line.id}, and not there: {line.what} {line.url}{line.serial}")

    def _is_there(self, connection: sqlite3.Connection, line: Line) -> bool:
        match line.what:
            case "account":
                found = connection.execute("SELECT 1 FROM accounts WHERE id = ?", (id_of(line.url),)).fetchone()
                return found is not None and id_of(line.url) in self._accounts
            case "order" | "ready":
                found = connection.execute("SELECT status FROM orders WHERE id = ?", (id_of(line.url),)).fetchone()
                return found is not None and (line.what == "order" or found[0] in {"ready", "valid"})
            case "valid":
                found = connection.execute("SELECT 1 FROM certificates WHERE id = ?", (id_of(line.url),)).fetchone()
                return found is not None
            case "used":
                return line.digest in self._keys
            case "certificate":
                self.certificates += 1
                row_id = serial_row_id(int(line.serial, 16))  # by id: there is no index on serials
                found = connection.execute("SELECT serial, der FROM certificates WHERE id = ?", (row_id,)).fetchall()
                seen = [(serial, hashlib.sha256(der).hexdigest()) for serial, der in found]
                return seen == [(line.serial, line.digest)] == [(line.serial, self._logged.get(line.serial, ""))]
        return False

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        """What must hold of the tables alone."""
        for question, fault in QUESTIONS.items():
            found = [f"{fault}: {row[0]}" for row in connection.execute(question).fetchall()]
            self.faults += [one for one in found if one not in self.faults]
        (stored,) = connection.execute("SELECT count(*) FROM certificates").fetchone()
        if stored != len(self._logged):
            self.faults.append(f"{stored} certificates are stored and {len(self._logged)} are logged")


QUESTIONS = {
    "SELECT serial FROM certificates GROUP BY serial HAVING count(*) > 1": "a serial stands twice",
    "SELECT order_id FROM certificates WHERE order_id IS NOT NULL GROUP BY order_id HAVING count(*) > 1": (
        "an order has two certificates"
    ),
    "SELECT id FROM orders WHERE status = 'processing'": "an order is stuck in processing",
    "SELECT id FROM orders WHERE status = 'invalid'": "an order became invalid without a cause",
    "SELECT id FROM orders WHERE status = 'valid' AND id NOT IN "
    "(SELECT order_id FROM certificates WHERE order_id IS NOT NULL)": "a valid order has no certificate",
}
