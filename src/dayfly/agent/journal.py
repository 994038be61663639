"""The journal: one line per transition, and where each certificate stands after the last one (agent.md 2).

Rules: a line is a snapshot, so that the newest whole line of a certificate is all that a start needs; it is on disk
before its side effect begins; a line whose checksum is wrong was torn by a crash and counts for nothing; writers of
several processes take turns at a lock.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from dayfly.agent.layout import locked, read_file, replace_file, sync_directory
from dayfly.core.deployment.states import State

_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
#: About 5,000 transitions; then the newest lines are kept.
COMPACT_AT = 4 << 20
_KEEP_LINES = 500
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a certificate stands.

    `code` and `reason` say why, in a word and in a sentence. `generation` is the pair being delivered, or in service.
    `resume` is the state that a retry goes back to, `kind` the class of the last failure, `told` how the last reload
    ended, `cause` why the present renewal was begun. `hold` is a Retry-After of the CA, `since` the start of the
    present verification, `reloads` the hook runs for this pair, `issued` the moments of the last issuances.
    """

    certificate: str
    at: datetime
    state: State = State.IDLE
    code: str = ""
    reason: str = ""
    kind: str = ""
    told: str = ""
    generation: int = 0
    resume: State | None = None
    due: datetime | None = None
    next_attempt: datetime | None = None
    hold: datetime | None = None
    since: datetime | None = None
    failures: int = 0
    reloads: int = 0
    declaration: str = ""
    issued: tuple[datetime, ...] = ()
    cause: str = ""
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    last_verified: datetime | None = None


_DECODER = msgspec.json.Decoder(Progress)


def render_line(progress: Progress) -> bytes:
    """One line: CRC-32 of the JSON, the JSON, a newline."""
    body = msgspec.json.encode(progress)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def parse_line(line: bytes) -> Progress | None:
    """The snapshot in `line`, or None where the line is torn or foreign."""
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError:
        return None


def parse_journal(data: bytes) -> dict[str, Progress]:
    """The newest snapshot of every certificate."""
    lines = (parse_line(line) for line in data.split(b"\n") if line)
    return {progress.certificate: progress for progress in lines if progress is not None}


class Journal:
    """The file; any number of threads and processes may append."""

    def __init__(self, path: Path, *, lock: Path) -> None:
        """Name the file and the file of its lock."""
        self._path = path
        self._lock = lock

    def replay(self) -> dict[str, Progress]:
        """The newest snapshot of every certificate; none at the first start."""
        return parse_journal(read_file(self._path, limit=_MAX_BYTES) or b"")

    def append(self, progress: Progress) -> None:
        """Add a line, durably; OSError where it could not be, and then the side effect must not begin."""
        with locked(self._lock):
            if self._append(render_line(progress)) > COMPACT_AT:
                self._compact()

    def _append(self, line: bytes) -> int:
        descriptor = os.open(self._path, _APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the line before was torn: it must not swallow this one
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not size:
            sync_directory(self._path.parent)
        return size

    def _compact(self) -> None:
        """Keep the newest snapshot of every certificate, and the last lines for a person to read."""
        data = read_file(self._path, limit=_MAX_BYTES) or b""
        newest = b"".join(render_line(progress) for progress in parse_journal(data).values())
        last = b"".join(line + b"\n" for line in data.split(b"\n")[-_KEEP_LINES:] if parse_line(line))
        replace_file(self._path, newest + last)
