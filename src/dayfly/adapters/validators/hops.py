"""The hop record: what a look did, step by step, for the operator alone (acme.md part 8).

Rules: nothing is recorded unless somebody asked for it in the same task or one above, and then by the very code that
validates; a hop may say what a client never hears: addresses, name servers, the setting that would open something.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """What a hop is: a question to a resolver, an address held against the table, a connection, what came over it."""

    LOOK_UP = "look up"
    JUDGE = "judge"
    DIAL = "dial"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Hop:
    """One step: `at` in seconds since the record began; `opens_with` the network whose listing opens an address."""

    at: float
    step: Step
    what: str
    outcome: str
    passed: bool
    opens_with: str = ""


@dataclass(frozen=True, slots=True)
class _Record:
    began: float
    hops: list[Hop]


_current: ContextVar[_Record | None] = ContextVar("the hop record of this look", default=None)


@contextmanager
def recorded() -> Iterator[list[Hop]]:
    """A list that fills with the hops of what runs meanwhile."""
    record = _Record(time.monotonic(), [])
    token = _current.set(record)
    try:
        yield record.hops
    finally:
        _current.reset(token)


def is_recorded() -> bool:
    """Does somebody record? Where a hop's words cost something, they are made only then."""
    return _current.get() is not None


def hop(step: Step, what: str, outcome: str, *, passed: bool = True, opens_with: str = "") -> None:
    """Note a hop, where somebody records."""
    record = _current.get()
    if record is not None:
        record.hops.append(Hop(time.monotonic() - record.began, step, what, outcome, passed, opens_with))
