"""`dayfly ca limits`: what there is of limits, and the way to lift the pause of an account and a name.

Rules: what was used is in the memory of the running CA and is not asked for; a pause is lifted by a row that the CA
looks at when it would refuse, so that it needs no restart, and nothing pauses the pair again for a week.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.output import emit, home_option, json_option, say, tick
from dayfly.cli.tables import render_moment, render_table
from dayfly.core.identifiers import Identifier, parse_name
from dayfly.core.ids import parse_id, render_id
from dayfly.core.policy.lifetimes import render_duration
from dayfly.core.policy.limits import UNPAUSED_FOR, LimitFacts, facts_of
from dayfly.core.problems import Refused
from dayfly.errors import UsageError
from dayfly.wiring.commands import unpause_in
from dayfly.wiring.homes import enter_home


@click.group()
def limits() -> None:
    """Show the limits, and unpause an account."""


@limits.command()
@home_option
@json_option
def show(home: str | None, as_json: bool) -> None:
    """List the limits and whether they are on."""
    config = enter_home(home)
    enabled, facts = config.limits_enabled, facts_of(config.limit_figures)
    if as_json:
        emit({"enabled": enabled, "limits": [_document(one) for one in facts]})
        return
    rows = [(one.limit, str(one.count), _window(one) or "–", one.each) for one in facts]
    click.echo(render_table(("limit", "most", "in", "for each"), rows))
    say("Windows are never longer than the certificates' life; private sources have ten times as much.")
    if not enabled:
        say("! They are switched off: [limits] enabled = false in ca.toml")


@limits.command()
@click.argument("account")
@click.argument("names", nargs=-1, required=True)
@home_option
@json_option
def unpause(account: str, names: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Let an account (its id, or its URL) ask for names again that failed too often in a row."""
    account_id = parse_id(account.rstrip("/").rpartition("/")[2])
    if account_id is None:
        raise UsageError(f"{account!r} is no id of an account", hint="take it from the refusal, or the account's URL")
    plain = tuple(dict.fromkeys(_name(one).value.removeprefix("*.") for one in names))
    until = SystemClock().now() + UNPAUSED_FOR
    asyncio.run(unpause_in(enter_home(home), account_id, plain, until=until))
    if as_json:
        emit({"account": render_id(account_id), "names": plain, "until": render_moment(until)})
    for name in () if as_json else plain:
        tick("Unpaused", f"{name} for account {render_id(account_id)}, until {render_moment(until)} whatever fails")


def _name(text: str) -> Identifier:
    try:
        return parse_name(text)
    except Refused as error:
        raise UsageError(f"{text!r} is not a name that a certificate can have: {error.detail}") from None


def _window(one: LimitFacts) -> str:
    return "" if one.rate is None else render_duration(one.rate.window)


def _document(one: LimitFacts) -> dict[str, Any]:
    seconds = None if one.rate is None else int(one.rate.window.total_seconds())
    return {"limit": one.limit, "most": one.count, "seconds": seconds, "each": one.each}
