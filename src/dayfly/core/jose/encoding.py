"""Base64url and JSON, read strictly.

Rules: an octet string has exactly one spelling (RFC 7515 2: no padding, no stray bits, no other alphabet); an object
has each member once, at every level; what a reader may be made to do is bounded before it is done, and every refusal
is an EncodingError, whatever the parser below raised. Texts say what is wrong and never quote the input.
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any

import msgspec

MAX_DEPTH = 16

# The standard alphabet's own two characters, and padding, go to a character that no alphabet has: what the lenient
# decoder then drops is missed when its result is encoded again.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", None, b"==", b"=")
_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")

_INT_LIMIT = 2**63
_INT_DIGITS = 20  # of the lowest integer, its sign included
_MAX_EXPONENT = 22  # of ten, the highest that a double has exactly; with higher ones msgspec may take 45 us a number

_OPENING_TO_ONE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(octet for octet in range(256) if octet not in b"[]{}")


class EncodingError(ValueError):
    """The text is not in the one strict form that we read."""


def b64u_encode(data: bytes) -> str:
    """`data` as unpadded base64url (RFC 7515 2)."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def b64u_decode(text: str | bytes) -> bytes:
    """The octets of unpadded base64url; EncodingError for any spelling but the one that `b64u_encode` gives.

    The decoder of the standard library is lenient, so its result is encoded again and compared: equality is the whole
    check (alphabet, padding, length, stray bits), at the price of one more pass in C.
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise EncodingError("base64url has a character that is not ASCII") from None
    padding = _PADDING[len(raw) % 4]
    if padding is not None:
        standard = raw.translate(_TO_STANDARD) + padding
        try:
            data = a2b_base64(standard)
        except Base64Error:
            data = b""
        if b2a_base64(data, newline=False) == standard:
            return data
    raise EncodingError(_why_not_base64url(raw))


def _why_not_base64url(raw: bytes) -> str:
    if b"=" in raw:
        return "base64url is padded; it must not be (RFC 7515 2)"
    if _ALPHABET.fullmatch(raw) is None:
        return "base64url has a character outside A-Z, a-z, 0-9, '-' and '_'"
    if len(raw) % 4 == 1:
        return "base64url has a length that no octets give"
    return "base64url ends in stray bits"


def strict_json_object(data: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The object that `data` holds; EncodingError for anything that two parsers could read in two ways.

    Strict UTF-8 without a byte order mark; an object at the top; no member twice at any level; no NaN, no Infinity, no
    exponent above 22 or below -22; integers within 64 bits; no lone surrogate; at most `max_depth` levels, the top
    included.

    1. One level of strings only, as in most protected headers, needs one reading: it spares a microsecond.
    2. Depth is bounded before a parser sees the text, as parsers recurse.
    3. The standard library reads the text for duplicates, long integers and exponents alone.
    4. msgspec gives the value. It refuses all else of the above; and both must agree that it is JSON at all.
    """
    flat = _read_flat_object(data)
    if flat is not None:
        return flat
    _check_depth(data, max_depth)
    try:
        _read_members(data.decode())
        value = _read_value(data)
    except EncodingError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise EncodingError("not JSON in strict UTF-8") from None
    if type(value) is not dict:
        raise EncodingError("the top is not a JSON object")
    return value


def _read_flat_object(data: bytes) -> dict[str, Any] | None:
    """The object, if its values are all strings and no member is there twice; None where that is not seen at once.

    Each member of the result stands for four quotes; a second one of the same name brings two at least, and an escaped
    quote can only add. So four for each member leave no room for a duplicate.
    """
    if data.count(b"{") != 1:  # only a shortcut past what the reader below would refuse
        return None
    try:
        members = _read_strings(data)
    except (msgspec.MsgspecError, ValueError):
        return None
    return members if data.count(b'"') == 4 * len(members) else None


def _check_depth(data: bytes, max_depth: int) -> None:
    """Raise EncodingError beyond `max_depth`, in a number of linear passes that does not depend on the data.

    With strings taken away only brackets count; each pass removes the innermost pairs, so that a text of depth n is
    gone after n passes. What is left over is too deep, or does not close.
    """
    if data.count(b"{") + data.count(b"[") <= max_depth:
        return
    brackets = _outside_strings(data).translate(_OPENING_TO_ONE, _NOT_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise EncodingError(f"JSON is nested beyond {max_depth} levels, or does not close")


def _outside_strings(data: bytes) -> bytes:
    """The text without its strings: an escaped backslash goes first, then an escaped quote, so that quotes pair up."""
    return b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _refuse_duplicates(members: list[tuple[str, object]]) -> None:
    if len(dict(members)) != len(members):
        raise EncodingError("a JSON object has a member twice")


def _refuse_long_integer(digits: str) -> None:
    if len(digits) > _INT_DIGITS or not -_INT_LIMIT <= int(digits) < _INT_LIMIT:
        raise EncodingError("a JSON integer is beyond 64 bits")


def _refuse_high_exponent(number: str) -> None:
    exponent = number.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > _MAX_EXPONENT:
        raise EncodingError(f"a JSON number has an exponent beyond {_MAX_EXPONENT}")


_read_strings = msgspec.json.Decoder(dict[str, str]).decode
_read_value = msgspec.json.Decoder().decode
_read_members = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates, parse_int=_refuse_long_integer, parse_float=_refuse_high_exponent
).decode
