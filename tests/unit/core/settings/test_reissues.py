"""Reissues: what can be kept, and how they are numbered and cleared away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.frozen import replace
from dayfly.core.settings.documents import parse_document, render_document
from dayfly.core.settings.reissue_changes import NEW, plan_cancellation, plan_reissue
from dayfly.core.settings.reissues import MAX_REISSUES, Reissue, check_reissue
from dayfly.core.settings.revisions import apply_change, make_settings
from dayfly.errors import ConfigError
from factories import NOW, settings

HOUR = timedelta(hours=1)


def reissue(**changes: Any) -> Reissue:
    """All certificates, within an hour."""
    return replace(Reissue(NEW, NOW, HOUR, NOW + 24 * HOUR), **changes)


def test_reissue_is_a_document_like_the_others() -> None:
    """It is read as it was written, and stands in the settings."""
    wanted = reissue(serials=("1f",), reason="a library leaked keys", explanation_url="https://wiki.example/1")
    assert parse_document("reissue", render_document(wanted)) == wanted
    assert settings(wanted).reissues == (wanted,)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""}, {"id": "i0"}, {"id": "r1"}, {"id": "i1\n"}, {"within": timedelta(milliseconds=1)},
        {"within": timedelta(days=8)}, {"within": -HOUR}, {"reason": "r" * 201}, {"reason": "a\x07b"},
        {"explanation_url": "wiki"}, {"serials": ("f" * 40,) * 800}, {"names": ("*.*.example",)},
    ],
)  # fmt: skip
def test_reissue_that_cannot_be_kept_is_refused(changes: dict[str, Any]) -> None:
    """An id of another kind, a spread beyond its bounds, a text that is none, too many, no pattern."""
    with pytest.raises(ConfigError):
        check_reissue(reissue(**changes))
    check_reissue(reissue(within=timedelta(), names=("*.web.example", "a.example")))


def test_number_is_never_that_of_another() -> None:
    """The revision rises with every change, so a number that was taken back does not come again."""
    current = settings()
    numbers = []
    for _ in range(3):
        made, change = plan_reissue(current, reissue())
        current = apply_change(current, change)
        numbers.append(made.id)
        current = apply_change(current, plan_cancellation(current, made.id))
    assert len(set(numbers)) == 3
    with pytest.raises(ConfigError):
        plan_cancellation(current, numbers[0])


def test_reissue_that_means_nobody_any_more_goes_with_the_next() -> None:
    """Its last certificate has ended."""
    first, change = plan_reissue(settings(), reissue(until=NOW + HOUR))
    current = apply_change(settings(), change)
    second, change = plan_reissue(current, reissue(at=NOW + 2 * HOUR, until=NOW + 3 * HOUR))
    assert change.remove == (("reissue", first.id),)
    assert apply_change(current, change).reissues == (second,)


def test_reissues_are_bounded() -> None:
    """A request for renewal information looks at each of them."""
    many = tuple(reissue(id=f"i{at + 1}") for at in range(MAX_REISSUES))
    make_settings(1, many)
    with pytest.raises(ConfigError, match="101 reissues"):
        make_settings(1, (*many, reissue(id="i999")))
