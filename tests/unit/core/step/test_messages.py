"""The JSON of the step API, both ways (step-compat.md parts 1 to 6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dayfly.core.problems import BadCSR, Malformed, NotImplementedHere, Refused
from dayfly.core.step import messages
from dayfly.core.step.messages import (
    DeniedName,
    ErrorBody,
    ProvisionerPage,
    RevokeRequest,
    SignRequest,
    SignResponse,
    parse_asked,
    parse_serial,
    render_asked,
    resolve_asked,
)
from dayfly.core.x509.pem import render_pem
from dayfly.errors import ClientError
from factories import NOW, csr_der

CSR = csr_der()
CSR_PEM = render_pem(CSR, "CERTIFICATE REQUEST")


def body(**members: Any) -> bytes:
    """A request body."""
    return json.dumps(members).encode()


# --- times and numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (None, None),
        ("", None),
        ("0001-01-01T00:00:00Z", None),
        ("1h30m", timedelta(minutes=90)),
        ("24h0m0s", timedelta(hours=24)),
        ("-5m", timedelta(minutes=-5)),
        ("+5m", timedelta(minutes=5)),
        ("0", timedelta()),
        ("2026-11-24T12:00:00Z", NOW),
        ("2026-11-24T13:00:00+01:00", NOW),
        ("2026-11-24T12:00:00.5Z", NOW + timedelta(seconds=0.5)),
    ],
)
def test_a_time_duration_is_a_moment_a_span_or_nothing__step_1(text: str | None, asked: object) -> None:
    """RFC 3339 with its zone, Go's durations with their sign, and the ways to say nothing."""
    assert parse_asked(text, "notAfter") == asked


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow", "24", "1h 30m", "１h", "--1h", "1000000000h", "9" * 80 + "h", "2026-11-24T12:00:00",
        "2026-11-24T99:00:00Z", "2026-13-24T12:00:00Z", "2026-11-24 12:00:00Z", "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00",
    ],
)  # fmt: skip
def test_what_is_no_time_duration_is_refused__t17(text: str) -> None:
    """No zone, no such day, beyond the calendar, no unit: all Malformed, none guessed at."""
    with pytest.raises(Malformed):
        parse_asked(text, "notAfter")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, ""),
        (timedelta(hours=24), "24h0m0s"),
        (timedelta(minutes=-5), "-5m0s"),
        (datetime(2026, 11, 24, 13, tzinfo=timezone(timedelta(hours=1))), "2026-11-24T12:00:00Z"),
    ],
)
def test_a_time_duration_is_written_as_it_is_read(asked: Any, text: str) -> None:
    """What the client writes, the server reads as the same thing."""
    assert render_asked(asked) == text
    assert parse_asked(text, "notAfter") == asked


def test_a_span_counts_from_now__step_1() -> None:
    """NotAfter as a duration is now and so much; a moment stays what it is; a span beyond the calendar is refused."""
    assert resolve_asked(timedelta(hours=1), NOW, "notAfter") == NOW + timedelta(hours=1)
    assert resolve_asked(NOW, NOW + timedelta(hours=5), "notAfter") == NOW
    assert resolve_asked(None, NOW, "notAfter") is None
    with pytest.raises(Malformed, match="beyond the calendar"):
        resolve_asked(timedelta(days=900_000_000), NOW, "notAfter")


@pytest.mark.parametrize(
    ("text", "serial"), [("0", 0), ("255", 255), ("0xff", 255), ("0x0A", 10), ("9" * 49, 10**49 - 1)]
)
def test_a_serial_is_decimal_or_hex__x4(text: str, serial: int) -> None:
    """Both spellings that the client takes."""
    assert parse_serial(text) == serial


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "-1",
        "+1",
        "01",
        "1_0",
        "0x",
        "0X1",
        "ff",
        "１２",
        "1\n",
        "9" * 50,
        "0x" + "f" * 41,
        "1" * 10_000,
    ],
)
def test_another_spelling_of_a_serial_is_refused__x4(text: str) -> None:
    """Spaces, signs, leading zeros, other digits and ten thousand characters."""
    with pytest.raises(Malformed):
        parse_serial(text)


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        SignRequest(CSR, "a.b.c"),
        SignRequest(CSR, "a.b.c", timedelta(minutes=-1), timedelta(hours=8)),
        SignRequest(CSR, "a.b.c", NOW, NOW + timedelta(hours=1)),
    ],
)
def test_a_sign_request_is_read_as_it_was_written__step_4(request_: SignRequest) -> None:
    """Client and server have one description of /sign."""
    assert messages.parse_sign_request(messages.render_sign_request(request_)) == request_
    assert "a.b.c" not in repr(request_)


