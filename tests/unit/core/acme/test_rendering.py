"""The JSON that the server answers with: what is rendered is read back by a client (RFC 8555)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dayfly.core.acme.answers import (
    WireAccount,
    WireAuthorization,
    WireChallenge,
    WireDirectory,
    WireOrder,
    parse_answer,
)
from dayfly.core.acme.objects import (
    AuthorizationRef,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    OrderStatus,
    StoredProblem,
)
from dayfly.core.acme.rendering import (
    render_account,
    render_authorization,
    render_challenge,
    render_directory,
    render_order,
    render_orders,
    render_time,
)
from dayfly.core.acme.urls import Urls
from dayfly.core.frozen import replace
from factories import NAME, NOW, TOKEN, account, authorization, challenge, dns, order

URLS = Urls("https://ca.internal.example:9000/acme/acme")
REF = AuthorizationRef(0x1234567890, 0)
ORDER_ID = "0000001234567890"


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
    bound_by = {"protected": "e30", "payload": "e30", "signature": "c2ln"}
    bound = json.loads(render_account(account(), URLS, bound_by=bound_by))
    assert bound == {"status": "valid", "orders": orders, "externalAccountBinding": bound_by}
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


@pytest.mark.parametrize("status", ["valid", "invalid"])
def test_settled_authorization_shows_what_settled_it__rfc8555_7_1_4(status: str) -> None:
    """The challenge that proved it, or that failed; while it is pending all of them."""
    settled = Challenge("dns-01", "t2", status=ChallengeStatus(status))
    both = replace(authorization(), challenges=(Challenge("http-01", "t1"), settled))
    pending = parse_answer(render_authorization(both, REF, URLS), WireAuthorization)
    assert [one.type for one in pending.challenges] == ["http-01", "dns-01"]
    over = replace(both, status=AuthorizationStatus(status))
    found = parse_answer(render_authorization(over, REF, URLS), WireAuthorization)
    assert [one.type for one in found.challenges] == ["dns-01"]


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
