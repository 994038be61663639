"""The founding of a CA: keys, certificates and files of a new home (interfaces.md 1).

Rules: nothing that exists is ever overwritten; ca.toml comes last, so that a home without it is no CA; whatever fails
before that takes away what was made and nothing else; the root key lies apart and is named to be moved away.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from dayfly.adapters.keyfiles import create_file, save_key
from dayfly.adapters.provisionerkeys import new_provisioner_key
from dayfly.adapters.signers.notekey import verifier_key
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.settings.provisioner_changes import Key
from dayfly.errors import ConfigError

PASSWORD_OCTETS = 16  # 128 bits, for the provisioner's key
DIRECTORIES = ("certs", "secrets", "offline", "db", "config", "run")
PENDING = "ca.toml.pending"  # of a home that waits for its issuing certificate


class Foundation:
    """A home under construction; unless `keep` was called, everything made in it is taken away at the end."""

    def __init__(self, home: Path, *, reopen: bool = False) -> None:
        """`home` may be absent or empty of a CA; ConfigError where there is one, or part of one.

        With `reopen` it is a home that waits for its certificate, and only what is made from now on is taken away.
        """
        self.home = home
        self._reopen = reopen
        self._made: list[Path] = []
        self._kept = False

    def __enter__(self) -> Self:
        """Make the directories."""
        if self._reopen:
            return self
        self._refuse_existing()
        try:
            if not self.home.exists():
                self.home.mkdir(mode=0o700, parents=True)
                self._made.append(self.home)
            for name in DIRECTORIES:
                directory = self.home / name
                directory.mkdir(mode=0o700)
                self._made.append(directory)
        except OSError as error:
            self._undo()
            raise ConfigError(
                "", f"{self.home} cannot be made: {error.strerror}", hint="name a writable place with --home"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take away what was made, unless it was finished."""
        if not self._kept:
            self._undo()

    def keep(self) -> None:
        """The founding is complete."""
        self._kept = True

    def watch(self, path: Path) -> None:
        """Take this path away too if the founding fails: somebody else is about to make it."""
        self._made.append(path)

    def file(self, path: Path, content: bytes, *, mode: int = 0o600) -> Path:
        """A new file; ConfigError where there is one already, or it cannot be made."""
        try:
            create_file(path, content, mode=mode)
        except OSError as error:
            raise ConfigError("", f"{path} cannot be made: {error.strerror}") from None
        self._made.append(path)
        return path

    def key(self, path: Path, key: PrivateKeyTypes, *, password: bytes | None) -> Path:
        """A new key file of mode 0600, encrypted unless `password` is None."""
        try:
            save_key(path, key, password=password)
        except OSError as error:
            raise ConfigError("", f"{path} cannot be made: {error.strerror}") from None
        self._made.append(path)
        return path

    def _refuse_existing(self) -> None:
        found = [name for name in ("ca.toml", *DIRECTORIES) if (self.home / name).exists()]
        if found:
            raise ConfigError(
                "",
                f"{self.home} already holds {', '.join(found)}; nothing was changed",
                hint="choose another home with --home, or move the old one away yourself",
            )

    def _undo(self) -> None:
        for path in reversed(self._made):
            if path.is_dir() and not path.is_symlink():
                _remove_if_empty(path)
            else:
                path.unlink(missing_ok=True)


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return  # somebody else put something there: it stays


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of a founding; None means an unencrypted key, which only `--no-password` asks for."""

    issuer: bytes | None
    root: bytes | None
    provisioner: bytes | None


def make_log_key(foundation: Foundation, *, origin: str, password: bytes | None) -> Path:
    """The log's key, and beside the certificates the line with which anyone verifies its checkpoints."""
    key = Ed25519PrivateKey.generate()
    foundation.file(foundation.home / "certs/log_key.pub", f"{verifier_key(key, origin)}\n".encode(), mode=0o644)
    return foundation.key(foundation.home / "secrets/log_key", key, password=password)


def make_provisioner_key(foundation: Foundation, *, password: bytes | None) -> Key:
    """A new provisioner key; without a password one of 128 bits is made and kept in `secrets/`."""
    if password is None:
        password = b64u_encode(secrets.token_bytes(PASSWORD_OCTETS)).encode()
        foundation.file(foundation.home / "secrets/provisioner_password", password + b"\n")
    return new_provisioner_key(password)


def render_ca_toml(*, name: str, address: str, dns_names: Sequence[str]) -> bytes:
    """A new CA's ca.toml: what a process needs to start, and nothing that has a good default."""
    names = ", ".join(_toml_string(one) for one in dns_names)
    return f"""\
# What `dayfly ca start` needs to start. Provisioners, name rules and owners live in the database.
# Every key: docs/reference/ca-toml.md
version = 1
name = {_toml_string(name)}
address = {_toml_string(address)}
dns_names = [{names}]
database = "sqlite:db/dayfly.db"
root = "certs/root_ca.crt"

[issuer]
certificate = "certs/intermediate_ca.crt"
key = "file:secrets/intermediate_ca_key"

[log]
key = "file:secrets/log_key"

[metrics]
address = "127.0.0.1:9180"
""".encode()


def _toml_string(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's."""
    return msgspec.json.encode(text).decode()
