"""Which roots a person trusts for one question: a file, several, a directory, or the system's, and then it is said.

Rules: without `--roots` the system's roots count, as step has it, and standard error names the file, so that nothing
is trusted silently; a home's own root is named in a hint and never taken by itself.
"""

from __future__ import annotations

import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from dayfly.cli.output import say
from dayfly.errors import UsageError

MAX_OCTETS = 8 * 1024 * 1024  # distributions ship 200 to 500 KB
# Where distributions keep the bundle, where OpenSSL's own default leads nowhere: Debian, Red Hat, SUSE.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


@dataclass(frozen=True, slots=True)
class Roots:
    """Certificates to trust, and where they came from, in words."""

    certificates: tuple[x509.Certificate, ...]
    place: str
    is_system: bool = False


def load_roots(option: str | None) -> Roots:
    """What `--roots` names: a file, files with commas between, or a directory; else the system's. UsageError."""
    if option is None:
        return _system()
    found: list[x509.Certificate] = []
    for path in _files(option):
        found += _load(path)
    if not found:
        raise UsageError(f"{option} holds no certificate", hint="name a PEM file of the roots to trust")
    return Roots(tuple(found), option)


def _files(option: str) -> list[Path]:
    path = Path(option)
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.is_file())
    return [Path(one) for one in option.split(",") if one]


def _load(path: Path) -> list[x509.Certificate]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the roots in {path} cannot be read: {error.strerror}", hint="name a PEM file") from None
    try:
        with warnings.catch_warnings():  # old public roots have serial numbers that RFC 5280 forbids
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_pem_x509_certificates(content[:MAX_OCTETS])
    except ValueError:
        raise UsageError(f"{path} holds no PEM certificate", hint="name a PEM file of the roots to trust") from None


def _system() -> Roots:
    """The bundle that OpenSSL reads by default (SSL_CERT_FILE counts), else where the distributions keep it."""
    for place in filter(None, (ssl.get_default_verify_paths().cafile, *BUNDLES)):
        if Path(place).is_file():
            say(f"judged by the system's roots, {place}, since --roots names none")
            return Roots(tuple(_load(Path(place))), place, is_system=True)
    raise UsageError("this host has no bundle of system roots", hint="name the roots to trust: --roots FILE")
