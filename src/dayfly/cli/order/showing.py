"""Orders as objects and as lines; a token and a key authorization stand in none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dayfly.cli.tables import render_moment, render_table
from dayfly.core.acme.clients import name_client
from dayfly.core.acme.objects import Authorization, Certificate, Challenge, Order, OrderStatus, StoredProblem
from dayfly.core.ids import render_id

_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING})
HEAD = ("made", "state", "names", "account", "provisioner", "order")


def table(orders: Sequence[Order]) -> str:
    """A line each."""
    rows = [
        (
            render_moment(one.created_at),
            one.status.value,
            _names(one),
            render_id(one.account_id),
            one.provisioner,
            render_id(one.id),
        )
        for one in orders
    ]
    return render_table(HEAD, rows)


def _names(order: Order) -> str:
    first, *more = (one.value for one in order.identifiers)
    return f"{first} +{len(more)}" if more else first


def document(order: Order) -> dict[str, Any]:
    """The order as an object."""
    return {
        "order": render_id(order.id),
        "account": render_id(order.account_id),
        "provisioner": order.provisioner,
        "state": order.status.value,
        "names": [one.value for one in order.identifiers],
        "profile": order.profile,
        "created": render_moment(order.created_at),
        "expires": render_moment(order.expires),
        "not_before": None if order.not_before is None else render_moment(order.not_before),
        "not_after": None if order.not_after is None else render_moment(order.not_after),
        "error": None if order.error is None else _problem(order.error),
    }


def full_document(order: Order, certificate: Certificate | None) -> dict[str, Any]:
    """The same with its authorizations, their challenges, and the certificate's serial as `ca list` has it."""
    return {
        **document(order),
        "client": name_client(order.user_agent) or None,
        "user_agent": order.user_agent or None,
        "serial_hex": None if certificate is None else f"{certificate.serial:x}",
        "authorizations": [_authorization(one) for one in order.authorizations],
    }


def _authorization(one: Authorization) -> dict[str, Any]:
    return {
        "name": one.identifier.value,
        "state": one.status.value,
        "expires": render_moment(one.expires),
        "proved_by": one.validated_by,
        "proved_at": one.validated_address,
        "shared": None if one.row_id is None else render_id(one.row_id),
        "challenges": [_challenge(challenge) for challenge in one.challenges],
    }


def _challenge(one: Challenge) -> dict[str, Any]:
    return {
        "type": one.type,
        "state": one.status.value,
        "tries": one.attempts,
        "validated": None if one.validated_at is None else render_moment(one.validated_at),
        "error": None if one.error is None else _problem(one.error),
    }


def _problem(problem: StoredProblem) -> dict[str, Any]:
    found: dict[str, Any] = {"type": problem.type, "detail": problem.detail}
    if problem.identifier is not None:
        found["name"] = problem.identifier.value
    if problem.subproblems:
        found["subproblems"] = [_problem(one) for one in problem.subproblems]
    return found


def lines(order: Order, certificate: Certificate | None) -> Iterator[str]:
    """The order for a person."""
    yield f"order {render_id(order.id)}: {order.status.value}"
    yield f"  account {render_id(order.account_id)} of provisioner {order.provisioner}"
    if order.user_agent:
        yield f"  asked by {order.user_agent}"
    open_until = f", to be finished by {render_moment(order.expires)}" if order.status in _OPEN else ""
    yield f"  made {render_moment(order.created_at)}{open_until}"
    if certificate is not None:
        yield f"  certificate 0x{certificate.serial:x}, until {render_moment(certificate.not_after)}"
    if order.error is not None:
        yield f"  {order.error.type}: {order.error.detail}"
    for one in order.authorizations:
        shared = f", shared as {render_id(one.row_id)}" if one.row_id is not None else ""
        yield f"  {one.identifier.value}: {one.status.value}{_proof(one)}{shared}"
        for challenge in one.challenges:
            if challenge.error is not None:
                yield f"    {challenge.type}, {challenge.attempts} tries: {challenge.error.detail}"


def _proof(one: Authorization) -> str:
    return f" by {one.validated_by} at {one.validated_address}" if one.validated_by else ""
