"""The tree followed from mark to mark, to say which entries do not give the root hashes that were recorded.

A mark is a size with the root hash recorded for it: a signed checkpoint, a group's mark, at the end the head. Up to a
mark that holds all entries are as they were. Where one does not hold, what could explain it is tried in this order:
  1. the recorded leaf hashes are right, and bodies were edited;
  2. the bodies are right, and leaf hashes were edited;
  3. two entries since the last mark that held stand in each other's place;
  4. the mark itself was edited: the next one holds again;
  5. otherwise one of the entries since the last mark that held is not what it was, and behind it the tree is lost.
Rules: a signed checkpoint outweighs the other marks, which whoever edits entries can edit too; behind a lost place no
mark can hold, so there entries are still held against their leaf hashes only; memory does not grow with the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dayfly.core.transparency.findings import Findings
from dayfly.core.transparency.merkle import (
    EMPTY_FRONTIER,
    Frontier,
    ProofError,
    extend,
    leaf_hash,
    parse_frontier,
    root_hash,
)

MAX_SWAP_SPAN = 128  # entries; all pairs of so many are tried in a third of a second

_BODY_EDITED = "its body was edited: it does not have the leaf hash that was logged"
_LEAF_EDITED = "its leaf hash was edited: it is not that of the body that was logged"
_DISAGREE = "its body and its leaf hash disagree: one of them was edited"


class EntryRow(Protocol):
    """A stored entry."""

    @property
    def index(self) -> int:
        """Its place, from 0."""
        ...

    @property
    def body(self) -> bytes:
        """Its canonical bytes."""
        ...

    @property
    def leaf_hash(self) -> bytes:
        """Its recorded leaf hash."""
        ...


class GroupRow(Protocol):
    """A commit's mark."""

    @property
    def size(self) -> int:
        """The log's size after the commit."""
        ...

    @property
    def root(self) -> bytes:
        """The root hash at that size."""
        ...


class HeadRow(GroupRow, Protocol):
    """The stored head."""

    @property
    def frontier(self) -> bytes:
        """The stored Merkle frontier."""
        ...


@dataclass(frozen=True, slots=True)
class Mark:
    """A recorded root hash; `signed` where a verified checkpoint says it."""

    size: int
    root: bytes
    signed: bool = False


