"""How keys for external account bindings are shown: never with their secret, but for the one time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from dayfly.cli.tables import render_moment
from dayfly.core.acme.external_accounts import UNLIMITED, ExternalAccountKey
from dayfly.core.policy.lifetimes import render_duration
from dayfly.core.policy.scopes import Scope

_MADE = "%-36s%-28s%-48s%s"  # step's columns
_LISTED = "%-36s%-28s%-16s%-30s%-30s%-40s%s"


def show_made(key: ExternalAccountKey, secret: str) -> None:
    """The one time that a secret is shown."""
    click.echo(_MADE % ("Key ID", "Provisioner", "Key (base64, raw url encoded)", "Reference"))
    click.echo((_MADE % (key.kid, key.provisioner, secret, key.reference)).rstrip())


def show_list(keys: Sequence[ExternalAccountKey], now: datetime) -> None:
    """A line for each, its secret masked as step has it."""
    click.echo(_LISTED % ("Key ID", "Provisioner", "Key (masked)", "Created At", "Bound At", "State", "Reference"))
    for key in keys:
        uses = "any" if key.uses == UNLIMITED else str(key.uses)
        state = f"{key.state(now)}, {key.used} of {uses}" + (", pre-authorized" if key.preauthorized else "")
        created, bound = render_moment(key.created_at), moment_of(key.bound_at) or ""
        click.echo((_LISTED % (key.kid, key.provisioner, "*****", created, bound, state, key.reference)).rstrip())


def document_of(key: ExternalAccountKey, now: datetime) -> dict[str, Any]:
    """All that may be shown of a key as JSON; never its secret."""
    return {
        "id": key.kid,
        "provisioner": key.provisioner,
        "reference": key.reference,
        "state": key.state(now),
        "uses": key.uses or None,
        "used": key.used,
        "created_at": render_moment(key.created_at),
        "bound_at": moment_of(key.bound_at),
        "expires": moment_of(key.expires),
        "preauthorized": key.preauthorized,
        "scope": scope_document(key.scope),
    }


def scope_document(scope: Scope) -> dict[str, Any]:
    """A scope as JSON, all of it that a flag sets."""
    return {
        "owner": scope.owner,
        "allow": scope.allow,
        "deny": scope.deny,
        "wildcards": scope.wildcards,
        "sources": scope.sources,
        "profiles": scope.profiles,
        "max_lifetime": None if scope.max_lifetime is None else render_duration(scope.max_lifetime),
    }


def moment_of(moment: datetime | None) -> str | None:
    """A moment for machines, None for none."""
    return None if moment is None else render_moment(moment)
