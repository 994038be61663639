"""The ACME client against a scripted CA: what it asks, what it refuses, when it gives up (RFC 8555, agent.md 8)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dayfly.client.acme import ACMEClient, ACMEProblem, Placed
from dayfly.client.transport import Answer
from dayfly.core.acme.answers import WireOrder, parse_answer
from dayfly.core.jose.encoding import b64u_decode
from dayfly.errors import ClientError
from factories import NAME, ec_key

BASE = "https://ca.test/acme/acme"
DIRECTORY = f"{BASE}/directory"
TOKEN = "dG9rZW4tb2YtMTI4LWJpdHMtb3ItbW9yZQ"

Reply = Answer | Callable[[], Answer]


def answer(status: int = 200, document: object = None, **headers: str) -> Answer:
    """A whole answer; every one brings a nonce."""
    body = b"" if document is None else json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"replay-nonce": "bm9uY2U", **named}, body)


def problem(kind: str, status: int = 400, **members: object) -> Answer:
    """A problem document."""
    return answer(status, {"type": f"urn:ietf:params:acme:error:{kind}", "detail": "the reason", **members})


class ScriptedCA:
    """Answers by method and URL; keeps what it was asked. One answer is for ever, a list is taken from."""

    def __init__(self, **replies: Answer | list[Answer]) -> None:
        self.asked: list[tuple[str, str, Any, dict[str, Any]]] = []
        document = {"newNonce": f"{BASE}/nonce", "newAccount": f"{BASE}/account", "newOrder": f"{BASE}/order"}
        self.replies: dict[str, Answer | list[Answer]] = {
            DIRECTORY: answer(200, document),
            f"{BASE}/nonce": answer(),
            f"{BASE}/account": answer(201, {"status": "valid"}, location=f"{BASE}/account/1"),
            **{f"{BASE}/{name}": reply for name, reply in replies.items()},
        }

    def request(self, method: str, url: str, body: bytes | None = None, *, media_type: str = "") -> Answer:
        """One request; a body is a flattened JWS, whose payload and header are kept."""
        payload, header = None, {}
        if body is not None:
            assert media_type == "application/jose+json"
            sent = json.loads(body)
            payload, header = b64u_decode(sent["payload"]), json.loads(b64u_decode(sent["protected"]))
        self.asked.append((method, url, payload, header))
        reply = self.replies[url]
        if isinstance(reply, list):
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply

    def posts(self, url: str) -> list[Any]:
        """The payloads that were sent to a URL."""
        return [payload for method, asked, payload, _ in self.asked if (method, asked) == ("POST", url)]


class Clock:
    """A time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.now += seconds


class Shelf:
    """A solver that remembers what was there."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}
        self.presented: dict[str, str] = {}

    def present(self, token: str, answer: str) -> None:
        self.there[token] = self.presented[token] = answer

    def cleanup(self, token: str) -> None:
        del self.there[token]


def client(ca: ScriptedCA, clock: Clock | None = None, **options: Any) -> ACMEClient:
    """A client of the scripted CA."""
    clock = clock or Clock()
    return ACMEClient(ca, DIRECTORY, ec_key(), clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]  # a fake


def order(status: str = "pending", **members: object) -> dict[str, object]:
    """An order's document."""
    return {
        "status": status,
        "identifiers": [{"type": "dns", "value": NAME}],
        "authorizations": [f"{BASE}/authz"],
        "finalize": f"{BASE}/finalize",
        **members,
    }


def placed(status: str = "pending", **members: object) -> Placed:
    """The same, as the client keeps it."""
    return Placed(f"{BASE}/order/1", parse_answer(msgspec.json.encode(order(status, **members)), WireOrder))


def authorization(state: str = "pending", **challenge: object) -> dict[str, object]:
    """An authorization's document with one challenge."""
    one = {"type": "http-01", "url": f"{BASE}/challenge", "status": "pending", "token": TOKEN, **challenge}
    return {"identifier": {"type": "dns", "value": NAME}, "status": state, "challenges": [one]}


def test_account_is_made_once_and_named_by_its_url__rfc8555_7_3() -> None:
    """The key stands in the first request, the account's URL in those after it; contacts go along."""
    ca = ScriptedCA(order=answer(201, order(), location=f"{BASE}/order/1"))
    one = client(ca)
    assert one.ensure_account(["mailto:a@b"]) == one.ensure_account() == f"{BASE}/account/1"
    (payload,) = ca.posts(f"{BASE}/account")
    assert json.loads(payload) == {"termsOfServiceAgreed": True, "contact": ["mailto:a@b"]}
    assert one.new_order([("dns", NAME)]) == placed()
    headers = [header for method, _, _, header in ca.asked if method == "POST"]
    assert ("jwk" in headers[0], "kid" in headers[0]) == (True, False)
    assert headers[1]["kid"] == f"{BASE}/account/1"


