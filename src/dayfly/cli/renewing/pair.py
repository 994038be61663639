"""A certificate and its key in files: read together, replaced whole, and one renewer at a time.

Rules: a pair whose halves do not belong together is refused; what an agent keeps is left to the agent; a file is
replaced by a rename, with the owner, group and mode that it had, in the directory that was found before the pair was
read; the lock is on that directory and leaves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from dayfly.adapters.keyfiles import read_file
from dayfly.cli import passwords
from dayfly.cli.answers import spki
from dayfly.cli.renewing.spots import Spot, Spots, open_spots
from dayfly.cli.requesting import CertificateKey
from dayfly.client.transport import ClientPair
from dayfly.core.renewing import Life
from dayfly.core.x509.chain import load_certificate
from dayfly.core.x509.pem import PEMError, parse_pem_certificates
from dayfly.core.x509.pkcs8 import IV_OCTETS, SALT_OCTETS, encrypt_pkcs8, render_encrypted_pem
from dayfly.errors import UsageError

LOCK_WITHIN = 60.0  # seconds; a renewal takes one or two, a hook at most 30
_POLL = 0.1
REHEARSED = 16 * 1024  # octets: more than a chain and a key of ours have
# Blocks of every kind: a key beside the certificate is refused, since it would not be there afterwards.
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]+-----[A-Za-z0-9+/=\s]+-----END [A-Z0-9 ]+-----")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, its chain (DER, leaf first), its key, and the password that opened the key's file."""

    crt: Path
    key_file: Path
    leaf: x509.Certificate
    chain: tuple[bytes, ...]
    key: CertificateKey = field(repr=False)
    password: bytes | None = field(default=None, repr=False)

    @property
    def life(self) -> Life:
        """From when to when it is valid."""
        return Life(self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc)

    @property
    def shown(self) -> ClientPair:
        """The files, to show to the CA."""
        return ClientPair(self.crt, self.key_file, self.password)


def load_pair(crt: Path, key: Path, *, password_file: Path | None, password: bytes | None = None) -> Pair:
    """The pair in two files; UsageError, ConfigError for a password file.

    A `password` that is known is used, else that of the file; a person is asked at a terminal only.
    """
    chain = load_chain(crt)
    loaded, password = load_private_key(key, password_file=password_file, password=password)
    leaf = load_certificate(chain[0])
    if spki(leaf.public_key()) != spki(loaded.public_key()):
        raise UsageError(
            f"{crt} and {key} do not belong together: the certificate is for another key",
            hint="get a new pair: dayfly ca certificate NAME CRT KEY --force",
        )
    return Pair(crt, key, leaf, chain, loaded, password)