class TreeFollower:
    """Follows one log, entry by entry."""

    def __init__(self, findings: Findings, checkpoints: Iterable[Mark]) -> None:
        """`checkpoints` are verified, one for each size, in any order."""
        self._findings = findings
        self._checkpoints = deque(sorted(checkpoints, key=lambda mark: mark.size))
        self._groups: deque[GroupRow] = deque()
        self.size = 0
        self.signed_size = 0
        self._lost = False
        self._base = EMPTY_FRONTIER  # at the last mark that held
        self._tree = EMPTY_FRONTIER  # from the recorded leaf hashes
        self._from_bodies: Frontier | None = None  # from the bodies, once the two differ
        self._edited: list[int] = []  # where they differ, since the last mark that held
        self._span: list[bytes] = []  # the leaf hashes since then, at most one more than a search takes
        self._doubted: Mark | None = None  # the first mark since then that did not hold

    def add_groups(self, groups: Iterable[GroupRow]) -> None:
        """Take up the marks for the entries that come next, by size."""
        self._groups = deque(group for group in groups if group.size > self.size)

    def add(self, entry: EntryRow) -> bool:
        """Follow one more entry, of a higher index than all before; whether its body has its leaf hash."""
        if entry.index > self.size:
            self._findings.add(self.size, f"{_entries(self.size, entry.index)} missing")
            self._lost = True
        computed = leaf_hash(entry.body)
        intact = computed == entry.leaf_hash
        if not self._lost:
            self._append(entry.index, entry.leaf_hash, computed)
        elif not intact:
            self._findings.add(entry.index, _DISAGREE)
        self.size = entry.index + 1
        self._hold_all(tuple(self._marks_here()))
        return intact

    def finish(self, head: HeadRow) -> None:
        """Hold the whole against the stored head, and say what is left over."""
        if self.size < head.size:
            missing = f"{_entries(self.size, head.size)} missing: the log ends before its head"
            loose = f", and no mark that holds covers those from {self._base.size} on"
            self._findings.add(self.size, missing + (loose if self._base.size < self.size else ""))
        elif not self._lost:
            self._hold_head(head)
        if self._checkpoints and self._checkpoints[-1].size > self.size:
            size = self._checkpoints[-1].size
            self._findings.add(
                self.size, f"the log was truncated: a signed checkpoint covers {size} entries, there are {self.size}"
            )
        if self._doubted is not None:
            self._lose(self._base.size, self._doubted)
        self._name_edited(_DISAGREE)
        self._check_frontier(head)

    # --- marks --------------------------------------------------------------------------------------------------------

    def _append(self, index: int, recorded: bytes, computed: bytes) -> None:
        if computed != recorded:
            self._edited.append(index)
            self._from_bodies = self._from_bodies or self._tree
        self._tree = extend(self._tree, (recorded,))
        if self._from_bodies is not None:
            self._from_bodies = extend(self._from_bodies, (computed,))
        if len(self._span) <= MAX_SWAP_SPAN:
            self._span.append(recorded)

    def _marks_here(self) -> Iterator[Mark]:
        """The marks of this size, the signed one first; those of sizes that were jumped over go unread."""
        while self._checkpoints and self._checkpoints[0].size <= self.size:
            mark = self._checkpoints.popleft()
            if mark.size == self.size:
                yield mark
        while self._groups and self._groups[0].size <= self.size:
            group = self._groups.popleft()
            if group.size == self.size:
                yield Mark(group.size, group.root)

    def _hold_all(self, marks: tuple[Mark, ...]) -> None:
        """Hold against all marks of one size: where the signed one fails, the group's first, which narrows the span."""
        if marks and marks[0].signed and not self._lost and not self._explains(marks[0]):
            marks = marks[::-1]
        for mark in marks:
            self._hold(mark)

    def _hold(self, mark: Mark) -> None:
        if self._lost:
            return
        if self._explains(mark):
            self._held(mark)
        elif mark.signed:
            start = self._base.size if self._doubted else self.signed_size
            self._lose(start, self._doubted or mark, who=f"signed in the checkpoint of size {mark.size}")
        elif mark.size == self._base.size:
            self._findings.add(None, f"the recorded root hash of size {mark.size} was edited: the signed one holds")
        else:
            self._doubted = self._doubted or mark

    def _hold_head(self, head: HeadRow) -> None:
        """The head is the mark that is edited most easily: it confirms what no other mark doubts, and no more."""
        mark = Mark(head.size, head.root)
        if self._doubted is not None:
            agrees = root_hash(self._tree) == head.root
            who = "of their commit, though that of the head: it was edited too, or their commit's mark alone"
            self._lose(self._base.size, self._doubted, who=who if agrees else "recorded")
        elif self._explains(mark):
            self._held(mark)
        elif self._base.size == head.size:
            self._findings.add(None, "the head was edited: its root hash is not that of its entries")
        else:
            self._lose(self._base.size, mark)

    def _explains(self, mark: Mark) -> bool:
        """Does the mark hold, as it is or after one of the first three explanations, which is then named?"""
        if root_hash(self._tree) == mark.root:
            self._name_edited(_BODY_EDITED)
            return True
        if self._from_bodies is not None:
            if root_hash(self._from_bodies) != mark.root:
                return False
            self._tree = self._from_bodies
            self._name_edited(_LEAF_EDITED)
            return True
        return self._explained_by_swap(mark)

    def _explained_by_swap(self, mark: Mark) -> bool:
        if self._doubted is not None or len(self._span) > MAX_SWAP_SPAN or self._findings.full:
            return False
        swap = find_swap(self._base, self._span, mark.root)
        if swap is None:
            return False
        first, second = swap
        self._tree = extend(self._base, _swapped(self._span, first, second))
        first, second = self._base.size + first, self._base.size + second
        self._findings.add(first, f"it stands in the place of entry {second}: the two were swapped")
        self._findings.add(second, f"it stands in the place of entry {first}: the two were swapped")
        return True

    def _held(self, mark: Mark) -> None:
        if self._doubted is not None:
            what = f"the recorded root hash of size {self._doubted.size} was edited: a later one holds"
            self._findings.add(None, what)
            self._doubted = None
        self._base, self._span = self._tree, []
        if mark.signed:
            self.signed_size = mark.size

    def _lose(self, start: int, mark: Mark, *, who: str = "recorded") -> None:
        """Name the span in which the first bad entry is; behind it no mark can hold."""
        span = f"entry {start}" if mark.size - start == 1 else f"one of the entries {start} to {mark.size - 1}"
        self._findings.add(
            start, f"{span} was edited together with its leaf hash, moved or removed: they do not give the root {who}"
        )
        self._name_edited(_DISAGREE)
        self._lost, self._doubted = True, None

    def _name_edited(self, what: str) -> None:
        for index in self._edited:
            self._findings.add(index, what)
        self._edited, self._from_bodies = [], None

    def _check_frontier(self, head: HeadRow) -> None:
        try:
            frontier = parse_frontier(head.frontier)
        except ProofError as error:
            self._findings.add(None, f"the head's frontier was edited: {error.message}")
            return
        if frontier.size != head.size or root_hash(frontier) != head.root:
            self._findings.add(None, "the head's frontier does not give the head's size and root hash")


def find_swap(base: Frontier, leaves: list[bytes], root: bytes) -> tuple[int, int] | None:
    """The two of these leaves that must change places for the tree to have this root; None where no such pair helps."""
    for first, leaf in enumerate(leaves):
        for second in range(first + 1, len(leaves)):
            if leaves[second] == leaf:
                continue
            if root_hash(extend(base, _swapped(leaves[first:], 0, second - first))) == root:
                return first, second
        base = extend(base, (leaf,))
    return None


def _swapped(leaves: list[bytes], first: int, second: int) -> list[bytes]:
    changed = list(leaves)
    changed[first], changed[second] = leaves[second], leaves[first]
    return changed


def _entries(start: int, end: int) -> str:
    return f"entry {start} is" if end - start == 1 else f"entries {start} to {end - 1} are"