def test_a_sign_request_of_a_stock_client_is_read__t19() -> None:
    """Empty times, template data and members that nobody knows do no harm."""
    found = messages.parse_sign_request(
        body(csr=CSR_PEM, ott="t", notBefore="", notAfter=None, templateData={"a": {"b": 1}}, more=[1])
    )
    assert found == SignRequest(CSR, "t")


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"ott": "t"}, Malformed),
        ({"csr": None, "ott": "t"}, Malformed),
        ({"csr": "", "ott": "t"}, Malformed),
        ({"csr": CSR_PEM}, Malformed),
        ({"csr": CSR_PEM, "ott": ""}, Malformed),
        ({"csr": CSR_PEM, "ott": 7}, Malformed),
        ({"csr": CSR_PEM, "ott": "t", "notAfter": 3600}, Malformed),
        ({"csr": CSR_PEM + CSR_PEM, "ott": "t"}, BadCSR),
        ({"csr": "words " + CSR_PEM, "ott": "t"}, BadCSR),
        ({"csr": render_pem(CSR), "ott": "t"}, BadCSR),
        ({"csr": "no PEM", "ott": "t"}, BadCSR),
        ({"csr": CSR_PEM.replace("REQUEST-----\nM", "REQUEST-----\n=", 1), "ott": "t"}, BadCSR),
        ({"csr": "-" * 300_000, "ott": "t"}, BadCSR),
    ],
)
def test_a_bad_sign_request_is_refused__step_4(members: dict[str, Any], error: type[Refused]) -> None:
    """A member that is missing, of another type, or no single PEM block of a request."""
    with pytest.raises(error) as caught:
        messages.parse_sign_request(body(**members))
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{", b'{"ott":"a","ott":"b"}', b"[" * 5000, b"\xff", b'{"a":NaN}']
)
def test_a_body_that_is_no_strict_object_is_refused__step_1(text: bytes) -> None:
    """One object, each member once."""
    for parse in (messages.parse_sign_request, messages.parse_rekey_request, messages.parse_revoke_request):
        with pytest.raises(Malformed):
            parse(text)


def test_a_rekey_request_is_read_as_it_was_written__step_5() -> None:
    """Only the CSR counts."""
    assert messages.parse_rekey_request(messages.render_rekey_request(CSR)) == CSR
    with pytest.raises(Malformed, match="missing csr"):
        messages.parse_rekey_request(b"{}")


def test_a_revoke_request_is_read_as_it_was_written__step_6() -> None:
    """Client and server have one description of /revoke."""
    for request in (RevokeRequest(1 << 158, "t", 4, "superseded by hand"), RevokeRequest(7)):
        assert messages.parse_revoke_request(messages.render_revoke_request(request)) == request


@pytest.mark.parametrize("code", [6, 7, 8, 11, -1, "x", "1", 1.5, 1.0, True, 1 << 62])
def test_another_reason_code_is_refused__x6(code: object) -> None:
    """Not in RFC 5280 5.3.1, or one that holds a certificate for a while, or no integer."""
    with pytest.raises(Malformed):
        messages.parse_revoke_request(body(serial="7", reasonCode=code, passive=True))


@pytest.mark.parametrize("passive", [False, None])
def test_a_revocation_that_is_not_passive_is_not_implemented__x7(passive: bool | None) -> None:
    """501, as stock clients expect it."""
    with pytest.raises(NotImplementedHere) as caught:
        messages.parse_revoke_request(body(serial="7", passive=passive))
    assert caught.value.http_status == 501


@pytest.mark.parametrize("serial", [None, "", " 7", 7])
def test_a_revocation_without_a_serial_is_refused__x4(serial: object) -> None:
    """The serial is a string, and there."""
    with pytest.raises(Malformed):
        messages.parse_revoke_request(body(serial=serial, passive=True))


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [(), (b"issuer",), (b"issuer", b"upper")])
def test_a_sign_response_is_read_as_it_was_written__step_4(chain: tuple[bytes, ...]) -> None:
    """Leaf, issuer, and the chain without the root."""
    response = SignResponse(b"leaf", chain)
    text = messages.render_sign_response(response)
    assert messages.parse_sign_response(text) == response
    assert sorted(json.loads(text)) == ["ca", "certChain", "crt", "tlsOptions"]
    assert text.endswith(b"}\n")


