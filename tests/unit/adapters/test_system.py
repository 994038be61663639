"""Clock, randomness and ids of the system."""

from __future__ import annotations

import time
from datetime import UTC

import pytest

from dayfly.adapters.system import SystemClock, SystemEntropy, TimeOrderedIds
from dayfly.core.ids import EPOCH_MS, SEQUENCES, make_id

START = 1_800_000_000_000


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The system's milliseconds, to be moved."""
    moment = [START]
    monkeypatch.setattr(time, "time_ns", lambda: moment[0] * 1_000_000)
    return moment


def test_clock_is_aware_and_utc() -> None:
    """Never a naive time."""
    assert SystemClock().now().tzinfo is UTC


def test_entropy_gives_as_many_octets_as_asked() -> None:
    """And not the same ones twice."""
    assert len(SystemEntropy().octets(12)) == 12
    assert SystemEntropy().octets(16) != SystemEntropy().octets(16)


def test_ids_only_go_up_within_a_millisecond(at: list[int]) -> None:
    """The sequence tells them apart."""
    ids = TimeOrderedIds(worker=3)
    assert [ids.new() for _ in range(3)] == [make_id(at[0], 3, sequence) for sequence in range(3)]


def test_new_millisecond_begins_a_new_sequence(at: list[int]) -> None:
    """So an id tells when it was made."""
    ids = TimeOrderedIds()
    ids.new()
    at[0] += 1
    assert ids.new() == make_id(START + 1, 0, 0)


@pytest.mark.parametrize("step", [1, 3_600_000, START - EPOCH_MS])
def test_clock_that_steps_back_gives_no_id_twice(at: list[int], step: int) -> None:
    """Ids go on from the last one until the clock has caught up."""
    ids = TimeOrderedIds()
    before = [ids.new() for _ in range(10)]
    at[0] -= step
    after = [ids.new() for _ in range(10)]
    at[0] = START + 1
    everything = [*before, *after, ids.new()]
    assert everything == sorted(set(everything))


@pytest.mark.parametrize("step", [0, 1, 3_600_000])
def test_process_begun_anew_goes_on_above_the_newest_id(at: list[int], step: int) -> None:
    """After a restart within the same millisecond, or with a clock that went back, no stored id comes again."""
    before = TimeOrderedIds(worker=1)
    newest = [before.new() for _ in range(5)][-1]
    at[0] -= step
    after = TimeOrderedIds(worker=1, floor=newest)
    assert newest < after.new() < after.new()


def test_floor_of_long_ago_changes_nothing(at: list[int]) -> None:
    """Ids tell when they were made, unless the newest one lies ahead."""
    assert TimeOrderedIds(worker=1, floor=make_id(START - 5_000, 9, 9)).new() == make_id(at[0], 1, 0)


def test_full_millisecond_goes_on_in_the_next(at: list[int]) -> None:
    """65,536 ids in one millisecond are no error."""
    ids = TimeOrderedIds()
    made = [ids.new() for _ in range(SEQUENCES + 2)]
    assert made[-2:] == [make_id(at[0] + 1, 0, 0), make_id(at[0] + 1, 0, 1)]
    assert made == sorted(set(made))


@pytest.mark.usefixtures("at")
def test_workers_have_ids_of_their_own() -> None:
    """Two processes of one database never give one id."""
    assert TimeOrderedIds(worker=1).new() != TimeOrderedIds(worker=2).new()
