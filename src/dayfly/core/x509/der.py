"""DER, both ways: a small writer for templates, and a small strict reader for the lint (X.690).

Rules: the reader takes definite, minimal lengths and one-octet tags only, and never looks past its piece; it is written
independently of the writer, since it judges what that one made.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, PRINTABLE_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


class DERError(ValueError):
    """The octets are not DER."""


def tlv(tag: int, content: bytes) -> bytes:
    """One element with this tag and content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    if size < 0x10000:
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content
    if size < 0x1000000:
        return bytes((tag, 0x83)) + size.to_bytes(3) + content
    raise DERError(f"an element of {size} octets is larger than anything we write")


def integer(number: int) -> bytes:
    """A non-negative INTEGER."""
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = b""
    for number in (first * 40 + second, *rest):
        octets = [number & 0x7F]
        while number := number >> 7:
            octets.append(number & 0x7F | 0x80)
        content += bytes(reversed(octets))
    return tlv(OID, content)


class Element(msgspec.Struct, frozen=True, gc=False):
    """One element: its tag, its content, and its whole encoding."""

    tag: int
    content: bytes
    whole: bytes


def read(data: bytes, start: int = 0) -> tuple[Element, int]:
    """The element at `start`, and where the next one begins; DERError."""
    try:
        tag, size = data[start], data[start + 1]
    except IndexError:
        raise DERError("truncated") from None
    begin = start + 2
    if size >= 0x80:
        begin, size = _long_size(data, begin, size & 0x7F)
    end = begin + size
    if end > len(data):
        raise DERError("truncated")
    if tag & 0x1F == 0x1F:
        raise DERError("a tag of several octets")
    return Element(tag, data[begin:end], data[start:end]), end


def _long_size(data: bytes, begin: int, count: int) -> tuple[int, int]:
    """Where the content begins, and its size, of a length in so many octets from `begin` on."""
    if not 1 <= count <= 3:
        raise DERError("an indefinite or huge length")
    octets = data[begin : begin + count]
    if len(octets) < count:
        raise DERError("truncated")
    size = int.from_bytes(octets)
    if size < 0x80 or not octets[0]:
        raise DERError("a length that is not minimal")
    return begin + count, size


def read_all(data: bytes) -> list[Element]:
    """The elements that make up these octets, with nothing between or behind; DERError."""
    elements = []
    position, end = 0, len(data)
    while position < end:
        element, position = read(data, position)
        elements.append(element)
    return elements


def read_one(data: bytes, tag: int) -> Element:
    """The one element that makes up these octets, of this tag; DERError."""
    element, end = read(data)
    if end != len(data) or element.tag != tag:
        raise DERError(f"expected one element of tag {tag:#04x}, found {element.tag:#04x}")
    return element


def read_integer(element: Element) -> int:
    """The value of a positive, minimally encoded INTEGER; DERError."""
    content = element.content
    if element.tag != INTEGER or not content:
        raise DERError("expected an INTEGER")
    if content[0] & 0x80:
        raise DERError("a negative INTEGER")
    if len(content) > 1 and content[0] == 0 and not content[1] & 0x80:
        raise DERError("an INTEGER that is not minimal")
    return int.from_bytes(content)
