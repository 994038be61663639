"""Base64url and JSON have one spelling each, and reading them costs little."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpu_time import allowed_ms, least_ms
from dayfly.core.jose import encoding
from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode, strict_json_object

CAP = 64 * 1024
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# A fresh clone builds hypothesis's table of Unicode inside the first draw of a text (a second), and a busy machine is
# no fault of ours: neither may fail a property.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Those that are written without an exponent, or with one that is taken.
floats = st.floats(-1e22, 1e22).filter(lambda one: one == 0 or abs(one) >= 1e-22)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | st.text()
text_without_surrogates = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | text_without_surrogates,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text_without_surrogates, inner, max_size=3),
    max_leaves=12,
)
jsonish = st.text('{}[]":,\\ua1eN-. \n', max_size=60)


@patient
@given(st.binary(max_size=300))
def test_b64u_decode_undoes_encode__rfc7515_2(data: bytes) -> None:
    """Whatever is encoded decodes to itself, as text and as bytes."""
    text = b64u_encode(data)
    assert (b64u_decode(text), b64u_decode(text.encode())) == (data, data)


@patient
@given(st.text("ABQRwgx019-_+/= \n", max_size=24) | st.binary(max_size=24))
def test_b64u_decode_takes_only_the_canonical_spelling__rfc7515_2(text: str | bytes) -> None:
    """What is accepted keeps the three rules, and a lenient decoder reads it alike; all else is an EncodingError."""
    raw = text.encode() if isinstance(text, str) else text
    if not _is_canonical(raw):
        with pytest.raises(EncodingError):
            b64u_decode(text)
        return
    data = b64u_decode(text)
    assert b64u_encode(data).encode() == raw
    assert base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4)) == data


def _is_canonical(raw: bytes) -> bool:
    """The rules of base64url, one by one: the alphabet, a possible length, and no bit beyond the last octet."""
    if not set(raw) <= set(ALPHABET) or len(raw) % 4 == 1:
        return False
    stray = {0: 0, 2: 0b1111, 3: 0b11}[len(raw) % 4]
    return not stray or ALPHABET.index(raw[-1]) & stray == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("QQ==", "padded"),
        ("QUI=", "padded"),
        ("Q Q", "character outside"),
        ("QUI\n", "character outside"),
        ("QUI+", "character outside"),
        ("QUI/", "character outside"),
        ("QUI!", "character outside"),
        (b"QUI\xff", "character outside"),
        ("QUI\u212a", "not ASCII"),
        ("QUI\ud800", "not ASCII"),
        ("Q", "length"),
        ("QUJDR", "length"),
        ("QR", "stray bits"),
        ("QUJ", "stray bits"),
    ],
)
def test_b64u_decode_refuses_other_spellings__acme_j23(text: str | bytes, why: str) -> None:
    """Padding, blanks, the other alphabet, non-ASCII, impossible lengths and stray bits each have their reason."""
    with pytest.raises(EncodingError, match=why):
        b64u_decode(text)


def test_standard_library_is_lenient_where_we_are_not__security_8() -> None:
    """The facts that our own decoder is there for: unknown characters are dropped, stray bits forgotten."""
    assert base64.urlsafe_b64decode("Q!Q==") == b"A"
    assert base64.urlsafe_b64decode("QR==") == b"A"
    assert msgspec.json.decode(b'"QR=="', type=bytes) == b"A"


def test_json_parsers_are_lenient_where_we_are_not__security_8() -> None:
    """The facts that the second reading is there for: both keep the last of two members."""
    assert json.loads('{"a":1,"a":2}') == {"a": 2}
    assert msgspec.json.decode(b'{"a":1,"a":2}') == {"a": 2}
    assert json.loads('{"a":1e400}') == {"a": float("inf")}


@pytest.mark.parametrize("data", [b"{}", b' {"a": "b"} \n', b'{"a":{"b":[1,true,null,1.5]}}', '{"é":"ü"}'.encode()])
def test_json_object_reads_ordinary_documents__rfc8259(data: bytes) -> None:
    """An ordinary object reads as any parser reads it."""
    assert strict_json_object(data) == json.loads(data)


@patient
@given(st.dictionaries(text_without_surrogates, documents, max_size=4))
def test_json_object_undoes_dump__rfc8259(document: dict[str, object]) -> None:
    """Whatever object another writer makes, escaped or not, is read as it was meant."""
    for ascii_only in (True, False):
        assert strict_json_object(json.dumps(document, ensure_ascii=ascii_only).encode(), max_depth=64) == document


@patient
@given(st.binary(max_size=80) | jsonish.map(str.encode) | jsonish.map(lambda text: f"{{{text}}}".encode()))
def test_json_object_is_stricter_than_the_library_and_fails_in_one_way__security_8(data: bytes) -> None:
    """On any octets the only error is EncodingError, and what is accepted the library reads alike."""
    try:
        value = strict_json_object(data)
    except EncodingError:
        return
    assert value == json.loads(data.decode())


@patient
@given(st.lists(st.tuples(st.sampled_from("abc"), scalars.filter(lambda one: one == one)), max_size=4))  # noqa: PLR0124 - NaN
def test_json_object_refuses_exactly_the_duplicates__rfc7515_4(members: list[tuple[str, object]]) -> None:
    """A member twice is refused whatever its values are, and nothing else about the members is."""
    usable = [(name, value) for name, value in members if not _is_unusable(value)]
    data = ("{" + ",".join(f'"{name}":{json.dumps(value)}' for name, value in usable) + "}").encode()
    if len(dict(usable)) == len(usable):
        assert strict_json_object(data) == dict(usable)
    else:
        with pytest.raises(EncodingError, match="twice"):
            strict_json_object(data)


def _is_unusable(value: object) -> bool:
    """Is it a text with a surrogate, or an infinity?"""
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    return value in {float("inf"), float("-inf")}


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":"x","a":"y"}',
        b'{"a":"x","\\u0061":"y"}',
        b'{"o":{"a":1,"a":2}}',
        b'{"l":[{"a":1,"b":{"c":1,"c":2}}]}',
        b'{"a":{"b":1},"a":"x"}',
        b'{"a":1,"a":"x","b":"y"}',
        b'{"a":"x","a":1,"b":2}',
    ],
)
def test_json_object_refuses_duplicates_at_any_level__acme_j13(data: bytes) -> None:
    """Two members of one name are refused wherever they stand and however they are spelt."""
    with pytest.raises(EncodingError, match="twice"):
        strict_json_object(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}x",
        b"{}{}",
        b"{}\0",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e' + b"9" * 5000 + b"}",
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\n"}',
    ],
)
def test_json_object_refuses_what_is_not_strict__acme_j26_j27(data: bytes) -> None:
    """UTF-16, a byte order mark, bad UTF-8, lone surrogates, NaN, infinities, huge numbers and trailing data."""
    with pytest.raises(EncodingError, match="not JSON in strict UTF-8"):
        strict_json_object(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1e400}',
        b'{"a":-1e400}',
        b'{"a":1e23}',
        b'{"a":[1.5E-23]}',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_json_object_refuses_numbers_that_nobody_means__acme_j27(data: bytes) -> None:
    """Beyond a double, or so high or low that reading it costs more than it is worth; beyond 64 bits."""
    with pytest.raises(EncodingError, match=r"exponent beyond 22|beyond 64 bits"):
        strict_json_object(data)


@pytest.mark.parametrize("data", [b"null", b"[]", b'"a"', b"1", b"true"])
def test_json_object_refuses_another_top__acme_j26(data: bytes) -> None:
    """null, a list, a string, a number or a boolean is no object."""
    with pytest.raises(EncodingError, match="top is not a JSON object"):
        strict_json_object(data)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_json_object_takes_integers_of_64_bits__security_8(number: int) -> None:
    """The bound itself is inside."""
    assert strict_json_object(b'{"a":%d}' % number) == {"a": number}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**4000])
def test_json_object_refuses_longer_integers__acme_j27(number: int) -> None:
    """An integer beyond 64 bits is refused, and its digits are counted before they are read."""
    with pytest.raises(EncodingError, match="beyond 64 bits"):
        strict_json_object(b'{"a":%d}' % number)


def _nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


def test_json_object_takes_the_depth_it_names__acme_3() -> None:
    """Sixteen levels pass, the top included, and so do lists in them."""
    assert strict_json_object(_nested(16))
    assert strict_json_object(b'{"a":' + b"[" * 15 + b"]" * 15 + b"}")
    assert strict_json_object(_nested(3), max_depth=3)


@pytest.mark.parametrize(
    ("data", "max_depth"),
    [(_nested(17), 16), (b'{"a":' + b"[" * 16 + b"]" * 16 + b"}", 16), (_nested(4), 3), (b"[" * 100_000, 16)],
)
def test_json_object_refuses_deeper_nesting__acme_j27(data: bytes, max_depth: int) -> None:
    """One level more is refused before a parser sees it."""
    with pytest.raises(EncodingError, match=f"beyond {max_depth} levels"):
        strict_json_object(data, max_depth=max_depth)


@pytest.mark.parametrize("text", ["[" * 100, "{" * 100, '"[' * 50, "\\" * 31 + "[{" * 30, '\\"' * 20 + "[" * 40])
def test_brackets_inside_strings_do_not_count__rfc8259_7(text: str) -> None:
    """Depth is that of the document; a string may hold any number of brackets, quotes and backslashes."""
    assert strict_json_object(json.dumps({"a": text, text: [text]}).encode()) == {"a": text, text: [text]}


@patient
@given(documents)
def test_depth_is_counted_as_a_walk_counts_it__security_8(document: object) -> None:
    """The passes over the brackets give the same verdict as walking the value."""
    data = json.dumps({"top": document}).encode()
    depth = 1 + _depth(document)
    assert strict_json_object(data, max_depth=depth)
    if depth > 1:
        with pytest.raises(EncodingError):
            strict_json_object(data, max_depth=depth - 1)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@patient
@given(st.lists(st.tuples(st.text('ab"\\', max_size=2), st.text('a{"\\:,é', max_size=4)), max_size=3))
def test_one_reading_and_two_readings_agree__security_8(members: list[tuple[str, str]]) -> None:
    """The short way for flat objects of strings gives nothing that the long way does not give."""
    data = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}").encode()
    flat = encoding._read_flat_object(data)
    assert flat is None or (flat == dict(members) and len(flat) == len(members))


@pytest.mark.parametrize(
    "data",
    [
        b"[" * CAP,
        b'{"a":' * (CAP // 5),
        b"[]" * (CAP // 2),
        (b"[" * 8 + b"]" * 8) * (CAP // 16),
        b'{"a":[' + b"{}," * (CAP // 3 - 4) + b"1]}",
        b'"' * CAP,
        b'\\"' * (CAP // 2),
        b'{"a":"' + b'\\"' * (CAP // 2 - 4),
        b'{"a":' + b"9" * (CAP - 8) + b"}",
        b'{"a":0.' + b"1" * (CAP - 8) + b"}",
        b'{"a":[' + b",".join([b"9" * 4000] * 16) + b"]}",
        b'{"a":[' + b",".join([b"1"] * (CAP // 2 - 8)) + b"]}",
        b'{"a":[' + b",".join([b"1e308"] * (CAP // 6 - 2)) + b"]}",
        b'{"a":[' + b",".join([b"5e-324"] * (CAP // 7 - 2)) + b"]}",
        b'{"a":[' + b",".join([b"9007199254740993e22"] * (CAP // 20 - 2)) + b"]}",
        b'{"a":[' + b",".join([b"1" + b"0" * 308 + b".0"] * (CAP // 312 - 2)) + b"]}",
        b"{" + b",".join(b'"%05d":1' % number for number in range(CAP // 10)) + b"}",
        b'{"a":"' + b"\\u0041" * (CAP // 6 - 2) + b'"}',
    ],
)
def test_64_kib_of_anything_is_read_or_refused_fast__acme_j27(data: bytes) -> None:
    """No document of the cap's size takes 20 ms."""
    assert least_ms(lambda: strict_json_object(data), refusal=EncodingError) < allowed_ms(20)
