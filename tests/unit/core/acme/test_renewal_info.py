"""Certificate identifiers and renewal windows (RFC 9773 4), for every length of life."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.acme.renewal_info import (
    CertificateId,
    parse_certificate_id,
    plan_renewal_info,
    render_certificate_id,
    render_renewal_info,
    retry_after,
)
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.problems import Malformed
from dayfly.core.schedule import Window

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
KEY_ID = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")
GOOD = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"  # the example of RFC 9773 4.1
LIVES = st.integers(10, 398 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


def test_identifier_of_the_rfc__rfc9773_4_1() -> None:
    """The RFC's example has a serial with its high bit set, so the leading 00 counts."""
    assert parse_certificate_id(GOOD) == CertificateId(KEY_ID, 0x87654321)
    assert render_certificate_id(KEY_ID, 0x87654321) == GOOD


@given(st.binary(min_size=1, max_size=40), st.integers(1, (1 << 159) - 1))
def test_identifier_is_read_as_it_was_written__rfc9773_4_1(key_id: bytes, serial: int) -> None:
    """Whatever the serial's bits are."""
    assert parse_certificate_id(render_certificate_id(key_id, serial)) == CertificateId(key_id, serial)


FIRST, SECOND_PART = GOOD.split(".")


@pytest.mark.parametrize(
    "text",
    [
        "", ".", FIRST, f"{FIRST}.", f".{SECOND_PART}", f"{GOOD}.", f"{GOOD}.AA", f"{GOOD}.{SECOND_PART}",
        f"{FIRST}=.{SECOND_PART}", f"{FIRST}.{SECOND_PART}=", f"{FIRST} .{SECOND_PART}", f"{FIRST}.A+dlQyE",
        f"{FIRST}.AIdlQyF\u00e9", f"{FIRST}.h2VDIQ",  # negative: the leading 00 is missing
        f"{FIRST}.AACH", f"{FIRST}.AAE",  # 00 that must not be there
        f"{FIRST}.AA", f"{FIRST}.{b64u_encode(bytes([1] * 21))}", f"{'A' * 10_240}.AQ", f"{FIRST}.{'A' * 10_240}",
        "aYhba4dGQEHhs3uEe6CuLN4ByNR.AIdlQyE",  # stray bits
    ],
)  # fmt: skip
def test_identifier_of_another_form_is_malformed__acme_i3(text: str) -> None:
    """Padding, one or three parts, stray bits, no DER INTEGER, a negative one, 10 KB."""
    with pytest.raises(Malformed):
        parse_certificate_id(text)


def test_window_of_a_day_is_from_12_to_16_hours__rfc9773_4_2() -> None:
    """Half to two thirds of 24 hours, and asked about every half hour."""
    renewal = plan_renewal_info(NOW, NOW + DAY - SECOND)
    assert renewal.window == Window(NOW + 12 * HOUR, NOW + 16 * HOUR)
    assert renewal.wait == DAY / 50


def test_window_of_ten_seconds_is_a_second_long__rfc9773_4_2() -> None:
    """The shortest life that there is."""
    renewal = plan_renewal_info(NOW, NOW + 9 * SECOND)
    assert renewal.window == Window(NOW + 5 * SECOND, NOW + 6 * SECOND)
    assert retry_after(renewal.wait, 0.9) == 1


FORCED = st.one_of(
    st.none(),
    st.tuples(st.integers(-(10**6), 4 * 10**7), st.integers(0, 10**6)).map(
        lambda pair: Window(NOW + pair[0] * SECOND, NOW + (pair[0] + pair[1]) * SECOND)
    ),
)
REVOKED = st.one_of(st.none(), st.integers(-3600, 398 * 86_400).map(lambda seconds: NOW + seconds * SECOND))


@given(LIVES, REVOKED, FORCED)
def test_window_has_a_start_an_end_and_ends_with_the_certificate__acme_i5(
    life: timedelta, revoked_at: datetime | None, forced: Window | None
) -> None:
    """In whole seconds, whatever happened to the certificate; forced ones are never later than the usual one."""
    end = NOW + life - SECOND
    renewal = plan_renewal_info(NOW, end, revoked_at=revoked_at, forced=forced, explanation_url="https://why.example/")
    window = renewal.window
    assert window.start < window.end <= end
    assert window.start.microsecond == window.end.microsecond == 0
    assert window.start <= plan_renewal_info(NOW, end).window.start or revoked_at is not None
    assert retry_after(renewal.wait, 0.0) <= max(1, min(6 * HOUR, life / 50).total_seconds())


@given(LIVES, st.integers(0, 398 * 86_400))
def test_window_of_a_revoked_one_has_passed__acme_i4(life: timedelta, seconds: int) -> None:
    """It ended when the certificate was revoked; the reason stands beside it, and the wait is a minute at most."""
    revoked_at = NOW + timedelta(seconds=seconds, microseconds=7)
    forced = Window(NOW, NOW + SECOND)
    renewal = plan_renewal_info(
        NOW, NOW + life - SECOND, revoked_at=revoked_at, forced=forced, explanation_url="https:"
    )
    assert renewal.window.end <= revoked_at
    assert renewal.wait <= MINUTE
    assert renewal.explanation_url == "https:"


def test_forced_window_comes_with_its_reason_and_only_where_it_is_earlier() -> None:
    """A window that is moved forward has the reason beside it; one that would be moved back stays, without it."""
    early, late = Window(NOW + HOUR, NOW + 2 * HOUR), Window(NOW + 13 * HOUR, NOW + 14 * HOUR)
    moved = plan_renewal_info(NOW, NOW + DAY - SECOND, forced=early, explanation_url="https://why.example/1")
    assert moved.window == early
    assert json.loads(render_renewal_info(moved)) == {
        "suggestedWindow": {"start": "2026-11-24T13:00:00Z", "end": "2026-11-24T14:00:00Z"},
        "explanationURL": "https://why.example/1",
    }
    stays = plan_renewal_info(NOW, NOW + DAY - SECOND, forced=late, explanation_url="https://why.example/1")
    assert stays == plan_renewal_info(NOW, NOW + DAY - SECOND)
    assert "explanationURL" not in json.loads(render_renewal_info(stays))


@given(LIVES, st.floats(0, 1, exclude_max=True))
def test_wait_is_a_fiftieth_of_life_and_six_hours_at_most__acme_12(life: timedelta, jitter: float) -> None:
    """Less up to a fifth, so that clients which began together come apart; never below a second."""
    wait = plan_renewal_info(NOW, NOW + life - SECOND).wait
    assert wait == min(6 * HOUR, life / 50)
    seconds = retry_after(wait, jitter)
    assert max(1, int(wait.total_seconds() * 0.8)) <= seconds <= max(1, wait.total_seconds())
