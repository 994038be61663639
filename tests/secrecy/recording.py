"""Keeps what processes and answers of the suite said, so that it can be searched at the end (security.md L1).

Rules: it keeps everything and judges nothing; without a directory to keep it in, it keeps nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
import urllib.request
from pathlib import Path

VARIABLE = "DAYFLY_TEST_RECORD"
"""Names the directory, for children that are tests too."""

_TOKEN = re.compile(r"eyJ[A-Za-z0-9_.-]+")  # step's --token FLAG is what the test typed, not what was said
_numbers = itertools.count()


def begin() -> Path:
    """A directory for this session."""
    where = Path(tempfile.mkdtemp(prefix="dayfly-record-"))
    os.environ[VARIABLE] = str(where)
    return where


def record(title: str, *, kind: str, said: str | bytes) -> None:
    """Keep what was said; `kind` becomes the file's ending: `stdout`, `stderr`, `metrics`, `answer`."""
    where = os.environ.get(VARIABLE)
    if not where or not said:
        return
    octets = said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said
    path = Path(where) / f"{os.getpid()}-{next(_numbers):06d}.{kind}"
    path.write_bytes(f"# {_TOKEN.sub('TOKEN', title)}\n".encode() + octets)


def record_metrics(address: str) -> None:
    """Keep what a metrics port says now; a process that is gone says nothing."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        record(address, kind="metrics", said=answer.read())
