"""Times and numbers as step writes them: read strictly, written as they are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dayfly.core.problems import Malformed
from dayfly.core.step.asked import parse_asked, parse_serial, render_asked, resolve_asked
from factories import NOW


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (None, None),
        ("", None),
        ("0001-01-01T00:00:00Z", None),
        ("1h30m", timedelta(minutes=90)),
        ("24h0m0s", timedelta(hours=24)),
        ("-5m", timedelta(minutes=-5)),
        ("+5m", timedelta(minutes=5)),
        ("0", timedelta()),
        ("2026-11-24T12:00:00Z", NOW),
        ("2026-11-24T13:00:00+01:00", NOW),
        ("2026-11-24T12:00:00.5Z", NOW + timedelta(seconds=0.5)),
    ],
)
def test_a_time_duration_is_a_moment_a_span_or_nothing__step_1(text: str | None, asked: object) -> None:
    """RFC 3339 with its zone, Go's durations with their sign, and the ways to say nothing."""
    assert parse_asked(text, "notAfter") == asked


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow", "24", "1h 30m", "１h", "--1h", "1000000000h", "9" * 80 + "h", "2026-11-24T12:00:00",
        "2026-11-24T99:00:00Z", "2026-13-24T12:00:00Z", "2026-11-24 12:00:00Z", "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00",
    ],
)  # fmt: skip
def test_what_is_no_time_duration_is_refused__t17(text: str) -> None:
    """No zone, no such day, beyond the calendar, no unit: all Malformed, none guessed at."""
    with pytest.raises(Malformed):
        parse_asked(text, "notAfter")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, ""),
        (timedelta(hours=24), "24h0m0s"),
        (timedelta(minutes=-5), "-5m0s"),
        (datetime(2026, 11, 24, 13, tzinfo=timezone(timedelta(hours=1))), "2026-11-24T12:00:00Z"),
    ],
)
def test_a_time_duration_is_written_as_it_is_read(asked: Any, text: str) -> None:
    """What the client writes, the server reads as the same thing."""
    assert render_asked(asked) == text
    assert parse_asked(text, "notAfter") == asked


def test_a_span_counts_from_now__step_1() -> None:
    """NotAfter as a duration is now and so much; a moment stays what it is; a span beyond the calendar is refused."""
    assert resolve_asked(timedelta(hours=1), NOW, "notAfter") == NOW + timedelta(hours=1)
    assert resolve_asked(NOW, NOW + timedelta(hours=5), "notAfter") == NOW
    assert resolve_asked(None, NOW, "notAfter") is None
    with pytest.raises(Malformed, match="beyond the calendar"):
        resolve_asked(timedelta(days=900_000_000), NOW, "notAfter")


@pytest.mark.parametrize(
    ("text", "serial"), [("0", 0), ("255", 255), ("0xff", 255), ("0x0A", 10), ("9" * 49, 10**49 - 1)]
)
def test_a_serial_is_decimal_or_hex__x4(text: str, serial: int) -> None:
    """Both spellings that the client takes."""
    assert parse_serial(text) == serial


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "-1",
        "+1",
        "01",
        "1_0",
        "0x",
        "0X1",
        "ff",
        "１２",
        "1\n",
        "9" * 50,
        "0x" + "f" * 41,
        "1" * 10_000,
    ],
)
def test_another_spelling_of_a_serial_is_refused__x4(text: str) -> None:
    """Spaces, signs, leading zeros, other digits and ten thousand characters."""
    with pytest.raises(Malformed):
        parse_serial(text)


def test_now_is_utc_in_what_is_asked_for() -> None:
    """A moment comes out in UTC."""
    found = parse_asked("2026-11-24T13:00:00+01:00", "notBefore")
    assert isinstance(found, datetime)
    assert found.tzinfo is UTC
