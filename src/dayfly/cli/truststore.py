"""The host's own trust store: a root goes in as one more file, and the distribution's program makes the bundle.

Rules: an installed file's name comes from the fingerprint, so that installing twice is installing once; only CA
certificates go in; what the program refuses is taken back; nothing outside the anchors' directory is touched by us.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from dayfly.cli.files import write_file
from dayfly.core.x509.chain import load_certificate
from dayfly.core.x509.pem import PEMError, parse_pem_certificates, render_pem
from dayfly.errors import UsageError

TIMEOUT = 120.0  # seconds, for the distribution's program: it runs hooks (Java's store takes the longest)
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Where anchors lie, how their files end, what makes the bundle of them, and what it takes beside that to forget.

    Debian's program leaves the links to anchors that are gone, unless it begins afresh.
    """

    anchors: Path
    suffix: str
    update: tuple[str, ...]
    forget: tuple[str, ...] = ()

    def path_of(self, der: bytes, *, prefix: str) -> Path:
        """The one file that this certificate has here."""
        return self.anchors / f"{prefix}-{_words(load_certificate(der))}-{_digest(der)[:16]}{self.suffix}"


# Debian and its kin, Red Hat and its kin, SUSE, Arch; each with the program that reads its anchors.
STORES = (
    TrustStore(Path("/usr/local/share/ca-certificates"), ".crt", ("update-ca-certificates",), ("--fresh",)),
    TrustStore(Path("/etc/pki/ca-trust/source/anchors"), ".pem", ("update-ca-trust", "extract")),
    TrustStore(Path("/usr/share/pki/trust/anchors"), ".crt", ("update-ca-certificates",)),
    TrustStore(Path("/etc/ca-certificates/trust-source/anchors"), ".crt", ("trust", "extract-compat")),
)


def find_trust_store(stores: tuple[TrustStore, ...] = STORES) -> TrustStore:
    """The host's store; UsageError where there is none that we know."""
    for store in stores:
        if store.anchors.is_dir() and shutil.which(store.update[0], path=_PLACES) is not None:
            return store
    raise UsageError(
        "this host has no system trust store that we know",
        hint="on Debian: apt-get install ca-certificates; elsewhere add the root by the system's own means",
    )


def install_anchor(der: bytes, store: TrustStore, *, prefix: str = "dayfly") -> Path:
    """Trust this CA certificate (DER) on this host; its file. UsageError where it is no CA, or cannot be installed."""
    _check_is_ca(der)
    path = store.path_of(der, prefix=prefix)
    if not os.access(store.anchors, os.W_OK):
        raise UsageError(f"{store.anchors} may not be written by this user", hint="run this as root")
    before = path.read_bytes() if path.exists() else None
    write_file(path, render_pem(der).encode("ascii"), mode=0o644)
    try:
        _update(store)
    except UsageError:
        if before is None:
            path.unlink(missing_ok=True)
        raise
    return path


def uninstall_anchor(der: bytes, store: TrustStore) -> tuple[Path, ...]:
    """Trust this certificate no longer, under whatever name it was installed; the files that went. UsageError."""
    found = tuple(path for path in sorted(store.anchors.glob(f"*{store.suffix}")) if _holds(path, der))
    if not found:
        raise UsageError(
            f"the certificate is not among the files in {store.anchors}",
            hint="what the distribution itself ships is removed by its own means",
        )
    try:
        for path in found:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be removed: {error.strerror}", hint="run this as root") from None
    _update(store, *store.forget)
    return found


def _check_is_ca(der: bytes) -> None:
    certificate = load_certificate(der)
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    if not is_ca:
        raise UsageError(
            "this is not a CA's certificate, and trusting it would trust nothing else", hint="name the root certificate"
        )


def _update(store: TrustStore, *more: str) -> None:
    """Run the distribution's program; UsageError with what it said last."""
    program = shutil.which(store.update[0], path=_PLACES)
    if program is None:
        raise UsageError(f"{store.update[0]} is not installed, so the trust store cannot be made anew")
    try:
        result = subprocess.run(  # noqa: S603 - a program of the distribution by its absolute path, no shell
            (program, *store.update[1:], *more),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{program} did not end within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise UsageError(f"{program} could not be started: {error.strerror}") from None
    if result.returncode != 0:
        last = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["it gave no reason"]
        raise UsageError(f"{program} failed (exit {result.returncode}): {last[0][:200]}", hint="run this as root")


def _holds(path: Path, der: bytes) -> bool:
    try:
        return parse_pem_certificates(path.read_text("ascii")) == (der,)
    except (OSError, UnicodeDecodeError, PEMError):
        return False


def _words(certificate: x509.Certificate) -> str:
    """The subject's CN, fit for a file's name."""
    values = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _NOT_IN_NAMES.sub("-", str(values[0].value) if values else "root").strip("-")[:60] or "root"


def _digest(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
