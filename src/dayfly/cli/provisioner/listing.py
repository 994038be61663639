"""`provisioner list`: as a running CA tells it to anybody, or as it stands in this host's home."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dayfly.cli.ca_target import find_ca
from dayfly.cli.output import emit
from dayfly.client.step import fetch_encrypted_key, fetch_provisioners
from dayfly.client.transport import Transport, trusting
from dayfly.core.step.provisioners import describe
from dayfly.home import resolve_home
from dayfly.wiring.commands import read_settings_of
from dayfly.wiring.homes import enter_home


def list_provisioners(home: str | None, ca_url: str | None, root: Path | None) -> None:
    """Print them as a JSON array, indented by three spaces, as step does."""
    here = (resolve_home(home, os.environ, Path.home()) / "ca.toml").exists()
    emit(_of_home(home) if here and not ca_url else _of_running(home, ca_url, root))


def show_encrypted_key(kid: str, where: tuple[str | None, str | None, Path | None], *, as_json: bool) -> None:
    """Print the JWE, as step does; `where` is --home, --ca-url and --root."""
    target = find_ca(*where)
    with Transport(target.url, trusting(target.root)) as transport:
        found = fetch_encrypted_key(transport, target.url, kid)
    if as_json:
        emit({"kid": kid, "key": found})
    else:
        click.echo(found)


def _of_running(home: str | None, ca_url: str | None, root: Path | None) -> Sequence[Mapping[str, Any]]:
    target = find_ca(home, ca_url, root)
    with Transport(target.url, trusting(target.root)) as transport:
        return fetch_provisioners(transport, target.url)


def _of_home(home: str | None) -> Sequence[Mapping[str, Any]]:
    """All of them, disabled ones too, which say so."""
    settings = asyncio.run(read_settings_of(enter_home(home)))
    listed = sorted(settings.provisioners, key=lambda one: one.name)
    return [describe(one) if one.enabled else {**describe(one), "state": "Disabled"} for one in listed]
