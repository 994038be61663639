"""`dayfly certificate inspect`: what is in a certificate or a request."""

from __future__ import annotations

import click
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.certificate.facts import describe, describe_request
from dayfly.cli.certificate.renderings import render_short, render_text
from dayfly.cli.certificate.sources import Source, load_source
from dayfly.cli.output import emit, home_option, json_option
from dayfly.core.x509.pem import render_pem
from dayfly.errors import UsageError


@click.command()
@click.argument("source", default="-")
@home_option
@click.option("--short", is_flag=True, help="A few lines.")
@click.option("--bundle", is_flag=True, help="All certificates of the file or of the server.")
@click.option("--format", "form", type=click.Choice(["text", "json", "pem"]), default="text", show_default=True)
@click.option("--servername", help="Name to ask a server for.")
@click.option("--roots", hidden=True, help="As step has it; looking needs no roots.")
@click.option("--insecure", is_flag=True, hidden=True, help="As step has it; looking trusts nobody.")
@json_option
def inspect(
    source: str,
    home: str | None,
    short: bool,
    bundle: bool,
    form: str,
    servername: str | None,
    roots: str | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Print what is in the certificate or request in SOURCE: a file, `-` for standard input, or an https URL."""
    del home, roots, insecure
    if short and form != "text":
        raise UsageError(f"--short is text, and --format asks for {form}", hint="leave one of them out")
    found = load_source(source, servername=servername)
    if found.request is not None and bundle:
        raise UsageError("--bundle is for certificates, and this is a request", hint="leave it out")
    if as_json or form == "json":
        documents = _documents(found, bundle=bundle)
        emit(documents if bundle else documents[0])
    elif form == "pem":
        click.echo(_pem(found, bundle=bundle), nl=False)
    else:
        render = render_short if short else render_text
        click.echo("\n".join(map(render, _documents(found, bundle=bundle))))


def _documents(found: Source, *, bundle: bool) -> list[dict[str, object]]:
    if found.request is not None:
        return [describe_request(found.request)]
    return [describe(one) for one in (found.certificates if bundle else found.certificates[:1])]


def _pem(found: Source, *, bundle: bool) -> str:
    if found.request is not None:
        return render_pem(found.request.public_bytes(Encoding.DER), "CERTIFICATE REQUEST")
    chosen = found.certificates if bundle else found.certificates[:1]
    return "".join(render_pem(one.public_bytes(Encoding.DER)) for one in chosen)
