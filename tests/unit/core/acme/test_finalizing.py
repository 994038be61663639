"""From a ready order and a CSR to what shall be issued (RFC 8555 7.4)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.acme.finalizing import (
    check_ready,
    choose_common_name,
    issued,
    plan_finalize,
    refused_by_lint,
)
from dayfly.core.acme.objects import Order, OrderStatus, StoredProblem
from dayfly.core.frozen import replace
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.problems import BadCSR, OrderNotReady, RejectedIdentifier
from dayfly.core.provisioners import grant_for
from dayfly.core.x509.csr import parse_csr
from factories import (
    NAME,
    NOW,
    authorization,
    csr_der,
    dns,
    ec_key,
    order,
    ready_order,
    settings,
    spki_of,
    valid_authorization,
)

END = NOW + timedelta(days=3650)
ACCOUNT_SPKI = spki_of(ec_key())


def plan(one: Order, csr: bytes, *, account_spki: bytes = ACCOUNT_SPKI) -> IssuePlan:
    """What would be issued."""
    grant = grant_for(settings(), "acme")
    assert grant is not None
    return plan_finalize(
        one, parse_csr(csr), account_spki=account_spki, grant=grant, source=None, issuer_not_after=END, now=NOW
    )


def test_ready_order_and_good_csr_give_a_plan__rfc8555_7_4() -> None:
    """Names come from the order, the key from the CSR, owner and rule from the rule that decided."""
    key = ec_key()
    made = plan(ready_order(), csr_der(key=key))
    assert made.names == (dns(),)
    assert made.spki == spki_of(key)
    assert made.allowed.owner == "platform-team"
    assert made.validity.not_after - made.validity.not_before == timedelta(hours=24) - timedelta(seconds=1)


@pytest.mark.parametrize(
    "status", [OrderStatus.PENDING, OrderStatus.INVALID, OrderStatus.PROCESSING, OrderStatus.VALID]
)
def test_order_that_is_not_ready_is_refused__rfc8555_7_4(status: OrderStatus) -> None:
    """Only a ready order can be finalized."""
    with pytest.raises(OrderNotReady, match=f"the order is {status}"):
        check_ready(order(status=status))


def test_reason_of_an_invalid_order_is_told_again() -> None:
    """Who finalizes a failed order reads why it failed."""
    failed = order(status=OrderStatus.INVALID, error=StoredProblem("dns", "no address was found"))
    with pytest.raises(OrderNotReady, match="no address was found"):
        check_ready(failed)


def test_authorization_that_is_no_longer_valid_refuses__o18() -> None:
    """All authorizations must be valid at the moment of issuing."""
    with pytest.raises(OrderNotReady, match=NAME):
        check_ready(order(status=OrderStatus.READY))


@pytest.mark.parametrize("names", [("b.internal.example",), (NAME, "b.internal.example")], ids=["other", "more"])
def test_finalize_refuses_names_not_in_order__rfc8555_7_4(names: tuple[str, ...]) -> None:
    """The CSR's names are exactly the order's."""
    with pytest.raises(BadCSR, match=r"b\.internal\.example beyond the order"):
        plan(ready_order(), csr_der(*names))


def test_finalize_refuses_fewer_names__rfc8555_7_4() -> None:
    """A CSR that leaves a name out is refused too."""
    two = ready_order(authorizations=(valid_authorization(), valid_authorization("b.internal.example")))
    with pytest.raises(BadCSR, match=r"lacks b\.internal\.example"):
        plan(two, csr_der())


def test_finalize_refuses_the_account_key__rfc8555_11_1() -> None:
    """A certificate must not have the account's key."""
    key = ec_key()
    with pytest.raises(BadCSR, match="account's key"):
        plan(ready_order(), csr_der(key=key), account_spki=spki_of(key))


def test_finalize_asks_the_rules_again() -> None:
    """A name that was allowed when it was ordered and is not any more is refused."""
    elsewhere = replace(ready_order(), authorizations=(valid_authorization("a.elsewhere.test"),))
    with pytest.raises(RejectedIdentifier):
        plan(elsewhere, csr_der("a.elsewhere.test"))


def test_asked_times_are_exact__rfc8555_7_4() -> None:
    """The certificate ends to the second when the order says."""
    asked = NOW + timedelta(hours=2)
    assert plan(ready_order(not_after=asked), csr_der()).validity.not_after == asked


def test_common_name_is_the_csrs_else_forced_else_none() -> None:
    """A CN that the CSR has is kept; without one it is set only where the provisioner says so."""
    long = dns("a" * 60 + ".internal.example")
    assert choose_common_name((dns(),), asked=NAME, force=False) == NAME
    assert choose_common_name((dns(),), asked=None, force=False) is None
    assert choose_common_name((long, dns()), asked=None, force=True) == NAME
    assert choose_common_name((long,), asked=None, force=True) is None


def test_issued_order_is_valid_and_knows_its_certificate() -> None:
    """Ready becomes valid in one step, with the CSR's digest so that a repeated finalize is recognised."""
    done = issued(ready_order(), certificate_id=99, csr_digest="ab")
    assert (done.status, done.certificate_id, done.csr_digest) == (OrderStatus.VALID, 99, "ab")


def test_lint_refusal_makes_the_order_invalid() -> None:
    """When our own lint refuses, the order ends with a fixed text."""
    done = refused_by_lint(ready_order())
    assert done.status is OrderStatus.INVALID
    assert done.error is not None
    assert done.error.type == "serverInternal"


def test_pending_authorization_in_a_ready_order_is_named() -> None:
    """The name that lacks its proof stands in the refusal."""
    mixed = order(status=OrderStatus.READY, authorizations=(valid_authorization(), authorization("b.internal.example")))
    with pytest.raises(OrderNotReady, match=r"b\.internal\.example"):
        check_ready(mixed)
