"""The board of marks: of all workers of a host one validates a challenge (acme.md part 7, V1)."""

from __future__ import annotations

import mmap
import multiprocessing
from multiprocessing.sharedctypes import Synchronized

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.adapters.marks import _KEY, _TEXT_AT, BUCKET, BUCKETS, PLACES, MarkTable, SharedMarks
from dayfly.adapters.shared import Slots
from dayfly.authority.marks import Mark, Marks
from dayfly.core.acme.objects import AuthorizationRef, StoredProblem
from dayfly.ports.marks import MARK_TEXT

FORK = multiprocessing.get_context("fork")
REF = AuthorizationRef(0x1234_5678_9ABC_DEF0, 3)


def begun(workers: int = 2, **changes: int) -> tuple[MarkTable, Slots]:
    """A table whose workers have all begun."""
    slots = Slots(workers)
    for worker in range(workers):
        slots.begin(worker)
    return MarkTable(slots, **changes), slots


def test_mark_of_one_worker_stands_for_all__v1() -> None:
    """Who comes second hears no, and reads what the first has written, until it is released."""
    table, _ = begun()
    first, second = SharedMarks(table, 0), SharedMarks(table, 1)
    assert second.look(REF) is None
    assert first.claim(REF, b"one")
    assert not second.claim(REF, b"two")
    assert not first.claim(REF, b"again")
    first.note(REF, b"further")
    assert second.look(REF) == first.look(REF) == b"further"
    first.release(REF)
    assert second.look(REF) is None
    assert second.claim(REF, b"two")


def test_mark_is_changed_and_released_by_its_worker_alone() -> None:
    """Another one's hand does nothing."""
    table, _ = begun()
    SharedMarks(table, 0).claim(REF, b"mine")
    other = SharedMarks(table, 1)
    other.note(REF, b"theirs")
    other.release(REF)
    assert other.look(REF) == b"mine"


@pytest.mark.parametrize("ended", ["dead", "begun anew"])
def test_marks_of_a_dead_worker_are_void(ended: str) -> None:
    """As soon as the supervisor has seen its end, and in its next life too, which takes nothing of the old one away."""
    table, slots = begun()
    old = SharedMarks(table, 0)
    old.claim(REF, b"old")
    slots.end(0)
    if ended == "begun anew":
        slots.begin(0)
    anew = SharedMarks(table, 0)
    assert anew.look(REF) is None
    assert SharedMarks(table, 1).claim(REF, b"new")
    anew.release(REF)
    old.note(REF, b"late")
    assert anew.look(REF) == b"new"


def test_full_bucket_shares_no_more_and_forgets_nothing() -> None:
    """What finds no place is not shared; what is there stays; a void mark makes room."""
    table, slots = begun(buckets=1)
    worker = SharedMarks(table, 0)
    refs = [AuthorizationRef(number + 1, 0) for number in range(PLACES + 1)]
    assert all(worker.claim(ref, b"x") for ref in refs)
    assert [worker.look(ref) for ref in refs] == [b"x"] * PLACES + [None]
    worker.note(refs[-1], b"y")
    worker.release(refs[-1])
    slots.end(0)
    assert SharedMarks(table, 1).claim(refs[-1], b"z")
    assert worker.look(refs[-1]) == b"z"


def test_key_inside_a_text_is_no_mark() -> None:
    """Only the beginning of a place is a key."""
    table, _ = begun(buckets=1)
    worker = SharedMarks(table, 0)
    inside = AuthorizationRef(77, 0)
    assert worker.claim(REF, b"...." + _KEY.pack(77, 1) + b"....")
    assert worker.look(inside) is None
    assert worker.claim(inside, b"real")
    assert worker.look(inside) == b"real"


