"""`dayfly ca list`: what was issued, whose it is, and how long it still lives.

Rules: pages of the database are told as they are read, so that the list is as long as it is and memory is not; serials
are text, since they are wider than any number of a JSON reader.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from dayfly.adapters.system import SystemClock
from dayfly.cli.output import home_option, json_option, say
from dayfly.cli.tables import render_line, render_moment, render_span
from dayfly.config.values import Config
from dayfly.core.acme.objects import Certificate
from dayfly.core.fleet.selecting import CertificateState, Selection, state_of
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.policy.rules import RuleError, parse_pattern
from dayfly.errors import UsageError
from dayfly.wiring.commands import certificates_of
from dayfly.wiring.homes import enter_home

HEAD = ("owner", "certificate", "provisioner", "state", "left", "used", "serial")
WIDTHS = (16, 40, 16, 7, 7, 5, 0)  # fixed, since the longest name is known when the last page is read only


@click.command(name="list")
@home_option
@click.option("--expiring", metavar="DURATION", help="Only those with this much life left, or less, as 4h.")
@click.option("--owner", default="", help="Only this owner's.")
@click.option("--provisioner", default="", help="Only this provisioner's.")
@click.option("--name", default="", help="Only those with this name, or one of *.a.b (one label), **.a.b (any depth).")
@click.option("--all", "everything", is_flag=True, help="Also expired and revoked ones, and the CA's own.")
@json_option
def list_certificates(home: str | None, as_json: bool, expiring: str | None, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """List certificates, in the order in which they were issued."""
    selection = Selection(SystemClock().now(), expiring=_duration(expiring), **options)
    _check_name(selection.name)
    tell = _tell_json if as_json else _tell
    asyncio.run(tell(enter_home(home), selection))


def _duration(text: str | None) -> timedelta | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(f"--expiring: {error}", hint="write it as 30m, 4h or 1d") from None


def _check_name(name: str) -> None:
    if name.startswith("*"):
        try:
            parse_pattern(name, what="--name")
        except RuleError as error:
            raise UsageError(error.message, hint=error.hint) from None


async def _selected(config: Config, selection: Selection, seen: list[int]) -> AsyncIterator[Certificate]:
    """Those that were asked for; `seen` counts all that were read and would be listed without a filter."""
    plain = Selection(selection.now, everything=selection.everything)
    async for certificate in certificates_of(config, selection.now, everything=selection.everything):
        seen[0] += plain.takes(certificate)
        if selection.takes(certificate):
            yield certificate


async def _tell_json(config: Config, selection: Selection) -> None:
    """An array, one object a line."""
    separator = "[\n"
    async for certificate in _selected(config, selection, [0]):
        line = msgspec.json.encode(document(certificate, everything=selection.everything)).decode()
        sys.stdout.write(f"{separator}   {line}")
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


async def _tell(config: Config, selection: Selection) -> None:
    listed, seen = 0, [0]
    async for certificate in _selected(config, selection, seen):
        if not listed:
            click.echo(render_line([one.upper() for one in HEAD], WIDTHS))
        click.echo(render_line(_row(certificate, selection.now), WIDTHS))
        listed += 1
    say(f"{listed} of {seen[0]} certificate{'s' * (seen[0] != 1)}.")


def _row(certificate: Certificate, now: datetime) -> tuple[str, ...]:
    state = state_of(certificate, now)
    life = certificate.not_after - certificate.not_before
    dead = state in {CertificateState.EXPIRED, CertificateState.REVOKED}
    return (
        certificate.owner,
        _names(certificate),
        certificate.provisioner or "(the CA)",
        state,
        "–" if dead else render_span(certificate.not_after - now),
        "–" if dead else f"{max((now - certificate.not_before) / life, 0):.0%}",
        f"0x{certificate.serial:x}",  # as `ca revoke` takes it
    )


def _names(certificate: Certificate) -> str:
    first, *more = (one.value for one in certificate.names)
    return f"{first} +{len(more)}" if more else first


def document(certificate: Certificate, *, everything: bool) -> dict[str, Any]:
    """The object of interfaces.md 6; `served` is null until the CA looks itself, `revoked_at` is there with --all."""
    found = {
        "serial": str(certificate.serial),
        "serial_hex": f"{certificate.serial:x}",
        "names": [one.value for one in certificate.names],
        "not_before": render_moment(certificate.not_before),
        "not_after": render_moment(certificate.not_after),
        "provisioner": certificate.provisioner,
        "owner": certificate.owner,
        "served": None,
    }
    if everything:
        revoked = certificate.revoked_at
        found["revoked_at"] = None if revoked is None else render_moment(revoked)
    return found
