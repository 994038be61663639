"""`dayfly ca denials`: the names that policy refused, each with the id by which it can be allowed."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.cli.tables import render_moment, render_span, render_table
from dayfly.core.policy.decisions import ISSUER_CONSTRAINTS, Allowed
from dayfly.core.policy.denials import KeptDenial, allowed_by
from dayfly.core.policy.names import decide
from dayfly.core.settings.revisions import Settings
from dayfly.wiring.commands import read_denials_of
from dayfly.wiring.homes import enter_home


@click.command()
@home_option
@click.option("--limit", type=click.IntRange(1, 1000), default=1000, show_default=True, help="How many at most.")
@json_option
def denials(home: str | None, limit: int, as_json: bool) -> None:
    """List the names that policy refused, newest first."""
    settings, found = asyncio.run(read_denials_of(enter_home(home)))
    if as_json:
        emit([document(one, settings) for one in found[:limit]])
        return
    if not found:
        say("No name was refused so far.")
        return
    now = SystemClock().now()
    rows = [
        (
            one.id,
            one.identifier.value,
            one.provisioner,
            _why(one, settings),
            one.nearest or "–",
            str(one.count),
            f"{render_span(now - one.last_at)} ago",
            one.source.removesuffix("/32") or "–",
        )
        for one in found[:limit]
    ]
    click.echo(render_table(("id", "name", "provisioner", "why", "nearest", "times", "last", "from"), rows))
    say("Allow one, and exactly that: dayfly ca policy allow --denial ID")


def _why(denial: KeptDenial, settings: Settings) -> str:
    """What the rules of today say to the same request, in the words that the refusal has."""
    if denial.rule == ISSUER_CONSTRAINTS:
        return denial.rule
    source = ip_network(denial.source).network_address if denial.source else None
    found = decide(settings.name_rules, denial.identifier, provisioner=denial.provisioner, source=source)
    return f"allowed by {found.rule} now" if isinstance(found, Allowed) else found.why


def document(denial: KeptDenial, settings: Settings) -> dict[str, Any]:
    """A denial as an object; `allowed_by` is the rule that gives the name by now, null where none does."""
    allowed = allowed_by(denial, settings.name_rules)
    return {
        "denial": denial.id,
        "type": denial.identifier.type,
        "name": denial.identifier.value,
        "provisioner": denial.provisioner,
        "reason": denial.reason,
        "rule": denial.rule,
        "owner": denial.owner,
        "nearest": denial.nearest,
        "requester": denial.requester,
        "source": denial.source,
        "first": render_moment(denial.first_at),
        "last": render_moment(denial.last_at),
        "count": denial.count,
        "allowed_by": None if allowed is None else allowed.rule,
    }
