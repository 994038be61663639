"""The JSON of RFC 8555, both ways: what is rendered is read back, and what is loose is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from dayfly.core.acme.messages import (
    GO_ZERO_TIME,
    AccountUpdate,
    Finalize,
    NewAccount,
    NewOrder,
    Urls,
    WireAccount,
    WireAuthorization,
    WireChallenge,
    WireDirectory,
    WireOrder,
    WireProblem,
    parse_answer,
    parse_asked_time,
    parse_csr_member,
    parse_payload,
    render_account,
    render_authorization,
    render_challenge,
    render_directory,
    render_order,
    render_orders,
    render_time,
)
from dayfly.core.acme.objects import AuthorizationRef, ChallengeStatus, OrderStatus, StoredProblem
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.problems import Malformed
from dayfly.errors import ClientError
from factories import NAME, NOW, TOKEN, account, authorization, challenge, csr_der, dns, order

URLS = Urls("https://ca.internal.example:9000/acme/acme")
REF = AuthorizationRef(0x1234567890, 0)
ORDER_ID = "0000001234567890"


# --- what clients send ------------------------------------------------------------------------------------------------


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


# --- what the server answers ------------------------------------------------------------------------------------------


def test_times_are_utc_and_whole_seconds__rfc3339() -> None:
    """Fractions go, other zones are turned to UTC."""
    assert render_time(datetime(2026, 1, 2, 3, 4, 5, 999, tzinfo=UTC)) == "2026-01-02T03:04:05Z"
    assert render_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-02T01:04:05Z"


def test_directory_is_read_back_and_has_meta_only_if_there_is_some__rfc8555_7_1_1() -> None:
    """The URLs under the base, one random key, and no empty meta."""
    bare = json.loads(render_directory(URLS, meta={}, extra=("abc", "noise")))
    assert bare["abc"] == "noise"
    assert "meta" not in bare
    body = render_directory(URLS, meta={"website": "https://a.example"}, extra=("abc", "noise"))
    found = parse_answer(body, WireDirectory)
    assert (found.new_nonce, found.new_account, found.new_order) == (URLS.new_nonce, URLS.new_account, URLS.new_order)
    assert found.meta == {"website": "https://a.example"}
    assert URLS.directory == "https://ca.internal.example:9000/acme/acme/directory"


def test_directory_has_new_authz_only_where_it_is_served__rfc8555_7_4_1() -> None:
    """Absent without pre-authorization, as the RFC has it; there with it."""
    assert "newAuthz" not in json.loads(render_directory(URLS, meta={}, extra=("abc", "noise")))
    found = json.loads(render_directory(URLS, meta={}, extra=("abc", "noise"), pre_authorization=True))
    assert found["newAuthz"] == "https://ca.internal.example:9000/acme/acme/new-authz"


def test_alternate_chain_has_the_certificate_s_url_and_a_number__rfc8555_7_4_2() -> None:
    """So each is the certificate's, and no two are one."""
    assert URLS.alternate(5, 2) == f"{URLS.certificate(5)}/2"


def test_account_object__rfc8555_7_1_2() -> None:
    """Status and orders always, contact and agreement where there are any."""
    orders = "https://ca.internal.example:9000/acme/acme/account/0000000000000007/orders"
    assert json.loads(render_account(account(), URLS)) == {"status": "valid", "orders": orders}
    full = json.loads(render_account(account(contacts=("mailto:a@b",), terms_agreed=True), URLS))
    assert full == {
        "status": "valid",
        "orders": orders,
        "contact": ["mailto:a@b"],
        "termsOfServiceAgreed": True,
    }
    assert parse_answer(render_account(account(), URLS), WireAccount).status == "valid"
    assert orders == URLS.account(7) + "/orders"


