"""The check of a log: whatever one edits in its tables is found and named.

The log under test has groups of one to six entries and three checkpoints; every fault is tried at every place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import combinations
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core.acme.objects import Certificate
from dayfly.core.events import (
    AccountCreated,
    CertificateIssued,
    CertificateRevoked,
    IssueKind,
    LoggedEvent,
    LogStarted,
    SettingAction,
    SettingChanged,
)
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.transparency.checkpoint import (
    Checkpoint,
    VerifierKey,
    note_body,
    note_key_id,
    parse_verifier_key,
    render_signed_note,
    render_verifier_key,
)
from dayfly.core.transparency.entries import render_entry
from dayfly.core.transparency.findings import MAX_FINDINGS
from dayfly.core.transparency.following import MAX_SWAP_SPAN
from dayfly.core.transparency.merkle import EMPTY_FRONTIER, extend, leaf_hash, render_frontier, root_hash
from dayfly.core.transparency.verifying import LogReport, LogVerifier, certificate_facts

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ORIGIN = "ca.test/log"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = parse_verifier_key(render_verifier_key(ORIGIN, KEY.public_key().public_bytes_raw()))
GROUPS = (1, 3, 4, 6, 12, 13, 15, 21, 22, 26)
CHECKPOINTS = (4, 15, 22)
SIZE = GROUPS[-1]
REVOKED_AT = 24  # the entry that revokes the certificate of entry 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored entry."""

    index: int
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Group:
    """A commit's mark."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A stored head."""

    size: int
    root: bytes
    frontier: bytes


@dataclass(frozen=True, slots=True)
class Tables:
    """All that a store holds of a log."""

    entries: tuple[Entry, ...]
    groups: tuple[Group, ...]
    head: Head
    notes: tuple[str, ...]
    rows: tuple[Certificate, ...]


def certificate(number: int) -> Certificate:
    """A certificate's row; ids are no multiples of anything, and rise."""
    return Certificate(
        id=1_000 + 7 * number,
        serial=(1_000 + 7 * number << 96) + 5,
        der=f"certificate {number}".encode(),
        issuer="aa" * 32,
        names=(Identifier(IdentifierType.DNS, f"host-{number}.internal.example"),),
        not_before=AT + timedelta(minutes=number),
        not_after=AT + timedelta(hours=24, minutes=number),
        provisioner="internal-acme",
        owner="platform",
        rule="r1",
        profile="service",
        profile_hash="bb" * 32,
        account_id=5,
        order_id=number,
    )


def issued(row: Certificate) -> CertificateIssued:
    """The event that logs a row."""
    return CertificateIssued(
        at=row.not_before,
        certificate_id=row.id,
        serial=row.serial,
        fingerprint=sha256(row.der).hexdigest(),
        names=row.names,
        not_before=row.not_before,
        not_after=row.not_after,
        provisioner=row.provisioner,
        owner=row.owner,
        rule=row.rule,
        profile=row.profile,
        profile_hash=row.profile_hash,
        account_id=row.account_id,
        order_id=row.order_id,
        kind=IssueKind.NEW,
        spki_hash="cc" * 32,
    )


def log_of(
    bodies: list[bytes], rows: list[Certificate], *, groups: tuple[int, ...], checkpoints: tuple[int, ...]
) -> Tables:
    """The tables of a log with these bodies, as an honest CA writes them."""
    entries = tuple(Entry(index, body, leaf_hash(body)) for index, body in enumerate(bodies))
    return Tables(
        entries=entries,
        groups=tuple(Group(size, root_of(entries, size)) for size in groups),
        head=head_of(entries),
        notes=tuple(note(size, root_of(entries, size)) for size in checkpoints),
        rows=tuple(rows),
    )


def root_of(entries: tuple[Entry, ...], size: int) -> bytes:
    """The root hash that the first entries' leaf hashes give."""
    return root_hash(extend(EMPTY_FRONTIER, [entry.leaf_hash for entry in entries[:size]]))


def head_of(entries: tuple[Entry, ...]) -> Head:
    """The head that the entries' leaf hashes give."""
    frontier = extend(EMPTY_FRONTIER, [entry.leaf_hash for entry in entries])
    return Head(frontier.size, root_hash(frontier), render_frontier(frontier))


