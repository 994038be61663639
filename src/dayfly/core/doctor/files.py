"""Modes, owners and keys of a home (security.md 9).

Rules: secrets are the owner's alone; what commands the CA is written by its owner alone, all the way up; a key that
need not be here should not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.findings import Finding, Group, Mend, passed, settle, unknown, wrong

_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_STICKY = 0o1000


class Role(StrEnum):
    """What a path is for."""

    ABOVE = "above"  # a directory above the home
    DIRECTORY = "directory"
    SECRETS = "secrets"  # a directory of secrets
    KEY = "key"  # or a password
    DATABASE = "database"
    CONFIG = "config"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PathFact:
    """One path: `mode` without the type's bits, `uid` of its owner."""

    path: str
    role: Role
    mode: int
    uid: int


@dataclass(frozen=True, slots=True)
class KeyFact:
    """One key of the CA; `opens` says whether the given password opens it, None where none was given."""

    name: str  # root, intermediate, log
    path: str
    encrypted: bool
    opens: bool | None = None
    matches: bool | None = None  # its certificate's public key is this one's


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A home's files. `strays` hold unencrypted keys that are none of the CA's own; `missing` are named in ca.toml."""

    owner: int
    paths: tuple[PathFact, ...]
    keys: tuple[KeyFact, ...] = ()
    strays: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    provisioner_password: str = ""  # the path, where it is there


def judge_files(facts: FileFacts) -> tuple[Finding, ...]:
    """What is to be said of a home's files, keys included."""
    return (
        *judge_modes(facts),
        *settle(_missing(facts), otherwise=passed("DF4013", Group.FILES, "nothing is missing")),
        *(judge_keys(facts) if facts.keys else ()),
    )


def judge_modes(facts: FileFacts) -> tuple[Finding, ...]:
    """Modes and owners alone, for every kind of home."""
    found = [one for path in facts.paths for one in _of_path(path, owner=facts.owner)]
    return settle(found, otherwise=passed("DF4001", Group.FILES, "modes and owners"))


def judge_password_file(fact: PathFact) -> tuple[Finding, ...]:
    """The file with the password of the CA's keys, wherever it lies; root may own it."""
    return tuple(_private("DF4003", fact, mode=0o600))


def _of_path(fact: PathFact, *, owner: int) -> Iterator[Finding]:
    if fact.role is Role.ABOVE:
        yield from _above(fact, owner=owner)
        return
    if fact.uid != owner:
        yield wrong(
            "DF4002", Group.FILES, f"{fact.path} belongs to user {fact.uid}, the home to {owner}",
            next_step=f"chown {owner} {fact.path}",
        )  # fmt: skip
    yield from _MODES[fact.role](fact)


def _above(fact: PathFact, *, owner: int) -> Iterator[Finding]:
    loose = fact.mode & _OTHERS_WRITE and not fact.mode & _STICKY
    if loose or fact.uid not in {0, owner}:
        why = "others may write there" if loose else f"it belongs to user {fact.uid}"
        step = f"chmod go-w {fact.path}" if loose else f"chown root {fact.path}"
        yield wrong("DF4006", Group.FILES, f"{fact.path} is above the home, and {why}", next_step=step)


def _writable(code: str, fact: PathFact) -> Iterator[Finding]:
    if fact.mode & _OTHERS_WRITE:
        yield wrong(
            code, Group.FILES, f"{fact.path} can be written by others (mode {fact.mode:04o})",
            next_step=f"chmod go-w {fact.path}", mend=Mend(fact.path, fact.mode & ~_OTHERS_WRITE),
        )  # fmt: skip


def _private(code: str, fact: PathFact, *, mode: int) -> Iterator[Finding]:
    if fact.mode & _OTHERS:
        yield wrong(
            code, Group.FILES, f"{fact.path} can be read by others (mode {fact.mode:04o})",
            next_step=f"chmod {mode:o} {fact.path}", mend=Mend(fact.path, mode),
        )  # fmt: skip


def _secrets(fact: PathFact) -> Iterator[Finding]:
    """A directory of secrets: writing in it is the graver matter."""
    return _writable("DF4001", fact) if fact.mode & _OTHERS_WRITE else _private("DF4014", fact, mode=0o700)


