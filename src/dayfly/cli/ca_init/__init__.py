"""`dayfly ca init`: a new CA in a new home, with its first provisioner and its first name rules.

Rules: nothing is overwritten; no secret in argv; prompts on a terminal only, and off it a missing value is an error
that names the flag; where nothing is missing nothing is asked; what to do next stands at the end.

Modules: `asking` turns flags and answers into a request, `making` carries it out, `telling` says what was made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from dayfly.cli.ca_init.asking import ask, check_chain_in_alone, check_refused_flags
from dayfly.cli.ca_init.making import complete, found, found_pki
from dayfly.cli.ca_init.telling import tell
from dayfly.cli.output import emit, home_option
from dayfly.home import resolve_home

_file = click.Path(path_type=Path)


@click.command()
@home_option
@click.option("--name", help="Name of the CA, as it stands in its certificates.")
@click.option("--dns", multiple=True, help="DNS name or IP address of the CA; repeat for more, the first is canonical.")
@click.option("--address", help="Where to listen, as :9000 or 127.0.0.1:9000.")
@click.option("--provisioner", help="Name of the first provisioner (JWK); it owns the first name rules.")
@click.option("--acme", is_flag=True, help="Add an ACME provisioner named `acme` too.")
@click.option("--deployment-type", type=click.Choice(["standalone"]), default="standalone", help="As step has it.")
@click.option("--with-ca-url", metavar="URL", help="The CA's URL for config/defaults.json; else made of --dns.")
@click.option("--password-file", type=_file, help="Password for the CA's keys.")
@click.option("--root-password-file", type=_file, help="Another password for the root key.")
@click.option("--provisioner-password-file", type=_file, help="Password of the provisioner's key.")
@click.option("--no-password", is_flag=True, help="Leave the CA's keys unencrypted.")
@click.option("--root-key-out", type=_file, help="Where to write the root key; else offline/ in the home.")
@click.option("--root", type=_file, help="An existing root certificate, with --key, --intermediate or --chain-in.")
@click.option("--key", type=_file, help="The existing root's key: read once to sign the intermediate, never copied.")
@click.option("--key-password-file", type=_file, help="Password of --key, or of --intermediate-key.")
@click.option("--intermediate", type=_file, help="An existing issuing certificate with its chain; needs --root.")
@click.option("--intermediate-key", type=_file, help="The key of --intermediate; it is encrypted anew.")
@click.option("--csr-out", type=_file, help="Write a request for the intermediate, for a root that lives elsewhere.")
@click.option("--chain-in", type=_file, help="Take what that root made of the request, and finish.")
@click.option("--constrain-names", is_flag=True, help="Constrain the intermediate to what the first rules allow.")
@click.option("--allow-dns", multiple=True, help="Allow this domain and all names below it; repeat for more.")
@click.option("--allow-ip", multiple=True, help="Allow addresses of this network (CIDR); repeat for more.")
@click.option("--test-only", is_flag=True, help="Say in the names of the certificates that this CA is for tests.")
@click.option(
    "--survive", metavar="DURATION", help="Choose the usual lifetime for outages of the CA up to this, as 8h."
)
@click.option("--pki", is_flag=True, help="Make certificates and keys only: no database, no configuration.")
@click.option("--no-db", is_flag=True, hidden=True)
@click.option("--ssh", is_flag=True, hidden=True)
@click.option("--helm", is_flag=True, hidden=True)
@click.option("--remote-management", is_flag=True, hidden=True)
@click.option("--admin-subject", hidden=True)
@click.option("--context", hidden=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def init(home: str | None, as_json: bool, deployment_type: str, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Make a new certificate authority."""
    del deployment_type
    where = resolve_home(home, os.environ, Path.home())
    check_refused_flags(options)
    if options["chain_in"] is not None:
        check_chain_in_alone(options)
        report = complete(where, chain_in=options["chain_in"], root=options["root"])
    else:
        request = ask(where, options)
        report = found_pki(request, loud=not as_json) if request.only_pki else found(request, loud=not as_json)
    if as_json:
        emit(report)
    else:
        tell(report)