def test_text_that_is_too_long_is_an_error() -> None:
    """It would run into the next place."""
    table, _ = begun()
    worker = SharedMarks(table, 0)
    assert worker.claim(REF, b"x" * MARK_TEXT)
    with pytest.raises(ValueError, match="too long"):
        worker.note(REF, b"x" * (MARK_TEXT + 1))
    assert worker.look(REF) == b"x" * MARK_TEXT
    assert _TEXT_AT + MARK_TEXT <= 512


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["claim", "note", "release", "die"]), st.integers(0, 2), st.integers(0, 3)),
        max_size=60,
    )
)
@settings(deadline=None)
def test_board_says_who_validates_what(steps: list[tuple[str, int, int]]) -> None:
    """Whatever workers do, a mark stands exactly while its worker holds it in its present life."""
    table, slots = begun(3, buckets=2)
    hands = [SharedMarks(table, worker) for worker in range(3)]
    held: dict[int, tuple[int, bytes]] = {}
    for count, (what, worker, number) in enumerate(steps):
        ref, text = AuthorizationRef(number + 1, number), f"{count}".encode()
        if what == "claim":
            assert hands[worker].claim(ref, text) is (number not in held)
            held.setdefault(number, (worker, text))
        elif what == "die":
            slots.end(worker)
            slots.begin(worker)
            hands[worker] = SharedMarks(table, worker)
            held = {key: value for key, value in held.items() if value[0] != worker}
        elif what == "note":
            hands[worker].note(ref, text)
            if number in held and held[number][0] == worker:
                held[number] = (worker, text)
        else:
            hands[worker].release(ref)
            if number in held and held[number][0] == worker:
                del held[number]
        for key in range(4):
            expected = held[key][1] if key in held else None
            assert hands[worker].look(AuthorizationRef(key + 1, key)) == expected


def test_of_two_processes_one_has_the_mark__v1() -> None:
    """Two that claim the same thousands side by side share them out."""
    table, _ = begun()
    barrier, counts = FORK.Barrier(2), [FORK.Value("q", 0) for _ in range(2)]

    def run(worker: int, count: Synchronized[int]) -> None:
        marks = SharedMarks(table, worker)
        barrier.wait(timeout=30)
        count.value = sum(marks.claim(AuthorizationRef(number, 0), b"x") for number in range(1, 2_001))

    processes = [FORK.Process(target=run, args=(worker, counts[worker])) for worker in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(timeout=60)
        assert one.exitcode == 0
    assert sum(count.value for count in counts) == 2_000


def look_into_the_last_bucket() -> None:
    """Look into it in tables of which some end where no memory is mapped."""
    apart = mmap.mmap(-1, 4 * BUCKETS * BUCKET)
    tables = [begun()[0] for _ in range(4)]
    apart.close()
    for table in tables:
        last = next(
            ref for n in range(1 << 16) if table.bucket(ref := AuthorizationRef(n, 0)) == (BUCKETS - 1) * BUCKET
        )
        assert SharedMarks(table, 0).look(last) is None


def test_last_bucket_is_searched_to_its_end_and_no_further__v1() -> None:
    """Python 3.11.2 reads behind the end of a mapping: a worker must not die of it."""
    process = FORK.Process(target=look_into_the_last_bucket)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0


def test_marks_of_two_processes_speak_of_each_other__v1() -> None:
    """What one has under way the other finds, with tries and last error; an error that is too long is left out."""
    table, _ = begun()
    here, there = Marks(SharedMarks(table, 0)), Marks(SharedMarks(table, 1))
    assert here.set(REF, Mark(7, "http-01"))
    assert not there.set(REF, Mark(7, "dns-01"))
    assert there.find(REF) == Mark(7, "http-01")
    failed = Mark(7, "http-01", 2, StoredProblem("connection", "refused"))
    here.change(REF, failed)
    assert there.find(REF) == failed
    here.change(REF, Mark(7, "http-01", 3, StoredProblem("connection", "x" * 1000)))
    assert there.find(REF) == Mark(7, "http-01", 3)
    assert len(there) == there.count(7) == 0
    here.clear(REF)
    assert there.find(REF) is None
    assert there.set(REF, Mark(8, "http-01"))


@pytest.mark.parametrize("text", [b'{"account_id":7,"challenge_ty', b"\xff\xfe", b"", b'{"account_id":"7"}'])
def test_text_that_is_half_written_is_none__v1(text: bytes) -> None:
    """A worker that is killed inside `note` leaves it; the others go on, and find the mark void in a moment."""
    table, slots = begun()
    hand, there = SharedMarks(table, 0), Marks(SharedMarks(table, 1))
    assert Marks(hand).set(REF, Mark(7, "http-01"))
    hand.note(REF, text)
    assert there.find(REF) is None
    assert not there.set(REF, Mark(7, "http-01"))
    slots.end(0)
    assert there.set(REF, Mark(7, "http-01"))
