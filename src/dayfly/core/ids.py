"""Row ids and serial numbers: time-ordered 63-bit integers, and serials that carry them.

Rules: an id is 41 bits of milliseconds since 2025, 6 bits of worker, 16 bits of sequence, so inserts go to the right
edge of every index; ids keep no secret, every read checks the account; a serial is the row id and 96 random bits, at
most 20 octets, positive (RFC 5280 4.1.2.2).
"""

from __future__ import annotations

import re

EPOCH_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
WORKERS = 64
SEQUENCES = 1 << 16
SERIAL_RANDOM_OCTETS = 12

_ID_TEXT = re.compile(r"[0-9a-f]{16}")


def make_id(milliseconds: int, worker: int, sequence: int) -> int:
    """The id for Unix time in `milliseconds`, a worker below 64 and a sequence below 65,536."""
    if not (0 <= worker < WORKERS and 0 <= sequence < SEQUENCES):
        msg = f"worker {worker} or sequence {sequence} out of range"
        raise ValueError(msg)
    return ((milliseconds - EPOCH_MS) << 22) | (worker << 16) | sequence


def id_milliseconds(row_id: int) -> int:
    """The Unix time in milliseconds that an id carries."""
    return (row_id >> 22) + EPOCH_MS


def render_id(row_id: int) -> str:
    """The id as it stands in a URL: 16 lower-case hex digits."""
    return f"{row_id:016x}"


def parse_id(text: str) -> int | None:
    """The id in `text`, or None where it is none; only the spelling of `render_id` counts."""
    if _ID_TEXT.fullmatch(text) is None:
        return None
    row_id = int(text, 16)
    return row_id if row_id < 1 << 63 else None


def make_serial(row_id: int, random: bytes) -> int:
    """The serial number for `row_id` and 12 random octets."""
    if len(random) != SERIAL_RANDOM_OCTETS:
        msg = f"a serial takes {SERIAL_RANDOM_OCTETS} random octets, not {len(random)}"
        raise ValueError(msg)
    return (row_id << 8 * SERIAL_RANDOM_OCTETS) | int.from_bytes(random)


def serial_row_id(serial: int) -> int:
    """The row id inside one of our serials; any other number gives 0, which no row has and every store takes."""
    row_id = serial >> 8 * SERIAL_RANDOM_OCTETS
    return row_id if 0 <= row_id < 1 << 63 else 0
