"""`dayfly ca crl`: the CRLs as they are served, with their numbers and times; and as files, for whoever has no HTTP.

Rules: it reads what the running CA has signed, and signs nothing; a CRL whose time is over is said to be stale, and
makes the exit code 1.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.files import write_file
from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.cli.tables import render_line, render_moment
from dayfly.config.values import Config
from dayfly.core.x509.partitions import partition_url, render_partition
from dayfly.errors import ConfigError
from dayfly.ports.crls import StoredCRL
from dayfly.wiring.commands import crls_of
from dayfly.wiring.homes import enter_home

HEAD = ("partition", "number", "entries", "this update", "next update", "url")
WIDTHS = (10, 12, 8, 21, 21, 0)


@click.command()
@home_option
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write each CRL to DIR, as 20261224.crl.")
@json_option
def crl(home: str | None, as_json: bool, out: Path | None) -> int:
    """List the CRLs of this CA, one for each day on which long-lived certificates end."""
    config = enter_home(home)
    if config.crl is None:
        raise ConfigError(
            "crl.address",
            "this CA has no CRLs, so none of its certificates lives longer than 7 days",
            hint='to have them, say in ca.toml: [crl] address = ":9080", and restart the CA',
        )
    found, now = asyncio.run(crls_of(config)), SystemClock().now()
    if out is not None:
        _write(found, out)
    if as_json:
        emit([document(one, config, now) for one in found])
    else:
        _tell(found, config)
    stale = [render_partition(one.head.partition) for one in found if one.head.next_update <= now]
    if stale:
        say(f"stale: {', '.join(stale)}; is the CA running? see: dayfly doctor")
    return 1 if stale else 0


def document(crl: StoredCRL, config: Config, now: datetime) -> dict[str, Any]:
    """One CRL as JSON; `number` is text, for it may be wider than a JSON reader's numbers."""
    head = crl.head
    return {
        "partition": render_partition(head.partition),
        "number": str(head.number),
        "entries": head.entries,
        "this_update": render_moment(head.this_update),
        "next_update": render_moment(head.next_update),
        "url": _url(config, head.partition),
        "stale": head.next_update <= now,
    }


def _url(config: Config, partition: int) -> str:
    return "" if config.crl is None else partition_url(config.crl.url, partition)


def _tell(found: tuple[StoredCRL, ...], config: Config) -> None:
    if found:
        click.echo(render_line([one.upper() for one in HEAD], WIDTHS))
    for one in found:
        click.echo(render_line(_row(one, config), WIDTHS))
    say(f"{len(found)} CRL{'s' * (len(found) != 1)}; one is signed when it is asked for first.")


def _row(crl: StoredCRL, config: Config) -> tuple[str, ...]:
    head = crl.head
    return (
        render_partition(head.partition),
        str(head.number),
        str(head.entries),
        render_moment(head.this_update),
        render_moment(head.next_update),
        _url(config, head.partition),
    )


def _write(found: tuple[StoredCRL, ...], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for one in found:
        write_file(out / f"{render_partition(one.head.partition)}.crl", one.der, mode=0o644)
