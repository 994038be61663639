"""`dayfly ca certificate`, `ca root`, `ca health`: a client of a CA, in step's words (step-compat.md part 14)."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dayfly.cli.files import check_targets, write_file
from dayfly.cli.output import emit, home_option, json_option, say, tick
from dayfly.client.acme import ACMEClient
from dayfly.client.solving import StandaloneSolver, WebrootSolver, parse_listen
from dayfly.client.step import fetch_health, fetch_root
from dayfly.client.transport import Transport, parse_url, trusting
from dayfly.core.identifiers import Identifier, IdentifierType, parse_dns, parse_ip
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.problems import Refused
from dayfly.core.x509.chain import ChainError, load_certificate, verify_chain
from dayfly.core.x509.pem import PEMError, parse_pem_certificates
from dayfly.errors import ClientError, UsageError
from dayfly.home import resolve_home

CertificateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}

Result = TypeVar("Result")

_ca_url = click.option("--ca-url", help="The CA, as https://ca.internal.example:9000.")
_root = click.option("--root", type=click.Path(path_type=Path), help="The CA's root certificate.")


@dataclass(frozen=True, slots=True)
class Target:
    """Which CA: its URL, and the file of its root."""

    url: str
    root: Path


def find_ca(home: str | None, ca_url: str | None, root: Path | None) -> Target:
    """The CA from flags, else DAYFLY_CA_URL and DAYFLY_ROOT, else config/defaults.json of the home; UsageError."""
    defaults = _defaults(resolve_home(home, os.environ, Path.home()))
    url = ca_url or os.environ.get("DAYFLY_CA_URL") or defaults.get("ca-url")
    if not url:
        raise UsageError("no CA is named", hint="name it: --ca-url https://ca.internal.example:9000")
    chosen = root or os.environ.get("DAYFLY_ROOT") or defaults.get("root")
    if not chosen:
        raise UsageError(
            "no root certificate is named, and the system's own trust store is never used",
            hint="fetch it: dayfly ca root root_ca.crt --ca-url URL --fingerprint SHA256; then: --root root_ca.crt",
        )
    parse_url(url)
    return Target(url.rstrip("/"), Path(chosen))


def _defaults(home: Path) -> dict[str, str]:
    path = home / "config" / "defaults.json"
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise UsageError(f"{path} cannot be read as JSON", hint="mend or remove it") from None
    return (
        {key: value for key, value in document.items() if isinstance(value, str)} if isinstance(document, dict) else {}
    )


@click.command()
@home_option
@_ca_url
@_root
@json_option
def health(home: str | None, ca_url: str | None, root: Path | None, as_json: bool) -> None:
    """Ask the CA whether it is well."""
    target = find_ca(home, ca_url, root)
    with Transport(target.url, trusting(target.root)) as transport:
        fetch_health(transport, target.url)
    if as_json:
        emit({"status": "ok"})
    else:
        click.echo("ok")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@home_option
@_ca_url
@click.option("--fingerprint", help="SHA-256 of the root, as `ca init` printed it.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def root(
    file: Path | None, home: str | None, ca_url: str | None, fingerprint: str | None, force: bool, as_json: bool
) -> None:
    """Fetch the CA's root certificate; its fingerprint is all the trust that is needed."""
    defaults = _defaults(resolve_home(home, os.environ, Path.home()))
    url = ca_url or os.environ.get("DAYFLY_CA_URL") or defaults.get("ca-url")
    wanted = fingerprint or defaults.get("fingerprint")
    if not url or not wanted:
        raise UsageError("--ca-url and --fingerprint are needed", hint="`dayfly ca init` printed both")
    if file is not None:
        check_targets((file,), force=force)
    pem = fetch_root(url.rstrip("/"), wanted)
    if file is not None:
        write_file(file, pem.encode(), mode=0o644)
        say(f"The root certificate has been saved in {file}.")
    if as_json:
        emit({"root": pem, "fingerprint": wanted.lower(), "file": str(file) if file else None})
    elif file is None:
        click.echo(pem, nl=False)


