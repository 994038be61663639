"""Finding orders in a home's database: pages of it are read until enough fit, so that memory is bounded."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.adapters.system import SystemClock
from dayfly.config.values import Config
from dayfly.core.acme.authorizations import row_as_of, row_ids_of, with_rows
from dayfly.core.acme.objects import Certificate, Order, OrderStatus, SharedAuthorization
from dayfly.core.fleet.selecting import is_met
from dayfly.core.ids import render_id
from dayfly.core.policy.rules import RuleError, parse_pattern
from dayfly.errors import NotFound, UsageError
from dayfly.ports.reads import OrderSlice
from dayfly.ports.store import Store
from dayfly.wiring.commands import opened

ROWS = 500  # orders that are read at a time, about half a megabyte


@dataclass(frozen=True, slots=True)
class Asked:
    """Which orders: all, but for what is given."""

    account_id: int | None = None
    status: OrderStatus | None = None
    name: str = ""
    provisioner: str = ""
    before: int | None = None

    def takes(self, order: Order) -> bool:
        """Is the order, as of now, one of them?"""
        return (
            (self.account_id is None or order.account_id == self.account_id)
            and (self.status is None or order.status is self.status)
            and (not self.provisioner or order.provisioner == self.provisioner)
            and (not self.name or any(is_met(self.name, one) for one in order.identifiers))
        )


def check_name(name: str) -> None:
    """Raise UsageError for a pattern that is none."""
    if name.startswith("*"):
        try:
            parse_pattern(name, what="--name")
        except RuleError as error:
            raise UsageError(error.message, hint=error.hint) from None


async def page_of(config: Config, asked: Asked, *, limit: int) -> OrderSlice:
    """The newest orders that are asked for, and before which one the next are; None where all rows were read."""
    found: list[Order] = []
    before = asked.before
    async with opened(config) as store:
        while True:
            rows = await store.orders.orders(before=before, limit=ROWS)
            for one in rows:
                order = await as_of_now(store, one)
                if asked.takes(order):
                    found.append(order)
                if len(found) == limit:
                    return OrderSlice(tuple(found), one.id)
            if len(rows) < ROWS:
                return OrderSlice(tuple(found), None)
            before = rows[-1].id


async def order_of(config: Config, order_id: int) -> tuple[Order, Certificate | None]:
    """One order as of now, and its certificate if it has one; UsageError where it is not there."""
    async with opened(config) as store:
        try:
            order = await as_of_now(store, await store.orders.order(order_id))
            if order.certificate_id is None:
                return order, None
            return order, await store.certificates.certificate(order.certificate_id)
        except NotFound:
            raise UsageError(
                f"there is no order {render_id(order_id)}",
                hint="orders go a day after their end; list those that there are: dayfly ca order list",
            ) from None


async def as_of_now(store: Store, order: Order) -> Order:
    """The order as of now, by its rows where it has some."""
    now = SystemClock().now()
    rows: dict[int, SharedAuthorization] = {}
    for row_id in row_ids_of(order):
        try:
            rows[row_id] = row_as_of(await store.authorizations.authorization(row_id), now)
        except NotFound:
            continue
    return with_rows(order, rows, now)
