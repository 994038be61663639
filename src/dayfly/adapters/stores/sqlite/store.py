"""SQLite: the default store, one file for all processes of a host (architecture.md 6, reliability.md 5).

Rules: reads come from the tables' files, writes go through the writer in groups; where the promises cannot be kept
there is no start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dayfly.adapters.stores.sqlite.accounts import AccountTable, ClaimTable, ExternalKeyTable
from dayfly.adapters.stores.sqlite.certificates import CertificateTable, RenewalTable
from dayfly.adapters.stores.sqlite.connections import connect_reader
from dayfly.adapters.stores.sqlite.crls import CRLTable
from dayfly.adapters.stores.sqlite.denials import DenialTable
from dayfly.adapters.stores.sqlite.engine import SqliteEngine
from dayfly.adapters.stores.sqlite.files import ROOM, full, prepare_file, room_at
from dayfly.adapters.stores.sqlite.folding import Folding
from dayfly.adapters.stores.sqlite.log import LogTable
from dayfly.adapters.stores.sqlite.orders import AuthorizationTable, OrderTable
from dayfly.adapters.stores.sqlite.reader import Reader
from dayfly.adapters.stores.sqlite.reserve import Reserve, is_urgent
from dayfly.adapters.stores.sqlite.settings import SettingsTable
from dayfly.adapters.stores.sqlite.statements import plan_writes
from dayfly.adapters.stores.writer import GroupWriter
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.events import Event
from dayfly.core.ids import make_id
from dayfly.errors import ConfigError, Unavailable
from dayfly.ports.changes import Changes, Receipt
from dayfly.ports.crls import CRLs
from dayfly.ports.denials import Denials
from dayfly.ports.log import LogReads
from dayfly.ports.reads import (
    AccountReads,
    AuthorizationReads,
    CertificateReads,
    ClaimReads,
    ExternalKeyReads,
    OrderReads,
    RenewalReads,
    SettingsReads,
)

OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
FOLD_EVERY = 32  # change sets from the reserve, of some 11,000 octets of the write-ahead log each
ID_TABLES = ("orders", "accounts", "certificates", "authorizations")


def open_sqlite(
    place: str, *, home: Path, notify: Callable[[Sequence[Event]], None], on_fatal: Callable[[Exception], None]
) -> SqliteStore:
    """The store in a file, relative to the home; Unavailable where it cannot keep its promises."""
    path = home / place
    try:
        mode = prepare_file(path)
    except OSError as error:
        raise Unavailable(
            f"the database {path} cannot be opened: {error.strerror}", hint="run as the user who owns the CA's home"
        ) from None
    if mode & 0o077:
        raise ConfigError("database", f"{path} has mode {mode:04o}: others can read it", hint=f"run: chmod 600 {path}")
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigError("database", f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
    try:
        return SqliteStore(path, notify=notify, on_fatal=on_fatal)
    except sqlite3.Error as error:
        if room_at(path) < ROOM:
            raise full() from None
        raise Unavailable(f"the database {path} cannot be used: {error}") from None


def keep_reserve(place: str, *, home: Path) -> None:
    """Have the reserve of a database, for a server that starts."""
    Reserve(home / place).make()


class SqliteStore:
    """The store in one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        notify: Callable[[Sequence[Event]], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """Open, migrate, and check what the promises rest on."""
        self._path = path
        self._engine = SqliteEngine(path)
        try:
            self._reader = Reader(connect_reader(path), self._engine.when_idle)
        except (sqlite3.Error, Unavailable):
            self._engine.close()
            raise
        self._writer = GroupWriter(self._engine, notify=notify, on_fatal=on_fatal)
        self._folding = Folding(path, self._engine.wants_checkpoint)
        self._urgent = 0
        recent = self._engine.recent
        self.accounts: AccountReads = AccountTable(self._reader, recent)
        self.orders: OrderReads = OrderTable(self._reader, recent)
        self.authorizations: AuthorizationReads = AuthorizationTable(self._reader)
        self.certificates: CertificateReads = CertificateTable(self._reader, recent)
        self.renewals: RenewalReads = RenewalTable(self._reader, recent)
        self.external_keys: ExternalKeyReads = ExternalKeyTable(self._reader)
        self.claims: ClaimReads = ClaimTable(self._reader)
        self.settings: SettingsReads = SettingsTable(self._reader, recent)
        self.log: LogReads = LogTable(self._reader, self._write)
        self.denials: Denials = DenialTable(self._reader, self._work)
        self.crls: CRLs = CRLTable(self._reader, self._work)

    async def commit(self, changes: Changes) -> Receipt:
        """Write the change set durably, with its log entries; what is urgent, from the reserve of a full disk."""
        if not is_urgent(changes):
            self._engine.check_reserve()
            return await self._commit(changes)
        try:
            await self._spare_room()
            return await self._commit(changes)
        except Unavailable:
            if not self._engine.reserve.is_spent():
                raise
        await self._spare_room()
        return await self._commit(changes)  # with the room that the first try set free

    async def _spare_room(self) -> None:
        """Where the reserve is spent, have the write-ahead log begin anew before it has used up all of it."""
        if self._engine.reserve.is_empty():
            if self._urgent % FOLD_EVERY == 0:
                await self._folding.fold_now()
            self._urgent += 1

    async def _commit(self, changes: Changes) -> Receipt:
        writes = plan_writes(changes)
        _, size = await self._writer.write(lambda: self._engine.write(writes), changes.events)
        self._folding.fold_if_due()
        return Receipt(size)

    async def prune(self, *, orders_before: datetime, claims_before: datetime, limit: int) -> int:
        """Remove orders that expired before a moment, whose ids say when they were made, authorizations, claims."""
        if self._engine.reserve.is_spent():
            return 0  # what is removed takes room first, in the write-ahead log
        edge = make_id(int((orders_before - ORDER_LIFE).timestamp() * 1000), 0, 0)
        ended = int(orders_before.timestamp())
        gone = await self._prune("orders", "id", edge, limit)
        gone += await self._prune("authorizations", "expires", ended, limit)
        return gone + await self._prune("claims", "expires", int(claims_before.timestamp()), limit)

    async def _prune(self, table: str, column: str, edge: int, limit: int) -> int:
        """Remove rows of a table below an edge; a table without any is not written to."""
        if self._reader.one(f"SELECT 1 FROM {table} WHERE {column} < ? LIMIT 1", edge) is None:  # noqa: S608 - ours
            return 0
        chosen = f"SELECT rowid FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT ?"  # noqa: S608 - ours
        gone = await self._write(f"DELETE FROM {table} WHERE rowid IN ({chosen})", (edge, limit))  # noqa: S608 - ours
        self._engine.recent.forget()
        return gone

    async def check(self) -> None:
        """Raise Unavailable when the store cannot be read, failed, or met a full disk just now."""
        self._reader.one("SELECT 1 FROM settings_revision")
        if self._writer.broken is not None:
            raise Unavailable("the database failed")
        self._engine.check_files()
        self._engine.check_room()

    async def newest_id(self) -> int:
        """The highest row id there is."""
        newest = (self._reader.one(f"SELECT max(id) FROM {table}") for table in ID_TABLES)  # noqa: S608 - ours
        return max(row[0] or 0 for row in newest if row is not None)

    async def size_bytes(self) -> int:
        """The files' sizes together."""
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(one.stat().st_size for one in files if one.exists())

    async def close(self) -> None:
        """Finish what is under way, fold the write-ahead log back, let go of the file."""
        await self._writer.close()
        await self._folding.close()
        self._reader.connection.close()
        self._engine.close()

    async def _write(self, statement: str, values: Sequence[object]) -> int:
        result, _ = await self._writer.write(lambda: self._engine.run(statement, values))
        return int(result)

    async def _work(self, work: Callable[[sqlite3.Connection], Any]) -> Any:  # noqa: ANN401 - what `work` gives
        result, _ = await self._writer.write(lambda: self._engine.work(work))
        self._folding.fold_if_due()
        return result