@click.command()
@click.argument("subject")
@click.argument("crt", type=click.Path(path_type=Path))
@click.argument("key", type=click.Path(path_type=Path))
@home_option
@_ca_url
@_root
@click.option("--provisioner", "--issuer", help="Name of the ACME provisioner.")
@click.option("--acme", "directory", help="URL of another CA's ACME directory.")
@click.option("--san", multiple=True, help="Another name or address; repeat for more.")
@click.option("--standalone", is_flag=True, help="Answer the challenge on a port of our own (the default).")
@click.option("--webroot", type=click.Path(path_type=Path), help="Answer the challenge by a file below this directory.")
@click.option("--http-listen", default=":80", show_default=True, help="Where to answer the challenge.")
@click.option("--contact", multiple=True, help="E-mail address for the account; repeat for more.")
@click.option("--not-before", help="Begin, as a duration from now or an RFC 3339 time.")
@click.option("--not-after", help="End, as a duration from now or an RFC 3339 time.")
@click.option("--kty", type=click.Choice(["EC", "RSA", "OKP"]), default="EC", show_default=True, help="Kind of key.")
@click.option(
    "--curve", type=click.Choice(["P-256", "P-384"]), default="P-256", show_default=True, help="Curve of an EC key."
)
@click.option(
    "--size", type=click.Choice(["2048", "3072", "4096"]), default="3072", show_default=True, help="Bits of an RSA key."
)
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@json_option
def certificate(subject: str, crt: Path, key: Path, home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Get a certificate for SUBJECT by ACME: the chain into CRT, its key into KEY."""
    target = find_ca(home, options["ca_url"], options["root"])
    directory = _directory(target, options)
    names = _names(subject, options["san"])
    check_targets((crt, key), force=options["force"])
    tick("Provisioner", f"{options['provisioner'] or directory} (ACME)")
    tick("CA", target.url)
    made = _make_key(options["kty"], options["curve"], int(options["size"]))
    chain = _obtain(target, directory, names, made, options)
    checked = _check_answer(chain, made, names, target.root)
    plain = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_file(key, plain, mode=0o600)
    write_file(crt, chain.encode("ascii"), mode=0o644)
    tick("Certificate", str(crt))
    tick("Private Key", str(key))
    if as_json:
        emit(_document(checked, crt, key))


def _directory(target: Target, options: dict[str, Any]) -> str:
    if options["directory"]:
        return str(options["directory"])
    if not options["provisioner"]:
        raise UsageError("no provisioner is named", hint="name the ACME provisioner: --provisioner internal-acme")
    return f"{target.url}/acme/{options['provisioner']}/directory"


def _names(subject: str, more: tuple[str, ...]) -> tuple[Identifier, ...]:
    """The subject, and what --san adds, each an address or a DNS name; UsageError."""
    names: dict[Identifier, None] = {}
    for text in (subject, *more):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            is_address = False
        else:
            is_address = True
        try:
            names[parse_ip(text) if is_address else parse_dns(text)] = None
        except Refused as error:
            raise UsageError(f"{text!r} is not a name that a certificate can have: {error.detail}") from None
    return tuple(names)


def _make_key(kty: str, curve: str, size: int) -> CertificateKey:
    if kty == "RSA":
        return rsa.generate_private_key(65537, size)
    if kty == "OKP":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[curve]())


def _make_csr(names: tuple[Identifier, ...], key: CertificateKey) -> bytes:
    """A request for the names; the first DNS name or address stands in the subject too, as step has it."""
    entries = [
        x509.IPAddress(ipaddress.ip_address(one.value)) if one.type is IdentifierType.IP else x509.DNSName(one.value)
        for one in names
    ]
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0].value)] if len(names[0].value) <= 64 else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    builder = builder.add_extension(x509.SubjectAlternativeName(entries), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def _moment(text: str | None, flag: str) -> datetime | None:
    """A duration from now, or an RFC 3339 time; UsageError."""
    if text is None:
        return None
    try:
        return datetime.now(UTC).replace(microsecond=0) + parse_duration(text) - timedelta(seconds=1)  # noqa: TID251 - a person's now
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag}: {text!r} is neither a duration nor a time", hint="write 1h, or 2026-12-01T00:00:00Z"
        ) from None
    if moment.tzinfo is None:
        raise UsageError(f"{flag}: {text!r} has no time zone", hint="end it with Z")
    return moment.astimezone(UTC)


def _solver(options: dict[str, Any]) -> StandaloneSolver | WebrootSolver:
    if options["webroot"] is not None:
        return WebrootSolver(options["webroot"])
    return StandaloneSolver(*parse_listen(options["http_listen"]))


def _obtain(
    target: Target, directory: str, names: tuple[Identifier, ...], key: CertificateKey, options: dict[str, Any]
) -> str:
    """The chain (PEM), by an account of its own, as step does it."""
    how = "Webroot" if options["webroot"] is not None else "Standalone"
    account_key = ec.generate_private_key(ec.SECP256R1())
    with Transport(directory, trusting(target.root)) as transport, _solver(options) as solver:
        client = ACMEClient(transport, directory, account_key)
        client.ensure_account([f"mailto:{one}" for one in options["contact"]])
        placed = client.new_order(
            [(one.type.value, one.value) for one in names],
            not_before=_moment(options["not_before"], "--not-before"),
            not_after=_moment(options["not_after"], "--not-after"),
        )
        text = f"Using {how} Mode HTTP challenge to validate {', '.join(one.value for one in names)} .."
        _step(text, lambda: client.authorize(placed, solver))
        ready = _step("Waiting for Order to be 'ready' for finalization ..", lambda: client.wait_ready(placed))
        done = _step("Finalizing Order ..", lambda: client.finalize(ready, _make_csr(names, key)))
        return client.download(done)


def _step(text: str, work: Callable[[], Result]) -> Result:
    """One of step's lines: what is being done, and `done!` when it is."""
    click.echo(text, err=True, nl=False)
    try:
        result = work()
    except ClientError:
        click.echo("", err=True)
        raise
    click.echo(" done!", err=True)
    return result


def _check_answer(chain: str, key: CertificateKey, names: tuple[Identifier, ...], root: Path) -> x509.Certificate:
    """Verify before anything is stored: our key, our names, a chain to the root, valid now; ClientError."""
    try:
        leaf, *intermediates = parse_pem_certificates(chain)
        roots = parse_pem_certificates(root.read_text("ascii"))
        found = load_certificate(leaf)
        spki = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if spki != key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
            raise ChainError("it has another key than the one that was asked for")  # noqa: TRY301 - one text for all
        for name in names:
            verify_chain(leaf, intermediates, roots, now=datetime.now(UTC), name=name)  # noqa: TID251 - a person's now
    except (PEMError, ChainError) as error:
        raise ClientError(
            f"the CA's certificate is not what was asked for: {error}; nothing was written",
            hint="is the clock right, and the root the right one?",
        ) from None
    return found


def _document(found: x509.Certificate, crt: Path, key: Path) -> dict[str, Any]:
    return {
        "certificate": str(crt),
        "key": str(key),
        "serial": str(found.serial_number),
        "serial_hex": f"{found.serial_number:x}",
        "not_before": found.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "not_after": found.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
    }
