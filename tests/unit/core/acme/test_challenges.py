"""What a validation's outcome makes of an order (RFC 8555 7.1.6, 7.5.1, 8.2)."""

from __future__ import annotations

import pytest

from dayfly.core.acme.challenges import (
    RETRY_SPACING,
    TRIES,
    VALIDATION_SPAN,
    SettledBy,
    find_challenge,
    key_authorization,
    needs_validation,
    retry_delay,
    settle,
    stored_problem,
)
from dayfly.core.acme.objects import AuthorizationStatus, ChallengeStatus, Order, OrderStatus, StoredProblem
from dayfly.core.frozen import replace
from dayfly.core.problems import Connection, Dns, Malformed
from factories import NOW, TOKEN, authorization, challenge, dns, order, ready_order, valid_authorization


def prove(one: Order, index: int = 0) -> Order | None:
    """The order after its http-01 challenge was proved."""
    return settle(one, index, SettledBy("http-01", None, address="127.0.0.1:80", attempts=1), now=NOW)


def fail(one: Order, index: int = 0) -> Order | None:
    """The order after its http-01 challenge failed for good."""
    failure = Connection("connecting to 192.0.2.1 port 80: refused")
    return settle(one, index, SettledBy("http-01", failure, address="", attempts=5), now=NOW)


def test_key_authorization_is_token_and_thumbprint__rfc8555_8_1() -> None:
    """The two parts are joined by a full stop."""
    assert key_authorization("token", "thumbprint") == "token.thumbprint"


def test_proof_makes_the_only_authorization_and_the_order_ready__rfc8555_7_1_6() -> None:
    """With its last authorization valid, the order is ready."""
    settled = prove(order())
    assert settled is not None
    assert settled.status is OrderStatus.READY
    assert settled.authorizations[0].status is AuthorizationStatus.VALID
    assert settled.authorizations[0].validated_by == "http-01"
    assert settled.authorizations[0].validated_address == "127.0.0.1:80"
    assert settled.authorizations[0].challenges[0] == challenge(
        status=ChallengeStatus.VALID, validated_at=NOW, attempts=1
    )


def test_order_stays_pending_while_another_authorization_is__rfc8555_7_1_6() -> None:
    """One proof of two makes no order ready."""
    settled = prove(order(authorizations=(authorization("a.example"), authorization("b.example"))))
    assert settled is not None
    assert settled.status is OrderStatus.PENDING
    assert [one.status for one in settled.authorizations] == [AuthorizationStatus.VALID, AuthorizationStatus.PENDING]


def test_failure_makes_challenge_authorization_and_order_invalid_with_the_cause__rfc8555_8_2() -> None:
    """All three carry the error; the order names the identifier in a subproblem."""
    settled = fail(order())
    assert settled is not None
    failed = settled.authorizations[0].challenges[0]
    assert (settled.status, settled.authorizations[0].status) == (OrderStatus.INVALID, AuthorizationStatus.INVALID)
    assert failed.status is ChallengeStatus.INVALID
    assert failed.error is not None
    assert failed.error.type == "connection"
    assert settled.error is not None
    assert settled.error.subproblems[0].identifier == settled.authorizations[0].identifier
    assert "connecting to 192.0.2.1 port 80: refused" in settled.error.detail


@pytest.mark.parametrize(
    "late",
    [
        order(authorizations=(authorization(status=AuthorizationStatus.DEACTIVATED),)),
        order(expires=NOW, authorizations=(authorization(expires=NOW),)),
        ready_order(),
    ],
    ids=["deactivated", "expired", "already ready"],
)
def test_outcome_that_comes_late_changes_nothing__v22(late: Order) -> None:
    """A late proof cannot make a dead authorization live, nor a late failure kill a ready order."""
    assert prove(late) is None
    assert fail(late) is None


def test_late_proof_makes_no_dead_order_live__v22() -> None:
    """The authorization was proved, and whoever polls it hears so; the order stays invalid, with its cause."""
    cause = StoredProblem("unauthorized", "given up", 403)
    settled = prove(order(status=OrderStatus.INVALID, error=cause))
    assert settled is not None
    assert (settled.status, settled.error) == (OrderStatus.INVALID, cause)
    assert settled.authorizations[0].status is AuthorizationStatus.VALID


