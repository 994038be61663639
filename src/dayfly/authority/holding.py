"""Authorizations wherever they are kept: inside an order's row, or in one of their own.

Rules: a reference says which it is; every read for a client checks the account (RFC 8555 10.5).
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from dayfly.authority.authorizations import give_up_row, load_row, with_orders
from dayfly.authority.context import Authority
from dayfly.authority.orders import give_up_authorization, load_order
from dayfly.core.acme.authorizations import settle_row
from dayfly.core.acme.challenges import SettledBy, settle
from dayfly.core.acme.objects import OWN_ROW, Account, Authorization, AuthorizationRef, Order
from dayfly.core.problems import NoSuchResource
from dayfly.ports.changes import Record


class Held(msgspec.Struct, frozen=True):
    """An authorization as of now, its reference, and the order that it belongs to alone, if it does."""

    ref: AuthorizationRef
    provisioner: str
    authorization: Authorization
    order: Order | None = None


async def load_held(authority: Authority, account: Account, ref: AuthorizationRef) -> Held:
    """The account's own; NoSuchResource."""
    if ref.index == OWN_ROW:
        row = await load_row(authority, account, ref.order_id)
        return Held(ref, row.provisioner, row.authorization)
    return _in_order(await load_order(authority, account, ref.order_id), ref)


async def give_up_held(authority: Authority, account: Account, ref: AuthorizationRef) -> Held:
    """The authorization once its owner gave it up (RFC 8555 7.5.2)."""
    if ref.index == OWN_ROW:
        row = await give_up_row(authority, account, ref.order_id)
        return Held(ref, row.provisioner, row.authorization)
    return _in_order(await give_up_authorization(authority, account, ref.order_id, ref.index), ref)


def _in_order(order: Order, ref: AuthorizationRef) -> Held:
    """The order's authorization at this index; one that has a row of its own has no other address."""
    if ref.index >= len(order.authorizations) or order.authorizations[ref.index].row_id is not None:
        raise NoSuchResource("there is no such authorization")
    return Held(ref, order.provisioner, order.authorizations[ref.index], order)


async def settled_rows(authority: Authority, ref: AuthorizationRef, by: SettledBy, now: datetime) -> tuple[Record, ...]:
    """What a validation's outcome changes, as rows to be updated; nothing where it comes too late to matter."""
    if ref.index == OWN_ROW:
        row = settle_row(await authority.store.authorizations.authorization(ref.order_id), by, now=now)
        return () if row is None else await with_orders(authority, row)
    order = settle(await authority.store.orders.order(ref.order_id), ref.index, by, now=now)
    return () if order is None else (order,)
