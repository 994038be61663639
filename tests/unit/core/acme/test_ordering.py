"""What may be ordered, and what an order is as of now (RFC 8555 7.1.3, 7.1.6, 7.4)."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from dayfly.core.acme.objects import AccountStatus, AuthorizationStatus, Order, OrderStatus
from dayfly.core.acme.ordering import (
    MAX_NAMES,
    ORDER_LIFE,
    ChallengeOffer,
    OrderRequest,
    abandon_order,
    as_of,
    deactivate_authorization,
    is_same_request,
    parse_order_request,
    plan_new_order,
)
from dayfly.core.acme.payloads import NewOrder, WireIdentifier
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.grant import Grant
from dayfly.core.problems import (
    InvalidProfile,
    Malformed,
    Refused,
    RejectedIdentifier,
    UnsupportedIdentifier,
)
from dayfly.core.provisioners import grant_for
from factories import NOW, authorization, dns, order, ready_order, settings, valid_authorization

HTTP = ChallengeOffer("http-01", frozenset({IdentifierType.DNS, IdentifierType.IP}), wildcards=False)
END = NOW + timedelta(days=3650)


def wire(*names: str, **members: str) -> NewOrder:
    """A newOrder payload for DNS names."""
    return NewOrder(identifiers=tuple(WireIdentifier("dns", name) for name in names), **members)


def request(*names: str) -> OrderRequest:
    """A request that was read."""
    return parse_order_request(wire(*(names or ("api.internal.example",))))


def grant() -> Grant:
    """What the ACME provisioner of the test settings grants."""
    found = grant_for(settings(), "acme")
    assert found is not None
    return found


def plan(asked: OrderRequest, *, offers: tuple[ChallengeOffer, ...] = (HTTP,)) -> Order:
    """The order that would be made."""
    tokens = (f"token-{number}" for number in itertools.count())
    made, _ = plan_new_order(
        asked,
        order_id=1,
        account_id=7,
        tokens=tokens,
        grant=grant(),
        offers=offers,
        source=None,
        issuer_not_after=END,
        now=NOW,
    )
    return made


def test_order_has_an_authorization_for_each_name__rfc8555_7_1_3() -> None:
    """Each name gets its own authorization with its own token, all pending."""
    made = plan(request("a.internal.example", "b.internal.example"))
    assert made.status is OrderStatus.PENDING
    assert made.identifiers == (dns("a.internal.example"), dns("b.internal.example"))
    assert [one.challenges[0].token for one in made.authorizations] == ["token-0", "token-1"]
    assert made.expires == NOW + ORDER_LIFE


def test_duplicates_are_merged_after_lower_casing__o8() -> None:
    """Names that differ in case only are one."""
    assert request("A.internal.example", "a.internal.example").identifiers == (dns("a.internal.example"),)


def test_name_without_a_rule_is_rejected__o9() -> None:
    """A name that no rule gives is rejectedIdentifier, with the rule that decided and the nearest name."""
    with pytest.raises(RejectedIdentifier) as caught:
        plan(request("shop.corp.example.net"))
    denial = caught.value.denial
    assert denial is not None
    assert denial.rule == "default-deny"
    assert denial.nearest


def test_all_bad_names_are_told_at_once__rfc8555_6_7_1() -> None:
    """Several refused names give one problem with a subproblem each."""
    with pytest.raises(RejectedIdentifier) as caught:
        plan(request("api.internal.example", "a.elsewhere.test", "b.elsewhere.test"))
    named = [sub.identifier for sub in caught.value.subproblems]
    assert named == [dns("a.elsewhere.test"), dns("b.elsewhere.test")]


def test_wildcard_needs_a_challenge_that_can_prove_it__v17() -> None:
    """http-01 proves no wildcard (RFC 8555 7.1.3), whatever the rules say."""
    with pytest.raises(RejectedIdentifier):
        plan(request("*.internal.example"))


def test_provisioner_must_offer_a_challenge() -> None:
    """Without a validator for the name no order is made."""
    with pytest.raises(RejectedIdentifier, match="offers no challenge type"):
        plan(request(), offers=())


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (NewOrder(identifiers=()), Malformed),
        (wire(*(f"n{number}.internal.example" for number in range(MAX_NAMES + 1))), Malformed),
        (wire(*("a" * 300 for _ in range(99))), Malformed),
        (NewOrder(identifiers=(WireIdentifier("email", "a@b.example"),)), UnsupportedIdentifier),
        (wire("127.0.0.1"), Malformed),
        (wire("bad name.example", "-.example"), Malformed),
        (wire("api.internal.example", not_after="tomorrow"), Malformed),
        (wire("api.internal.example", not_before="2026-11-24T12:00:00"), Malformed),
    ],
    ids=["none", "101 names", "long", "type", "address as name", "two bad", "garbage time", "no zone"],
)
def test_request_that_is_not_well_formed_is_refused__o2_o3_o4_o11(payload: NewOrder, error: type[Refused]) -> None:
    """Each defect is refused as its kind."""
    with pytest.raises(error):
        parse_order_request(payload)


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z"])
def test_time_that_was_not_asked_is_none(text: str | None) -> None:
    """Absent, null and Go's zero time mean "not asked"."""
    payload = NewOrder(identifiers=(WireIdentifier("dns", "a.example"),), not_after=text)
    assert parse_order_request(payload).not_after is None


