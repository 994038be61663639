"""`dayfly ca order`: what clients have asked for by ACME, how far it is, and why it failed.

Rules: orders are read beside a running CA, as of now, and nothing is changed; a list is a page, newest first, and says
where the next one begins; a challenge's token is told to nobody here.

Modules: `reading` finds orders, `showing` makes objects and lines of them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from dayfly.cli.order import reading, showing
from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.core.acme.objects import OrderStatus
from dayfly.core.ids import parse_id, render_id
from dayfly.errors import UsageError
from dayfly.wiring.homes import enter_home

_states = click.Choice([one.value for one in OrderStatus])


@click.group()
def order() -> None:
    """Look at ACME orders."""


@order.command(name="list")
@home_option
@click.option("--account", metavar="ID", help="Only this account's; the ID is the last part of its URL.")
@click.option("--state", type=_states, help="Only those in this state, as of now.")
@click.option("--name", help="Only those with this name, or one of *.a.b (one label), **.a.b (any depth).")
@click.option("--provisioner", help="Only this provisioner's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@click.option("--before", metavar="ID", help="Only orders made before this one: the next page.")
@json_option
def list_(home: str | None, limit: int, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """List the orders of the last day, newest first."""
    asked = reading.Asked(
        account_id=_id(options["account"], "--account"),
        status=None if options["state"] is None else OrderStatus(options["state"]),
        name=options["name"] or "",
        provisioner=options["provisioner"] or "",
        before=_id(options["before"], "--before"),
    )
    reading.check_name(asked.name)
    page = asyncio.run(reading.page_of(enter_home(home), asked, limit=limit))
    if as_json:
        emit([showing.document(one) for one in page.orders])
    elif page.orders:
        click.echo(showing.table(page.orders))
    else:
        say("No order of the last day is so.")
    if page.following is not None:
        say(f"There may be more: add --before {render_id(page.following)}")


@order.command()
@click.argument("order_id", metavar="ID")
@home_option
@json_option
def show(order_id: str, home: str | None, as_json: bool) -> None:
    """Show one order with its authorizations and what went wrong; the ID is the last part of its URL."""
    wanted = _id(order_id, "the order's ID")
    found, certificate = asyncio.run(reading.order_of(enter_home(home), wanted or 0))
    if as_json:
        emit(showing.full_document(found, certificate))
    else:
        click.echo("\n".join(showing.lines(found, certificate)))


def _id(text: str | None, what: str) -> int | None:
    """The row id in an option; UsageError."""
    if text is None:
        return None
    row_id = parse_id(text.rstrip("/").rpartition("/")[2])
    if row_id is None:
        raise UsageError(
            f"{what}: {text[:80]!r} is no ID", hint="give the last part of the URL, 16 hexadecimal digits, or the URL"
        )
    return row_id
