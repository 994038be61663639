"""How far a life has gone, and what is due by a threshold (step-compat.md 14)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.expiry import DEFAULT, ShareUsed, Threshold, TimeLeft, is_due, parse_threshold, share_used
from factories import NOW

END = NOW + timedelta(hours=100)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("75%", ShareUsed(0.75)),
        ("0%", ShareUsed(0)),
        ("100%", ShareUsed(1)),
        ("1h15m", TimeLeft(timedelta(minutes=75))),
        ("0", TimeLeft(timedelta())),
        ("0s", TimeLeft(timedelta())),
        ("-1.5h", TimeLeft(timedelta(hours=-1.5))),
        ("+2h", TimeLeft(timedelta(hours=2))),
    ],
)
def test_threshold_is_a_percentage_or_a_duration__step_14(text: str, threshold: Threshold) -> None:
    """Step's spellings mean what they mean there."""
    assert parse_threshold(text) == threshold


@pytest.mark.parametrize("text", ["", "%", "101%", "-1%", "7.5%", "³%", "75", "1h15", "--1h", "9" * 70])
def test_threshold_that_is_neither_is_refused(text: str) -> None:
    """What cannot be read is an error, never a guess."""
    with pytest.raises(ValueError, match="is no"):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("threshold", "hours", "due"),
    [
        (DEFAULT, 65.99, False),
        (DEFAULT, 66, True),
        (DEFAULT, 150, True),
        (ShareUsed(1), 99.99, False),
        (ShareUsed(1), 100, True),
        (ShareUsed(0), 0, True),
        (ShareUsed(0), -1, False),
        (TimeLeft(timedelta(hours=1)), 98.99, False),
        (TimeLeft(timedelta(hours=1)), 99, True),
        (TimeLeft(timedelta()), 100, True),
        (TimeLeft(timedelta(hours=-2)), 101, False),
        (TimeLeft(timedelta(hours=-2)), 102, True),
    ],
)
def test_certificate_is_due_from_its_threshold_on(threshold: Threshold, hours: float, due: bool) -> None:
    """The threshold itself is due; a life of 100 hours, so that hours are percents."""
    assert is_due(threshold, NOW, END, now=NOW + timedelta(hours=hours)) is due


def test_life_without_length_is_used_up() -> None:
    """No division by zero: what has no life has used it."""
    assert share_used(NOW, NOW, now=NOW) == 1.0
    assert share_used(NOW, END, now=NOW + timedelta(hours=25)) == 0.25
