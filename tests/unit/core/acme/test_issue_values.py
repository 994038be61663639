"""The grammar of issue-values, RFC 8659 4.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu_time import allowed_ms, least_ms
from dayfly.core.acme.issue_values import MAX_VALUE, IssueValue, parse_issue_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", IssueValue("")),
        (b";", IssueValue("")),
        (b" \t; ", IssueValue("")),
        (b"ca.example", IssueValue("ca.example")),
        (b"  CA.Example\t", IssueValue("ca.example")),
        (b"ca.example;", IssueValue("ca.example")),
        (b"ca.example; a=b", IssueValue("ca.example", (("a", "b"),))),
        (b"ca.example;a=b;c=d", IssueValue("ca.example", (("a", "b"), ("c", "d")))),
        (b"ca.example ; A-1 = x:/=y ; b=", IssueValue("ca.example", (("a-1", "x:/=y"), ("b", "")))),
        (b"; policy=ev", IssueValue("", (("policy", "ev"),))),
        (b"xn--nxasmq6b.example", IssueValue("xn--nxasmq6b.example")),
    ],
)
def test_issue_value_is_read__rfc8659_4_2(text: bytes, value: IssueValue) -> None:
    """White space where the grammar has it; names and tags in lower case, values as they are."""
    assert parse_issue_value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"%%%%%", b"ca_example", b"-ca.example", b"ca-.example", b"ca..example", b"ca.example.", b"ca.example a=b",
        b"ca.example; a", b"ca.example; =b", b"ca.example; a=b c=d", b"ca.example; a=b;", b"ca.example;; a=b",
        b"ca.example; a=\xff", b"ca.example; a=b\n", b"ca.example\0", "cä.example".encode(), b"ca.example; a_b=c",
        b"a" * (MAX_VALUE + 1),
    ],
)  # fmt: skip
def test_what_is_no_issue_value_is_none__rfc8659_4_2(text: bytes) -> None:
    """Nothing is mended."""
    assert parse_issue_value(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"ca.example; a=b" + b" " * 4_000 + b"\n",
        b" \t" * 2_000 + b"\n",
        b"ca.example; a=" + b" " * 4_000 + b"\x7f",
        b"ca.example" + b" " * 4_000 + b"\n",
        b"a-" * 2_040 + b"\n",
    ],
)
def test_no_value_takes_long_to_read__security_6(text: bytes) -> None:
    """Whoever has a name's zone writes it, and all others wait meanwhile: the work is linear in its length."""
    assert parse_issue_value(text) is None
    assert least_ms(lambda: parse_issue_value(text), refusal=ValueError) < allowed_ms(20)


def test_values_of_a_tag_and_duplicates_are_known() -> None:
    """All values of a tag come in order; a tag that stands twice is known, in whatever case it was written."""
    value = parse_issue_value(b"ca.example; a=1; b=2; A=3")
    assert value is not None
    assert value.values("a") == ("1", "3")
    assert value.has_duplicates is True
    assert IssueValue("ca.example", (("a", "1"), ("b", "1"))).has_duplicates is False


@given(st.binary(max_size=200))
def test_no_text_breaks_the_reader(text: bytes) -> None:
    """It is an issue-value or it is none."""
    value = parse_issue_value(text)
    assert value is None or value.issuer == value.issuer.lower()


def test_long_value_is_read_in_no_time() -> None:
    """The grammar is linear: neither hyphens nor white space make it try again and again."""
    for text in (b"a" + b"-" * 4000, b" " * 4000 + b"!", b"a;" + b" " * 4000 + b"=", b"a;b=c" + b" " * 4000 + b"d"):
        assert parse_issue_value(text) is None
