"""The requests of the step API, both ways: what a client renders, the server parses (step-compat.md parts 1 to 6)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.problems import BadCSR, Malformed, NotImplementedHere, Refused
from dayfly.core.step.requests import (
    RevokeRequest,
    SignRequest,
    parse_rekey_request,
    parse_revoke_request,
    parse_sign_request,
    render_rekey_request,
    render_revoke_request,
    render_sign_request,
)
from dayfly.core.x509.pem import render_pem
from factories import NOW, csr_der

CSR = csr_der()
CSR_PEM = render_pem(CSR, "CERTIFICATE REQUEST")


def body(**members: Any) -> bytes:
    """A request body."""
    return json.dumps(members).encode()


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
    assert parse_sign_request(render_sign_request(request_)) == request_
    assert "a.b.c" not in repr(request_)


def test_a_sign_request_of_a_stock_client_is_read__t19() -> None:
    """Empty times, template data and members that nobody knows do no harm."""
    found = parse_sign_request(
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
        parse_sign_request(body(**members))
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{", b'{"ott":"a","ott":"b"}', b"[" * 5000, b"\xff", b'{"a":NaN}']
)
def test_a_body_that_is_no_strict_object_is_refused__step_1(text: bytes) -> None:
    """One object, each member once."""
    for parse in (parse_sign_request, parse_rekey_request, parse_revoke_request):
        with pytest.raises(Malformed):
            parse(text)


def test_a_rekey_request_is_read_as_it_was_written__step_5() -> None:
    """Only the CSR counts."""
    assert parse_rekey_request(render_rekey_request(CSR)) == CSR
    with pytest.raises(Malformed, match="missing csr"):
        parse_rekey_request(b"{}")


def test_a_revoke_request_is_read_as_it_was_written__step_6() -> None:
    """Client and server have one description of /revoke."""
    for request in (RevokeRequest(1 << 158, "t", 4, "superseded by hand"), RevokeRequest(7)):
        assert parse_revoke_request(render_revoke_request(request)) == request


@pytest.mark.parametrize("code", [6, 7, 8, 11, -1, "x", "1", 1.5, 1.0, True, 1 << 62])
def test_another_reason_code_is_refused__x6(code: object) -> None:
    """Not in RFC 5280 5.3.1, or one that holds a certificate for a while, or no integer."""
    with pytest.raises(Malformed):
        parse_revoke_request(body(serial="7", reasonCode=code, passive=True))


@pytest.mark.parametrize("passive", [False, None])
def test_a_revocation_that_is_not_passive_is_not_implemented__x7(passive: bool | None) -> None:
    """501, as stock clients expect it."""
    with pytest.raises(NotImplementedHere) as caught:
        parse_revoke_request(body(serial="7", passive=passive))
    assert caught.value.http_status == 501


@pytest.mark.parametrize("serial", [None, "", " 7", 7])
def test_a_revocation_without_a_serial_is_refused__x4(serial: object) -> None:
    """The serial is a string, and there."""
    with pytest.raises(Malformed):
        parse_revoke_request(body(serial=serial, passive=True))
