"""Generations: one directory for each pair, and one symlink that says which is in service (agent.md 2, 9).

Rules: key and certificate change together, by one rename of one symlink; a generation gets its name only when it is
complete and on disk; the pair in service is never removed, whatever it looks like; an expired key is shredded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from dayfly.agent.layout import Layout, create_file, make_directory, read_file, shred_file, sync_directory
from dayfly.core.frozen import replace
from dayfly.errors import AgentError

_NUMBER = re.compile(r"[0-9]{6,12}")
_SECRET = ("key.pem", "combined.pem")
_KEEP = 3


@dataclass(frozen=True, slots=True)
class Meta:
    """What `meta.json` says of a generation; `files` maps a file's name to the SHA-256 of its content."""

    generation: int
    serial: str
    fingerprint: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key_type: str
    issuer: str
    installed_at: datetime
    files: dict[str, str]

    @property
    def lifetime(self) -> float:
        """The certificate's whole life, in seconds."""
        return (self.not_after - self.not_before).total_seconds()


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its checked certificate, as PEM, ready to become a generation."""

    cert: bytes
    chain: bytes
    key: bytes
    root: bytes

    def files(self) -> dict[str, bytes]:
        """The files of the generation, by name."""
        fullchain = self.cert + self.chain
        return {
            "cert.pem": self.cert,
            "chain.pem": self.chain,
            "fullchain.pem": fullchain,
            "key.pem": self.key,
            "combined.pem": fullchain + self.key,
            "ca.pem": self.root,
        }


_META = msgspec.json.Decoder(Meta)


class Generations:
    """The generations of one certificate; whoever uses it holds the certificate's lock."""

    def __init__(self, layout: Layout, name: str) -> None:
        """Name the directories of the certificate."""
        self._room = layout.generations(name)
        self._link = layout.current(name)

    def path(self, number: int) -> Path:
        """The directory of a generation."""
        return self._room / f"{number:06d}"

    def numbers(self) -> tuple[int, ...]:
        """All that are there, oldest first."""
        found = (entry.name for entry in self._room.iterdir() if _NUMBER.fullmatch(entry.name))
        return tuple(sorted(int(name) for name in found))

    def meta(self, number: int) -> Meta | None:
        """What a generation says of itself, or None where it is not there or not readable as ours."""
        data = read_file(self.path(number) / "meta.json")
        try:
            return _META.decode(data) if data is not None else None
        except msgspec.MsgspecError:
            return None

    def current(self) -> int:
        """The number that `current` points at, or 0 where it points at none of ours."""
        try:
            head, _, tail = str(self._link.readlink()).rpartition("/")
        except OSError:
            return 0
        return int(tail) if head == "gens" and _NUMBER.fullmatch(tail) else 0

    def find(self, fingerprint: str) -> int:
        """The number of the generation that holds this leaf, or 0."""
        for number in reversed(self.numbers()):
            meta = self.meta(number)
            if meta is not None and meta.fingerprint == fingerprint:
                return number
        return 0

    def check(self, number: int) -> None:
        """AgentError `foreign-change` where a file of a generation is not what we wrote."""
        meta = self.meta(number)
        for name, digest in ({} if meta is None else meta.files).items():
            data = read_file(self.path(number) / name)
            if data is None or hashlib.sha256(data).hexdigest() != digest:
                raise AgentError("foreign-change", f"{self.path(number) / name} was changed by somebody else")
        if meta is None:
            raise AgentError("foreign-change", f"{self.path(number)} is not a generation that this agent wrote")

    def stage(self, pair: Pair, meta: Meta) -> int:
        """Write a new generation beside the others, durably; its number. The same leaf twice is one generation."""
        number = self.find(meta.fingerprint)
        if number:
            return number
        number = max((*self.numbers(), self.current()), default=0) + 1
        files = pair.files()
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        files["meta.json"] = msgspec.json.encode(replace(meta, generation=number, files=digests))
        temporary = self._room / f".tmp-{number:06d}"
        _remove(temporary)
        make_directory(temporary)
        for name, data in files.items():
            create_file(temporary / name, data)
        sync_directory(temporary)
        temporary.rename(self.path(number))
        sync_directory(self._room)
        return number

    def swap(self, number: int) -> None:
        """Point `current` at a generation, by one rename; AgentError `foreign-change` where a non-link is in its place.

        Nothing happens where it points there already.
        """
        if self._link.exists() and not self._link.is_symlink():
            raise AgentError("foreign-change", f"{self._link} is not a symlink of ours", hint="move it away")
        if self.current() == number:
            sync_directory(self._link.parent)
            return
        temporary = self._link.with_name(".tmp-current")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(f"gens/{number:06d}")
        os.rename(temporary, self._link)  # noqa: PTH104 - the one rename that everything rests on, spelt out
        sync_directory(self._link.parent)

    def prune(self, now: datetime, *, keep: int) -> None:
        """Remove what is neither valid nor among the last three, nor `keep`; shred the keys of what has expired."""
        numbers = self.numbers()
        for number in numbers:
            meta = self.meta(number)
            if number in {keep, self.current()} or meta is None or meta.not_after >= now:
                continue
            for name in _SECRET:
                shred_file(self.path(number) / name)
            if number not in numbers[-_KEEP:]:
                doomed = self._room / f".tmp-{number:06d}"  # a name that `clean` finishes off after a crash
                self.path(number).rename(doomed)
                _remove(doomed)

    def clean(self) -> None:
        """Remove what a killed process left half written."""
        for entry in (*self._room.iterdir(), *self._link.parent.iterdir()):
            if entry.name.startswith(".tmp-"):
                _remove(entry)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for name in _SECRET:
        shred_file(path / name)
    shutil.rmtree(path)
