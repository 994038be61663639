"""What `ca reissue` says of a reissue, to a person and to a program."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from dayfly.cli.ca_reissue.choosing import Meant
from dayfly.cli.output import say, tick
from dayfly.cli.tables import render_moment, render_span, render_table
from dayfly.core.settings.reissues import Reissue


def tell(made: Reissue, meant: Meant, hears: timedelta, *, dry_run: bool) -> None:
    """What was made, or would be, and by when clients have heard of it."""
    plural = "s" * (meant.count != 1)
    if dry_run:
        say("Nothing was changed. It would be:")
    else:
        tick("Reissue", made.id)
    tick("Certificates", f"{meant.count} certificate{plural} of {', '.join(sorted(meant.owners))}")
    spread = f"from now on, spread over {render_span(made.within)}" if made.within else "at once"
    tick("Renewal", spread)
    tick("Heard", f"within {render_span(hears)} by clients that ask for renewal information (ARI); by no others")
    if not dry_run:
        say(f"next: watch it: dayfly ca list; take it back: dayfly ca reissue --cancel {made.id}")


def tell_list(found: Sequence[Reissue]) -> None:
    """A table of them."""
    rows = [(one.id, render_moment(one.at), render_span(one.within), choice_of(one), one.reason) for one in found]
    if rows:
        click.echo(render_table(("id", "since", "within", "who", "reason"), rows))
    say(f"{len(rows)} reissue{'s' * (len(rows) != 1)}.")


def choice_of(one: Reissue) -> str:
    """Whom it means, in a few words."""
    chosen: Sequence[tuple[str, Sequence[str]]] = (
        ("serial", one.serials),
        ("name", one.names),
        ("account", one.accounts),
        ("owner", (one.owner,) if one.owner else ()),
        ("provisioner", (one.provisioner,) if one.provisioner else ()),
        ("old issuer", (one.not_issuer[:16],) if one.not_issuer else ()),
    )
    return ", ".join(f"{what} {_first(values)}" for what, values in chosen if values) or "all"


def _first(values: Sequence[str]) -> str:
    first, *more = values
    return f"{first} +{len(more)}" if more else first


def document_of(one: Reissue) -> dict[str, Any]:
    """The object of a reissue; moments in UTC, spans in seconds."""
    return {
        "id": one.id,
        "at": render_moment(one.at),
        "within": int(one.within.total_seconds()),
        "until": render_moment(one.until),
        "serials": one.serials,
        "names": one.names,
        "accounts": one.accounts,
        "owner": one.owner,
        "provisioner": one.provisioner,
        "not_issuer": one.not_issuer,
        "reason": one.reason,
        "explanation_url": one.explanation_url,
    }
