"""The answers of the step API, both ways: what the server renders, a client reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dayfly.core.step.answers import (
    DeniedName,
    ErrorBody,
    ProvisionerPage,
    SignResponse,
    parse_certificates,
    parse_encrypted_key,
    parse_error,
    parse_provisioners,
    parse_sign_response,
    render_encrypted_key,
    render_error,
    render_provisioners,
    render_sign_response,
    render_status,
)
from dayfly.core.x509.pem import render_pem
from dayfly.errors import ClientError


@pytest.mark.parametrize("chain", [(), (b"issuer",), (b"issuer", b"upper")])
def test_a_sign_response_is_read_as_it_was_written__step_4(chain: tuple[bytes, ...]) -> None:
    """Leaf, issuer, and the chain without the root."""
    response = SignResponse(b"leaf", chain)
    text = render_sign_response(response)
    assert parse_sign_response(text) == response
    assert sorted(json.loads(text)) == ["ca", "certChain", "crt", "tlsOptions"]
    assert text.endswith(b"}\n")


def test_a_sign_response_without_chain_is_read() -> None:
    """An answer of an old CA: leaf and issuer only."""
    old = body(crt=render_pem(b"leaf"), ca=render_pem(b"issuer"))
    assert parse_sign_response(old) == SignResponse(b"leaf", (b"issuer",))


def body(**members: Any) -> bytes:
    """An object as an answer has it."""
    return json.dumps(members).encode()


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
        parse_sign_response(text)


def test_provisioners_are_read_as_they_were_written__step_3() -> None:
    """A page, its cursor, and types that nobody knows."""
    page = ProvisionerPage(({"type": "JWK", "name": "a"}, {"type": "New", "name": "b"}), "b")
    assert parse_provisioners(render_provisioners(page)) == page
    assert parse_provisioners(b'{"provisioners":null,"nextCursor":null}') == ProvisionerPage(())


def test_key_roots_and_status_are_read_as_they_were_written__step_2() -> None:
    """The small answers."""
    assert parse_encrypted_key(render_encrypted_key("a.b.c.d.e")) == "a.b.c.d.e"
    assert parse_certificates(body(crts=[render_pem(b"root")])) == (b"root",)
    assert json.loads(render_status()) == {"status": "ok"}
    with pytest.raises(ClientError):
        parse_encrypted_key(b'{"key":null}')


def test_an_error_is_read_as_it_was_written__step_1() -> None:
    """Status and message always; what decided only where something did; nothing where the body is none of ours."""
    plain, full = (
        ErrorBody(401, "no"),
        ErrorBody(
            403, "no", "default-deny", "", "a.internal.example", "4F2A",
            denials=(DeniedName("b.example", "r4", "db-team", "", "7QXP"),),
        ),
    )  # fmt: skip
    assert json.loads(render_error(plain)) == {"status": 401, "message": "no"}
    assert parse_error(render_error(plain)) == plain
    assert parse_error(render_error(full)) == full
    assert json.loads(render_error(full)) == {
        "status": 403, "message": "no",
        "rule": "default-deny", "owner": "", "nearest": "a.internal.example", "denial": "4F2A",
        "denials": [{"name": "b.example", "rule": "r4", "owner": "db-team", "nearest": "", "denial": "7QXP"}],
    }  # fmt: skip
    for text in (b"<html>", b"", b"[" * 5000, b"\xff", b'{"status":"x"}'):
        assert parse_error(text) == ErrorBody()