_MODES: Mapping[Role, Callable[[PathFact], Iterator[Finding]]] = {
    Role.DIRECTORY: lambda fact: _writable("DF4001", fact),
    Role.SECRETS: _secrets,
    Role.KEY: lambda fact: _private("DF4003", fact, mode=0o600),
    Role.DATABASE: lambda fact: _private("DF4004", fact, mode=0o600),
    Role.CONFIG: lambda fact: _writable("DF4005", fact),
    Role.OTHER: lambda fact: _writable("DF4001", fact),
}


def _missing(facts: FileFacts) -> Iterator[Finding]:
    for path in facts.missing:
        yield wrong("DF4013", Group.FILES, f"{path} is missing", next_step="restore it from the backup")


# --- keys -------------------------------------------------------------------------------------------------------------


def judge_keys(facts: FileFacts) -> tuple[Finding, ...]:
    """The root's key and passwords that should not be here, and keys that do not open or are not encrypted."""
    return (
        *_root_key(facts.keys),
        *settle(_unencrypted(facts.keys), otherwise=passed("DF4009", Group.FILES, "keys are encrypted")),
        *_opening(facts.keys),
        *settle(_strays(facts), otherwise=passed("DF4011", Group.FILES, "no stray key")),
        *_provisioner_password(facts),
    )


def _root_key(keys: Sequence[KeyFact]) -> Iterator[Finding]:
    root = next((key for key in keys if key.name == "root"), None)
    if root is None:
        yield passed("DF4007", Group.FILES, "the root's key is not here")
        return
    yield wrong(
        "DF4007", Group.FILES, "the root's key is still on this machine",
        next_step=f"copy it to a medium that is kept apart, check the copy, then: rm {root.path}",
    )  # fmt: skip
    issuer = next((key for key in keys if key.name == "intermediate"), None)
    if root.encrypted and issuer is not None and issuer.encrypted:
        yield from _one_password(root, issuer)


def _one_password(root: KeyFact, issuer: KeyFact) -> Iterator[Finding]:
    if root.opens is None:
        yield unknown(
            "DF4008", Group.FILES, "whether one password opens both keys was not looked at",
            next_step="name it: --password-file FILE",
        )  # fmt: skip
    elif root.opens and issuer.opens:
        yield wrong(
            "DF4008", Group.FILES, "one password opens the root's key and the intermediate's",
            next_step=f"move {root.path} away, and give it a password of its own",
        )  # fmt: skip
    else:
        yield passed("DF4008", Group.FILES, "the root's key has a password of its own")


def _unencrypted(keys: Sequence[KeyFact]) -> Iterator[Finding]:
    for key in keys:
        if not key.encrypted:
            yield wrong(
                "DF4009", Group.FILES, f"the {key.name} key {key.path} is not encrypted",
                next_step=f"openssl pkcs8 -topk8 -v2 aes-256-cbc -in {key.path} -out {key.path}.new",
                level=Level.PROBLEM if key.name == "root" else None,
            )  # fmt: skip


def _opening(keys: Sequence[KeyFact]) -> tuple[Finding, ...]:
    """The keys that the server opens."""
    served = [key for key in keys if key.name != "root"]
    if all(key.opens is None for key in served):
        return (
            unknown(
                "DF4012", Group.FILES, "whether the keys open was not looked at: no password was given",
                next_step="name it: --password-file FILE",
            ),
        )  # fmt: skip
    found = [
        wrong("DF4012", Group.FILES, f"the {key.name} key {key.path} {why}", next_step=step)
        for key in served
        for why, step in _troubles(key)
    ]
    return settle(found, otherwise=passed("DF4012", Group.FILES, "keys open, and match"))


def _troubles(key: KeyFact) -> Iterator[tuple[str, str]]:
    if key.opens is False:
        yield "does not open with this password", "check --password-file, or restore the file"
    elif key.matches is False:
        yield "is not that of its certificate", "put the key and the certificate that belong together in place"


def _strays(facts: FileFacts) -> Iterator[Finding]:
    for path in facts.strays:
        yield wrong(
            "DF4011", Group.FILES, f"{path} holds an unencrypted private key", next_step=f"remove it: rm {path}"
        )


def _provisioner_password(facts: FileFacts) -> Iterator[Finding]:
    path = facts.provisioner_password
    if not path:
        yield passed("DF4010", Group.FILES, "no provisioner's password here")
        return
    yield wrong(
        "DF4010", Group.FILES, "the provisioner's password lies beside the server, which never needs it",
        next_step=f"hand it to those who ask for tokens, then: rm {path}",
    )  # fmt: skip