def note(size: int, root: bytes) -> str:
    """A checkpoint signed with the log's key."""
    checkpoint = Checkpoint(ORIGIN, size, root)
    key_id = note_key_id(ORIGIN, KEY.public_key().public_bytes_raw())
    return render_signed_note(checkpoint, ORIGIN, key_id, KEY.sign(note_body(checkpoint)))


def make_good() -> Tables:
    """The log under test: start, settings, an account, certificates nearly in the order of their ids, a revocation."""
    rows = [certificate(number) for number in range(SIZE - 4)]
    rows[0] = replace(rows[0], revoked_at=AT + timedelta(hours=1), revocation_reason=4)
    events: list[LoggedEvent] = [
        LogStarted(AT, ORIGIN),
        SettingChanged(AT, 1, "rule", "r1", SettingAction.PUT, "dd" * 32),
        AccountCreated(AT, 5, "internal-acme", "thumb"),
    ]
    events += [issued(row) for row in rows]
    events[8], events[9] = events[9], events[8]  # two workers, out of step
    revocation = CertificateRevoked(AT + timedelta(hours=1), rows[0].id, rows[0].serial, 4, "account 5")
    events.insert(REVOKED_AT, revocation)
    bodies = [render_entry(event) for event in events]
    return log_of(bodies, rows, groups=GROUPS, checkpoints=CHECKPOINTS)


GOOD = make_good()


def check(
    tables: Tables,
    *,
    page: int = 5,
    key: VerifierKey = VERIFIER,
    retired_before: datetime | None = None,
    meanwhile: Tables | None = None,
    with_groups: bool = True,
) -> LogReport:
    """Feed a verifier as its module says; after the head was read the store holds what `meanwhile` says."""
    verifier = LogVerifier(tables.head, key=key, notes=tables.notes, retired_before=retired_before)
    store = meanwhile or tables
    groups: list[Group] = []
    while not verifier.entries_read:
        start = verifier.next_index
        if with_groups:
            groups = [one for one in store.groups if one.size > start][:page]
        verifier.add_entries([one for one in store.entries if one.index >= start][:page], groups)
        while verifier.wants_certificates:
            after = verifier.last_certificate
            verifier.add_certificates([certificate_facts(row) for row in store.rows if row.id > after][:page])
    while more := [one for one in store.entries if one.index >= verifier.next_index][:page]:
        verifier.add_entries(more)
    return verifier.finish(store.head)


def whats(report: LogReport, index: int | None) -> str:
    """What is said of an entry."""
    return "; ".join(one.what for one in report.findings if one.index == index)


def group_of(index: int) -> tuple[int, int]:
    """Begin and end of the group that holds the entry."""
    end = next(size for size in GROUPS if size > index)
    return max((size for size in GROUPS if size <= index), default=0), end


def with_entry(tables: Tables, index: int, **changes: Any) -> Tables:
    """The tables with one entry edited."""
    entries = list(tables.entries)
    entries[index] = replace(entries[index], **changes)
    return replace(tables, entries=tuple(entries))


def with_row(tables: Tables, number: int, **changes: Any) -> Tables:
    """The tables with one certificate row edited."""
    rows = list(tables.rows)
    rows[number] = replace(rows[number], **changes)
    return replace(tables, rows=tuple(rows))


def entry_of(row: Certificate) -> int:
    """The index of the row's entry."""
    body = render_entry(issued(row))
    return next(entry.index for entry in GOOD.entries if entry.body == body)


def edited(index: int) -> dict[str, bytes]:
    """Another body for an entry, with its own leaf hash."""
    body = render_entry(AccountCreated(AT, 99, f"forged {index}", "thumb")) if index else GOOD.entries[0].body + b" "
    return {"body": body, "leaf_hash": leaf_hash(body)}


EVERY_ENTRY = pytest.mark.parametrize("index", range(SIZE))
EVERY_ROW = pytest.mark.parametrize("number", range(len(GOOD.rows)))


# --- nothing wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 2, 7, 1_000])
@pytest.mark.parametrize("with_groups", [True, False])
def test_an_untouched_log_verifies(page: int, with_groups: bool) -> None:
    """An honest log has no finding, however it is paged."""
    report = check(GOOD, page=page, with_groups=with_groups)
    assert report == LogReport(True, SIZE, GOOD.head.root.hex(), None, (), CHECKPOINTS[-1])  # noqa: FBT003 - the report