def test_a_sign_response_without_chain_is_read() -> None:
    """An answer of an old CA: leaf and issuer only."""
    old = body(crt=render_pem(b"leaf"), ca=render_pem(b"issuer"))
    assert messages.parse_sign_response(old) == SignResponse(b"leaf", (b"issuer",))


@pytest.mark.parametrize(
    "text",
    [
        b"{}", b"<html>", b"[" * 5000, b"\xff", body(crt="no PEM"), body(crt=7),
        body(crt=render_pem(b"leaf"), certChain=[render_pem(b"another")]), body(crt=""), body(crt="", ca=""),
    ],
)  # fmt: skip
def test_a_bad_sign_response_is_an_error_of_the_client(text: bytes) -> None:
    """Nothing of an answer that is not one is believed."""
    with pytest.raises(ClientError):
        messages.parse_sign_response(text)


def test_provisioners_are_read_as_they_were_written__step_3() -> None:
    """A page, its cursor, and types that nobody knows."""
    page = ProvisionerPage(({"type": "JWK", "name": "a"}, {"type": "New", "name": "b"}), "b")
    assert messages.parse_provisioners(messages.render_provisioners(page)) == page
    assert messages.parse_provisioners(b'{"provisioners":null,"nextCursor":null}') == ProvisionerPage(())


def test_key_roots_and_status_are_read_as_they_were_written__step_2() -> None:
    """The small answers."""
    assert messages.parse_encrypted_key(messages.render_encrypted_key("a.b.c.d.e")) == "a.b.c.d.e"
    assert messages.parse_certificates(body(crts=[render_pem(b"root")])) == (b"root",)
    assert json.loads(messages.render_status()) == {"status": "ok"}
    with pytest.raises(ClientError):
        messages.parse_encrypted_key(b'{"key":null}')


def test_an_error_is_read_as_it_was_written__step_1() -> None:
    """Status and message always; what decided only where something did; nothing where the body is none of ours."""
    plain, full = (
        ErrorBody(401, "no"),
        ErrorBody(
            403, "no", "default-deny", "", "a.internal.example", "4F2A",
            denials=(DeniedName("b.example", "r4", "db-team", "", "7QXP"),),
        ),
    )  # fmt: skip
    assert json.loads(messages.render_error(plain)) == {"status": 401, "message": "no"}
    assert messages.parse_error(messages.render_error(plain)) == plain
    assert messages.parse_error(messages.render_error(full)) == full
    assert json.loads(messages.render_error(full)) == {
        "status": 403, "message": "no",
        "rule": "default-deny", "owner": "", "nearest": "a.internal.example", "denial": "4F2A",
        "denials": [{"name": "b.example", "rule": "r4", "owner": "db-team", "nearest": "", "denial": "7QXP"}],
    }  # fmt: skip
    for text in (b"<html>", b"", b"[" * 5000, b"\xff", b'{"status":"x"}'):
        assert messages.parse_error(text) == ErrorBody()


def test_now_is_utc_in_what_is_asked_for() -> None:
    """A moment comes out in UTC."""
    found = parse_asked("2026-11-24T13:00:00+01:00", "notBefore")
    assert isinstance(found, datetime)
    assert found.tzinfo is UTC