def load_chain(path: Path) -> tuple[bytes, ...]:
    """The certificates (DER) in a file, the leaf first; UsageError. Text around them is no matter (RFC 7468 2)."""
    try:
        return parse_pem_certificates("\n".join(_BLOCK.findall(path.read_text("utf-8"))))
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {path}", hint="get a certificate first: dayfly ca certificate NAME CRT KEY"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="run this as its owner") from None
    except (PEMError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a PEM certificate: {error}") from None


def load_private_key(
    path: Path, *, password_file: Path | None, password: bytes | None = None
) -> tuple[CertificateKey, bytes | None]:
    """The key in a PEM file, and the password that opened it; UsageError, ConfigError for the password file."""
    try:
        content = read_file(path.resolve())
    except OSError as error:
        raise UsageError(
            f"the key file {path} cannot be read: {error.strerror}", hint="run this as its owner"
        ) from None
    password = (password or _password(path, password_file)) if b"ENCRYPTED" in content else None
    try:
        key = load_pem_private_key(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "the file is damaged" if password is None else "the password is wrong, or the file is damaged"
        raise UsageError(f"{path} cannot be opened: {why}", hint="check --password-file, or the file") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise UsageError(f"{path} holds a key of a kind that certificates here do not have")
    return key, password


def _password(path: Path, password_file: Path | None) -> bytes:
    given = passwords.from_file(password_file, "--password-file")
    if given is None:
        given = passwords.from_environment("DAYFLY_PASSWORD_FILE")
    return given or passwords.ask(f"Please enter the password to decrypt {path}", flags="--password-file FILE")


def render_key(key: CertificateKey, *, password: bytes | None) -> bytes:
    """The key as PKCS#8 PEM, encrypted where there is a password."""
    if password is None:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, iv = os.urandom(SALT_OCTETS), os.urandom(IV_OCTETS)
    return render_encrypted_pem(encrypt_pkcs8(plain, password=password, salt=salt, iv=iv))


# --- who may touch it -------------------------------------------------------------------------------------------------


def refuse_managed(path: Path) -> None:
    """UsageError for a file of an agent's generation: the agent installs, reloads and looks, and we would not."""
    generation = path.resolve().parent
    if generation.parent.name != "gens" or not (generation / "meta.json").exists():
        return
    home = generation.parents[3]
    raise UsageError(
        f"{path} is kept by the agent in {home}, which renews it by itself",
        hint=f"see it: dayfly agent status --home {home}; let it act now: dayfly agent run --once --home {home}",
    )


@contextlib.contextmanager
def locked(*paths: Path, within: float = LOCK_WITHIN) -> Iterator[Spots]:
    """Hold the directories of these files against other renewers of ours, each once and in one order for everybody.

    Where the files lie is found here and stays so. UsageError where another one holds one for too long.
    """
    deadline = time.monotonic() + within
    with contextlib.ExitStack() as held:
        spots = open_spots(paths, held)
        directories = {_identity(spot.directory): spot for spot in spots.values()}
        for _, spot in sorted(directories.items()):
            _lock(spot.directory, spot.real.parent, deadline)
        yield spots


def _identity(descriptor: int) -> tuple[int, int]:
    facts = os.fstat(descriptor)
    return facts.st_dev, facts.st_ino


def _lock(descriptor: int, directory: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UsageError(
                    f"another renewal in {directory} has not ended yet", hint="see: ps -ef | grep 'dayfly ca'"
                ) from None
            time.sleep(_POLL)
        else:
            return


# --- replacing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replacement:
    """What comes into a file; `mode` counts where there is none yet."""

    spot: Spot
    content: bytes
    mode: int


def rehearse(spots: tuple[Spot, ...]) -> None:
    """Raise UsageError where `replace_files` would: before the CA has given a certificate that cannot be kept."""
    with contextlib.ExitStack() as made:
        for spot in spots:
            temporary = _prepare(Replacement(spot, bytes(REHEARSED), 0o600))
            made.callback(_remove, spot, temporary)


def replace_files(replacements: tuple[Replacement, ...]) -> None:
    """Put all of them in place: each is complete on disk before the first gets its name. UsageError changes nothing."""
    ready: list[tuple[str, Spot]] = []
    with contextlib.ExitStack() as left:
        for one in replacements:
            temporary = _prepare(one)
            left.callback(_remove, one.spot, temporary)
            ready.append((temporary, one.spot))
        for temporary, spot in ready:
            with _told(spot):
                os.replace(temporary, spot.name, src_dir_fd=spot.directory, dst_dir_fd=spot.directory)
    for directory in {spot.directory for _, spot in ready}:
        os.fsync(directory)


@contextlib.contextmanager
def _told(spot: Spot) -> Iterator[None]:
    """An OSError as a UsageError that names the file."""
    try:
        yield
    except OSError as error:
        what = f"{spot.real} cannot be written: {error.strerror}"
        raise UsageError(what, hint="is the disk full, or the directory somebody else's?") from None


def _remove(spot: Spot, temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=spot.directory)


def _prepare(wanted: Replacement) -> str:
    """The name of a file beside the one that is replaced, complete on disk; UsageError."""
    spot = wanted.spot
    temporary = f".{spot.name}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _told(spot):
        _remove(spot, temporary)
        descriptor = os.open(temporary, flags, 0o600, dir_fd=spot.directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _inherit(file.fileno(), spot, wanted.mode)
                file.write(wanted.content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            _remove(spot, temporary)
            raise
    return temporary


def _inherit(descriptor: int, spot: Spot, mode: int) -> None:
    """Owner and mode of the file that is replaced, before the first octet; a group that we may not give is left."""
    try:
        before = os.stat(spot.name, dir_fd=spot.directory, follow_symlinks=False)
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    if not stat.S_ISREG(before.st_mode):
        raise UsageError(f"{spot.real} is not a regular file any more", hint="see what it is, and run this again")
    mine = os.fstat(descriptor)
    mode = stat.S_IMODE(before.st_mode)
    if (before.st_uid, before.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except PermissionError:
            raise UsageError(
                f"{spot.real} belongs to another user, and would not any more", hint="run this as root, or as its owner"
            ) from None
    os.fchmod(descriptor, mode)
