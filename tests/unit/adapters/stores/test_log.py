"""How the log grows, and which heads nothing is appended to."""

from __future__ import annotations

import pytest

from dayfly.adapters.stores.log import EMPTY_HEAD, check_head, entries_of, grow
from dayfly.core.events import AccountCreated, OrderCreated
from dayfly.core.frozen import replace
from dayfly.core.transparency.entries import render_entry
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, leaf_hash, render_frontier, tree_head
from dayfly.errors import Unavailable
from dayfly.ports.log import LogHead
from factories import NOW

EVENTS = tuple(AccountCreated(NOW, number, "acme", "t") for number in range(5))
ENTRIES = entries_of(EVENTS)
GROWTH = grow(EMPTY_FRONTIER, ENTRIES)
HEAD = GROWTH.head


def test_only_logged_events_become_entries() -> None:
    """An entry is the leaf hash and the canonical bytes of a logged event."""
    body = render_entry(EVENTS[0])
    assert entries_of((OrderCreated(NOW, "acme", 1), EVENTS[0])) == ((leaf_hash(body), body),)


def test_groups_grow_one_log__rfc6962_2_1() -> None:
    """Two groups give the indexes and the head of one."""
    first = grow(EMPTY_FRONTIER, ENTRIES[:2])
    second = grow(first.frontier, ENTRIES[2:])
    assert first.rows + second.rows == GROWTH.rows
    assert [index for index, _, _ in GROWTH.rows] == [0, 1, 2, 3, 4]
    assert second.head == GROWTH.head == LogHead(5, tree_head([leaf for leaf, _ in ENTRIES]), HEAD.frontier)


def test_head_that_fits_gives_the_frontier() -> None:
    """Size, root, frontier, last entry and last mark say the same."""
    assert check_head(HEAD, highest=4, marked=(5, HEAD.root)) == GROWTH.frontier
    assert check_head(EMPTY_HEAD, highest=None, marked=None) == EMPTY_FRONTIER


@pytest.mark.parametrize(
    ("head", "highest", "marked"),
    [
        (HEAD, 3, (5, HEAD.root)),
        (HEAD, 5, (5, HEAD.root)),
        (HEAD, None, None),
        (EMPTY_HEAD, 4, (5, HEAD.root)),
        (EMPTY_HEAD, None, (5, HEAD.root)),
        (HEAD, 4, (4, HEAD.root)),
        (HEAD, 4, (5, bytes(32))),
        (HEAD, 4, None),
        (replace(HEAD, root=bytes(32)), 4, (5, bytes(32))),
        (replace(HEAD, size=4), 3, (4, HEAD.root)),
        (replace(HEAD, frontier=HEAD.frontier[:-1]), 4, (5, HEAD.root)),
        (replace(HEAD, frontier=render_frontier(EMPTY_FRONTIER)), 4, (5, HEAD.root)),
    ],
)
def test_nothing_is_appended_to_a_broken_log__reliability_r16(
    head: LogHead, highest: int | None, marked: tuple[int, bytes] | None
) -> None:
    """A head that does not fit what is stored beside it is refused, with the command that says more."""
    with pytest.raises(Unavailable) as caught:
        check_head(head, highest=highest, marked=marked)
    assert caught.value.hint == "run: dayfly ca log verify"
