"""`dayfly ca health`, `ca root`, `ca roots`, `ca federation`: what anybody may ask a CA, in step's words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from dayfly.cli.ca_target import ca_url_option, find_ca, find_url, none_of_these, read_defaults, root_option
from dayfly.cli.files import check_targets, write_file
from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.client.step import fetch_federation, fetch_health, fetch_root, fetch_roots
from dayfly.client.transport import Transport
from dayfly.errors import UsageError

_force = click.option("-f", "--force", is_flag=True, help="Overwrite an existing file.")


@click.command()
@home_option
@ca_url_option
@root_option
@none_of_these("--context")
@json_option
def health(home: str | None, ca_url: str | None, root: Path | None, as_json: bool) -> None:
    """Ask the CA whether it is well."""
    target = find_ca(home, ca_url, root)
    with target.connect() as transport:
        fetch_health(transport, target.url)
    if as_json:
        emit({"status": "ok"})
    else:
        click.echo("ok")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@home_option
@ca_url_option
@click.option("--fingerprint", help="SHA-256 of the root, as `ca init` printed it.")
@_force
@none_of_these("--context")
@json_option
def root(
    file: Path | None, home: str | None, ca_url: str | None, fingerprint: str | None, force: bool, as_json: bool
) -> None:
    """Fetch the CA's root certificate; its fingerprint is all the trust that is needed."""
    url = find_url(home, ca_url)
    wanted = fingerprint or os.environ.get("DAYFLY_FINGERPRINT") or read_defaults(home).get("fingerprint")
    if not wanted:
        raise UsageError("--fingerprint is needed", hint="`dayfly ca init` printed it")
    if file is not None:
        check_targets((file,), force=force)
    pem = fetch_root(url, wanted.strip())
    if file is not None:
        write_file(file, pem.encode(), mode=0o644)
        say(f"The root certificate has been saved in {file}.")
    if as_json:
        emit({"root": pem, "fingerprint": wanted.strip().lower(), "file": str(file) if file else None})
    elif file is None:
        click.echo(pem, nl=False)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@home_option
@ca_url_option
@root_option
@_force
@none_of_these("--context")
@json_option
def roots(
    file: Path | None, home: str | None, ca_url: str | None, root: Path | None, force: bool, as_json: bool
) -> None:
    """Fetch all root certificates of the CA, as a bundle."""
    _bundle(fetch_roots, "root", file, find=(home, ca_url, root), force=force, as_json=as_json)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@home_option
@ca_url_option
@root_option
@_force
@none_of_these("--context")
@json_option
def federation(
    file: Path | None, home: str | None, ca_url: str | None, root: Path | None, force: bool, as_json: bool
) -> None:
    """Fetch the root certificates of the CA and of those that it trusts, as a bundle."""
    _bundle(fetch_federation, "federation", file, find=(home, ca_url, root), force=force, as_json=as_json)


def _bundle(
    fetch: Callable[[Transport, str], tuple[str, ...]],
    what: str,
    file: Path | None,
    *,
    find: tuple[str | None, str | None, Path | None],
    force: bool,
    as_json: bool,
) -> None:
    target = find_ca(*find)
    if file is not None:
        check_targets((file,), force=force)
    with target.connect() as transport:
        certificates = fetch(transport, target.url)
    if file is not None:
        write_file(file, "".join(certificates).encode(), mode=0o644)
        say(f"The {what} certificate bundle has been saved in {file}.")
    if as_json:
        emit({"certificates": certificates, "file": str(file) if file else None})
    elif file is None:
        click.echo("".join(certificates), nl=False)