def test_refused_nonce_is_replaced_by_the_fresh_one__rfc8555_6_5() -> None:
    """The answer's own nonce is taken for the next try; after four it is told."""
    fresh = problem("badNonce")
    fresh = Answer(fresh.status, {"replay-nonce": "ZnJlc2g"}, fresh.body)
    ca = ScriptedCA(account=[fresh, answer(201, {"status": "valid"}, location=f"{BASE}/account/1")])
    assert client(ca).ensure_account() == f"{BASE}/account/1"
    assert [header["nonce"] for method, _, _, header in ca.asked if method == "POST"] == ["bm9uY2U", "ZnJlc2g"]
    with pytest.raises(ACMEProblem) as caught:
        client(ScriptedCA(account=fresh)).ensure_account()
    assert caught.value.kind == "badNonce"


def test_refusal_keeps_what_it_names__interfaces_6() -> None:
    """Kind, rule, owner, nearest, denial and Retry-After; the hint names the nearest."""
    members: dict[str, Any] = {"rule": "default-deny", "owner": "o", "nearest": "n.example", "denial": "4F2A"}
    refusal = problem("rejectedIdentifier", **members)
    ca = ScriptedCA(order=Answer(400, {"retry-after": "7"}, refusal.body))
    with pytest.raises(ACMEProblem) as caught:
        client(ca).new_order([("dns", "x.example")])
    error = caught.value
    assert (error.kind, error.rule, error.owner, error.nearest, error.denial) == (
        "rejectedIdentifier", "default-deny", "o", "n.example", "4F2A",
    )  # fmt: skip
    assert error.retry_after == 7
    assert "n.example" in error.hint
    assert "dayfly ca policy allow --denial 4F2A" in error.hint
    assert "the reason" in error.message


@pytest.mark.parametrize("kind", ["connection", "dns"])
def test_a_name_that_the_ca_cannot_reach_says_what_to_look_at(kind: str) -> None:
    """Port 80 of the name, and the three things that stand between."""
    with pytest.raises(ACMEProblem) as caught:
        client(ScriptedCA(account=problem(kind))).ensure_account()
    assert caught.value.hint == "the CA must reach the name on port 80: check DNS, the firewall, and --http-listen"


def test_hostile_problem_text_is_made_printable__g7() -> None:
    """Escape sequences and line ends do not reach a terminal."""
    ca = ScriptedCA(account=answer(403, {"type": "x\x1b[2J", "detail": "a\x1b[31m\nb" + "c" * 5000}))
    with pytest.raises(ACMEProblem) as caught:
        client(ca).ensure_account()
    assert caught.value.message.isprintable()
    assert caught.value.kind.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"type":5}'])
def test_error_without_a_problem_document_is_told_by_its_status(body: bytes) -> None:
    """A proxy may have answered."""
    with pytest.raises(ACMEProblem, match="status 502"):
        client(ScriptedCA(account=Answer(502, {}, body))).ensure_account()


def test_challenge_is_answered_and_taken_away__rfc8555_8_3() -> None:
    """Token and key authorization are presented, an empty object is sent, and nothing is left behind."""
    ca = ScriptedCA(
        authz=[answer(200, authorization()), answer(200, authorization()), answer(200, authorization("valid"))],
        challenge=answer(200, {}),
    )
    shelf, clock = Shelf(), Clock()
    client(ca, clock, account_url=f"{BASE}/account/1").authorize(placed(), shelf)
    assert ca.posts(f"{BASE}/challenge") == [b"{}"]
    assert shelf.presented[TOKEN].startswith(f"{TOKEN}.")
    assert shelf.there == {}
    assert clock.slept == [0.25]


def test_authorization_that_is_valid_already_is_left_alone__rfc8555_7_4() -> None:
    """Nothing is presented for it."""
    ca, shelf = ScriptedCA(authz=answer(200, authorization("valid"))), Shelf()
    client(ca, account_url=f"{BASE}/account/1").authorize(placed(), shelf)
    assert shelf.presented == {}


@pytest.mark.parametrize("token", ["../../etc/x", "$(id)", "a\nb", "a" * 200, "", "short"])
def test_hostile_token_goes_nowhere__g7(token: str) -> None:
    """It would become part of a path: only base64url of a bounded length is presented."""
    ca, shelf = ScriptedCA(authz=answer(200, authorization(token=token))), Shelf()
    with pytest.raises(ClientError, match="token"):
        client(ca, account_url=f"{BASE}/account/1").authorize(placed(), shelf)
    assert shelf.presented == {}


