"""DER: what is written is read back, and what is loose is refused (X.690 8, 10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.x509.der import (
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    DERError,
    Element,
    integer,
    oid,
    read,
    read_all,
    read_integer,
    read_one,
    tlv,
)


@pytest.mark.parametrize("size", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF])
def test_every_length_is_read_back__x690_8_1_3(size: int) -> None:
    """Short and long forms, each minimal."""
    encoded = tlv(OCTET_STRING, bytes(size))
    assert read(encoded) == (Element(OCTET_STRING, bytes(size), encoded), len(encoded))
    assert read_one(encoded, OCTET_STRING).content == bytes(size)


def test_what_is_larger_than_we_write_is_refused() -> None:
    """Nothing of ours has 16 MiB; a CRL of many entries comes nearest."""
    with pytest.raises(DERError, match="larger"):
        tlv(OCTET_STRING, bytes(1 << 24))


@given(st.integers(min_value=0, max_value=1 << 160))
def test_integers_are_read_back__x690_8_3(number: int) -> None:
    """Positive, with a leading zero octet where the first bit is set."""
    assert read_integer(read_one(integer(number), INTEGER)) == number


def test_object_identifiers__x690_8_19() -> None:
    """The first two numbers share an octet; large ones take several."""
    assert oid("1.2.840.113549") == bytes.fromhex("06062a864886f70d")
    assert oid("2.5.29.17") == bytes.fromhex("0603551d11")


def test_pieces_are_read_in_order() -> None:
    """Nothing between, nothing behind."""
    assert [one.content for one in read_all(tlv(4, b"a") + tlv(4, b"b"))] == [b"a", b"b"]
    assert read_all(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        "", "30", "3001", "3080", "3084", "308400000001", "30810100", "308100", "3082007f", "308201", "1f0100",
        "bf010100",
    ],
)  # fmt: skip
def test_loose_element_is_refused__x690_10_1(data: str) -> None:
    """Truncated, indefinite, huge and not minimal lengths, and tags of several octets."""
    with pytest.raises(DERError):
        read(bytes.fromhex(data))


def test_one_element_means_one__lint() -> None:
    """Trailing octets and another tag are refused."""
    for data in (tlv(SEQUENCE, b"") + b"\0", tlv(OCTET_STRING, b"")):
        with pytest.raises(DERError, match="expected one element"):
            read_one(data, SEQUENCE)


@pytest.mark.parametrize("content", ["", "80", "ff", "0001", "00"])
def test_loose_integer_is_refused__x690_8_3_2(content: str) -> None:
    """Empty, negative, and not minimal; a single zero is one."""
    element = Element(INTEGER, bytes.fromhex(content), b"")
    if content == "00":
        assert read_integer(element) == 0
        return
    with pytest.raises(DERError):
        read_integer(element)


def test_other_tag_is_no_integer() -> None:
    """An OCTET STRING with the same content is none."""
    with pytest.raises(DERError, match="INTEGER"):
        read_integer(Element(OCTET_STRING, b"\x01", b""))
