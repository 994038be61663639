"""`dayfly certificate verify`: is a certificate good under these roots, for this name, now?

Rules: a file's first certificate is judged, the others are its intermediates; for a server its name is judged too,
the one of the URL unless another is asked for; what cannot be checked is an error and never a yes.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509

from dayfly.cli.ca_target import not_taken
from dayfly.cli.certificate.crls import load_crl
from dayfly.cli.certificate.facts import fingerprint_of
from dayfly.cli.certificate.roots import Roots, load_roots
from dayfly.cli.certificate.sources import load_certificates
from dayfly.cli.output import emit, error_document, home_option, json_option, say
from dayfly.core.identifiers import Identifier, parse_dns, parse_ip
from dayfly.core.problems import Refused
from dayfly.core.x509.chain import ChainError, verify_for_any_use
from dayfly.core.x509.crl_check import check_not_revoked, crl_urls, needs_no_crl
from dayfly.errors import UsageError
from dayfly.home import resolve_home


@click.command()
@click.argument("source", default="-")
@home_option
@click.option(
    "--roots", help="Roots to trust: a PEM file, several with commas between, a directory; else the system's."
)
@click.option("--host", help="The name that it must be good for; of a URL its own by default.")
@click.option("--servername", help="Name to ask a server for.")
@click.option("--verify-crl", is_flag=True, help="Ask the CRL that it names, too; one with noRevAvail has none.")
@click.option("--crl-endpoint", metavar="URL", help="The CRL to ask, a URL of plain HTTP or a file.")
@not_taken("--verify-ocsp", "there is no OCSP; a certificate here is short-lived", is_flag=True)
@not_taken("--issuing-ca", "it is in the chain; a CRL that another one signed is not taken")
@click.option("-v", "--verbose", is_flag=True, help="Say so when it is good.")
@json_option
def verify(
    source: str,
    home: str | None,
    roots: str | None,
    host: str | None,
    servername: str | None,
    verify_crl: bool,
    crl_endpoint: str | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Check the certificate in SOURCE, a file, `-` or an https URL, against roots; exit 1 when it is not good."""
    found = load_certificates(source, servername=servername)
    trusted = load_roots(roots)
    asked = host or servername or found.host
    name = parse_host(asked) if asked else None
    leaf, *intermediates = found.certificates
    now = datetime.now(UTC)  # noqa: TID251 - a person's now
    try:
        path = verify_for_any_use(leaf, intermediates, trusted.certificates, now=now, name=name)
        if verify_crl or crl_endpoint:
            _check_crl(path, crl_endpoint, now)
    except ChainError as error:
        error.hint = error.hint or _hint(home, trusted, error)
        if as_json:
            emit({"ok": False, "roots": trusted.place, **error_document(error)})
            say(f"error: {error.message}")
            return 1
        raise
    if as_json:
        chain = [fingerprint_of(one).hex() for one in path]
        emit({"ok": True, "roots": trusted.place, "host": asked or None, "chain": chain})
    elif verbose:
        click.echo("certificate validated against roots")
        if asked:
            click.echo("certificate host name validated")
        if verify_crl or crl_endpoint:
            click.echo("certificate not revoked in CRL")
        click.echo("certificate is valid")
    return 0


def _check_crl(path: tuple[x509.Certificate, ...], endpoint: str | None, now: datetime) -> None:
    """Raise ChainError where the leaf is revoked, or nobody can say that it is not."""
    leaf, issuer, *_ = (*path, path[-1])  # a root is its own issuer
    if endpoint is None and needs_no_crl(leaf):
        return
    places = (endpoint,) if endpoint else crl_urls(leaf)
    if not places:
        raise ChainError("the certificate names no CRL", hint="name one: --crl-endpoint http://…")
    check_not_revoked(load_crl(places[0]), leaf, issuer, now=now)


def parse_host(text: str) -> Identifier:
    """A host as a name of its type; UsageError."""
    try:
        return parse_ip(text) if ":" in text or text.replace(".", "").isdigit() else parse_dns(text, wildcard=False)
    except Refused as error:
        raise UsageError(f"{text!r} is no host: {error.detail}") from None


def _hint(home: str | None, trusted: Roots, error: ChainError) -> str:
    """Another root, where the path is what is wrong: that of this home, where the system's were asked."""
    if "does not chain" not in error.message:
        return ""
    root = resolve_home(home, os.environ, Path.home()) / "certs" / "root_ca.crt"
    if not trusted.is_system or not root.is_file():
        return "name the CA's root: --roots root_ca.crt"
    return f"is it of the CA of this home? then trust its root: --roots {root}"
