"""`dayfly ca eab`: keys that bind ACME accounts to somebody known, in step's words (step-compat.md part 14).

Rules: keys are made and taken back on the CA's host, in its database, and the next request is judged by the change; a
key's secret is printed once, on standard output, when it is made, and is in no list, no log and no argument;
`dayfly ca acme eab` is the same under step's path.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from copy import copy
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.eab.flags import duration_of, on_the_host, scope_of, scope_options
from dayfly.cli.eab.showing import document_of, show_list, show_made
from dayfly.cli.output import emit, home_option, json_option, say, tick
from dayfly.core.acme.external_accounts import SECRET_OCTETS, UNLIMITED, ExternalAccountKey, make_kid
from dayfly.core.ids import SEQUENCES, WORKERS, make_id
from dayfly.core.jose.encoding import b64u_encode
from dayfly.wiring.external_accounts import add_key_of, keys_of, revoke_key_of
from dayfly.wiring.homes import enter_home

_KID_OCTETS = 16


@click.group()
def eab() -> None:
    """Make and manage keys for external account binding (EAB)."""


@eab.command()
@click.argument("provisioner")
@click.argument("reference", default="")
@home_option
@scope_options
@on_the_host
@json_option
def add(provisioner: str, reference: str, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Make a key for an ACME provisioner; REFERENCE is your own word for it. Its secret is shown once."""
    scope, expires = scope_of(options), duration_of(options["expires"], "--expires")
    config = enter_home(home)
    now, secret = SystemClock().now(), secrets.token_bytes(SECRET_OCTETS)
    key = ExternalAccountKey(
        id=make_id(time.time_ns() // 1_000_000, WORKERS - 1, secrets.randbelow(SEQUENCES)),
        kid=make_kid(secrets.token_bytes(_KID_OCTETS)),
        provisioner=provisioner,
        created_at=now,
        secret=secret,
        scope=scope,
        reference=reference,
        uses=UNLIMITED if options["unlimited"] else options["uses"],
        expires=None if expires is None else now + expires,
        preauthorized=options["preauthorized"],
    )
    asyncio.run(add_key_of(config, key))
    shown = b64u_encode(secret)
    if as_json:
        emit({**document_of(key, now), "key": shown})
    else:
        show_made(key, shown)
    tick("Key", "its secret is shown once: keep it, and hand it over on a safe way")
    if key.preauthorized:
        say("warning: whoever has it gets certificates for its names, from its networks, without any proof")


@eab.command(name="list")
@click.argument("provisioner")
@click.argument("reference", default="")
@home_option
@click.option("--all", "everything", is_flag=True, help="Show those that were removed, too.")
@click.option("--limit", type=click.IntRange(1), help="Show so many at most.")
@click.option("--no-pager", is_flag=True, help="Nothing is paged anyway.")
@on_the_host
@json_option
def list_(provisioner: str, reference: str, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """List the keys of an ACME provisioner, without their secrets."""
    now = SystemClock().now()
    wanted = [
        one
        for one in asyncio.run(keys_of(enter_home(home)))
        if one.provisioner == provisioner and reference in {"", one.reference}
    ]
    found = [one for one in wanted if options["everything"] or one.revoked_at is None][: options["limit"]]
    if as_json:
        emit([document_of(one, now) for one in found])
    elif found:
        show_list(found, now)
    else:
        say(f"No ACME EAB keys stored for provisioner {provisioner}")


@eab.command()
@click.argument("provisioner")
@click.argument("kid")
@home_option
@on_the_host
@json_option
def remove(provisioner: str, kid: str, home: str | None, as_json: bool) -> None:
    """Take a key back: it binds no more accounts. Those that it bound stay, held to its scope."""
    key = asyncio.run(revoke_key_of(enter_home(home), provisioner=provisioner, kid=kid))
    if as_json:
        emit(document_of(key, SystemClock().now()))
        return
    say("Key was deleted successfully!")
    if key.used:
        tick("Accounts", f"{key.used} that it bound stay, held to its scope; list them: dayfly ca account list")


@click.group()
def acme() -> None:
    """Manage what ACME provisioners have, under step's path."""


# Commands of their own, since each has the examples of its path.
acme.add_command(click.Group("eab", {name: copy(one) for name, one in eab.commands.items()}, help=eab.help))
