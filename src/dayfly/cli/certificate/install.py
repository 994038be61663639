"""`dayfly certificate install` and `uninstall`: whether this host trusts a root, by the distribution's own means.

Rules: roots alone go in, self-signed and a CA's; step's flags for stores that we do not write are refused, not ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.ca_target import not_taken
from dayfly.cli.certificate.facts import describe
from dayfly.cli.certificate.renderings import render_short
from dayfly.cli.certificate.sources import load_certificates
from dayfly.cli.output import emit, home_option, json_option
from dayfly.cli.truststore import find_trust_store, install_anchor, uninstall_anchor
from dayfly.errors import UsageError

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,59}")
_ALONE = "only the system's own trust store is written; on Debian its hooks pass a root on to Java's"

Command = TypeVar("Command", bound=Callable[..., Any])


def _other_stores(command: Command) -> Command:
    """Step's flags for the stores of Java and Firefox, and for leaving the system's out."""
    for flag in ("--all", "--java", "--firefox", "--no-system"):
        command = not_taken(flag, _ALONE, is_flag=True)(command)
    return command


@click.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@home_option
@click.option("--prefix", default="dayfly", show_default=True, help="Begin of the file's name among the anchors.")
@_other_stores
@json_option
def install(certificate: Path, home: str | None, prefix: str, as_json: bool) -> None:
    """Make this host trust the root in CERTIFICATE: the distribution's trust store takes it up."""
    del home
    if _PREFIX.fullmatch(prefix) is None:
        raise UsageError(f"{prefix[:80]!r} cannot begin a file's name", hint="use letters, digits and dashes")
    root = _load_root(certificate)
    path = install_anchor(root.public_bytes(Encoding.DER), find_trust_store(), prefix=prefix.replace(" ", "-"))
    if as_json:
        emit({"installed": [str(path)], "fingerprint": describe(root)["fingerprint_sha256"]})
        return
    click.echo(f"Certificate {certificate} has been installed.")
    click.echo(render_short(describe(root)))


@click.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@home_option
@click.option("--prefix", hidden=True, help="As step has it; the certificate is found by what it is.")
@_other_stores
@json_option
def uninstall(certificate: Path, home: str | None, prefix: str | None, as_json: bool) -> None:
    """Make this host trust the root in CERTIFICATE no longer, under whatever name it was installed."""
    del home, prefix
    root = _load_root(certificate)
    paths = uninstall_anchor(root.public_bytes(Encoding.DER), find_trust_store())
    if as_json:
        emit({"removed": [str(path) for path in paths], "fingerprint": describe(root)["fingerprint_sha256"]})
        return
    click.echo(f"Certificate {certificate} has been removed.")
    click.echo(render_short(describe(root)))


def _load_root(path: Path) -> x509.Certificate:
    """The one certificate of the file, which must be a root; UsageError."""
    found = load_certificates(str(path)).certificates
    root = found[0]
    if len(found) != 1 or not describe(root)["is_ca"] or not _is_self_signed(root):
        raise UsageError(f"{path} is not a root certificate", hint="name the root alone: dayfly ca root root_ca.crt")
    return root


def _is_self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
