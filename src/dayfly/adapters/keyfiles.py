"""Files that hold secrets: made with O_EXCL and 0600 before content, read without following links.

Rules: owner and mode are set on the descriptor before the first octet; a key file that others can read is refused; a
secret's value never stands in an error; passwords lose one trailing newline and nothing else.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from dayfly.core.x509.pkcs8 import IV_OCTETS, SALT_OCTETS, encrypt_pkcs8, render_encrypted_pem
from dayfly.errors import ConfigError, SignerError

MAX_OCTETS = 64 * 1024
MAX_PASSWORD = 1024


def create_file(path: Path, content: bytes, *, mode: int) -> None:
    """A new file with exactly this mode, durable; FileExistsError where something is there already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, *, limit: int = MAX_OCTETS) -> bytes:
    """A regular file's content, at most `limit` octets; a link in the last place is refused. OSError, ConfigError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ConfigError("", f"{path} is not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ConfigError("", f"{path} is larger than {limit} octets")
    return content


def check_private(path: Path) -> None:
    """Raise where others than the owner can read the file."""
    mode = stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)
    if mode & 0o077:
        raise ConfigError("", f"{path} has mode {mode:04o}: others can read it", hint=f"run: chmod 600 {path}")


def read_password(path: Path, *, flag: str) -> bytes:
    """The password in a file, without one trailing newline; `flag` says in errors where the path came from."""
    try:
        content = read_file(path, limit=MAX_PASSWORD)
    except OSError as error:
        raise ConfigError(
            "",
            f"the password file {path} ({flag}) cannot be read: {error.strerror}",
            hint=f"name another one with {flag}",
        ) from None
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise ConfigError("", f"the password file {path} ({flag}) is empty", hint="write the password into it")
    return password


def save_key(path: Path, key: PrivateKeyTypes, *, password: bytes | None) -> None:
    """The private key as PKCS#8 PEM, encrypted unless `password` is None, in a new file of mode 0600."""
    if password is None:
        content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    else:
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        salt, iv = os.urandom(SALT_OCTETS), os.urandom(IV_OCTETS)
        content = render_encrypted_pem(encrypt_pkcs8(plain, password=password, salt=salt, iv=iv))
    create_file(path, content, mode=0o600)


def is_encrypted(path: Path) -> bool:
    """Does the key file want a password? ConfigError where it cannot be read."""
    return b"ENCRYPTED" in _read_key_file(path)


def load_key(path: Path, *, password: bytes | None) -> PrivateKeyTypes:
    """The private key in a PEM file; SignerError where the password is wrong or missing, ConfigError for the file."""
    content = _read_key_file(path)
    check_private(path)
    encrypted = b"ENCRYPTED" in content
    if encrypted and password is None:
        raise SignerError(
            f"{path} is encrypted and no password was given",
            hint="give it with --password-file FILE or DAYFLY_PASSWORD_FILE=FILE",
        )
    try:
        return load_pem_private_key(content, password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "the password is wrong, or the file is damaged" if encrypted else "the file is damaged"
        raise SignerError(
            f"{path} cannot be opened: {why}", hint="check --password-file, or restore the file"
        ) from None


def _read_key_file(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise ConfigError(
            "", f"the key file {path} cannot be read: {error.strerror}", hint="run as the user who owns the CA's home"
        ) from None
