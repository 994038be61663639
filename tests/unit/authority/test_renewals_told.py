"""What a process told of renewals is kept while it holds, and in bounded memory."""

from __future__ import annotations

from datetime import timedelta

from dayfly.authority.renewals_told import RenewalInfos, Standing, Told
from factories import NOW

THEN, NOW_STANDING = Standing(1, 0), Standing(1, 1)
TOLD = Told(7, b"{}", timedelta(minutes=1))


def test_answer_is_kept_until_something_changes() -> None:
    """A revocation or a change of the settings forgets all answers."""
    infos = RenewalInfos()
    assert infos.get("a", THEN) is None
    infos.put("a", TOLD, THEN)
    assert infos.get("a", THEN) is TOLD
    assert infos.get("a", NOW_STANDING) is None
    assert infos.get("a", THEN) is None


def test_answer_that_was_overtaken_is_not_kept() -> None:
    """It was made on what had changed by the time it was ready."""
    infos = RenewalInfos()
    infos.get("a", THEN)
    infos.get("b", NOW_STANDING)
    infos.put("a", TOLD, THEN)
    assert infos.get("a", NOW_STANDING) is None


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    """Answers by age, polls by the last one."""
    infos = RenewalInfos(most=2)
    infos.get("a", THEN)
    for at, text in enumerate("abc"):
        infos.put(text, TOLD, THEN)
        infos.polled(at, NOW)
        infos.polled(0, NOW + timedelta(seconds=at))
    assert [infos.get(text, THEN) for text in "abc"] == [None, TOLD, TOLD]
    assert len(infos) == 2
    assert [infos.last_poll(at) for at in range(3)] == [NOW + timedelta(seconds=2), None, NOW]
