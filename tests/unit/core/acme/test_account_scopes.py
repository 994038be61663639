"""What a single account is held to (acme.md part 5)."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from dayfly.core.acme.account_scopes import NO_SCOPE, amend_scope, bound_scope, own_scope, plan_account_scope
from dayfly.core.events import AccountScopeChanged
from dayfly.core.frozen import replace
from dayfly.core.policy.rules import RuleError
from dayfly.core.policy.scopes import BoundScope, Scope, render_scope
from factories import NOW, account

NARROW = Scope("web", ("*.a.test",), wildcards=True, max_lifetime=timedelta(hours=8))


def test_account_without_a_scope_is_bound_by_none() -> None:
    """Nothing is parsed, nothing is bound."""
    assert (own_scope(account()), bound_scope(account())) == (NO_SCOPE, ())


def test_account_is_bound_under_its_own_name() -> None:
    """`account:` and its id, which is what a denial tells."""
    held = account(scope=render_scope(NARROW))
    assert bound_scope(held) == (BoundScope("account:0000000000000007", NARROW),)


@pytest.mark.parametrize("body", [b"{", b'{"later":1}', b'{"allow":["*.*"]}'], ids=["cut", "unknown", "no pattern"])
def test_scope_that_cannot_be_read_whole_is_no_freedom(body: bytes) -> None:
    """An error, never an account without a scope."""
    with pytest.raises(RuleError):
        bound_scope(account(scope=body))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Scope(), NARROW),
        (Scope(allow=("b.test",)), replace(NARROW, allow=("b.test",))),
        (Scope(sources=("10.0.0.0/8",)), replace(NARROW, sources=("10.0.0.0/8",))),
        (Scope(max_lifetime=timedelta(hours=1)), replace(NARROW, max_lifetime=timedelta(hours=1))),
    ],
)
def test_what_is_said_takes_the_place_of_that_part(asked: Scope, found: Scope) -> None:
    """And what is not said stays."""
    assert amend_scope(NARROW, asked) == found
    assert amend_scope(NO_SCOPE, asked) == asked


def test_change_of_a_scope_is_an_account_and_its_event() -> None:
    """The event has who did it, the owner, and the digest of the canonical scope; of none, both are empty."""
    free = account()
    plan = plan_account_scope(free, NARROW, by="somebody", now=NOW)
    assert plan is not None
    held, event = plan
    assert own_scope(held) == NARROW
    digest = hashlib.sha256(render_scope(NARROW)).hexdigest()
    assert event == AccountScopeChanged(NOW, 7, "acme", "web", digest, "somebody")
    freed = plan_account_scope(held, NO_SCOPE, by="somebody", now=NOW)
    assert freed == (free, AccountScopeChanged(NOW, 7, "acme", "", "", "somebody"))


def test_change_that_changes_nothing_is_none() -> None:
    """No write, no entry."""
    assert plan_account_scope(account(), NO_SCOPE, by="somebody", now=NOW) is None
    assert plan_account_scope(account(scope=render_scope(NARROW)), NARROW, by="somebody", now=NOW) is None


def test_scope_that_is_not_well_formed_is_refused() -> None:
    """Wildcards of no names."""
    with pytest.raises(RuleError, match="the account: wildcards"):
        plan_account_scope(account(), Scope(wildcards=True), by="somebody", now=NOW)
