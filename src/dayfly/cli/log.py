"""`dayfly ca log`: the append-only log of everything that was issued, checked from its first entry."""

from __future__ import annotations

import asyncio

import click

from dayfly.cli.output import emit, home_option, say
from dayfly.wiring.commands import verify_log_of
from dayfly.wiring.homes import enter_home


@click.group()
def log() -> None:
    """Look into the append-only log."""


@log.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(home: str | None, as_json: bool) -> None:
    """Check every entry, head, checkpoint and certificate row; exit 1 if one does not hold."""
    config = enter_home(home)
    report = asyncio.run(verify_log_of(config))
    if as_json:
        emit(
            {
                "ok": report.ok,
                "size": report.size,
                "root_hash": report.root_hash,
                "first_bad": report.first_bad,
                "findings": [{"index": one.index, "what": one.what} for one in report.findings],
            }
        )
    elif report.ok:
        say(f"✔ The log verifies: {report.size} entries, root hash {report.root_hash}")
    else:
        for finding in report.findings:
            where = "log" if finding.index is None else f"entry {finding.index}"
            say(f"✖ {where}: {finding.what}")
        say(f"The log does not verify: {len(report.findings)} findings in {report.size} entries.")
        say("next: keep this database as evidence, and restore the newest backup whose log verifies")
    if not report.ok:
        raise SystemExit(1)
