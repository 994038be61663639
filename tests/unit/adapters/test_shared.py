"""The table of workers: who lives which life, and who has the fewest connections."""

from __future__ import annotations

from dayfly.adapters.shared import Slots


def test_lightest_is_who_has_no_more_than_any_other() -> None:
    """Several may be; a worker that has not begun, or is dead, is waited for by nobody."""
    slots = Slots(3)
    slots.publish(0, 5)
    assert slots.is_lightest(0)
    slots.publish(1, 4)
    assert [slots.is_lightest(worker) for worker in range(3)] == [False, True, False]
    slots.publish(2, 4)
    assert [slots.is_lightest(worker) for worker in range(3)] == [False, True, True]
    slots.end(1)
    slots.end(2)
    assert slots.is_lightest(0)


def test_life_has_a_number_of_its_own() -> None:
    """Another when it begins, and another when it is over."""
    slots = Slots(2)
    lives = [slots.generation(1)]
    for change in (slots.begin, slots.end, slots.begin):
        change(1)
        lives.append(slots.generation(1))
    assert len(set(lives)) == 4
    assert slots.generation(0) == 0
