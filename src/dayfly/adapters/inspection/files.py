"""A home's files as facts: modes, owners, keys; nothing is followed, and what cannot be read is passed over.

Rules: at most MAX_PATHS paths are looked at; a file's content is read only to tell an encrypted key from another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from dayfly.adapters.keyfiles import read_file
from dayfly.core.doctor.files import FileFacts, KeyFact, PathFact, Role
from dayfly.core.doctor.findings import Mend
from dayfly.errors import ConfigError

MAX_PATHS = 5000
MAX_KEY_OCTETS = 64 * 1024
_SECRET_ROOMS = frozenset({"secrets", "offline", "db", "accounts", "pending"})
_AGENT_KEYS = frozenset({"key.pem", "combined.pem"})


@dataclass(frozen=True, slots=True)
class CAFiles:
    """The files of a CA that its configuration names."""

    home: Path
    database: Path | None
    keys: tuple[tuple[str, Path], ...]  # name and path; the root's comes from the home
    certificates: tuple[Path, ...]


def inspect_paths(home: Path, *, database: Path | None = None) -> FileFacts:
    """Modes and owners of everything in the home, and of the directories above it."""
    resolved = home.resolve()
    above = tuple(_fact(path, Role.ABOVE) for path in resolved.parents)
    paths = [_fact(resolved, Role.DIRECTORY)]
    for path, facts in _walk(resolved):
        if not stat.S_ISLNK(facts.st_mode):
            role = _role(path, is_directory=stat.S_ISDIR(facts.st_mode), home=resolved, database=database)
            paths.append(_made(path, facts, role))
    return FileFacts(owner=paths[0].uid, paths=(*above, *paths))


def inspect_password_file(path: Path) -> PathFact:
    """Mode and owner of a password file; links are followed, as when it is read. OSError."""
    return _fact(path.resolve(), Role.KEY)


def _fact(path: Path, role: Role) -> PathFact:
    return _made(path, path.stat(), role)


def _made(path: Path, facts: os.stat_result, role: Role) -> PathFact:
    return PathFact(str(path), role, stat.S_IMODE(facts.st_mode), facts.st_uid)


def _walk(home: Path) -> Iterator[tuple[Path, os.stat_result]]:
    count = 0
    for directory, rooms, files in os.walk(home):
        for name in (*rooms, *files):
            count += 1
            if count > MAX_PATHS:
                return
            path = Path(directory) / name
            try:
                yield path, path.lstat()
            except OSError:  # it went away while we looked
                continue


def _role(path: Path, *, is_directory: bool, home: Path, database: Path | None) -> Role:
    room = path.relative_to(home).parts[0]
    if is_directory:
        return Role.SECRETS if path.parent == home and room in _SECRET_ROOMS else Role.DIRECTORY
    if room == "db" or (
        database is not None and path.name.startswith(database.name) and path.parent == database.parent
    ):
        return Role.DATABASE
    if room in _SECRET_ROOMS or path.name in _AGENT_KEYS:
        return Role.KEY
    return Role.CONFIG if path.parent == home and path.name in {"ca.toml", "agent.toml"} else Role.OTHER


def inspect_ca_files(files: CAFiles, *, password: bytes | None) -> FileFacts:
    """The same for a CA, with its keys: whether they are here, encrypted, opened by `password`, and of their pair."""
    facts = inspect_paths(files.home, database=files.database)
    root_key = files.home / "offline" / "root_ca_key"
    named = (*((("root", root_key),) if root_key.is_file() else ()), *files.keys)
    issuer = _public_key_of(files.certificates[0]) if files.certificates else None
    keys = tuple(
        fact for name, path in named if (fact := _key(name, path, password, issuer if name == "intermediate" else None))
    )
    wanted = (*(path for _, path in files.keys), *files.certificates, *((files.database,) if files.database else ()))
    left = files.home / "secrets" / "provisioner_password"
    return FileFacts(
        owner=facts.owner,
        paths=facts.paths,
        keys=keys,
        strays=tuple(_strays(files.home, known={path for _, path in named})),
        missing=tuple(str(path) for path in wanted if not path.exists()),
        provisioner_password=str(left) if left.exists() else "",
    )


def _key(name: str, path: Path, password: bytes | None, public: PublicKeyTypes | None) -> KeyFact | None:
    content = _content(path)
    if not content:
        return None
    encrypted = b"ENCRYPTED" in content
    if encrypted and password is None:
        return KeyFact(name, str(path), encrypted=True)
    try:
        key = load_pem_private_key(content, password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return KeyFact(name, str(path), encrypted=encrypted, opens=False)
    matches = None if public is None else _spki(key.public_key()) == _spki(public)
    return KeyFact(name, str(path), encrypted=encrypted, opens=True, matches=matches)


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_key_of(path: Path) -> PublicKeyTypes | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    except (OSError, ValueError):
        return None


def _content(path: Path) -> bytes:
    try:
        return read_file(path, limit=MAX_KEY_OCTETS)
    except (OSError, ConfigError):
        return b""


def _strays(home: Path, *, known: set[Path]) -> Iterator[str]:
    """Files with an unencrypted private key, PEM or JWK, that are none of the CA's own."""
    for path, facts in _walk(home):
        if path in known or not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_KEY_OCTETS:
            continue
        content = _content(path)
        is_pem = b"PRIVATE KEY-----" in content and b"ENCRYPTED" not in content
        if is_pem or (b'"kty"' in content and b'"d"' in content):
            yield str(path)


def apply(mend: Mend) -> None:
    """Set the mode, on the very file that was looked at, links not followed; OSError."""
    descriptor = os.open(mend.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, mend.mode)
    finally:
        os.close(descriptor)
