"""The step API's client: what it asks, what it believes, and what a refusal says (step-compat.md parts 1 to 6)."""

from __future__ import annotations

import json

import pytest

from dayfly.client.step import (
    MAX_PROVISIONERS,
    StepRefused,
    fetch_encrypted_key,
    fetch_health,
    fetch_provisioners,
    fetch_roots,
    normal_fingerprint,
    request_renewal,
)
from dayfly.client.transport import Answer
from dayfly.errors import ClientError, UsageError
from small_pki import PKI
from step_ca import URL, refusal

FINGERPRINT = "ab" * 32


class Script:
    """Answers in turn, and keeps the paths and bearers that were asked with."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.bearers: list[str] = []

    def request(
        self, method: str, url: str, body: bytes | None = None, *, media_type: str = "", bearer: str = ""
    ) -> Answer:
        """The next answer."""
        self.asked.append(f"{method} {url.removeprefix(URL)}")
        self.bearers.append(bearer)
        return self.answers.pop(0)


def page(*names: str, cursor: str = "") -> Answer:
    """A page of provisioners."""
    found = [{"type": "ACME", "name": name} for name in names]
    return Answer(200, {}, json.dumps({"provisioners": found, "nextCursor": cursor}).encode())


@pytest.mark.parametrize("written", [FINGERPRINT, FINGERPRINT.upper(), ":".join(["ab"] * 32), f" {FINGERPRINT}\n"])
def test_fingerprint_may_be_written_in_every_usual_way(written: str) -> None:
    """Case, colons and blanks do not matter."""
    assert normal_fingerprint(written) == FINGERPRINT


@pytest.mark.parametrize("written", ["", "ab" * 31, "zz" * 32, "ab" * 33])
def test_fingerprint_of_another_length_is_refused(written: str) -> None:
    """A short one would be a weak one."""
    with pytest.raises(UsageError, match="64 hex digits"):
        normal_fingerprint(written)


def test_provisioners_are_read_page_by_page__step_compat_3() -> None:
    """With limit=100, until the cursor is empty; a cursor is quoted before it is sent back."""
    script = Script(page("a", "b", cursor="x&limit=1"), page("c"))
    found = fetch_provisioners(script, URL)  # type: ignore[arg-type]  # a fake
    assert [one["name"] for one in found] == ["a", "b", "c"]
    assert script.asked == ["GET /provisioners?limit=100", "GET /provisioners?cursor=x%26limit%3D1&limit=100"]


@pytest.mark.parametrize(
    "answers",
    [
        (page("a", cursor="same"), page("b", cursor="same")),
        (page("a", cursor="1"), page(cursor="2")),
        (page(*(f"p{number}" for number in range(MAX_PROVISIONERS + 1)), cursor="1"),),
    ],
    ids=["the same cursor", "an empty page", "too many"],
)
def test_list_that_does_not_end_is_refused(answers: tuple[Answer, ...]) -> None:
    """A hostile CA cannot keep a client busy."""
    with pytest.raises(ClientError, match="does not end"):
        fetch_provisioners(Script(*answers), URL)  # type: ignore[arg-type]  # a fake


def test_kid_is_quoted_in_the_path() -> None:
    """What the CA called its key cannot choose another path."""
    script = Script(Answer(200, {}, b'{"key":"a.b.c.d.e"}'))
    assert fetch_encrypted_key(script, URL, "../roots?x") == "a.b.c.d.e"  # type: ignore[arg-type]  # a fake
    assert script.asked == ["GET /provisioners/..%2Froots%3Fx/encrypted-key"]


def test_refusal_carries_what_a_denial_names__interfaces_6() -> None:
    """Rule, owner, nearest and id come through, control characters do not; the hint names what would pass."""
    answer = refusal(403, "no\x1b[2J rule", rule="default-deny", owner="team", nearest="api.a.example", denial="4F2A")
    with pytest.raises(StepRefused) as caught:
        request_renewal(Script(answer), URL)  # type: ignore[arg-type]  # a fake
    error = caught.value
    assert (error.status, error.rule, error.owner) == (403, "default-deny", "team")
    assert (error.nearest, error.denial) == ("api.a.example", "4F2A")
    assert "\x1b" not in error.message
    assert "api.a.example" in error.hint
    assert "dayfly ca policy allow --denial 4F2A" in error.hint


def test_refusal_of_several_names_tells_each_denial__interfaces_6() -> None:
    """As subproblems for a program, and every id in the command that allows them."""
    denials = [
        {"name": f"{letter}.example", "rule": "default-deny", "owner": "", "nearest": "", "denial": letter.upper() * 4}
        for letter in "abc"
    ]
    body = {"status": 403, "message": "x" * 1500, **denials[0], "denials": denials}
    with pytest.raises(StepRefused, match="x" * 1500) as caught:
        request_renewal(Script(Answer(403, {}, json.dumps(body).encode())), URL)  # type: ignore[arg-type]  # a fake
    assert list(caught.value.subproblems) == denials
    assert "--denial AAAA --denial BBBB --denial CCCC" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (refusal(429, "slow down", retry_after="7"), "try again in 7 s"),
        (refusal(429, "slow down"), "try again later"),
        (refusal(503, "not now"), "dayfly ca health"),
        (refusal(401, "no"), ""),
        (refusal(401, "the certificate was revoked at 2026-11-24T12:00:00Z (request x)."), "certificate NAME CRT KEY"),
        (refusal(404, "this CA has issued no certificate with this serial number"), "dayfly ca list --all"),
        (refusal(404, "no root certificate has this fingerprint"), "dayfly certificate fingerprint"),
    ],
)
def test_refusal_says_what_to_do_next(answer: Answer, hint: str) -> None:
    """A limit, a sick CA, and a plain no are told apart."""
    with pytest.raises(StepRefused) as caught:
        fetch_health(Script(answer), URL)  # type: ignore[arg-type]  # a fake
    assert hint in caught.value.hint
    assert bool(hint) is bool(caught.value.hint)


def test_answer_that_is_no_json_is_a_refusal_without_a_reason() -> None:
    """A proxy may have spoken."""
    with pytest.raises(StepRefused, match="no reason given"):
        fetch_health(Script(Answer(502, {}, b"<html>")), URL)  # type: ignore[arg-type]  # a fake


def test_token_goes_into_the_header_and_the_body_is_empty__step_compat_5() -> None:
    """A renewal by token is an empty POST."""
    script = Script(refusal(401, "no"))
    with pytest.raises(StepRefused):
        request_renewal(script, URL, token="a.b.c")  # type: ignore[arg-type]  # a fake
    assert (script.asked, script.bearers) == (["POST /renew"], ["a.b.c"])


def test_roots_are_certificates_or_an_error() -> None:
    """Each is rendered anew; anything else is refused."""
    pem = PKI().root_pem
    good = Answer(201, {}, json.dumps({"crts": [pem]}).encode())
    assert fetch_roots(Script(good), URL) == (pem,)  # type: ignore[arg-type]  # a fake
    with pytest.raises(ClientError, match="cannot be read"):
        fetch_roots(Script(Answer(201, {}, b'{"crts":["x"]}')), URL)  # type: ignore[arg-type]  # a fake
