"""How a group of commits lengthens the log, for every engine alike.

Rules: whoever wrote last, the entries have one order, so a group starts from the head that it read inside its own
transaction; nothing is appended to a log whose head does not fit its entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dayfly.core.events import Event, LoggedEvent
from dayfly.core.transparency.entries import render_entry
from dayfly.core.transparency.merkle import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    Frontier,
    ProofError,
    extend,
    leaf_hash,
    parse_frontier,
    render_frontier,
    root_hash,
)
from dayfly.errors import Unavailable
from dayfly.ports.log import LogHead

EMPTY_HEAD = LogHead(0, EMPTY_ROOT, render_frontier(EMPTY_FRONTIER))

Entry = tuple[bytes, bytes]
"""Leaf hash and canonical bytes."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What a group adds: rows (index, leaf hash, body), and the head after them."""

    rows: tuple[tuple[int, bytes, bytes], ...]
    frontier: Frontier
    head: LogHead


def entries_of(events: Iterable[Event]) -> tuple[Entry, ...]:
    """The entries of the logged ones among these events; EntryError."""
    bodies = [render_entry(event) for event in events if isinstance(event, LoggedEvent)]
    return tuple([(leaf_hash(body), body) for body in bodies])


def grow(frontier: Frontier, entries: Sequence[Entry]) -> Growth:
    """The log after these entries."""
    rows = tuple((frontier.size + number, leaf, body) for number, (leaf, body) in enumerate(entries))
    grown = extend(frontier, [leaf for leaf, _ in entries])
    return Growth(rows, grown, LogHead(grown.size, root_hash(grown), render_frontier(grown)))


def check_head(head: LogHead, *, highest: int | None, marked: tuple[int, bytes] | None) -> Frontier:
    """The frontier of a head that fits what is stored beside it; Unavailable where it does not.

    `highest` is the highest index, `marked` the last group's size and root hash; both None before the first entry.
    """
    try:
        frontier = parse_frontier(head.frontier)
    except ProofError:
        raise broken_log() from None
    size = 0 if highest is None else highest + 1
    fits = frontier.size == head.size == size and root_hash(frontier) == head.root
    if not fits or (marked or (0, EMPTY_ROOT)) != (head.size, head.root):
        raise broken_log()
    return frontier


def broken_log() -> Unavailable:
    """The refusal to append."""
    return Unavailable(
        "the log's head does not fit its entries; nothing is appended to a broken log", hint="run: dayfly ca log verify"
    )
