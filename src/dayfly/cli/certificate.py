"""`dayfly certificate`: look at certificates, in files or as a server shows them (step-compat.md part 14)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.client.transport import parse_url
from dayfly.core.identifiers import Identifier, parse_dns, parse_ip
from dayfly.core.problems import Refused
from dayfly.core.x509 import der
from dayfly.core.x509.chain import load_certificate, verify_chain
from dayfly.core.x509.pem import PEMError, parse_pem_certificates, render_pem
from dayfly.core.x509.profile import PROVISIONER
from dayfly.errors import UsageError

TIMEOUT = 10.0  # seconds, for a server to show its certificate
_PROVISIONER_TYPES = {1: "JWK", 6: "ACME"}


def load_chain(source: str, *, servername: str | None = None) -> tuple[bytes, ...]:
    """The certificates (DER) in a PEM file, or the one that an https server shows; UsageError."""
    if source.startswith("https://"):
        return (_shown_by(source, servername),)
    path = Path(source)
    try:
        return parse_pem_certificates(path.read_text("ascii"))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", hint="name a PEM file or an https URL") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (PEMError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a PEM certificate: {error}") from None


def _shown_by(url: str, servername: str | None) -> bytes:
    """What the server shows, unverified: looking is not trusting."""
    origin, _ = parse_url(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((origin.host, origin.port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=servername or origin.host) as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
    except OSError as error:
        raise UsageError(f"{origin} shows no certificate: {error.strerror or error}", hint="is it running?") from None
    if shown is None:
        raise UsageError(f"{origin} shows no certificate")
    return shown


def parse_host(text: str) -> Identifier:
    """A host as a name of its type; UsageError."""
    try:
        return parse_ip(text) if ":" in text or text.replace(".", "").isdigit() else parse_dns(text, wildcard=False)
    except Refused as error:
        raise UsageError(f"{text!r} is no host: {error.detail}") from None


@click.command()
@click.argument("source")
@home_option
@click.option("--roots", type=click.Path(path_type=Path), required=True, help="PEM file of the roots to trust.")
@click.option("--host", help="The name that it must be good for.")
@click.option("--servername", help="Name to ask a server for.")
@click.option("-v", "--verbose", is_flag=True, help="Say so when it is good.")
@json_option
def verify(
    source: str, home: str | None, roots: Path, host: str | None, servername: str | None, verbose: bool, as_json: bool
) -> None:
    """Check the certificate in SOURCE, a file or an https URL, against roots; exit 1 when it is not good."""
    del home
    leaf, *intermediates = load_chain(source, servername=servername)
    name = parse_host(host) if host else None
    verify_chain(leaf, intermediates, load_chain(str(roots)), now=datetime.now(UTC), name=name)  # noqa: TID251 - a person's now
    if as_json:
        emit({"ok": True})
    elif verbose:
        say("certificate validated against roots")


@click.command()
@click.argument("source")
@home_option
@click.option("--bundle", is_flag=True, help="All certificates of the file, numbered.")
@click.option("--sha1", is_flag=True, help="SHA-1 instead of SHA-256.")
@json_option
def fingerprint(source: str, home: str | None, bundle: bool, sha1: bool, as_json: bool) -> None:
    """Print the fingerprint of the certificate in SOURCE."""
    del home
    algorithm = SHA1() if sha1 else SHA256()  # noqa: S303 - a fingerprint to compare, as step has it
    chain = load_chain(source)
    values = [load_certificate(one).fingerprint(algorithm).hex() for one in (chain if bundle else chain[:1])]
    if as_json:
        emit({"fingerprints": values})
        return
    for number, value in enumerate(values):
        click.echo(f"{number}: {value}" if bundle else value)


@click.command()
@click.argument("source")
@home_option
@click.option("--short", is_flag=True, help="A few lines.")
@click.option("--bundle", is_flag=True, help="All certificates of the file.")
@click.option("--format", "form", type=click.Choice(["text", "json", "pem"]), default="text", show_default=True)
@click.option("--servername", help="Name to ask a server for.")
@click.option("--roots", type=click.Path(), hidden=True, help="As step has it; looking needs no roots.")
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
    """Print what is in the certificate in SOURCE, a file or an https URL."""
    del home, roots, insecure
    chain = load_chain(source, servername=servername)
    chosen = [load_certificate(one) for one in (chain if bundle else chain[:1])]
    if as_json or form == "json":
        documents = [describe(one) for one in chosen]
        emit(documents if bundle else documents[0])
    elif form == "pem":
        click.echo("".join(render_pem(one.public_bytes(Encoding.DER)) for one in chosen), nl=False)
    else:
        render = render_short if short else render_text
        click.echo("\n".join(render(describe(one)) for one in chosen))


# --- what is in a certificate -----------------------------------------------------------------------------------------


def describe(certificate: x509.Certificate) -> dict[str, Any]:
    """The facts of a certificate, for people and programs."""
    serial = certificate.serial_number
    return {
        "version": certificate.version.value + 1,
        "serial": str(serial),
        "serial_hex": f"{serial:x}",
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "key": _key_words(certificate),
        "signature_algorithm": certificate.signature_algorithm_oid._name,  # noqa: SLF001 - the library's name for it
        "names": _names(certificate),
        "usages": _usages(certificate),
        "is_ca": _is_ca(certificate),
        "provisioner": _provisioner(certificate),
        "extensions": [_extension_words(one) for one in certificate.extensions],
        "fingerprint": certificate.fingerprint(SHA256()).hex(),
    }


def _key_words(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {({'secp256r1': 'P-256', 'secp384r1': 'P-384'}).get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(one.value) for one in names]


def _usages(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [one._name for one in found]  # noqa: SLF001 - the library's name for it


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _provisioner(certificate: x509.Certificate) -> dict[str, str] | None:
    """Type, name and credential of step's provisioner extension, where it is there and readable."""
    for one in certificate.extensions:
        value = one.value
        if isinstance(value, x509.UnrecognizedExtension) and der.oid(value.oid.dotted_string) == PROVISIONER:
            return _parse_mark(value.value)
    return None


