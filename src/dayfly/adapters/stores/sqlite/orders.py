"""Orders and authorizations as SQLite has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dayfly.adapters.stores import rows
from dayfly.adapters.stores.sqlite.reader import FEW, TOP, Reader
from dayfly.adapters.stores.sqlite.recent import RecentRows
from dayfly.core.acme.objects import Order, SharedAuthorization
from dayfly.core.identifiers import Identifier
from dayfly.errors import NotFound
from dayfly.ports.reads import LIVE_ONES, OrderSlice


class OrderTable:
    """Orders."""

    def __init__(self, reader: Reader, recent: RecentRows) -> None:
        """Read through `reader` what is not among the recent ones."""
        self._reader = reader
        self._recent = recent

    async def order(self, order_id: int) -> Order:
        """The order with this id; NotFound."""
        known = self._recent.order(order_id)
        if known is not None:
            return known
        row = self._reader.one("SELECT document FROM orders WHERE id = ?", order_id)
        if row is None:
            raise NotFound(f"no order {order_id:016x}")
        order = rows.parse_order(row[0])
        self._recent.keep(order)
        return order

    async def open_orders(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """The account's pending and ready orders, newest first; a few are read where single rows are."""
        read = self._reader.few if limit <= FEW else self._reader.all
        statement = (
            "SELECT document FROM orders WHERE account_id = ? AND status IN ('pending', 'ready') "
            "ORDER BY id DESC LIMIT ?"
        )
        return tuple([rows.parse_order(row[0]) for row in read(statement, account_id, limit)])

    async def count_open_orders(self, account_id: int, *, since: int) -> int:
        """How many orders of the account with ids from `since` on are pending or ready."""
        statement = "SELECT count(*) FROM orders WHERE account_id = ? AND id >= ? AND status IN ('pending', 'ready')"
        return int((self._reader.one(statement, account_id, since) or (0,))[0])

    async def count_open_authorizations(self, account_id: int, *, since: int) -> int:
        """How many authorizations these orders have together; reads them all."""
        statement = (
            "SELECT sum(json_array_length(CAST(document AS TEXT), '$.authorizations')) FROM orders "
            "WHERE account_id = ? AND id >= ? AND status IN ('pending', 'ready')"
        )
        return int((self._reader.one(statement, account_id, since) or (None,))[0] or 0)

    async def orders_of(self, account_id: int, *, before: int | None, limit: int) -> OrderSlice:
        """A slice of the account's orders."""
        statement = (
            "SELECT document FROM orders WHERE account_id = ? AND id < ? AND status != 'invalid' "
            "ORDER BY id DESC LIMIT ?"
        )
        found = self._reader.all(statement, account_id, TOP if before is None else before, limit)
        orders = tuple(rows.parse_order(row[0]) for row in found)
        return OrderSlice(orders, orders[-1].id if len(orders) == limit else None)

    async def account_orders(self, account_id: int, *, since: int, below: int, limit: int) -> tuple[Order, ...]:
        """The account's orders with ids from `since` on and below `below`, newest first."""
        statement = (
            "SELECT document FROM orders INDEXED BY orders_of_account WHERE account_id = ? AND id >= ? AND id < ? "
            "ORDER BY id DESC LIMIT ?"
        )
        return tuple(rows.parse_order(row[0]) for row in self._reader.all(statement, account_id, since, below, limit))

    async def orders(self, *, before: int | None, limit: int) -> tuple[Order, ...]:
        """A page of all orders, newest first."""
        statement = "SELECT document FROM orders WHERE id < ? ORDER BY id DESC LIMIT ?"
        found = self._reader.all(statement, TOP if before is None else before, limit)
        return tuple(rows.parse_order(row[0]) for row in found)

    async def order_counts(self) -> dict[str, int]:
        """How many orders there are in each status."""
        return dict(self._reader.all("SELECT status, count(*) FROM orders GROUP BY status"))


class AuthorizationTable:
    """Authorizations in rows of their own."""

    _LIVE = (
        "SELECT document FROM authorizations WHERE account_id = ? AND identifier = ? AND expires > ? "
        "AND status IN ('pending', 'valid') ORDER BY id DESC LIMIT ?"
    )

    def __init__(self, reader: Reader) -> None:
        """Read through `reader`."""
        self._reader = reader

    async def authorization(self, row_id: int) -> SharedAuthorization:
        """The one with this id; NotFound."""
        row = self._reader.one("SELECT document FROM authorizations WHERE id = ?", row_id)
        if row is None:
            raise NotFound(f"no authorization {row_id:016x}")
        return rows.parse_authorization(row[0])

    async def live_authorizations(
        self, account_id: int, identifiers: Sequence[Identifier], *, now: datetime
    ) -> tuple[SharedAuthorization, ...]:
        """The account's pending and valid ones for these names that end after `now`."""
        found: list[tuple[Any, ...]] = []
        for one in identifiers:
            name = rows.identifier_column(one)
            found += self._reader.all(self._LIVE, account_id, name, int(now.timestamp()), LIVE_ONES)
        return tuple(rows.parse_authorization(row[0]) for row in found)

    async def count_pending(self, account_id: int, *, now: datetime) -> int:
        """How many of the account's are pending and end after `now`."""
        statement = (
            "SELECT count(*) FROM authorizations WHERE account_id = ? AND expires > ? "
            "AND status IN ('pending', 'valid') AND status = 'pending'"
        )
        return int((self._reader.one(statement, account_id, int(now.timestamp())) or (0,))[0])
