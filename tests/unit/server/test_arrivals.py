"""How much of a first record a handshake is begun for (RFC 8446 5.1; security.md 15, H6)."""

from __future__ import annotations

import pytest

from dayfly.server.arrivals import wanted_octets

RECORD = b"\x16\x03\x01\x00\x20" + bytes(32)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (b"", 5),
        (b"\x16", 5),
        (b"\x16\x03\x01\x02", 5),
        (b"\x16\x03\x01\x02\x00", 517),
        (RECORD, 37),
        (b"\x16\x03\x01\x40\x00", 2048),
        (b"\x16\x03\x01\xff\xff", 2048),
        (b"G", 1),
        (b"GET / HTTP/1.1", 14),
        (b"\x15\x03\x01\x00\x02", 5),
    ],
)
def test_wanted_octets_are_those_of_the_first_record(said: bytes, wanted: int) -> None:
    """The first handshake record, whole, up to a bound; what is none is wanted as it is."""
    assert wanted_octets(said) == wanted
