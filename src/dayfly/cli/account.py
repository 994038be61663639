"""`dayfly ca account`: the ACME accounts of a CA, seen, held to scopes of their own and ended by its operator.

Rules: an account is told by its id, the last part of its URL, or by the URL; one that is ended is `revoked`, as RFC
8555 7.1.2 has it for what the server does, and its open orders are invalid for good; its certificates stay until they
expire or are revoked; what is said of a scope takes the place of that part, and what is not said stays.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.eab.flags import account_scope_options, scope_of
from dayfly.cli.eab.showing import scope_document
from dayfly.cli.output import emit, home_option, json_option, say, tick
from dayfly.cli.tables import render_moment, render_table
from dayfly.core.acme.account_scopes import NO_SCOPE, amend_scope, own_scope
from dayfly.core.acme.clients import name_client
from dayfly.core.acme.habits import Advice
from dayfly.core.acme.objects import Account, AccountStatus
from dayfly.core.ids import parse_id, render_id
from dayfly.errors import UsageError
from dayfly.wiring.external_accounts import (
    AccountView,
    accounts_of,
    change_scope_of,
    end_account_of,
    view_account_of,
)
from dayfly.wiring.homes import enter_home

_HEAD = ("id", "provisioner", "status", "created", "external account", "scope", "client", "contacts")


@click.group()
def account() -> None:
    """List, show, narrow and end ACME accounts."""


@account.command(name="list")
@home_option
@click.option("--provisioner", default="", help="Those of one provisioner only.")
@click.option("--eab-key-id", "kid", default="", help="Those that this external account key bound only.")
@click.option("--client", default="", help="Those whose client's name begins so, as `certbot`.")
@click.option("--all", "everything", is_flag=True, help="Those that were deactivated or ended, too.")
@json_option
def list_(home: str | None, provisioner: str, kid: str, client: str, everything: bool, as_json: bool) -> None:
    """List ACME accounts, those first that were made first.

    A client that cannot be expected to renew in time is told of below the table.
    """
    found = [
        (one, advice)
        for one, advice in asyncio.run(accounts_of(enter_home(home), SystemClock().now()))
        if provisioner in {"", one.provisioner}
        and kid in {"", one.external_key}
        and name_client(one.user_agent).lower().startswith(client.lower())
        and (everything or one.status is AccountStatus.VALID)
    ]
    if as_json:
        emit([{**_document(one), "advice": _advice(advice)} for one, advice in found])
    elif found:
        click.echo(render_table(_HEAD, [_line(one) for one, _ in found]))
        for told in dict.fromkeys(advice for _, advice in found if advice is not None):
            say(f"! {told.client} {told.says}; {told.change}")
    else:
        say("there are no such accounts")


@account.command()
@click.argument("name", metavar="ID")
@home_option
@json_option
def show(name: str, home: str | None, as_json: bool) -> None:
    """Show an account: whose it is, what binds it, what it has."""
    view = asyncio.run(view_account_of(enter_home(home), _id(name), SystemClock().now()))
    document = {**_document(view.account), "thumbprint": view.account.thumbprint, **_more(view)}
    if as_json:
        emit(document)
        return
    advice = "" if view.advice is None else f"{view.advice.client} {view.advice.says}; {view.advice.change}"
    for label, value in {**document, "scope": _scope_text(view.account), "advice": advice}.items():
        click.echo(f"{label.replace('_', ' ')}: {_text(value)}")


@account.command()
@click.argument("name", metavar="ID")
@home_option
@account_scope_options
@click.option("--no-scope", "anew", is_flag=True, help="Drop the scope that it has; with other flags, begin anew.")
@json_option
def update(name: str, home: str | None, anew: bool, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Hold an account to less than the rules give; its next order or renewal is judged by it.

    Each flag replaces that part of its scope, and what is not named stays.
    """
    account_id, asked = _id(name), scope_of(options)
    if not anew and asked == NO_SCOPE:
        raise UsageError("nothing is to be changed", hint="say what it is held to, as --allow NAME, or --no-scope")
    change = asyncio.run(
        change_scope_of(enter_home(home), account_id, lambda scope: amend_scope(NO_SCOPE if anew else scope, asked))
    )
    changed, is_other = change
    if as_json:
        emit(_document(changed))
        return
    what = f"is held to: {_scope_text(changed)}" if changed.scope else "has no scope of its own"
    tick("Account", f"{render_id(changed.id)} {what}")
    if not is_other:
        say("it was so before; nothing was written")


@account.command()
@click.argument("name", metavar="ID")
@home_option
@click.option("--force", is_flag=True, help="Do not ask.")
@json_option
def deactivate(name: str, home: str | None, force: bool, as_json: bool) -> None:
    """End an account for good: every later request of it is refused, and its open orders are invalid."""
    account_id = _id(name)
    config = enter_home(home)
    question = f"End account {render_id(account_id)}? It cannot be undone."
    if not force and sys.stdin.isatty() and not click.confirm(question, default=False, err=True):
        raise UsageError("the account stays as it is")
    ended, orders = asyncio.run(end_account_of(config, account_id))
    if as_json:
        emit({**_document(ended), "orders": orders})
        return
    tick("Account", f"{render_id(ended.id)} is {ended.status}; {orders} open orders of it are invalid")
    say("its certificates stay until they expire; `dayfly ca list` shows them, `dayfly ca revoke` ends them")


def _id(text: str) -> int:
    """The id in what a person names; UsageError."""
    found = parse_id(text.rstrip("/").rpartition("/")[2].lower())
    if found is None:
        raise UsageError(f"{text[:80]!r} is no account's id or URL", hint="list them: dayfly ca account list")
    return found


def _document(one: Account) -> dict[str, Any]:
    return {
        "id": render_id(one.id),
        "provisioner": one.provisioner,
        "status": one.status.value,
        "created_at": render_moment(one.created_at),
        "contacts": one.contacts,
        "terms_agreed": one.terms_agreed,
        "external_key": one.external_key or None,
        "client": name_client(one.user_agent) or None,
        "user_agent": one.user_agent or None,
        "scope": scope_document(own_scope(one)) if one.scope else None,
    }


def _more(view: AccountView) -> dict[str, Any]:
    """What the rest of the database says of it."""
    key = view.external_key
    return {
        "reference": None if key is None else key.reference,
        "owner": own_scope(view.account).owner or (None if key is None else key.scope.owner),
        "open_orders": view.open_orders,
        "certificates": view.certificates,
        "advice": _advice(view.advice),
    }


def _advice(advice: Advice | None) -> dict[str, str] | None:
    """What is to be told of a client, and what to change."""
    return None if advice is None else {"says": advice.says, "next": advice.change}


def _line(one: Account) -> tuple[str, ...]:
    return (
        render_id(one.id),
        one.provisioner,
        one.status.value,
        render_moment(one.created_at),
        one.external_key or "-",
        "own" if one.scope else "-",
        name_client(one.user_agent) or "-",
        " ".join(contact.removeprefix("mailto:") for contact in one.contacts) or "-",
    )


def _scope_text(one: Account) -> str:
    """Its own scope in a line, `allow a.b, max lifetime 8h0m0s`; "-" where it has none."""
    parts = scope_document(own_scope(one)).items()
    return "; ".join(f"{label.replace('_', ' ')} {_text(value)}" for label, value in parts if value) or "-"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in {None, ""} else str(value)
