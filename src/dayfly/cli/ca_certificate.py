"""`dayfly ca certificate` and `ca sign`: a certificate by token or by ACME, in step's words (step-compat.md part 14).

1. Nothing is asked where a file is in the way.  2. The CA, the provisioner, and so the way.  3. A key and its request,
or the request that there is.  4. The certificate, verified.  5. The files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.acme_flow import acme_options
from dayfly.cli.answers import describe, held_key
from dayfly.cli.ca_target import ca_url_option, none_of_these, not_taken, root_option
from dayfly.cli.files import check_targets, write_file
from dayfly.cli.given_token import GivenToken, read_token
from dayfly.cli.output import emit, home_option, json_option, tick
from dayfly.cli.provisioning import provisioner_options
from dayfly.cli.renewing.pair import render_key
from dayfly.cli.requesting import common_name_of, key_options, load_csr, make_csr, make_key, names_of
from dayfly.cli.ways import Asked, find_way
from dayfly.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_X5C = "there are no X5C provisioners yet"
_NO_TEMPLATES = "certificates come from profiles, which take no data from clients"


def common_options(command: Command) -> Command:
    """What `ca certificate` and `ca sign` have in common."""
    for decorate in (
        json_option,
        none_of_these("--context", "--offline", "--kms", "--ca-config"),
        not_taken("--k8ssa-token-path", "there are no provisioners for service accounts yet"),
        not_taken("--attestation-uri", "there is no device attestation"),
        not_taken("--x5c-cert", _X5C),
        not_taken("--x5c-key", _X5C),
        not_taken("--x5c-chain", _X5C),
        not_taken("--set", _NO_TEMPLATES),
        not_taken("--set-file", _NO_TEMPLATES),
        click.option("-f", "--force", is_flag=True, help="Overwrite existing files."),
        acme_options,
        click.option("--not-after", help="End: a duration from now, or an RFC 3339 time."),
        click.option("--not-before", help="Begin: a duration from now, or an RFC 3339 time."),
        click.option("--token", help="One-time token, else DAYFLY_TOKEN; without one it is made here."),
        provisioner_options,
        root_option,
        ca_url_option,
        home_option,
    ):
        command = decorate(command)
    return command


@click.command()
@click.argument("subject")
@click.argument("crt", type=click.Path(path_type=Path))
@click.argument("key", type=click.Path(path_type=Path))
@not_taken("--ssh", "SSH certificates are not issued here", is_flag=True)
@not_taken("--principal", "SSH certificates are not issued here")
@click.option("--san", multiple=True, help="A name or address to have; repeat for more. Default: SUBJECT.")
@key_options
@common_options
def certificate(subject: str, crt: Path, key: Path, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Get a certificate for SUBJECT: the chain into CRT, its key into KEY."""
    given = _given(subject, options)
    check_targets((crt, key), force=options["force"])
    made = make_key(options["kty"], options["curve"], options["size"])
    way = find_way(home, options, given)
    names = way.names(subject, options["san"])
    csr = make_csr(names, made, common_name=subject)
    issued = way.issue(Asked(subject, names, csr, made.public_key()), options)
    write_file(key, render_key(made, password=None), mode=0o600)
    write_file(crt, issued.chain.encode("ascii"), mode=0o644)
    tick("Certificate", str(crt))
    tick("Private Key", str(key))
    if as_json:
        emit(describe(issued.certificate, certificate=str(crt), key=str(key)))


@click.command()
@click.argument("csr", type=click.Path(path_type=Path))
@click.argument("crt", type=click.Path(path_type=Path))
@common_options
def sign(csr: Path, crt: Path, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Get a certificate for the request in CSR: the chain into CRT."""
    request = load_csr(csr)
    key = held_key(request.public_key())
    subject, texts = _of_request(request, csr)
    given = _given(subject, options)
    check_targets((crt,), force=options["force"])
    way = find_way(home, options, given)
    issued = way.issue(Asked(subject, way.names(subject, texts), request.public_bytes(Encoding.DER), key), options)
    write_file(crt, issued.chain.encode("ascii"), mode=0o644)
    tick("Certificate", str(crt))
    if as_json:
        emit(describe(issued.certificate, certificate=str(crt), key=None))


def _given(subject: str, options: dict[str, Any]) -> GivenToken | None:
    """The token of the flag or of DAYFLY_TOKEN, and nothing beside it that it says itself; UsageError."""
    text = options["token"] or os.environ.get("DAYFLY_TOKEN")
    if not text:
        return None
    if options.get("san"):
        raise UsageError("--san has no meaning beside --token, which says the names", hint="leave one of them out")
    return read_token(text, subject=subject)


def _of_request(request: x509.CertificateSigningRequest, path: Path) -> tuple[str, tuple[str, ...]]:
    """Subject and names of a request; one of them stands in for the other. UsageError where it has neither."""
    common_name, names = common_name_of(request), names_of(request)
    if not names and not common_name:
        raise UsageError(f"{path} names nothing", hint="make it with a CN, or with subject alternative names")
    return common_name or names[0].value, tuple(one.value for one in names)
