"""What a client holds the CA to: one line per acknowledgement, on disk before it is counted (reliability.md 3).

Rules: a line is written and synced before its client goes on; a torn last line was never acknowledged; times are
monotonic seconds of the host, so that lines of several processes have one order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One acknowledgement, or an error in its place.

    `what` is `account`, `order`, `ready`, `valid`, `certificate`, `used` or `error`; `url` is what the CA named;
    `serial` and `digest` (hex) are those of a certificate that came. `used` is a token that the CA says is used, though
    its answer never came: `digest` is then that of its public key.
    """

    id: str
    at: float
    what: str
    url: str = ""
    serial: str = ""
    digest: str = ""
    error: str = ""


@dataclass(slots=True)
class Ledger:
    """The file of one client; for one thread."""

    path: Path
    descriptor: int = field(init=False)

    def __post_init__(self) -> None:
        """Open for appending."""
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def add(self, request_id: str, what: str, **more: str) -> None:
        """Write one line and sync it; only then has the client been given anything."""
        line = Line(request_id, time.monotonic(), what, **more)
        os.write(self.descriptor, msgspec.json.encode(line) + b"\n")
        os.fsync(self.descriptor)


@dataclass(slots=True)
class LedgerReader:
    """Reads the ledgers of a directory, each line once."""

    directory: Path
    offsets: dict[Path, int] = field(default_factory=dict)

    def new_lines(self) -> Iterator[Line]:
        """Whole lines that came since the last call."""
        for path in sorted(self.directory.glob("*.ledger")):
            with path.open("rb") as file:
                file.seek(self.offsets.get(path, 0))
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                self.offsets[path] = self.offsets.get(path, 0) + len(whole) + 1
                for line in whole.split(b"\n"):
                    yield msgspec.json.decode(line, type=Line)