@pytest.mark.parametrize("asked", ["2026-11-24T11:00:00Z", "2027-11-24T12:00:00Z"], ids=["past", "beyond the maximum"])
def test_asked_end_outside_the_bounds_is_malformed__o11(asked: str) -> None:
    """An asked notAfter is never changed silently."""
    with pytest.raises(Malformed):
        plan(parse_order_request(wire("api.internal.example", not_after=asked)))


def test_predecessor_is_kept_as_the_client_named_it__rfc9773_5() -> None:
    """A certificate's identifier is taken letter by letter; none is none; anything else is malformed."""
    named = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert parse_order_request(wire("api.internal.example", replaces=named)).replaces == named
    assert request().replaces == ""
    for text in ("", "no identifier", named + "=", named + ".AA"):
        with pytest.raises(Malformed):
            parse_order_request(wire("api.internal.example", replaces=text))


def test_unknown_profile_is_refused__o12() -> None:
    """One that the provisioner does not offer."""
    with pytest.raises(InvalidProfile):
        plan(parse_order_request(wire("api.internal.example", profile="tlsserver")))


@pytest.mark.parametrize(
    ("candidate", "same"),
    [
        (order(), True),
        (ready_order(), True),
        (order(status=OrderStatus.INVALID), False),
        (order(expires=NOW), False),
        (order(authorizations=(authorization("b.internal.example"),)), False),
        (order(not_after=NOW + timedelta(hours=1)), False),
        (order(profile="other"), False),
    ],
)
def test_same_request_finds_its_open_order__o13(candidate: Order, same: bool) -> None:
    """Only an open order for exactly the same is given again."""
    assert is_same_request(candidate, request(), now=NOW) is same


def test_order_is_itself_before_it_expires() -> None:
    """Nothing changes before expiry."""
    assert as_of(order(), NOW) == order()


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING])
def test_open_order_expires_to_invalid__o15(status: OrderStatus) -> None:
    """After its time an open order is invalid, with the cause, and its authorizations are expired."""
    found = as_of(order(status=status), NOW + ORDER_LIFE)
    assert found.status is OrderStatus.INVALID
    assert found.error is not None
    assert found.authorizations[0].status is AuthorizationStatus.EXPIRED


def test_ended_order_keeps_its_status_when_it_expires() -> None:
    """A valid order stays valid; only its authorizations expire."""
    found = as_of(order(status=OrderStatus.VALID, authorizations=(valid_authorization(),)), NOW + ORDER_LIFE)
    assert found.status is OrderStatus.VALID
    assert found.authorizations[0].status is AuthorizationStatus.EXPIRED


def test_dead_authorization_does_not_expire_again() -> None:
    """An invalid authorization stays invalid."""
    dead = authorization(status=AuthorizationStatus.INVALID)
    found = as_of(order(status=OrderStatus.INVALID, authorizations=(dead,)), NOW + ORDER_LIFE)
    assert found.authorizations[0].status is AuthorizationStatus.INVALID


def test_deactivation_makes_the_order_invalid__rfc8555_7_5_2() -> None:
    """The owner's word ends the authorization and with it the order."""
    found = deactivate_authorization(order(), 0)
    assert found.authorizations[0].status is AuthorizationStatus.DEACTIVATED
    assert found.status is OrderStatus.INVALID
    assert found.error is not None


def test_deactivation_leaves_a_finished_order__rfc8555_7_5_2() -> None:
    """A certificate that was issued is not undone by it."""
    done = order(status=OrderStatus.VALID, authorizations=(valid_authorization(),))
    assert deactivate_authorization(done, 0).status is OrderStatus.VALID


def test_dead_authorization_cannot_be_deactivated() -> None:
    """There is nothing to give up."""
    dead = order(authorizations=(authorization(status=AuthorizationStatus.INVALID),))
    with pytest.raises(Malformed, match="the authorization is invalid"):
        deactivate_authorization(dead, 0)


def test_ip_identifier_gets_http_01__rfc8738() -> None:
    """Addresses are proved by http-01 where a rule allows them."""
    asked = OrderRequest((Identifier(IdentifierType.IP, "10.1.2.3"),), None, None, "")
    assert plan(asked).authorizations[0].challenges[0].type == "http-01"


@pytest.mark.parametrize("one", [order(), ready_order()], ids=["pending", "ready"])
def test_order_of_a_deactivated_account_is_invalid_with_the_reason__rfc8555_7_3_6(one: Order) -> None:
    """An open order ends with its account, and says so."""
    ended = abandon_order(one, AccountStatus.DEACTIVATED)
    assert ended.status is OrderStatus.INVALID
    assert ended.error is not None
    assert ended.error.detail == "the account was deactivated by its owner"
    by_operator = abandon_order(one, AccountStatus.REVOKED).error
    assert by_operator is not None
    assert by_operator.detail == "the account was revoked by the CA"
    assert (ended.error.type, ended.error.status) == ("unauthorized", 403)
    assert ended.authorizations == one.authorizations