def test_other_challenges_alone_are_told() -> None:
    """A CA that offers no http-01 for the name."""
    ca = ScriptedCA(authz=answer(200, authorization(type="dns-01")))
    with pytest.raises(ClientError, match=f"no http-01 challenge for {NAME}"):
        client(ca, account_url=f"{BASE}/account/1").authorize(placed(), Shelf())


def test_failed_validation_tells_the_challenge_s_reason__acme_part_7() -> None:
    """The error of the challenge, with the name; the answer is taken away all the same."""
    error = {"type": "urn:ietf:params:acme:error:connection", "detail": "refused", "status": 400}
    failed = authorization("invalid", status="invalid", error=error)
    ca = ScriptedCA(authz=[answer(200, authorization()), answer(200, failed)], challenge=answer(200, {}))
    shelf = Shelf()
    with pytest.raises(ACMEProblem, match=f"{NAME}: refused") as caught:
        client(ca, account_url=f"{BASE}/account/1").authorize(placed(), shelf)
    assert caught.value.kind == "connection"
    assert shelf.there == {}


@pytest.mark.parametrize("status", ["deactivated", "expired", "revoked"])
def test_dead_authorization_is_told(status: str) -> None:
    """Nothing can be proved to it any more."""
    with pytest.raises(ClientError, match=status):
        client(ScriptedCA(authz=answer(200, authorization(status))), account_url=f"{BASE}/account/1").authorize(
            placed(), Shelf()
        )


def test_waiting_obeys_the_ca_and_ends_at_the_deadline__agent_6() -> None:
    """Retry-After where it is given, at most five seconds; then the wait is over."""
    waiting = answer(200, authorization(), retry_after="60")
    ca = ScriptedCA(authz=waiting, challenge=answer(200, {}))
    clock = Clock()
    with pytest.raises(ClientError, match=r"did not decide .* within 20 s"):
        client(ca, clock, account_url=f"{BASE}/account/1", deadline=20.0).authorize(placed(), Shelf())
    assert clock.slept == [5.0] * 4


def test_order_is_finalized_and_downloaded__rfc8555_7_4() -> None:
    """Ready, processing, valid; the chain comes as text."""
    done = order("valid", certificate=f"{BASE}/certificate")
    ca = ScriptedCA(
        **{"order/1": [answer(200, order("ready")), answer(200, order("processing")), answer(200, done)]},
        finalize=answer(200, order("processing")),
        certificate=Answer(200, {}, b"-----BEGIN"),
    )
    one = client(ca, account_url=f"{BASE}/account/1")
    ready = one.wait_ready(one.resume(f"{BASE}/order/1"))
    valid = one.finalize(ready, b"csr")
    assert one.download(valid) == "-----BEGIN"
    assert json.loads(ca.posts(f"{BASE}/finalize")[0]) == {"csr": "Y3Ny"}


def test_order_that_is_valid_is_not_finalized_again__agent_7() -> None:
    """A resumed order may have its certificate."""
    ca = ScriptedCA()
    one = client(ca, account_url=f"{BASE}/account/1")
    valid = placed("valid", certificate=f"{BASE}/certificate")
    assert one.finalize(valid, b"csr") == valid
    assert ca.asked == []


@pytest.mark.parametrize("error", [None, {"type": "urn:ietf:params:acme:error:dns", "detail": "no such name"}])
def test_invalid_order_tells_its_error__rfc8555_7_1_3(error: dict[str, str] | None) -> None:
    """With its reason, or that there is none."""
    dead = order("invalid") if error is None else order("invalid", error=error)
    ca = ScriptedCA(**{"order/1": answer(200, dead)})
    with pytest.raises(ACMEProblem, match="no such name" if error else "does not say why"):
        client(ca, account_url=f"{BASE}/account/1").wait_ready(placed())


def test_certificate_that_is_not_there_or_no_text_is_told() -> None:
    """A valid order without its URL; octets that are no PEM text."""
    one = client(ScriptedCA(certificate=Answer(200, {}, b"\xff")), account_url=f"{BASE}/account/1")
    with pytest.raises(ClientError, match="names no certificate"):
        one.download(placed("valid"))
    with pytest.raises(ClientError, match="not PEM text"):
        one.download(placed("valid", certificate=f"{BASE}/certificate"))


def test_answers_that_lack_what_is_due_are_told() -> None:
    """No Location, no nonce, no directory."""
    with pytest.raises(ClientError, match="no Location"):
        client(ScriptedCA(account=answer(201, {"status": "valid"}))).ensure_account()
    with pytest.raises(ClientError, match="no nonce"):
        client(ScriptedCA(nonce=Answer(200, {}, b""))).ensure_account()
    with pytest.raises(ACMEProblem, match="the reason"):
        client(ScriptedCA(directory=problem("malformed", 404))).ensure_account()
