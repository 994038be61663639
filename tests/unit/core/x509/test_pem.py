"""PEM: certificates and nothing else, bounded (RFC 7468)."""

from __future__ import annotations

import pytest

from dayfly.core.x509.pem import MAX_OCTETS, PEMError, parse_pem_certificates, render_pem

ONE = render_pem(b"one")


def test_what_is_written_is_read() -> None:
    """A chain keeps its order; CRLF is as good."""
    long = render_pem(b"x" * 1000)
    assert parse_pem_certificates(ONE + long) == (b"one", b"x" * 1000)
    assert parse_pem_certificates(long.replace("\n", "\r\n")) == (b"x" * 1000,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "found 0 PEM blocks"),
        ("no PEM", "found 0 PEM blocks"),
        (ONE * 11, "found 11 PEM blocks"),
        (ONE + "words\n" + ONE, "something else"),
        (render_pem(b"x", "CERTIFICATE REQUEST"), "something else"),
        (ONE + render_pem(b"x", "EC PRIVATE KEY"), "a private key"),
        (ONE + " " * MAX_OCTETS, "more than"),
        (ONE.replace("b25l", "b25"), "not valid base64"),
        ("-----BEGIN CERTIFICATE-----\nb25l\n-----END X-----\n", "found 0"),
    ],
)
def test_what_is_no_chain_is_refused(text: str, says: str) -> None:
    """Nothing, too much, words, other blocks, keys, broken base64: the text itself is never repeated."""
    with pytest.raises(PEMError, match=says):
        parse_pem_certificates(text)
