"""`dayfly ca denials`: the names that policy refused, each with the id by which it can be allowed."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.cli.tables import render_moment, render_span, render_table
from dayfly.core.events import Reason
from dayfly.core.policy.denials import KeptDenial, allowed_by
from dayfly.core.policy.names import DEFAULT_DENY
from dayfly.core.settings.documents import Settings
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
    """What decided, and whether the rules of today would decide otherwise."""
    allowed = allowed_by(denial, settings.name_rules)
    if allowed is not None:
        return f"allowed by {allowed.rule} now"
    if denial.rule != DEFAULT_DENY:
        return denial.rule
    return "not to this network" if denial.reason == Reason.SOURCE_NOT_ALLOWED else "no rule"


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