@pytest.mark.parametrize("size", range(1, SIZE))
def test_a_log_that_grows_meanwhile_verifies(size: int) -> None:
    """What a running CA commits after the head was read is no fault, wherever the head stood."""
    ids = {row.id for row in GOOD.rows if entry_of(row) < size}
    then = replace(
        GOOD,
        entries=GOOD.entries[:size],
        head=head_of(GOOD.entries[:size]),
        notes=tuple(one for one, covered in zip(GOOD.notes, CHECKPOINTS, strict=True) if covered <= size),
        rows=tuple(row for row in GOOD.rows if row.id in ids),
    )
    assert check(then, meanwhile=GOOD).findings == ()


def test_a_log_without_checkpoints_says_that_none_covers_it() -> None:
    """The report tells how far signatures reach."""
    report = check(replace(GOOD, notes=()))
    assert (report.ok, report.signed_size) == (True, 0)


# --- entries ----------------------------------------------------------------------------------------------------------


@EVERY_ENTRY
def test_an_edited_body_is_named(index: int) -> None:
    """A flipped bit in a body: this entry, and that it was the body; the first octet, one within, the last."""
    body = GOOD.entries[index].body
    for at in (0, len(body) // 2, len(body) - 1):
        forged = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        report = check(with_entry(GOOD, index, body=forged))
        assert (report.ok, report.first_bad) == (False, index)
        assert "body was edited" in whats(report, index)


@EVERY_ENTRY
def test_an_edited_owner_is_named_once(index: int) -> None:
    """A body that stays an entry is named for its hash only, not for its row too."""
    body = GOOD.entries[index].body.replace(b"platform", b"attacker").replace(b"thumb", b"theft")
    if body == GOOD.entries[index].body:
        return
    report = check(with_entry(GOOD, index, body=body))
    assert [(one.index, "body was edited" in one.what) for one in report.findings] == [(index, True)]


@EVERY_ENTRY
def test_an_edited_leaf_hash_is_named(index: int) -> None:
    """Another leaf hash: this entry, and that it was the leaf hash; one of another length too."""
    for forged in (bytes(32), b""):
        report = check(with_entry(GOOD, index, leaf_hash=forged))
        assert [(one.index, "leaf hash was edited" in one.what) for one in report.findings] == [(index, True)]


@EVERY_ENTRY
def test_a_deleted_entry_is_named(index: int) -> None:
    """A gap: the missing index; at the end, that the log is shorter than its head."""
    entries = tuple(entry for entry in GOOD.entries if entry.index != index)
    report = check(replace(GOOD, entries=entries))
    assert (report.ok, report.first_bad) == (False, index)
    assert f"entry {index} is missing" in whats(report, index)


def test_a_gap_of_several_is_named_by_its_ends() -> None:
    """Several missing entries in a row are one finding."""
    entries = tuple(entry for entry in GOOD.entries if not 5 <= entry.index < 9)
    assert "entries 5 to 8 are missing" in whats(check(replace(GOOD, entries=entries)), 5)


@EVERY_ENTRY
def test_an_entry_deleted_and_closed_up_is_narrowed_to_its_group(index: int) -> None:
    """Later entries moved down: the first bad one is in the span named, and the end is missing."""
    kept = [entry for entry in GOOD.entries if entry.index != index]
    entries = tuple(replace(entry, index=place) for place, entry in enumerate(kept))
    report = check(replace(GOOD, entries=entries))
    start, end = group_of(index)
    assert (report.ok, report.first_bad) == (False, start if end < SIZE else SIZE - 1)
    if end == SIZE and index < SIZE - 1:
        assert f"no mark that holds covers those from {start} on" in whats(report, SIZE - 1)
    assert f"entry {SIZE - 1} is missing" in whats(report, SIZE - 1)


@pytest.mark.parametrize(("first", "second"), list(combinations(range(SIZE), 2)))
def test_swapped_entries_are_found(first: int, second: int) -> None:
    """Two entries in each other's place: both named within a group, else the group of the first one."""
    one, other = GOOD.entries[first], GOOD.entries[second]
    swapped = with_entry(GOOD, first, body=other.body, leaf_hash=other.leaf_hash)
    swapped = with_entry(swapped, second, body=one.body, leaf_hash=one.leaf_hash)
    report = check(swapped)
    start, end = group_of(first)
    assert not report.ok
    if second < end:
        assert report.first_bad == first
        assert f"in the place of entry {second}" in whats(report, first)
        assert f"in the place of entry {first}" in whats(report, second)
    elif first == 0:
        assert report.first_bad == 0
    else:
        assert report.first_bad == start
        assert f"entry {start}" in whats(report, start) or f"entries {start} to {end - 1}" in whats(report, start)


@pytest.mark.parametrize("field", ["body", "leaf_hash"])
def test_half_swapped_entries_are_both_named(field: str) -> None:
    """Only the bodies, or only the leaf hashes, in each other's place: both entries, and which half."""
    one, other = getattr(GOOD.entries[7], field), getattr(GOOD.entries[18], field)
    report = check(with_entry(with_entry(GOOD, 7, **{field: other}), 18, **{field: one}))
    what = "body was edited" if field == "body" else "leaf hash was edited"
    assert [entry.index for entry in report.findings if what in entry.what] == [7, 18]


def test_the_rest_is_still_checked_behind_what_is_explained() -> None:
    """Faults that are named exactly do not hide later ones."""
    tables = with_entry(GOOD, 4, body=b"x")
    tables = with_entry(tables, 7, body=GOOD.entries[11].body, leaf_hash=GOOD.entries[11].leaf_hash)
    tables = with_entry(tables, 11, body=GOOD.entries[7].body, leaf_hash=GOOD.entries[7].leaf_hash)
    tables = with_entry(tables, 13, leaf_hash=bytes(32))
    report = check(with_entry(tables, 23, **edited(23)))
    named = {one.index for one in report.findings if one.index is not None}
    assert {4, 7, 11, 13, 22} <= named


@EVERY_ENTRY
def test_a_consistent_edit_is_narrowed_to_its_group(index: int) -> None:
    """Body and leaf hash edited together: the span of the group that holds the entry."""
    report = check(with_entry(GOOD, index, **edited(index)))
    start, end = group_of(index)
    assert (report.ok, report.first_bad) == (False, start)
    assert (f"entry {start} was" if end - start == 1 else f"entries {start} to {end - 1} was") in whats(report, start)


@EVERY_ENTRY
@pytest.mark.parametrize("with_groups", [True, False])
def test_an_edit_recomputed_everywhere_meets_the_signed_checkpoint(
    index: int,
    with_groups: bool,
) -> None:
    """Body, leaf hash, group marks and head rewritten: the smallest span between checkpoints, and whose they are."""
    entries = with_entry(GOOD, index, **edited(index)).entries
    groups = tuple(Group(size, root_of(entries, size)) for size in GROUPS)
    report = check(replace(GOOD, entries=entries, groups=groups, head=head_of(entries)), with_groups=with_groups)
    signed = next((size for size in CHECKPOINTS if size > index), None)
    assert not report.ok
    if signed is None:
        # Behind the last checkpoint only the row, which the entry no longer tells of, gives the edit away.
        assert {one.index for one in report.findings} == {None}
        return
    start = max((size for size in CHECKPOINTS if size <= index), default=0)
    assert report.first_bad == start
    assert f"{start} to {signed - 1} was" in whats(report, start)
    assert f"signed in the checkpoint of size {signed}" in whats(report, start)
    assert report.signed_size == start


@EVERY_ENTRY
def test_an_edit_with_the_head_rewritten_is_narrowed_by_the_groups(index: int) -> None:
    """Only the group marks were forgotten: they narrow it, the last one too."""
    entries = with_entry(GOOD, index, **edited(index)).entries
    report = check(replace(GOOD, entries=entries, head=head_of(entries), notes=()))
    assert (report.ok, report.first_bad) == (False, group_of(index)[0])


@EVERY_ENTRY
def test_an_edit_without_any_marks_meets_the_head(index: int) -> None:
    """No groups, no checkpoints: the head says that something is wrong."""
    report = check(with_entry(replace(GOOD, notes=()), index, **edited(index)), with_groups=False)
    assert (report.ok, report.first_bad) == (False, 0)


@pytest.mark.parametrize("size", range(SIZE))
def test_a_truncated_tail_is_named_by_the_head(size: int) -> None:
    """Entries missing at the end: the first missing index."""
    report = check(replace(GOOD, entries=GOOD.entries[:size]))
    assert (report.ok, report.first_bad) == (False, size)
    assert "the log ends before its head" in whats(report, size)


@pytest.mark.parametrize("size", range(CHECKPOINTS[-1]))
def test_a_log_set_back_as_a_whole_is_found_by_the_last_checkpoint(size: int) -> None:
    """Entries, groups, rows and head all of an earlier time: the signed checkpoint covers more."""
    entries = GOOD.entries[:size]
    tables = Tables(
        entries,
        tuple(group for group in GOOD.groups if group.size <= size),
        head_of(entries),
        GOOD.notes,
        tuple(row for row in GOOD.rows if entry_of(row) < size),
    )
    report = check(tables)
    assert (report.ok, report.first_bad) == (False, size)
    assert f"a signed checkpoint covers {CHECKPOINTS[-1]} entries, there are {size}" in whats(report, size)


@pytest.mark.parametrize("size", range(1, SIZE))
def test_a_head_set_back_alone_is_found(size: int) -> None:
    """Entries beyond the head, and nobody writing: the head was set back."""
    tables = replace(GOOD, head=head_of(GOOD.entries[:size]), notes=())
    report = check(tables)
    assert (report.ok, report.first_bad) == (False, size)
    assert f"{SIZE - size} entries lie beyond the head" in whats(report, size)


def test_a_second_entry_at_an_index_is_named() -> None:
    """A table that lost its primary key holds nothing unseen."""
    entries = (*GOOD.entries[:5], GOOD.entries[4], *GOOD.entries[5:])
    report = check(replace(GOOD, entries=entries), page=100)
    assert [(one.index, one.what) for one in report.findings] == [(4, "there is a second entry at this index")]


def test_behind_a_gap_entries_are_still_held_against_their_leaf_hashes() -> None:
    """The tree is lost there, the bodies are not."""
    tables = with_entry(with_entry(GOOD, 4, body=b"x"), 20, body=b"x")
    report = check(replace(tables, entries=tuple(one for one in tables.entries if one.index != 5)))
    assert [one.index for one in report.findings if "disagree" in one.what] == [4, 20]
    assert "entry 5 is missing" in whats(report, 5)


def test_an_edit_before_a_truncation_is_told_beside_it() -> None:
    """The group of the edit, and where the log ends."""
    tables = with_entry(replace(GOOD, notes=()), 8, **edited(8))
    report = check(replace(tables, entries=tables.entries[:20]))
    assert "entries 6 to 11" in whats(report, 6)
    assert "entries 20 to 25 are missing" in whats(report, 20)


def test_an_edited_entry_whose_row_is_gone_is_named_for_its_body() -> None:
    """An entry that cannot be believed proves nothing about rows."""
    body = GOOD.entries[6].body.replace(b"platform", b"attacker")
    rows = tuple(row for row in GOOD.rows if entry_of(row) != 6)
    report = check(replace(with_entry(GOOD, 6, body=body), rows=rows))
    assert [(one.index, "body was edited" in one.what) for one in report.findings] == [(6, True)]


def test_two_faults_in_one_group_are_both_told() -> None:
    """An edited body beside a consistent edit: the one by its index, the other by its group."""
    report = check(with_entry(with_entry(GOOD, 10, body=b"x"), 8, **edited(8)))
    assert report.first_bad == 6
    assert "disagree" in whats(report, 10)
    assert "entries 6 to 11" in whats(report, 6)


# --- marks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(GROUPS)))
def test_an_edited_group_mark_is_found(number: int) -> None:
    """Where later marks hold, the mark alone was edited; behind the last checkpoint its group is suspected too."""
    groups = list(GOOD.groups)
    groups[number] = replace(groups[number], root=bytes(32))
    report = check(replace(GOOD, groups=tuple(groups)))
    assert not report.ok
    if number < len(GROUPS) - 1:
        assert report.first_bad is None
        assert f"the recorded root hash of size {GROUPS[number]} was edited" in whats(report, None)
    else:
        assert "or their commit's mark alone" in whats(report, GROUPS[number - 1])


def test_an_edited_head_is_found() -> None:
    """A head that disagrees with the last group is the head's own fault."""
    report = check(replace(GOOD, head=replace(GOOD.head, root=bytes(32))))
    assert report.first_bad is None
    assert "the head was edited" in whats(report, None)


@pytest.mark.parametrize("frontier", [b"", GOOD.head.frontier[:-1], head_of(GOOD.entries[:-1]).frontier])
def test_an_edited_frontier_is_found(frontier: bytes) -> None:
    """The frontier must be one, and the head's."""
    report = check(replace(GOOD, head=replace(GOOD.head, frontier=frontier)))
    assert [one.index for one in report.findings] == [None]
    assert "frontier" in whats(report, None)


def test_a_frontier_of_other_hashes_is_found() -> None:
    """The frontier must give the head's root hash."""
    forged = GOOD.head.frontier[:-1] + bytes([GOOD.head.frontier[-1] ^ 1])
    report = check(replace(GOOD, head=replace(GOOD.head, frontier=forged)))
    assert "does not give the head's size and root hash" in whats(report, None)


@pytest.mark.parametrize("number", range(len(CHECKPOINTS)))
def test_an_edited_checkpoint_is_found(number: int) -> None:
    """A note whose signature does not hold is a finding, and no evidence against the entries."""
    notes = list(GOOD.notes)
    notes[number] = notes[number].replace(f"\n{CHECKPOINTS[number]}\n", f"\n{CHECKPOINTS[number] + 1}\n")
    report = check(replace(GOOD, notes=tuple(notes)))
    assert [(one.index, one.what) for one in report.findings] == [
        (None, "a checkpoint does not verify: the note's signature does not hold")
    ]


def test_a_forked_log_is_found() -> None:
    """Two signed root hashes for one size are the log's own fault."""
    report = check(replace(GOOD, notes=(*GOOD.notes, note(CHECKPOINTS[1], bytes(32)), GOOD.notes[0])))
    assert "the log was forked" in whats(report, None)


def test_a_log_replaced_by_another_is_found() -> None:
    """A whole log of another CA: neither its checkpoints nor its first entry fit the key."""
    other = parse_verifier_key(render_verifier_key("other.test/log", bytes(32)))
    report = check(GOOD, key=other)
    assert report.first_bad == 0
    assert "origin" in whats(report, 0)
    assert len([one for one in report.findings if "does not verify" in one.what]) == len(CHECKPOINTS)


def test_an_empty_log_does_not_verify() -> None:
    """A CA's log has at least the entry of its start."""
    report = check(Tables((), (), head_of(()), (), ()))
    assert (report.ok, report.first_bad) == (False, 0)
    assert "empty" in whats(report, 0)


@pytest.mark.parametrize(
    ("index", "event"),
    [(0, AccountCreated(AT, 5, "internal-acme", "thumb")), (2, LogStarted(AT, ORIGIN))],
)
def test_a_log_starts_once(index: int, event: LoggedEvent) -> None:
    """The first entry, and no other, tells of the start."""
    bodies = [entry.body for entry in GOOD.entries]
    bodies[index] = render_entry(event)
    report = check(log_of(bodies, list(GOOD.rows), groups=GROUPS, checkpoints=CHECKPOINTS))
    assert [one.index for one in report.findings] == [index]


def test_a_body_that_is_no_entry_is_named() -> None:
    """Bytes that were logged as they are, and that nobody can read."""
    bodies = [entry.body for entry in GOOD.entries]
    bodies[2] = b'{"t":99,"v":1}'
    report = check(log_of(bodies, list(GOOD.rows), groups=GROUPS, checkpoints=CHECKPOINTS))
    assert [one.index for one in report.findings] == [2]
    assert "no kind and form" in whats(report, 2)


# --- rows -------------------------------------------------------------------------------------------------------------

ROW_EDITS: dict[str, object] = {
    "serial": 1,
    "der": b"forged",
    "names": (Identifier(IdentifierType.DNS, "forged.internal.example"),),
    "not_before": AT - timedelta(seconds=1),
    "not_after": AT + timedelta(days=365),
    "provisioner": "forged",
    "owner": "forged",
    "rule": "forged",
    "profile": "forged",
    "profile_hash": "00" * 32,
    "account_id": None,
    "order_id": 0xF0F0,
}


@EVERY_ROW
@pytest.mark.parametrize("field", ROW_EDITS)
def test_an_edited_row_is_named_with_its_field(number: int, field: str) -> None:
    """What was edited in a row is said by its entry."""
    report = check(with_row(GOOD, number, **{field: ROW_EDITS[field]}))
    index = entry_of(GOOD.rows[number])
    assert [one.index for one in report.findings] == [index]
    assert whats(report, index).endswith(f"differs from it in {'fingerprint' if field == 'der' else field}")


@EVERY_ROW
def test_a_deleted_row_is_named(number: int) -> None:
    """An entry without its row; the last one and the revoked one too."""
    rows = tuple(row for row in GOOD.rows if row is not GOOD.rows[number])
    report = check(replace(GOOD, rows=rows))
    index = entry_of(GOOD.rows[number])
    assert report.first_bad == index
    assert "is missing" in whats(report, index)
    expected = {index, REVOKED_AT} if number == 0 else {index}
    assert {one.index for one in report.findings} == expected


@pytest.mark.parametrize("row_id", [1, 1_003, 1_000 + 7 * SIZE, 2**62])
def test_an_inserted_row_is_named(row_id: int) -> None:
    """A row without an entry, before, between and behind the others."""
    rows = sorted((*GOOD.rows, replace(certificate(3), id=row_id)), key=lambda row: row.id)
    report = check(replace(GOOD, rows=tuple(rows)))
    assert [(one.index, one.what) for one in report.findings] == [
        (None, f"certificate row {row_id:016x} has no entry in the log")
    ]


@pytest.mark.parametrize(("first", "second"), list(combinations(range(1, 10), 2)))
def test_swapped_rows_are_both_named(first: int, second: int) -> None:
    """Two rows under each other's id: both entries."""
    one, other = GOOD.rows[first], GOOD.rows[second]
    rows = list(GOOD.rows)
    rows[first], rows[second] = replace(other, id=one.id), replace(one, id=other.id)
    report = check(replace(GOOD, rows=tuple(rows)))
    assert sorted(entry.index or 0 for entry in report.findings) == sorted((entry_of(one), entry_of(other)))
    assert report.first_bad == min(entry_of(one), entry_of(other))


@pytest.mark.parametrize(
    "changes",
    [
        {"revoked_at": None, "revocation_reason": None},
        {"revoked_at": AT},
        {"revocation_reason": 0},
        {"revocation_reason": None},
    ],
)
def test_a_revocation_undone_or_edited_is_named(changes: dict[str, object]) -> None:
    """A row that is not revoked as its entry says."""
    report = check(with_row(GOOD, 0, **changes))
    assert [one.index for one in report.findings] == [REVOKED_AT]
    assert "is not revoked like this" in whats(report, REVOKED_AT)


def test_a_revocation_that_nobody_logged_is_named() -> None:
    """A row that is revoked without an entry."""
    report = check(with_row(GOOD, 2, revoked_at=AT, revocation_reason=1))
    assert [one.index for one in report.findings] == [None]
    assert "no entry of the log says so" in whats(report, None)


@pytest.mark.parametrize("page", [1, 100])
def test_a_revocation_that_came_meanwhile_is_no_fault(page: int) -> None:
    """A row may be revoked after the head was read."""
    then = replace(GOOD, head=head_of(GOOD.entries[:REVOKED_AT]))
    assert check(then, meanwhile=GOOD, page=page).findings == ()


@pytest.mark.parametrize("page", [1, 5, 100])
def test_retired_rows_may_be_missing(page: int) -> None:
    """Retention takes rows of what has long expired, revoked ones too, and no others."""
    cut = GOOD.rows[6].not_after
    kept = replace(GOOD, rows=GOOD.rows[6:])
    assert check(kept, page=page, retired_before=cut).findings == ()
    assert check(GOOD, page=page, retired_before=cut).findings == ()
    report = check(replace(GOOD, rows=GOOD.rows[7:]), page=page, retired_before=cut)
    assert [one.index for one in report.findings] == [entry_of(GOOD.rows[6])]


@pytest.mark.parametrize("page", [1, 100])
def test_a_second_entry_for_one_certificate_is_named(page: int) -> None:
    """One certificate, one entry."""
    bodies = [entry.body for entry in GOOD.entries]
    bodies.insert(10, bodies[8])
    report = check(log_of(bodies, list(GOOD.rows), groups=(), checkpoints=()), page=page)
    assert [one.index for one in report.findings] == [10]


# --- bounds -----------------------------------------------------------------------------------------------------------


def long_log(count: int) -> Tables:
    """A log of one large group."""
    bodies = [render_entry(AccountCreated(AT, number, "internal-acme", "thumb")) for number in range(1, count)]
    bodies.insert(0, render_entry(LogStarted(AT, ORIGIN)))
    return log_of(bodies, [], groups=(1, count), checkpoints=())


@pytest.mark.parametrize(("count", "exact"), [(MAX_SWAP_SPAN + 1, True), (MAX_SWAP_SPAN + 2, False)])
def test_a_swap_is_searched_for_in_spans_up_to_the_cap(count: int, exact: bool) -> None:
    """Beyond the cap the span is named, not the pair."""
    tables = long_log(count)
    first, last = tables.entries[1], tables.entries[-1]
    tables = with_entry(tables, 1, body=last.body, leaf_hash=last.leaf_hash)
    report = check(with_entry(tables, count - 1, body=first.body, leaf_hash=first.leaf_hash), page=1_000)
    assert report.first_bad == 1
    assert ("swapped" in whats(report, 1)) is exact


def test_twins_are_not_taken_for_a_swap() -> None:
    """Equal entries may stand in each other's place; with another fault in their group, the span is named."""
    tables = long_log(5)
    bodies = [entry.body for entry in tables.entries]
    bodies[3] = bodies[2]
    tables = log_of(bodies, [], groups=(1, 5), checkpoints=())
    report = check(with_entry(tables, 4, **edited(4)))
    assert "entries 1 to 4" in whats(report, 1)


def test_findings_are_bounded_and_counted() -> None:
    """An arbitrarily broken log gives a bounded report, which says how much it leaves out."""
    count = MAX_FINDINGS + 100
    tables = long_log(count)
    entries = tuple(replace(entry, body=b"x") for entry in tables.entries)
    report = check(replace(tables, entries=entries), page=500)
    assert (len(report.findings), report.first_bad) == (MAX_FINDINGS + 1, 0)
    assert report.findings[-1].what == "100 more findings are not listed"


def test_when_findings_overflow_no_swap_is_searched_for() -> None:
    """The search costs time, which a log that is broken everywhere must not take."""
    tables = long_log(MAX_FINDINGS + 2)
    bodies = [entry.body for entry in tables.entries] + [
        render_entry(AccountCreated(AT, number, "later", "thumb")) for number in range(4)
    ]
    size = len(bodies)
    good = log_of(bodies, [], groups=(size - 4, size), checkpoints=())
    broken = tuple(replace(one, body=b"x") if one.index < size - 4 else one for one in good.entries)
    tables = replace(good, entries=broken)
    last, before = good.entries[-1], good.entries[-2]
    tables = with_entry(tables, size - 1, body=before.body, leaf_hash=before.leaf_hash)
    report = check(with_entry(tables, size - 2, body=last.body, leaf_hash=last.leaf_hash), page=2_000)
    assert not any("swapped" in one.what for one in report.findings)


def flipped(data: bytes, at: int) -> bytes:
    """The octets with one bit turned."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


FAULTS: dict[str, Callable[[Tables, int, int], Tables]] = {
    "body": lambda t, i, at: with_entry(t, i, body=flipped(t.entries[i].body, at)),
    "leaf": lambda t, i, at: with_entry(t, i, leaf_hash=flipped(t.entries[i].leaf_hash, at)),
    "delete": lambda t, i, _: replace(t, entries=t.entries[:i] + t.entries[i + 1 :]),
    "truncate": lambda t, i, _: replace(t, entries=t.entries[:i]),
    "row": lambda t, i, at: with_row(t, i % len(t.rows), der=flipped(t.rows[i % len(t.rows)].der, at)),
}


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    signed=st.sets(st.integers(1, 60)),
    fault=st.sampled_from(sorted(FAULTS)),
    place=st.integers(0, 10_000),
    at=st.integers(0, 10_000),
    page=st.integers(1, 20),
)
def test_any_single_fault_in_any_log_is_found_and_named(
    sizes: list[int], signed: set[int], fault: str, place: int, at: int, page: int
) -> None:
    """However entries are grouped, signed and paged: an honest log verifies, one fault gives its very index."""
    groups = tuple(sum(sizes[: number + 1]) for number in range(len(sizes)))
    rows = [certificate(number) for number in range(max(1, groups[-1] - 1))]
    bodies = [render_entry(LogStarted(AT, ORIGIN)), *(render_entry(issued(row)) for row in rows)]
    size = len(bodies)
    good = log_of(bodies, rows, groups=groups, checkpoints=tuple(one for one in sorted(signed) if one <= size))
    assert check(good, page=page).findings == ()
    place %= size
    report = check(FAULTS[fault](good, place, at), page=page)
    expected = place % len(rows) + 1 if fault == "row" else place
    assert (report.ok, report.first_bad) == (False, expected)