def test_pending_order_has_no_members_that_are_not_known_yet__rfc8555_7_1_3() -> None:
    """Absent, never null."""
    found: dict[str, Any] = json.loads(render_order(order(), URLS))
    assert found == {
        "id": ORDER_ID,
        "status": "pending",
        "expires": "2026-11-24T13:00:00Z",
        "identifiers": [{"type": "dns", "value": NAME}],
        "authorizations": [f"{URLS.base}/authz/{ORDER_ID}-0"],
        "finalize": f"{URLS.base}/order/{ORDER_ID}/finalize",
    }


def test_order_with_everything__rfc8555_7_1_3() -> None:
    """Asked times, profile, certificate, and an error with its subproblem."""
    cause = StoredProblem(
        "connection", "refused", 400, subproblems=(StoredProblem("connection", "refused", identifier=dns()),)
    )
    full = order(
        status=OrderStatus.INVALID, not_before=NOW, not_after=NOW, profile="service", certificate_id=5, error=cause
    )
    found: dict[str, Any] = json.loads(render_order(full, URLS))
    assert (found["notBefore"], found["notAfter"], found["profile"]) == (render_time(NOW), render_time(NOW), "service")
    assert found["certificate"] == f"{URLS.base}/certificate/0000000000000005"
    assert found["error"] == {
        "type": "urn:ietf:params:acme:error:connection",
        "detail": "refused",
        "status": 400,
        "subproblems": [
            {
                "type": "urn:ietf:params:acme:error:connection",
                "detail": "refused",
                "status": 400,
                "identifier": {"type": "dns", "value": NAME},
            }
        ],
    }
    assert "replaces" not in found
    read = parse_answer(render_order(full, URLS), WireOrder)
    assert read.error is not None
    assert read.error.kind == "connection"
    assert read.error.subproblems is not None
    assert read.error.subproblems[0].identifier is not None


def test_order_tells_what_it_replaces__rfc9773_5() -> None:
    """By the identifier that the client gave."""
    assert json.loads(render_order(order(replaces="aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"), URLS))["replaces"] == (
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    )


def test_wildcard_is_a_flag_in_an_authorization__acme_o6() -> None:
    """The value is without its `*.`, in the order it has it."""
    one = authorization("*.internal.example")
    found = parse_answer(render_authorization(one, REF, URLS), WireAuthorization)
    assert (found.identifier.value, found.wildcard) == ("internal.example", True)
    plain = parse_answer(render_authorization(authorization(), REF, URLS), WireAuthorization)
    assert (plain.identifier.value, plain.wildcard) == (NAME, False)


def test_challenge_shows_its_time_and_error_once_it_has_them__rfc8555_8() -> None:
    """Absent before, there after."""
    pending = json.loads(render_challenge(challenge(), REF, URLS))
    url = f"{URLS.base}/challenge/{ORDER_ID}-0/http-01"
    assert pending == {"type": "http-01", "url": url, "status": "pending", "token": TOKEN}
    failed = challenge(status=ChallengeStatus.INVALID, error=StoredProblem("dns", "no such name"), validated_at=NOW)
    found = json.loads(render_challenge(failed, REF, URLS))
    assert found["validated"] == render_time(NOW)
    assert found["error"]["detail"] == "no such name"
    assert parse_answer(render_challenge(failed, REF, URLS), WireChallenge).error is not None


def test_page_of_orders__rfc8555_7_1_2_1() -> None:
    """URLs, in order."""
    found = json.loads(render_orders((1, 2), URLS))
    assert found == {"orders": [URLS.order(1), URLS.order(2)]}


# --- what the client reads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"status":1}', b"\xff", b"[" * 100_000])
def test_other_answer_is_a_client_error__agent_8(body: bytes) -> None:
    """Whatever a server sends, the client says what it was not."""
    with pytest.raises(ClientError, match="account"):
        parse_answer(body, WireAccount)


def test_problem_without_members_is_a_problem__rfc9457() -> None:
    """All members have a default."""
    found = parse_answer(b'{"subproblems":null}', WireProblem)
    assert (found.kind, found.status, found.subproblems) == ("about:blank", 0, None)
