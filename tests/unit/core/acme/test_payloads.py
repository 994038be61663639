"""The JSON that clients send: what is loose is refused (RFC 8555)."""

from __future__ import annotations

import msgspec
import pytest

from dayfly.core.acme.payloads import (
    GO_ZERO_TIME,
    AccountUpdate,
    Finalize,
    NewAccount,
    NewOrder,
    parse_asked_time,
    parse_csr_member,
    parse_payload,
)
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.problems import Malformed
from factories import NOW, csr_der


def test_payload_is_read_and_unknown_members_are_ignored__rfc8555_7_4() -> None:
    """The members that we know, and nothing for those that we do not."""
    payload = b'{"identifiers":[{"type":"dns","value":"a.example","x":1}],"notAfter":null,"resource":"new-order"}'
    found = parse_payload(payload, NewOrder)
    assert [(one.type, one.value) for one in found.identifiers] == [("dns", "a.example")]
    assert (found.not_before, found.not_after, found.profile) == (None, None, None)


@pytest.mark.parametrize(
    ("payload", "shape"),
    [
        (b"", NewAccount),
        (b"null", NewAccount),
        (b"[]", NewAccount),
        (b'"x"', NewAccount),
        (b"{", NewAccount),
        (b'{"contact":"mailto:a@b"}', NewAccount),
        (b'{"contact":null}', NewAccount),
        (b'{"termsOfServiceAgreed":"true"}', NewAccount),
        (b'{"onlyReturnExisting":1}', NewAccount),
        (b'{"status":5}', AccountUpdate),
        (b"{}", NewOrder),
        (b'{"identifiers":{}}', NewOrder),
        (b'{"identifiers":[{"type":"dns"}]}', NewOrder),
        (b'{"identifiers":[{"type":1,"value":"a"}]}', NewOrder),
        (b'{"identifiers":[],"identifiers":[]}', NewOrder),
        (b'{"csr":5}', Finalize),
        (b'{"a":[[[[[[[[1]]]]]]]]}', NewAccount),
        (b'{"a":NaN}', NewAccount),
    ],
)
def test_loose_payload_is_malformed__acme_j26(payload: bytes, shape: type[msgspec.Struct]) -> None:
    """Wrong tops, types, duplicates, depth and numbers: malformed, with a printable text."""
    with pytest.raises(Malformed) as caught:
        parse_payload(payload, shape)
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("text", [None, "", GO_ZERO_TIME])
def test_time_that_nobody_asked_for_is_none__acme_part_6(text: str | None) -> None:
    """Absent, empty, and Go's zero time, as stock clients send it."""
    assert parse_asked_time(text, "notAfter") is None


def test_asked_time_comes_in_utc__rfc3339() -> None:
    """An offset is counted."""
    assert parse_asked_time("2026-11-24T13:00:00+01:00", "notAfter") == NOW
    assert parse_asked_time("2026-11-24T12:00:00Z", "notAfter") == NOW


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-24", "2026-11-24T12:00:00", "2026-13-24T12:00:00Z", "24h"])
def test_other_time_is_malformed__acme_o11(text: str) -> None:
    """Garbage, a date, and a time without its zone; the member is named."""
    with pytest.raises(Malformed, match="notBefore"):
        parse_asked_time(text, "notBefore")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_time_outside_the_calendar_is_malformed__acme_o11(text: str) -> None:
    """An RFC 3339 time whose moment in UTC has no date of four digits."""
    with pytest.raises(Malformed, match="notBefore is outside"):
        parse_asked_time(text, "notBefore")


def test_csr_member_is_base64url_der__acme_f5() -> None:
    """Plain base64url passes; PEM, padding and other alphabets do not."""
    der = csr_der()
    assert parse_csr_member(Finalize(b64u_encode(der))) == der
    for text in ("-----BEGIN CERTIFICATE REQUEST-----", "MA==", "a+b/", "a b"):
        with pytest.raises(Malformed, match="base64url"):
            parse_csr_member(Finalize(text))
