"""Renewal as a new decision (step-compat.md part 5)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from dayfly.core.frozen import replace
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.policy.renewal import Renewable, plan_renewal
from dayfly.core.policy.step import Situation
from dayfly.core.problems import RejectedIdentifier, ServiceUnavailable, Unauthorized
from factories import NAME, NOW, dns, settings

DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)
OLD = Renewable(
    (dns(),), NAME, None, b"spki", KeyType.P256, NOW - timedelta(hours=16), NOW + timedelta(hours=8) - SECOND, DAY
)
GRANT = Grant(
    provisioner="platform-team",
    rules=settings().name_rules,
    lifetimes=Lifetimes(timedelta(minutes=5), DAY, DAY),
    challenges=(),
    profile="service",
)
SITUATION = Situation(NOW, ip_address("10.1.2.3"), NOW + timedelta(days=300))


def plan(old: Renewable = OLD, grant: Grant = GRANT, *, by_token: bool = False, **situation: Any) -> IssuePlan:
    """What would be issued."""
    made = replace(SITUATION, **situation)
    return plan_renewal(old, grant=grant, situation=made, by_token=by_token)


def refused(old: Renewable = OLD, grant: Grant = GRANT, *, by_token: bool = False, **situation: Any) -> Unauthorized:
    """The refusal, a 401."""
    with pytest.raises(Unauthorized) as caught:
        plan(old, grant, by_token=by_token, **situation)
    assert caught.value.http_status == 401
    return caught.value


def test_the_same_names_key_and_lifetime_from_now_on__n1() -> None:
    """Back-dated like any other."""
    found = plan()
    assert (found.names, found.common_name, found.subject, found.spki) == ((dns(),), NAME, None, b"spki")
    assert (found.profile, found.provisioner, found.allowed.owner) == ("service", "platform-team", "platform-team")
    assert found.validity.lifetime == DAY
    assert found.validity.not_before == NOW - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("lifetime", "given"),
    [
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=48), DAY),
        (timedelta(seconds=30), timedelta(minutes=5)),
        (DAY + timedelta(seconds=61), DAY),
    ],
)
def test_the_lifetime_is_cut_to_todays_bounds__n1(lifetime: timedelta, given: timedelta) -> None:
    """Never above the longest, never below the shortest."""
    assert plan(replace(OLD, lifetime=lifetime)).validity.lifetime == given


def test_it_ends_with_its_issuer() -> None:
    """Cut to the issuer's end; an issuer that ends at once is no fault of the holder."""
    end = NOW + timedelta(hours=2)
    assert plan(issuer_not_after=end).validity.not_after == end
    with pytest.raises(ServiceUnavailable):
        plan(issuer_not_after=NOW + timedelta(minutes=1))


def test_todays_rules_answer_for_names_and_subject__n9() -> None:
    """403, with every name that is not given any more."""
    for old in (replace(OLD, names=(dns("api.example.org"),)), replace(OLD, subject=dns("api.example.org"))):
        with pytest.raises(RejectedIdentifier, match=r"api\.example\.org") as caught:
            plan(old)
        assert caught.value.http_status == 403
    assert plan(replace(OLD, subject=dns("b.internal.example"))).subject == dns("b.internal.example")


def test_a_provisioner_that_renews_nothing__n9() -> None:
    """The claim disableRenewal."""
    error = refused(grant=replace(GRANT, may_renew=False, may_renew_expired=True), by_token=True)
    assert error.reason == "renew_disabled"


def test_it_is_valid_to_its_last_second() -> None:
    """Both ends are inside (RFC 5280 4.1.2.5)."""
    assert plan(now=OLD.not_after).names == (dns(),)
    assert plan(now=OLD.not_before).names == (dns(),)
    assert "valid from" in refused(now=OLD.not_before - SECOND).detail
    assert "signed token" in refused(now=OLD.not_after + SECOND).detail


@pytest.mark.parametrize(
    ("grace", "late", "passes"),
    [
        (None, SECOND, True),
        (None, DAY, True),
        (None, DAY + SECOND, False),
        (timedelta(hours=2), timedelta(hours=2), True),
        (timedelta(hours=2), timedelta(hours=2, seconds=1), False),
        (timedelta(), SECOND, False),
    ],
)
def test_after_its_end_a_token_has_a_bound__step_5(grace: timedelta | None, late: timedelta, passes: bool) -> None:
    """One lifetime, or the grace that is set; the refusal names both moments."""
    grant = replace(GRANT, may_renew_expired=True, renewal_grace=grace)
    if passes:
        assert plan(grant=grant, by_token=True, now=OLD.not_after + late).validity.lifetime == DAY
    else:
        error = refused(grant=grant, by_token=True, now=OLD.not_after + late)
        assert error.reason == "expired_too_long"
        assert "expired at 2026-11-24T19:59:59Z" in error.detail


def test_after_its_end_nothing_passes_unasked__step_5() -> None:
    """Without the claim not by token; with it not by the connection."""
    late = OLD.not_after + SECOND
    assert "ask for a new one" in refused(by_token=True, now=late).detail
    assert "signed token" in refused(grant=replace(GRANT, may_renew_expired=True), now=late).detail
