"""Headers of an answer: no octet of theirs ends a line."""

from __future__ import annotations

import pytest

from dayfly.server.exchange import render_headers


def test_each_header_is_a_line() -> None:
    """Names, values and the ends of lines, in this order; a value may be empty or have a tab."""
    headers = ((b"x-a", b"1"), (b"link", b'<a>;rel="up"'), (b"x-b", b""), (b"x-c", b"a\tb"))
    assert render_headers(headers) == b'x-a: 1\r\nlink: <a>;rel="up"\r\nx-b: \r\nx-c: a\tb\r\n'


@pytest.mark.parametrize("name", [b"X-Upper", b"a b", b"a:b", b"a\r\nb", b"", b"a\r\nx-b: c\r\nd"])
def test_header_name_that_is_none_is_refused__security_8(name: bytes) -> None:
    """A name that could end a line is never written."""
    with pytest.raises(ValueError, match="is none"):
        render_headers(((name, b"v"),))


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\x00b", b"a\x7fb", b"a\r\n", b"\r\n"])
def test_header_value_with_control_is_refused__security_8(value: bytes) -> None:
    """A value that could end a line is never written: no answer is split."""
    with pytest.raises(ValueError, match="is none"):
        render_headers(((b"location", value),))
