"""`policy test`: the engine's answer without a request (agent.md 19)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.output import emit
from dayfly.cli.tables import render_line
from dayfly.core.identifiers import Identifier, IdentifierType, parse_common_name, parse_dns
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.problems import Refused
from dayfly.core.settings.trial import Trial, Verdict, judge
from dayfly.errors import UsageError
from dayfly.wiring.commands import read_issuer_of, read_settings_of
from dayfly.wiring.homes import enter_home

DENIED = 3  # the exit code of a question that policy answers with no


def try_names(home: str | None, names: tuple[str, ...], options: dict[str, Any], *, as_json: bool) -> int:
    """Ask, and tell; 0 where all is allowed, else 3."""
    trial = _trial(names, options)
    config = enter_home(home)
    settings = asyncio.run(read_settings_of(config))
    issuer_not_after, constraints = read_issuer_of(config)
    verdicts = judge(
        settings, trial, constraints=constraints, issuer_not_after=issuer_not_after, now=SystemClock().now()
    )
    denied = [one for one in verdicts if not one.allowed]
    if as_json:
        reason = denied[0].reason if denied else "ok"
        emit({"allowed": not denied, "reason": reason, "answers": [_document(one) for one in verdicts]})
    else:
        click.echo(_screen(verdicts))
        click.echo(f"Result: denied ({denied[0].reason}). exit {DENIED}" if denied else "Result: allowed.")
    return DENIED if denied else 0


def _trial(names: tuple[str, ...], options: dict[str, Any]) -> Trial:
    try:
        lifetime = parse_duration(options["lifetime"]) if options["lifetime"] else None
    except ValueError as error:
        raise UsageError(f"--lifetime: {error}", hint="write it as 30s, 5m or 24h") from None
    return Trial(
        names=tuple(dict.fromkeys(map(_name, names))),
        provisioner=options["provisioner"],
        owner=options["owner"],
        source=_source(options["source"]),
        lifetime=lifetime,
    )


def _name(text: str) -> Identifier:
    try:
        found = parse_common_name(text.removeprefix("cn:"))
        return parse_dns(text) if found.type is IdentifierType.CN and not text.startswith("cn:") else found
    except Refused as error:
        raise UsageError(f"{text!r} is not a name that a certificate can have: {error.detail}") from None


def _source(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text) if text else None
    except ValueError:
        raise UsageError(f"--source: {text!r} is no IP address", hint="write it as 10.0.3.7") from None


def _screen(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (
            f"{'✔' if one.allowed else '✖'} {one.what}",
            one.subject,
            one.why,
            f"rule {one.rule}" if one.allowed and one.rule else f"nearest: {one.nearest}" if one.nearest else "",
        )
        for one in verdicts
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join(render_line(row, widths) for row in rows)


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "what": verdict.what,
        "subject": verdict.subject,
        "allowed": verdict.allowed,
        "reason": verdict.reason,
        "why": verdict.why,
        "rule": verdict.rule,
        "owner": verdict.owner,
        "nearest": verdict.nearest,
    }