def test_each_failed_identifier_is_a_subproblem_of_the_order__acme_7() -> None:
    """The first failure decides; later ones are added, and the challenge that failed says why itself."""
    first = fail(order(authorizations=(authorization("a.example"), authorization("b.example"))), 1)
    assert first is not None
    both = fail(first, 0)
    assert both is not None
    assert both.error is not None
    assert [one.identifier for one in both.error.subproblems] == [dns("b.example"), dns("a.example")]
    assert both.error.detail.startswith("b.example: http-01 failed: ")
    assert [one.status for one in both.authorizations] == [AuthorizationStatus.INVALID] * 2
    assert both.authorizations[0].challenges[0].error is not None


@pytest.mark.parametrize("cause", [None, StoredProblem("unauthorized", "an authorization was deactivated", 403)])
def test_failure_adds_nothing_to_an_order_that_ended_otherwise(cause: StoredProblem | None) -> None:
    """A failed challenge is no cause of what was given up before."""
    settled = fail(order(status=OrderStatus.INVALID, error=cause))
    assert settled is not None
    assert settled.error == cause
    assert settled.authorizations[0].status is AuthorizationStatus.INVALID


def test_long_text_is_cut_in_the_middle__acme_8() -> None:
    """At most 300 characters, of which the first and the last say what and why."""
    short = stored_problem(Dns("looking up TXT: x"))
    assert short.detail == "looking up TXT: x"
    long = stored_problem(Dns(f"looking up TXT of {'a' * 300}: no answer"))
    assert len(long.detail) == 300
    assert long.detail.startswith("looking up TXT of aaa")
    assert long.detail.endswith("aaa: no answer")


def test_outcome_of_a_challenge_that_is_not_there_changes_nothing() -> None:
    """An unknown type settles nothing."""
    assert settle(order(), 0, SettledBy("dns-01", None, address="", attempts=1), now=NOW) is None


@pytest.mark.parametrize("status", [ChallengeStatus.VALID, ChallengeStatus.INVALID])
def test_settled_challenge_needs_no_validation__rfc8555_7_5_1(status: ChallengeStatus) -> None:
    """A second answer to a settled challenge starts nothing."""
    settled = challenge(status=status)
    assert needs_validation(order(), authorization(challenges=(settled,)), settled) is False


def test_pending_challenge_needs_validation__rfc8555_7_5_1() -> None:
    """The first answer starts a validation."""
    assert needs_validation(order(), authorization(), challenge()) is True


def test_challenge_beside_the_one_that_proved_needs_no_validation__v2() -> None:
    """A client that answers all challenges of an authorization is told no error when the first has proved it."""
    assert needs_validation(ready_order(), valid_authorization(), challenge(type="dns-01")) is False


def test_challenge_of_a_dead_authorization_is_refused__v4() -> None:
    """Another challenge of an authorization that is invalid cannot be tried."""
    dead = authorization(status=AuthorizationStatus.INVALID)
    with pytest.raises(Malformed, match="the authorization is invalid; make a new order"):
        needs_validation(order(), dead, challenge())


def test_challenge_of_a_dead_order_is_refused__v4() -> None:
    """A pending authorization of an order that is invalid cannot be tried."""
    with pytest.raises(Malformed, match="the order is invalid; make a new order"):
        needs_validation(order(status=OrderStatus.INVALID), authorization(), challenge())


def test_find_challenge_by_type() -> None:
    """An authorization has one challenge of a type, or none."""
    assert find_challenge(authorization(), "http-01") == challenge()
    assert find_challenge(authorization(), "dns-01") is None


def test_a_sibling_challenge_is_left_as_it_is() -> None:
    """Only the challenge that was tried settles."""
    other = replace(challenge(), type="dns-01", token=TOKEN[::-1])
    settled = prove(order(authorizations=(authorization(challenges=(challenge(), other)),)))
    assert settled is not None
    assert settled.authorizations[0].challenges[1] == other


@pytest.mark.parametrize("jitter", [0.0, 0.999])
def test_tries_fit_into_their_span(jitter: float) -> None:
    """All waits together stay below 45 s, at either end of the jitter's range; after the last try there is none."""
    waits = [retry_delay(tries, jitter) for tries in range(1, TRIES)]
    assert None not in waits
    assert sum(wait for wait in waits if wait is not None) <= VALIDATION_SPAN.total_seconds()
    assert retry_delay(TRIES, jitter) is None
    assert len(waits) == len(RETRY_SPACING)


def test_proved_authorization_keeps_the_rest_of_the_order() -> None:
    """Nothing but the one authorization and the status changes."""
    first = valid_authorization("a.example")
    before = order(authorizations=(first, authorization("b.example")), profile="", version=3)
    after = prove(before, 1)
    assert after is not None
    assert after.authorizations[0] == first
    assert (after.id, after.version, after.expires) == (before.id, 3, before.expires)
