"""Refusals carry what a problem document needs (RFC 8555 6.7, RFC 9457)."""

from __future__ import annotations

from typing import Any

import pytest

from dayfly.core import problems
from dayfly.core.problems import (
    BadSignatureAlgorithm,
    Denial,
    KeyInUse,
    Malformed,
    MethodNotAllowed,
    RateLimited,
    Refused,
    RejectedIdentifier,
    Subproblem,
    Unauthorized,
    UserActionRequired,
)
from dayfly.errors import DayflyError
from factories import dns

KINDS = [one for one in vars(problems).values() if isinstance(one, type) and issubclass(one, Refused)]
MORE: dict[type[Refused], dict[str, Any]] = {
    MethodNotAllowed: {"allow": ["GET", "HEAD"]},
    BadSignatureAlgorithm: {"algorithms": ["ES256"]},
    KeyInUse: {"location": "https://ca.internal.example/acme/acme/account/0000000000000007"},
    RateLimited: {"retry_after": 7},
    UserActionRequired: {"terms": "https://ca.internal.example/terms"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_has_type_status_and_text__rfc8555_6_7(kind: type[Refused]) -> None:
    """A type of the RFC's spelling, a status of an error, and the text as it was given."""
    made = kind("the reason", **MORE.get(kind, {}))
    assert isinstance(made, DayflyError)
    assert made.type[0].islower()
    assert made.type.isalnum()
    assert 400 <= made.http_status < 600
    assert (made.detail, str(made), made.subproblems, made.denial) == ("the reason", "the reason", (), None)


def test_refusal_keeps_what_it_is_given__acme_14() -> None:
    """Subproblems, denial, waiting time, status, hint and reason."""
    denial = Denial("r1", "platform-team", "a.example", "4F2A")
    part = Subproblem("rejectedIdentifier", "no", dns(), denial)
    made = RejectedIdentifier("no", subproblems=[part], denial=denial, retry_after=5, hint="ask", reason="x")
    assert (made.subproblems, made.denial, made.retry_after, made.hint, made.reason) == ((part,), denial, 5, "ask", "x")
    assert Unauthorized("no").http_status == 403
    assert Unauthorized("no", status=401).http_status == 401
    assert Malformed("no", status=404).http_status == 404


def test_limit_is_kept_with_its_waiting_time__acme_13() -> None:
    """Which limit it is, and when it frees."""
    made = RateLimited("no", retry_after=7, limit="new-orders")
    assert (made.http_status, made.retry_after, made.limit) == (429, 7, "new-orders")


def test_methods_and_algorithms_are_kept_for_their_members__rfc8555_6_2_6_3() -> None:
    """`Allow` and `algorithms`, as tuples."""
    assert MethodNotAllowed("no", allow=["GET"]).allow == ("GET",)
    assert BadSignatureAlgorithm("no", algorithms=["ES256"]).algorithms == ("ES256",)
