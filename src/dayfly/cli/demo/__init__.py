"""`dayfly demo`: the main job before your eyes, with real processes on loopback, in under three minutes."""

from __future__ import annotations

import os

import click


@click.command()
@click.option("--keep", is_flag=True, help="Keep everything running at the end, until Ctrl-C (also: KEEP=1).")
@click.option(
    "--lifetime", default=45, show_default=True, type=click.IntRange(30, 90), help="Seconds a certificate lives."
)
def demo(keep: bool, lifetime: int) -> None:
    """Show a certificate being issued, renewed, reloaded and seen served, and what happens when that stops."""
    from dayfly.cli.demo.story import play

    raise SystemExit(play(keep=keep or os.environ.get("KEEP") == "1", lifetime=lifetime))
