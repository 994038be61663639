"""Tables, spans and moments as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.cli.tables import render_moment, render_span, render_table
from factories import NOW


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    """Aligned, in capitals at the top, no spaces at the end."""
    assert render_table(("id", "name"), [("1", "a"), ("222", "bb")]) == "ID   NAME\n1    a\n222  bb"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m 00s"), (3599, "59m 59s"), (11465, "3h 11m"), (90000, "1d 01h")],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, text: str) -> None:
    """Never negative."""
    assert render_span(timedelta(seconds=seconds)) == text


def test_a_moment_is_rfc_3339_in_whole_seconds() -> None:
    """As certificates have it."""
    assert render_moment(NOW.replace(microsecond=9)) == "2026-11-24T12:00:00Z"
