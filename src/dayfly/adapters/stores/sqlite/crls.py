"""CRLs in SQLite: the newest one of each partition, and what is revoked in it.

Rules: one row a partition, put in place of the one before it or not at all; what is revoked is read by an index that
holds revoked leaves of long life only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from dayfly.adapters.stores.sqlite.certificates import LIVES_LONG
from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.core.x509.crl import RevokedLeaf
from dayfly.errors import Conflict
from dayfly.ports.crls import CRLHead, StoredCRL

_HEAD = "partition, number, this_update, next_update, entries, digest"
_REVOKED = f"""
    SELECT serial, revoked_at, revocation_reason FROM certificates INDEXED BY revoked_long_certificates
    WHERE revoked_at IS NOT NULL AND {LIVES_LONG} AND not_after >= ? AND not_after < ?
"""  # noqa: S608 - ours

Work = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]


class CRLTable:
    """The newest CRL of each partition."""

    def __init__(self, reader: Reader, work: Work) -> None:
        """`work` carries statements through the writer."""
        self._reader = reader
        self._work = work

    async def crl(self, partition: int) -> StoredCRL | None:
        """The newest of this partition."""
        row = self._reader.one(f"SELECT der, {_HEAD} FROM crls WHERE partition = ?", partition)  # noqa: S608 - ours
        return None if row is None else StoredCRL(_parse_head(row[1:]), row[0])

    async def heads(self) -> tuple[CRLHead, ...]:
        """Those of all partitions."""
        return tuple(map(_parse_head, self._reader.all(f"SELECT {_HEAD} FROM crls ORDER BY partition")))  # noqa: S608 - ours

    async def revoked(self, begin: datetime, end: datetime) -> tuple[RevokedLeaf, ...]:
        """The revoked leaves that need a CRL and end in this span."""
        rows = self._reader.all(_REVOKED, int(begin.timestamp()), int(end.timestamp()))
        return tuple(RevokedLeaf(int(serial, 16), _moment(at), reason or 0) for serial, at, reason in rows)

    async def keep(self, crl: StoredCRL, *, after: int) -> None:
        """Put it in place of number `after`; Conflict."""
        head = crl.head
        values = (
            head.partition, head.number, int(head.this_update.timestamp()), int(head.next_update.timestamp()),
            head.entries, head.digest, crl.der,
        )  # fmt: skip

        def put(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT number FROM crls WHERE partition = ?", (head.partition,)).fetchone()
            if (0 if row is None else row[0]) != after:
                raise Conflict("another CRL of this partition was made meanwhile")
            connection.execute(f"INSERT OR REPLACE INTO crls ({_HEAD}, der) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - ours

        await self._work(put)

    async def drop(self, before: int) -> int:
        """Forget partitions below `before`; where there are none, nothing is written."""
        if self._reader.one("SELECT 1 FROM crls WHERE partition < ?", before) is None:
            return 0
        gone = await self._work(
            lambda connection: connection.execute("DELETE FROM crls WHERE partition < ?", (before,)).rowcount
        )
        return int(gone)


def _parse_head(row: tuple[Any, ...]) -> CRLHead:
    partition, number, this_update, next_update, entries, digest = row
    return CRLHead(partition, number, _moment(this_update), _moment(next_update), entries, digest)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
