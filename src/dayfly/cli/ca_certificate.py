"""`dayfly ca certificate`: a key and its certificate, in step's words (step-compat.md part 14)."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dayfly.cli.ca_target import Target, ca_url_option, find_ca, root_option
from dayfly.cli.files import check_targets, write_file
from dayfly.cli.output import doing, emit, home_option, json_option, tick
from dayfly.client.acme import ACMEClient
from dayfly.client.solving import StandaloneSolver, WebrootSolver, parse_listen
from dayfly.client.transport import Transport, trusting
from dayfly.core.identifiers import Identifier, IdentifierType, parse_dns, parse_ip
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.problems import Refused
from dayfly.core.x509.chain import ChainError, load_certificate, verify_chain
from dayfly.core.x509.pem import PEMError, parse_pem_certificates
from dayfly.errors import ClientError, UsageError

CertificateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}


@click.command()
@click.argument("subject")
@click.argument("crt", type=click.Path(path_type=Path))
@click.argument("key", type=click.Path(path_type=Path))
@home_option
@ca_url_option
@root_option
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
        doing(text, lambda: client.authorize(placed, solver))
        ready = doing("Waiting for Order to be 'ready' for finalization ..", lambda: client.wait_ready(placed))
        done = doing("Finalizing Order ..", lambda: client.finalize(ready, _make_csr(names, key)))
        return client.download(done)


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
