"""`dayfly certificate fingerprint`: the hash by which people compare certificates and requests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping

import click
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.certificate.sources import Source, load_source
from dayfly.cli.output import emit, home_option, json_option
from dayfly.errors import UsageError

# Step's formats, without the one of pictures.
FORMATS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda value: base64.b64encode(value).decode(),
    "base64-raw": lambda value: base64.b64encode(value).decode().rstrip("="),
    "base64-url": lambda value: base64.urlsafe_b64encode(value).decode(),
    "base64-url-raw": lambda value: base64.urlsafe_b64encode(value).decode().rstrip("="),
}


@click.command()
@click.argument("source", default="-")
@home_option
@click.option("--bundle", is_flag=True, help="All certificates of the file or of the server, numbered.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="hex", show_default=True)
@click.option("--sha1", is_flag=True, help="SHA-1 instead of SHA-256; wants --insecure.")
@click.option("--insecure", is_flag=True, help="Yes, SHA-1.")
@click.option("--servername", help="Name to ask a server for.")
@click.option("--roots", hidden=True, help="As step has it; looking needs no roots.")
@json_option
def fingerprint(
    source: str,
    home: str | None,
    bundle: bool,
    form: str,
    sha1: bool,
    insecure: bool,
    servername: str | None,
    roots: str | None,
    as_json: bool,
) -> None:
    """Print the fingerprint of the certificate or request in SOURCE: a file, `-`, or an https URL."""
    del home, roots
    if sha1 and not insecure:
        raise UsageError("SHA-1 can be forged, so --sha1 wants --insecure beside it", hint="compare by SHA-256")
    render = FORMATS[form]
    hashed = hashlib.sha1 if sha1 else hashlib.sha256  # to compare with what others print
    values = [render(hashed(der).digest()) for der in _ders(load_source(source, servername=servername), bundle=bundle)]
    if as_json:
        emit({"fingerprints": values, "algorithm": "sha1" if sha1 else "sha256", "format": form})
        return
    for number, value in enumerate(values):
        click.echo(f"{number}: {value}" if bundle else value)


def _ders(found: Source, *, bundle: bool) -> list[bytes]:
    if found.request is not None:
        return [found.request.public_bytes(Encoding.DER)]
    chosen = found.certificates if bundle else found.certificates[:1]
    return [one.public_bytes(Encoding.DER) for one in chosen]
