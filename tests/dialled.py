"""What a test's own thread dialled: the interpreter's record of every connect(), so that a silent one is heard too."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

Dialled = list[tuple[str, int]]

_watching: dict[int, list[Dialled]] = {}


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook stays for the life of the process; while nobody watches it costs nothing."""
    if _watching and event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        for record in _watching.get(threading.get_ident(), ()):
            record.append((str(address[0]), int(address[1])))


@lru_cache
def _install() -> None:
    """Once: a hook cannot be taken away."""
    sys.addaudithook(_note)


@contextlib.contextmanager
def dialled() -> Iterator[Dialled]:
    """A list that fills with (address, port) of what this thread connects or sends to meanwhile, under asyncio's loop.

    Peers of a test live in other threads, or accept: what they send is none of it.
    """
    _install()
    record: Dialled = []
    mine = _watching.setdefault(threading.get_ident(), [])
    mine.append(record)
    try:
        yield record
    finally:
        mine.remove(record)
