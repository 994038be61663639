"""A certificate by ACME, in step's lines: an account for this one run, the challenge answered here (RFC 8555 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography.hazmat.primitives.asymmetric import ec

from dayfly.cli.ca_target import Target
from dayfly.cli.output import doing
from dayfly.cli.requesting import moment_of
from dayfly.client.acme import ACMEClient
from dayfly.client.external_accounts import ExternalAccount, load_external_account
from dayfly.client.solving import StandaloneSolver, WebrootSolver, parse_listen
from dayfly.client.transport import Transport, trusting
from dayfly.core.identifiers import Identifier
from dayfly.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_SECOND = timedelta(seconds=1)  # a last second counts as lived: 24h from now ends within the longest life of 24h


def acme_options(command: Command) -> Command:
    """The flags of a certificate by ACME."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--eab-key-file", type=path, help="ACME: file with that key's secret."),
        click.option("--eab-key-id", help="ACME: id of the external account key that binds the account."),
        click.option("--contact", multiple=True, help="ACME: e-mail address for the account; repeat for more."),
        click.option("--http-listen", default=":80", show_default=True, help="ACME: where to answer the challenge."),
        click.option("--webroot", type=path, help="ACME: answer by a file below this directory of a web server."),
        click.option("--standalone", is_flag=True, help="ACME: answer on a port of our own (the default)."),
        click.option("--acme", "directory", help="URL of another CA's ACME directory."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Order:
    """What is ordered, and where."""

    directory: str
    names: tuple[Identifier, ...]
    csr: bytes


def obtain(target: Target, order: Order, options: Mapping[str, Any], *, now: datetime) -> str:
    """The chain (PEM), not verified yet, by an account of its own, as step does it; ClientError, ConfigError."""
    how = "Webroot" if options["webroot"] is not None else "Standalone"
    account_key, bound_by = ec.generate_private_key(ec.SECP256R1()), _external_account(options)
    with Transport(order.directory, trusting(target.root)) as transport, _solver(options) as solver:
        client = ACMEClient(transport, order.directory, account_key)
        client.ensure_account([f"mailto:{one}" for one in options["contact"]], bound_by=bound_by)
        placed = client.new_order(
            [(one.type.value, one.value) for one in order.names],
            not_before=moment_of(options["not_before"], "--not-before", now=now),
            not_after=moment_of(options["not_after"], "--not-after", now=now - _SECOND),
        )
        text = f"Using {how} Mode HTTP challenge to validate {', '.join(one.value for one in order.names)} .."
        doing(text, lambda: client.authorize(placed, solver))
        ready = doing("Waiting for Order to be 'ready' for finalization ..", lambda: client.wait_ready(placed))
        done = doing("Finalizing Order ..", lambda: client.finalize(ready, order.csr))
        return client.download(done)


def _external_account(options: Mapping[str, Any]) -> ExternalAccount | None:
    """What binds the account, where the flags name a key; UsageError where one of them is missing."""
    kid, path = options["eab_key_id"], options["eab_key_file"]
    if not kid and path is None:
        return None
    if not kid or path is None:
        raise UsageError("--eab-key-id and --eab-key-file go together", hint="add the other one")
    return load_external_account(kid, path)


def _solver(options: Mapping[str, Any]) -> StandaloneSolver | WebrootSolver:
    if options["webroot"] is not None:
        return WebrootSolver(options["webroot"])
    return StandaloneSolver(*parse_listen(options["http_listen"]))
