"""`dayfly agent`: keeps this host's certificates fresh, shows them, and looks whether they are served.

Rules: exit codes are those of agent.md 17; `status` and `verify` change nothing and need no running agent.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from dayfly.cli.output import emit, home_option, say
from dayfly.errors import UsageError
from dayfly.home import resolve_home

_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="The agent's configuration; agent.toml in its home by default."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def agent() -> None:
    """Keep this host's certificates fresh, and prove it."""


@agent.command()
@home_option
@_CONFIG
@click.option("--once", is_flag=True, help="One pass over all certificates, then exit with how they stand.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print how they stand as JSON, as status does.")
def run(home: str | None, config: Path | None, once: bool, as_json: bool) -> None:
    """Run the agent until SIGTERM; it asks, installs, reloads, and looks at what is served."""
    from dayfly.agent.acme_issuer import make_issuer
    from dayfly.agent.screen import status_facts
    from dayfly.agent.wiring import read_status, run_agent

    if as_json and not once:
        raise UsageError("--json is for --once; an agent that runs on logs JSON lines", hint="add --once")
    code = run_agent(_home(home), config, once=once, make_issuer=make_issuer)
    if as_json:
        found, now = read_status(_home(home), config)
        emit({"exit": int(code), **status_facts(found, now=now)})
    raise SystemExit(code)


@agent.command()
@home_option
@_CONFIG
@_JSON
def status(home: str | None, config: Path | None, as_json: bool) -> None:
    """Show every certificate; exit 1 when one is under a fifth of its life."""
    from dayfly.agent.screen import render_status, status_facts
    from dayfly.agent.wiring import read_status

    found, now = read_status(_home(home), config)
    if as_json:
        emit(status_facts(found, now=now))
    else:
        say(render_status(found, host=socket.gethostname(), now=now))
    if any(entry.is_low(now) for entry in found.certificates):
        raise SystemExit(1)


@agent.command()
@click.argument("name")
@home_option
@_CONFIG
@_JSON
def verify(name: str, home: str | None, config: Path | None, as_json: bool) -> None:
    """Look now whether the targets of certificate NAME, or of `all`, serve it; exit 1 when one does not."""
    from dayfly.agent.screen import render_looks, status_facts
    from dayfly.agent.wiring import verify_now

    found, verified = verify_now(_home(home), config, name)
    if as_json:
        emit({"ok": verified, **status_facts(found, now=found.at)})
    else:
        say(render_looks(found))
    if not verified:
        raise SystemExit(1)


def _home(option: str | None) -> Path:
    return resolve_home(option, os.environ, Path.home())
