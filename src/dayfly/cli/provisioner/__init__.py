"""`dayfly ca provisioner`: who may ask for certificates, and how, in step's words (step-compat.md part 14).

Rules: provisioners are changed on the CA's host, in its database, and the next request is judged by the change; a key's
password comes from a file or a prompt; a flag of step's that means what we do not have is refused with the reason.

Modules: `flags` are what add and update share, `changing` carries them out, `listing` shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dayfly.cli.ca_target import ca_url_option, none_of_these, root_option
from dayfly.cli.output import home_option, json_option
from dayfly.cli.provisioner import changing, listing
from dayfly.cli.provisioner.flags import GoFlags, provisioner_flags, refused_flags


@click.group()
def provisioner() -> None:
    """Manage provisioners."""


@provisioner.command(name="list")
@home_option
@ca_url_option
@root_option
@none_of_these("--context")
@click.option("--json", "as_json", is_flag=True, help="JSON is what it prints anyway.")
def list_(home: str | None, ca_url: str | None, root: Path | None, as_json: bool) -> None:
    """List provisioners as JSON: of this host's CA, or of the one that --ca-url names."""
    del as_json
    listing.list_provisioners(home, ca_url, root)


@provisioner.command(cls=GoFlags)
@click.argument("name")
@home_option
@click.option("--type", "kind", default="JWK", show_default=True, help="Type of the provisioner: ACME or JWK.")
@provisioner_flags
@refused_flags
@json_option
def add(name: str, home: str | None, kind: str, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Add a provisioner; a running CA sees it at once."""
    changing.add(home, name, kind, options, as_json=as_json)


@provisioner.command(cls=GoFlags)
@click.argument("name")
@home_option
@provisioner_flags
@click.option("--remove-challenge", multiple=True, help="Offer this challenge type no more; repeat for more.")
@click.option("--enabled/--disabled", "enabled", default=None, help="Let it issue and renew, or stop that for now.")
@refused_flags
@json_option
def update(name: str, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Change a provisioner; what is not named stays as it is."""
    changing.update(home, name, options, as_json=as_json)


@provisioner.command()
@click.argument("name")
@home_option
@refused_flags
@json_option
def remove(name: str, home: str | None, as_json: bool) -> None:
    """Remove a provisioner; its certificates stay valid until they expire, and renew no more."""
    changing.remove(home, name, as_json=as_json)


@provisioner.command(name="get-encrypted-key")
@click.argument("kid")
@home_option
@ca_url_option
@root_option
@none_of_these("--context")
@json_option
def get_encrypted_key(kid: str, home: str | None, ca_url: str | None, root: Path | None, as_json: bool) -> None:
    """Print the encrypted key of a JWK provisioner (JWE), as a running CA gives it to anybody."""
    listing.show_encrypted_key(kid, (home, ca_url, root), as_json=as_json)
