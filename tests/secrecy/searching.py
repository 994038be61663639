"""Looks for secrets where they do not belong, and for errors that nobody expected (security.md L1, L2).

Rules: every file of a CA's home and of an agent's home is read, every log, and everything that was recorded; what a
secret looks like is one table, where it belongs is another; a finding names file and kind, never the secret.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from ca_world import PASSWORD

MAX_FILE = 64 * 1024 * 1024
SHORTEST = 16  # octets; a test's own password of a letter or none would be found everywhere
PLANTED = "planted-secrets"
"""A file beside a home: what a test has put where it does not belong, one path below the home a line."""
EXPECTED = "expected-errors"
"""A file beside a log, with the reason for which errors in it are no finding."""

PLACES: dict[str, tuple[str, ...]] = {
    "ca": ("secrets/*", "offline/*"),
    "agent": ("accounts/*.pem", "pending/*", "certs/*/gens/*/key.pem", "certs/*/gens/*/combined.pem"),
}
"""Where secrets belong, below a home."""

SHAPES: dict[str, re.Pattern[bytes]] = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a signed token": re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"),
    "a key authorization": re.compile(rb"(?<![A-Za-z0-9_.-])[A-Za-z0-9_-]{32}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_.-])"),
    "an authorization header": re.compile(rb"(?i)authorization: *bearer +[A-Za-z0-9]"),
}
ERRORS: dict[str, re.Pattern[bytes]] = {
    "a stack": re.compile(rb'"stack": ?\[|Traceback \(most recent call last\)'),
    "an error of our own": re.compile(rb"this is a bug in Dayfly|an error of its own; its log has the details"),
}
GIVES_TOKENS = re.compile(rb"# .*\bca token\b")
"""A command whose data are a token: its standard output is where that belongs."""
GIVES_KEYS = re.compile(rb"# .*\beab add\b")
"""A command that shows the secret of an external account key, once."""


@dataclass(slots=True)
class Search:
    """What was looked at, and what was found."""

    files: int = 0
    homes: int = 0
    findings: list[str] = field(default_factory=list)
    owners: dict[bytes, Path] = field(default_factory=dict, repr=False)
    """The home of each secret."""


@dataclass(frozen=True, slots=True)
class Home:
    """A CA's or an agent's home."""

    path: Path
    kind: str

    def belongs(self, path: Path) -> bool:
        """Is this a place for secrets, or one where a test has put one on purpose?"""
        planted = self.path.parent / PLANTED
        patterns = (*PLACES[self.kind], *(planted.read_text().splitlines() if planted.exists() else ()))
        return any(fnmatch(str(path.relative_to(self.path)), pattern) for pattern in patterns)

    def files(self) -> Iterator[Path]:
        """Plain files; a link's target is found where it lies. A reserve of room is nothing but zero octets."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                if name.endswith("-reserve"):
                    continue
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path


def search(base: Path, recorded: Path) -> Search:
    """1. The homes, and what is secret in them. 2. Their other files. 3. All logs. 4. What was recorded."""
    result = Search()
    homes, logs = _look_around(base)
    result.homes = len(homes)
    result.owners = {one: home.path for home in homes for one in _secrets_of(home) if len(one) >= SHORTEST}
    planted = re.compile(b"|".join(map(re.escape, sorted({*result.owners, PASSWORD.encode()}))))
    shapes = {"a secret of a home": planted, **SHAPES}
    for home in homes:
        for path in home.files():
            if not home.belongs(path):
                _read(path, shapes, result)
    for path in logs:
        _read(path, shapes | ({} if (path.parent / EXPECTED).exists() else ERRORS), result)
    for path in sorted(recorded.iterdir()):
        _read(path, shapes | ERRORS, result)
    return result


def _look_around(base: Path) -> tuple[list[Home], list[Path]]:
    """The homes below a directory, and the logs outside of them."""
    homes, logs = [], []
    for folder, directories, names in os.walk(base):
        here = Path(folder)
        if "ca.toml" in names:
            homes.append(Home(here, "ca"))
        elif "journal" in names and "certs" in directories:
            homes.append(Home(here, "agent"))
        directories[:] = [one for one in directories if not (here / one).is_symlink()]
        logs += [here / name for name in names if name.endswith(".log") and (here / name).is_file()]
    return homes, logs


def _secrets_of(home: Home) -> Iterator[bytes]:
    """Passwords that were made, and one line from the middle of every key that lies there in the clear."""
    yield from _external_secrets(home.path / "db" / "dayfly.db")
    for path in home.files():
        if home.belongs(path):
            content = path.read_bytes()
            if path.name.endswith("password"):
                yield content.strip()
            elif b"PRIVATE KEY" in content and b"ENCRYPTED" not in content:
                yield _middle(content[content.index(b"PRIVATE KEY-----") :])


def _external_secrets(database: Path) -> Iterator[bytes]:
    """The secrets of external account keys that still bind accounts, as their one showing spells them."""
    if not database.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT secret FROM external_keys WHERE length(secret) > 0").fetchall()
    except sqlite3.Error:
        return  # no database of ours, or one that a test has damaged
    for (secret,) in found:
        yield base64.urlsafe_b64encode(secret).rstrip(b"=")


def _middle(pem: bytes) -> bytes:
    """The second line of a key: the first is alike in all keys of a kind."""
    lines = pem.splitlines()
    return lines[2] if len(lines) > 3 else lines[1]


def _read(path: Path, kinds: dict[str, re.Pattern[bytes]], result: Search) -> None:
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_FILE else b""
    except FileNotFoundError:
        return  # a temporary file of a process that still runs
    result.files += 1
    for kind, pattern in kinds.items():
        if kind == "a signed token" and path.suffix == ".stdout" and GIVES_TOKENS.match(content):
            continue
        if kind == "a secret of a home" and path.suffix == ".stdout" and GIVES_KEYS.match(content):
            continue
        if found := pattern.search(content):
            owner = result.owners.get(found[0])
            title = content.partition(b"\n")[0].decode(errors="replace") if content.startswith(b"# ") else ""
            result.findings.append(f"{kind} in {path} {title}{f' (it is of {owner})' if owner else ''}".rstrip())
