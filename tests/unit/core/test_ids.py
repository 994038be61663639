"""Row ids and serials: ordered by time, one spelling, and a serial that carries its row."""

from __future__ import annotations

import pytest

from dayfly.core.ids import EPOCH_MS, id_milliseconds, make_id, make_serial, parse_id, render_id, serial_row_id


def test_ids_rise_with_time_worker_and_sequence() -> None:
    """A later millisecond is a larger id, whatever worker and sequence."""
    first, second = make_id(EPOCH_MS + 1, 63, 65_535), make_id(EPOCH_MS + 2, 0, 0)
    assert first < second
    assert make_id(EPOCH_MS + 1, 0, 1) < make_id(EPOCH_MS + 1, 1, 0)


@pytest.mark.parametrize(("worker", "sequence"), [(64, 0), (-1, 0), (0, 65_536), (0, -1)])
def test_id_parts_out_of_range_are_refused(worker: int, sequence: int) -> None:
    """They would run into each other."""
    with pytest.raises(ValueError, match="out of range"):
        make_id(EPOCH_MS, worker, sequence)


def test_id_has_one_spelling() -> None:
    """Sixteen lower-case digits; nothing else is an id."""
    assert parse_id(render_id(0xABC)) == 0xABC
    for text in ("abc", "0000000000000ABC", "00000000000000abc", "ffffffffffffffff", "", " 00000000000000abc"):
        assert parse_id(text) is None


def test_serial_carries_its_row_and_is_positive__rfc5280_4_1_2_2() -> None:
    """The row id is the upper part; at most 20 octets."""
    serial = make_serial((1 << 63) - 1, b"\xff" * 12)
    assert serial_row_id(serial) == (1 << 63) - 1
    assert serial.bit_length() <= 159


def test_serial_takes_twelve_random_octets() -> None:
    """Fewer would be guessable."""
    with pytest.raises(ValueError, match="12 random octets"):
        make_serial(1, b"\x00" * 11)


@pytest.mark.parametrize("serial", [-1, 0, 7, 1 << 159, (1 << 160) - 1, 1 << 400])
def test_a_serial_that_is_none_of_ours_leads_to_no_row(serial: int) -> None:
    """Whatever number it is, a store can be asked for the row."""
    assert serial_row_id(serial) == 0


def test_id_tells_its_millisecond() -> None:
    """The time that went in comes out, whatever worker and sequence."""
    assert id_milliseconds(make_id(1_800_000_000_123, 5, 7)) == 1_800_000_000_123
