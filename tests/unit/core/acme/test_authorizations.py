"""Authorizations in rows of their own, and the orders that rely on them (RFC 8555 7.1.6, 7.4.1)."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.acme.authorizations import (
    PRE_AUTHORIZED_FOR,
    in_own_rows,
    is_given_again,
    is_reusable,
    parse_asked_identifier,
    plan_new_authorization,
    row_as_of,
    row_ids_of,
    settle_row,
    use_again,
    with_rows,
)
from dayfly.core.acme.challenges import SettledBy
from dayfly.core.acme.objects import AuthorizationStatus, Order, OrderStatus, SharedAuthorization
from dayfly.core.acme.ordering import ORDER_LIFE, ChallengeOffer
from dayfly.core.acme.payloads import NewAuthorization, WireIdentifier
from dayfly.core.frozen import replace
from dayfly.core.identifiers import IdentifierType
from dayfly.core.policy.grant import Grant
from dayfly.core.problems import Connection, Malformed, RejectedIdentifier, UnsupportedIdentifier
from dayfly.core.provisioners import grant_for
from factories import (
    NAME,
    NOW,
    account,
    authorization,
    dns,
    order,
    settings,
    shared_authorization,
    valid_authorization,
)

OTHER = "b.internal.example"
HTTP = ChallengeOffer("http-01", frozenset({IdentifierType.DNS}), wildcards=False)
HOUR = timedelta(hours=1)
PROVED = SettledBy("http-01", None, address="10.0.0.1:80", attempts=1)


def grant(**changes: Any) -> Grant:
    """What the ACME provisioner of the test settings grants, with pre-authorization."""
    found = grant_for(settings(), "acme")
    assert found is not None
    return replace(found, pre_authorization=True, **changes)


def valid_row(name: str = NAME, **changes: Any) -> SharedAuthorization:
    """A row whose authorization was proved."""
    row = shared_authorization(name, **changes)
    return replace(row, authorization=valid_authorization(name, row_id=row.id))


def of_status(row: SharedAuthorization, status: AuthorizationStatus) -> SharedAuthorization:
    """The same row with another status."""
    return replace(row, authorization=replace(row.authorization, status=status))


def failed(row: SharedAuthorization) -> SharedAuthorization:
    """The row after its validation failed."""
    problem = Connection("connecting to 192.0.2.1 port 80: refused")
    found = settle_row(row, SettledBy("http-01", problem, address="", attempts=1), now=NOW)
    assert found is not None
    return found


def relying(*rows: SharedAuthorization, **changes: Any) -> Order:
    """An order with copies of these rows as they are."""
    return replace(order(authorizations=tuple(row.authorization for row in rows)), **changes)


def asked(value: str, kind: str = "dns") -> NewAuthorization:
    """A newAuthz payload."""
    return NewAuthorization(WireIdentifier(kind, value))


def test_name_that_is_asked_for_beforehand_is_canonical__rfc8555_7_4_1() -> None:
    """Lower case, of a type that we know, and no wildcard."""
    assert parse_asked_identifier(asked("API.internal.example")) == dns()
    with pytest.raises(Malformed, match="wildcard"):
        parse_asked_identifier(asked("*.internal.example"))
    with pytest.raises(UnsupportedIdentifier):
        parse_asked_identifier(asked("a@b.example", "email"))


def planned(of: Grant, offers: tuple[ChallengeOffer, ...] = (HTTP,)) -> SharedAuthorization:
    """The row for NAME."""
    tokens = (f"token-{number}" for number in itertools.count())
    return plan_new_authorization(dns(), row_id=9, account=account(), tokens=tokens, grant=of, offers=offers, now=NOW)


def test_new_authorization_is_pending_and_serves_every_profile__rfc8555_7_4_1() -> None:
    """With a challenge, for as long as an order; once valid it stands for an hour, or what the provisioner says."""
    row = planned(grant())
    assert (row.id, row.authorization.row_id, row.profile) == (9, 9, None)
    assert row.authorization.status is AuthorizationStatus.PENDING
    assert [one.type for one in row.authorization.challenges] == ["http-01"]
    assert row.authorization.expires == NOW + ORDER_LIFE
    assert row.good_for == PRE_AUTHORIZED_FOR
    assert planned(grant(authorization_reuse=timedelta(minutes=5))).good_for == timedelta(minutes=5)
    with pytest.raises(RejectedIdentifier):
        planned(grant(), offers=())


def test_pre_authorization_never_outlives_the_longest_lifetime() -> None:
    """Where certificates live for a minute, a proof does no longer."""
    short = replace(grant().lifetimes, maximum=timedelta(minutes=1))
    assert planned(grant(lifetimes=short)).good_for == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("row", "usable"),
    [
        (valid_row(), True),
        (valid_row(profile="service"), True),
        (valid_row(profile="device"), False),
        (valid_row(provisioner="other"), False),
        (shared_authorization(), False),
        (of_status(valid_row(), AuthorizationStatus.DEACTIVATED), False),
        (valid_row(good_for=timedelta(hours=11)), False),
        (replace(valid_row(), authorization=replace(valid_row().authorization, validated_by="dns-99")), False),
    ],
    ids=["any profile", "this one", "another", "provisioner", "pending", "given up", "soon over", "challenge type"],
)
def test_what_an_order_may_rely_on__acme_6(row: SharedAuthorization, usable: bool) -> None:
    """A valid one of this provisioner and profile, with a tenth of its time left, proved in a way that still counts."""
    assert is_reusable(row, profile="service", grant=grant(), now=NOW) is usable


@pytest.mark.parametrize(
    ("row", "later", "again"),
    [
        (shared_authorization(), timedelta(), True),
        (shared_authorization(), timedelta(minutes=55), False),
        (shared_authorization(provisioner="other"), timedelta(), False),
        (shared_authorization(profile="service"), timedelta(), False),
        (valid_row(), timedelta(), True),
        (valid_row(), timedelta(minutes=55), False),
    ],
    ids=["pending", "soon over", "provisioner", "an order's", "valid", "valid, soon over"],
)
def test_what_a_client_is_given_again(row: SharedAuthorization, later: timedelta, again: bool) -> None:
    """What newAuthz made and has time before it."""
    assert is_given_again(row, grant(), NOW + later) is again


def test_order_relies_on_what_is_valid__acme_6() -> None:
    """Names with a valid authorization need no proof; an order that needs none is ready."""
    fresh = order(authorizations=(authorization(), authorization(OTHER)))
    half = use_again(fresh, [valid_row()])
    assert (half.status, half.authorizations[0]) == (OrderStatus.PENDING, valid_row().authorization)
    assert half.authorizations[1] == authorization(OTHER)
    whole = use_again(fresh, [valid_row(), valid_row(OTHER, id=8)])
    assert whole.status is OrderStatus.READY
    assert row_ids_of(whole) == (0x5566, 8)
    assert use_again(fresh, []) == fresh


def test_order_makes_rows_of_what_is_its_own__acme_6() -> None:
    """For its profile; what it relies on already stays as it is."""
    mixed = relying(valid_row(), profile="service")
    mixed = replace(mixed, authorizations=(*mixed.authorizations, authorization(OTHER)))
    made, rows = in_own_rows(mixed, row_ids=itertools.count(70), good_for=HOUR)
    assert [(row.id, row.profile, row.good_for) for row in rows] == [(70, "service", HOUR)]
    assert made.authorizations == (valid_row().authorization, rows[0].authorization)
    assert rows[0].authorization == replace(authorization(OTHER), row_id=70)
    assert (rows[0].account_id, rows[0].provisioner) == (made.account_id, made.provisioner)


def test_row_expires_as_of_now__rfc8555_7_1_6() -> None:
    """A live one is itself; a pending or valid one that has ended is expired."""
    assert row_as_of(valid_row(), NOW) == valid_row()
    assert row_as_of(valid_row(), NOW + HOUR).authorization.status is AuthorizationStatus.EXPIRED


def test_proved_row_stands_from_then_on() -> None:
    """For as long as it is good; a second outcome, or one that comes too late, changes nothing."""
    later = NOW + timedelta(minutes=50)
    row = settle_row(shared_authorization(), PROVED, now=later)
    assert row is not None
    assert row.authorization.status is AuthorizationStatus.VALID
    assert row.authorization.expires == later + HOUR
    assert (row.authorization.validated_by, row.authorization.validated_address) == ("http-01", "10.0.0.1:80")
    assert settle_row(row, PROVED, now=later) is None
    assert settle_row(shared_authorization(), PROVED, now=NOW + HOUR) is None
    assert failed(shared_authorization()).authorization.status is AuthorizationStatus.INVALID


def read(one: Order, *rows: SharedAuthorization, later: timedelta = timedelta()) -> Order:
    """The order by these rows, a while later."""
    now = NOW + later
    return with_rows(one, {row.id: row_as_of(row, now) for row in rows}, now)


def test_order_is_what_its_rows_say__rfc8555_7_1_6() -> None:
    """Pending while one is, ready with the last valid one, whatever its copies are."""
    first, second = shared_authorization(), shared_authorization(OTHER, id=8)
    pending = relying(first, second)
    assert read(pending, first, second) == pending
    assert read(pending, valid_row(), second).status is OrderStatus.PENDING
    ready = read(pending, valid_row(), valid_row(OTHER, id=8))
    assert ready.status is OrderStatus.READY
    assert read(ready).status is OrderStatus.READY  # rows that are gone


def test_order_whose_row_failed_is_invalid_with_its_cause__rfc8555_6_7_1() -> None:
    """Each failed name is a subproblem."""
    first, second = shared_authorization(), shared_authorization(OTHER, id=8)
    dead = read(relying(first, second), failed(first), failed(second))
    assert dead.status is OrderStatus.INVALID
    assert dead.error is not None
    assert [one.identifier for one in dead.error.subproblems] == [dns(), dns(OTHER)]


@pytest.mark.parametrize("status", [AuthorizationStatus.DEACTIVATED, AuthorizationStatus.REVOKED])
def test_order_whose_row_was_given_up_is_invalid__rfc8555_7_5_2(status: AuthorizationStatus) -> None:
    """Also one that was ready, at any moment before its certificate."""
    ready = relying(valid_row(), status=OrderStatus.READY)
    dead = read(ready, of_status(valid_row(), status))
    assert dead.status is OrderStatus.INVALID
    assert "deactivated" in (dead.error.detail if dead.error else "")


def test_order_whose_row_expired_is_invalid_before_its_own_end__acme_o18() -> None:
    """The cause names the authorization, not the order."""
    row = valid_row()
    row = replace(row, authorization=replace(row.authorization, expires=NOW + timedelta(minutes=5)))
    ready = relying(row, status=OrderStatus.READY)
    assert read(ready, row, later=timedelta(minutes=4)).status is OrderStatus.READY
    dead = read(ready, row, later=timedelta(minutes=5))
    assert dead.status is OrderStatus.INVALID
    assert dead.error is not None
    assert dead.error.detail == f"the authorization for {NAME} expired before it was finalized"


def test_status_that_is_none_is_a_bug() -> None:
    """A new one has to be given its meaning here first; the type checker says so, and so does this."""
    with pytest.raises(AssertionError):
        read(relying(shared_authorization()), of_status(shared_authorization(), "newer"))  # type: ignore[arg-type]  # none


def test_ended_order_keeps_its_copies() -> None:
    """What happens to a row later is not the order's history."""
    done = relying(valid_row(), status=OrderStatus.VALID)
    assert read(done, of_status(valid_row(), AuthorizationStatus.DEACTIVATED)) == done
