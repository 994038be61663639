"""The check of a whole log: entries, head, checkpoints and certificate rows, each held against the others.

Whoever has the store feeds a LogVerifier in this order, beside a running server too:
  1. all signed checkpoints, also such as were kept elsewhere, and after them the head: to the verifier;
  2. until `entries_read`: the page of entries from `next_index`, with as many group marks above that size, to
     `add_entries`; after each, while `wants_certificates`, the rows above `last_certificate` to `add_certificates`;
  3. the entries that have come since, page by page until one is empty, to `add_entries`; they excuse rows that are new;
  4. the head, read again, to `finish`.
Rules: the same pure code that writes the log reads it; a finding names the smallest span that the evidence gives; what
is not found here is what no signed checkpoint covers and every table was rewritten for, so keep checkpoints elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dayfly.core.events import CertificateIssued, CertificateRevoked, LoggedEvent, LogStarted
from dayfly.core.transparency.checkpoint import NoteError, VerifierKey, open_note
from dayfly.core.transparency.entries import EntryError, parse_entry
from dayfly.core.transparency.findings import Finding, Findings
from dayfly.core.transparency.following import EntryRow, GroupRow, HeadRow, Mark, TreeFollower
from dayfly.core.transparency.matching import CertificateFacts, RowMatcher, certificate_facts

__all__ = ["CertificateFacts", "Finding", "LogReport", "LogVerifier", "certificate_facts"]


@dataclass(frozen=True, slots=True)
class LogReport:
    """What the check gave: `first_bad` is the lowest index that a finding names, `root_hash` is hex.

    `signed_size` is the size of the largest checkpoint that holds: what lies below it nobody can rewrite unseen.
    """

    ok: bool
    size: int
    root_hash: str
    first_bad: int | None
    findings: tuple[Finding, ...]
    signed_size: int


class LogVerifier:
    """Checks one log, fed page by page as this module says."""

    def __init__(
        self, head: HeadRow, *, key: VerifierKey, notes: Iterable[str], retired_before: datetime | None = None
    ) -> None:
        """`notes` are the signed checkpoints; rows of what expired before `retired_before` may be missing."""
        self._head = head
        self._origin = key.name
        self._findings = Findings()
        self._tree = TreeFollower(self._findings, self._open_notes(notes, key))
        self._rows = RowMatcher(self._findings, retired_before)
        self.next_index = 0
        self.entries_read = False

    @property
    def wants_certificates(self) -> bool:
        """Must more rows be read before more entries?"""
        return self._rows.behind or (self.entries_read and not self._rows.rows_ended)

    @property
    def last_certificate(self) -> int:
        """The id above which the next rows are wanted."""
        return self._rows.last_row

    def add_entries(self, entries: Sequence[EntryRow], groups: Iterable[GroupRow] = ()) -> None:
        """Check the next entries, by index; no entry at all says that there are no more."""
        if self.entries_read:
            self._add_later(entries)
            return
        self._tree.add_groups(groups)
        for entry in entries:
            if entry.index >= self._head.size:
                break
            if entry.index < self._tree.size:
                self._findings.add(entry.index, "there is a second entry at this index")
            else:
                self._look(entry, intact=self._tree.add(entry))
        self.next_index = self._tree.size
        self.entries_read = not entries or entries[-1].index + 1 >= self._head.size

    def add_certificates(self, rows: Iterable[CertificateFacts]) -> None:
        """Match the next rows, by id; no row at all says that there are no more."""
        self._rows.add_rows(rows)

    def finish(self, head: HeadRow) -> LogReport:
        """The report; `head` was read after all else."""
        if self._head.size == 0:
            self._findings.add(0, "the log is empty: it has lost even its first entry")
        self._tree.finish(self._head)
        self._rows.finish()
        if self.next_index > head.size:
            self._findings.add(head.size, f"{self.next_index - head.size} entries lie beyond the head: it was set back")
        findings = self._findings.ordered()
        return LogReport(
            ok=not findings,
            size=self._head.size,
            root_hash=self._head.root.hex(),
            first_bad=self._findings.first_bad,
            findings=findings,
            signed_size=self._tree.signed_size,
        )

    def _open_notes(self, notes: Iterable[str], key: VerifierKey) -> Iterable[Mark]:
        marks: dict[int, Mark] = {}
        for note in notes:
            try:
                checkpoint = open_note(note, key)
            except NoteError as error:
                self._findings.add(None, f"a checkpoint does not verify: {error.message}")
                continue
            mark = marks.setdefault(checkpoint.size, Mark(checkpoint.size, checkpoint.root, signed=True))
            if mark.root != checkpoint.root:
                self._findings.add(None, f"two root hashes are signed for size {checkpoint.size}: the log was forked")
        return marks.values()

    def _look(self, entry: EntryRow, *, intact: bool) -> None:
        """What the entry says, held against the rows; one that is not intact is named already."""
        event = self._read(entry, intact=intact)
        if event is None:
            return
        if intact and isinstance(event, LogStarted) != (entry.index == 0):
            self._findings.add(entry.index, "a log begins with the entry of its start, and has no second one")
        if intact and isinstance(event, LogStarted) and event.origin != self._origin:
            self._findings.add(entry.index, "the log's origin is not the name of the key that it is verified with")
        if isinstance(event, CertificateIssued):
            self._rows.issued(entry.index, event, intact=intact)
        elif isinstance(event, CertificateRevoked):
            self._rows.revoked(entry.index, event)

    def _read(self, entry: EntryRow, *, intact: bool) -> LoggedEvent | None:
        try:
            return parse_entry(entry.body)
        except EntryError as error:
            if intact:
                self._findings.add(entry.index, error.message)
            return None

    def _add_later(self, entries: Sequence[EntryRow]) -> None:
        for entry in entries:
            event = self._read(entry, intact=True)
            if isinstance(event, CertificateIssued | CertificateRevoked):
                self._rows.later(event)
            self.next_index = entry.index + 1
