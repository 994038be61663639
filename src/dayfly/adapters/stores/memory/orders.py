"""Orders and authorizations in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from dayfly.core.acme.objects import AuthorizationStatus, Order, OrderStatus, SharedAuthorization
from dayfly.core.identifiers import Identifier
from dayfly.errors import NotFound
from dayfly.ports.reads import LIVE_ONES, OrderSlice

_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.READY})
_LIVE_AUTHORIZATIONS = frozenset({AuthorizationStatus.PENDING, AuthorizationStatus.VALID})
_LISTED = frozenset(OrderStatus) - {OrderStatus.INVALID}


class MemoryOrders:
    """Orders."""

    def __init__(self, rows: dict[int, Order]) -> None:
        """Read these rows."""
        self._rows = rows

    async def order(self, order_id: int) -> Order:
        """The order with this id; NotFound."""
        if order_id not in self._rows:
            raise NotFound(f"no order {order_id:016x}")
        return self._rows[order_id]

    async def open_orders(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """The account's pending and ready orders, newest first."""
        return tuple(sorted(self._open(account_id), key=lambda one: -one.id)[:limit])

    async def count_open_orders(self, account_id: int, *, since: int) -> int:
        """How many orders of the account with ids from `since` on are pending or ready."""
        return sum(one.id >= since for one in self._open(account_id))

    async def count_open_authorizations(self, account_id: int, *, since: int) -> int:
        """How many authorizations these orders have together."""
        return sum(len(one.authorizations) for one in self._open(account_id) if one.id >= since)

    async def orders_of(self, account_id: int, *, before: int | None, limit: int) -> OrderSlice:
        """All of the account's orders that are asked for, at one look."""
        mine = [one for one in self._rows.values() if one.account_id == account_id and one.status in _LISTED]
        below = sorted((one for one in mine if before is None or one.id < before), key=lambda one: -one.id)
        orders = tuple(below[:limit])
        return OrderSlice(orders, orders[-1].id if len(orders) == limit else None)

    async def account_orders(self, account_id: int, *, since: int, below: int, limit: int) -> tuple[Order, ...]:
        """The account's orders with ids from `since` on and below `below`, newest first."""
        found = [one for one in self._rows.values() if one.account_id == account_id and since <= one.id < below]
        return tuple(sorted(found, key=lambda one: -one.id)[:limit])

    async def orders(self, *, before: int | None, limit: int) -> tuple[Order, ...]:
        """A page of all orders, newest first."""
        keys = sorted((key for key in self._rows if before is None or key < before), reverse=True)
        return tuple(self._rows[key] for key in keys[:limit])

    async def order_counts(self) -> dict[str, int]:
        """How many orders there are in each status."""
        return dict(Counter(one.status.value for one in self._rows.values()))

    def _open(self, account_id: int) -> list[Order]:
        return [one for one in self._rows.values() if one.account_id == account_id and one.status in _OPEN]


class MemoryAuthorizations:
    """Authorizations in rows of their own."""

    def __init__(self, rows: dict[int, SharedAuthorization]) -> None:
        """Read these rows."""
        self._rows = rows

    async def authorization(self, row_id: int) -> SharedAuthorization:
        """The one with this id; NotFound."""
        if row_id not in self._rows:
            raise NotFound(f"no authorization {row_id:016x}")
        return self._rows[row_id]

    async def live_authorizations(
        self, account_id: int, identifiers: Sequence[Identifier], *, now: datetime
    ) -> tuple[SharedAuthorization, ...]:
        """The account's pending and valid ones for these names that end after `now`."""
        found: list[SharedAuthorization] = []
        for name in identifiers:
            mine = [one for one in self._live(account_id, now) if one.authorization.identifier == name]
            found += sorted(mine, key=lambda one: -one.id)[:LIVE_ONES]
        return tuple(found)

    async def count_pending(self, account_id: int, *, now: datetime) -> int:
        """How many of the account's are pending and end after `now`."""
        return sum(one.authorization.status == "pending" for one in self._live(account_id, now))

    def _live(self, account_id: int, now: datetime) -> list[SharedAuthorization]:
        mine = [one for one in self._rows.values() if one.account_id == account_id]
        return [
            one for one in mine if one.authorization.expires > now and one.authorization.status in _LIVE_AUTHORIZATIONS
        ]