def _parse_mark(value: bytes) -> dict[str, str] | None:
    try:
        kind, name, credential, *_ = der.read_all(der.read_one(value, der.SEQUENCE).content)
        number = der.read_integer(kind)
        texts = [one.content.decode("utf-8") for one in (name, credential)]
    except (der.DERError, ValueError):
        return None
    clean = ["".join(c if c.isprintable() else "?" for c in text) for text in texts]
    return {"type": _PROVISIONER_TYPES.get(number, str(number)), "name": clean[0], "credential": clean[1]}


def _extension_words(one: x509.Extension[x509.ExtensionType]) -> dict[str, Any]:
    name = one.oid._name  # noqa: SLF001 - the library's name for it
    return {"name": name if name != "Unknown OID" else one.oid.dotted_string, "critical": one.critical}


def render_short(facts: dict[str, Any]) -> str:
    """Step's short form."""
    kind = "CA" if facts["is_ca"] else "TLS"
    digits = facts["serial"]
    lines = [
        f"X.509v3 {kind} Certificate ({facts['key']}) [Serial: {digits[:4]}...{digits[-4:]}]",
        *_labelled("Subject", facts["names"] or [facts["subject"]]),
        f"  Issuer:      {facts['issuer']}",
    ]
    if facts["provisioner"]:
        mark = facts["provisioner"]
        credential = f" [ID: {mark['credential'][:4]}...{mark['credential'][-4:]}]" if mark["credential"] else ""
        lines.append(f"  Provisioner: {mark['name']} ({mark['type']}){credential}")
    lines += [f"  Valid from:  {facts['not_before']}", f"          to:  {facts['not_after']}"]
    return "\n".join(lines)


def _labelled(label: str, values: Sequence[str]) -> list[str]:
    first, *rest = values
    return [f"  {label + ':':<12} {first}", *(f"               {value}" for value in rest)]


def render_text(facts: dict[str, Any]) -> str:
    """The long form, in OpenSSL's manner."""
    mark = facts["provisioner"]
    lines = [
        "Certificate:",
        f"    Version: {facts['version']} (0x{facts['version'] - 1:x})",
        f"    Serial Number: {facts['serial']} (0x{facts['serial_hex']})",
        f"    Signature Algorithm: {facts['signature_algorithm']}",
        f"    Issuer: {facts['issuer']}",
        f"    Validity: {facts['not_before']} to {facts['not_after']}",
        f"    Subject: {facts['subject'] or '(empty)'}",
        f"    Subject Public Key: {facts['key']}",
        f"    Subject Alternative Names: {', '.join(facts['names']) or '(none)'}",
        f"    Extended Key Usage: {', '.join(facts['usages']) or '(none)'}",
        *([f"    Provisioner: {mark['name']} ({mark['type']})"] if mark else []),
        "    Extensions:",
        *(f"        {one['name']}{' (critical)' if one['critical'] else ''}" for one in facts["extensions"]),
        f"    SHA-256 Fingerprint: {facts['fingerprint']}",
    ]
    return "\n".join(lines)
