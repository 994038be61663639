"""Limits: bounded, undone where nothing happened, spent together, and off where they are switched off."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv6Network, ip_address

import pytest

from dayfly.authority.limits import Limits, Lineages, LocalBuckets, RateLimiter, Use, source_key
from dayfly.core.policy.limits import Limit, Rate
from dayfly.core.problems import RateLimited
from factories import NOW

TWO = Rate(2, timedelta(minutes=1))
THREE = Rate(3, timedelta(hours=1))


def limiter() -> RateLimiter:
    """One of its own."""
    return RateLimiter(Limit.RENEWALS, LocalBuckets())


def test_past_the_rate_it_says_when_to_come_back__acme_13() -> None:
    """RateLimited with the limit's name and the seconds to wait; a refused use costs nothing."""
    one = limiter()
    one.take("a", TWO, NOW, what="too many")
    one.take("a", TWO, NOW, what="too many")
    for _ in range(3):
        with pytest.raises(RateLimited, match=r"too many \(renewals\); try again in 30 s") as caught:
            one.take("a", TWO, NOW, what="too many")
    assert (caught.value.retry_after, caught.value.limit, caught.value.http_status) == (30, "renewals", 429)
    one.take("b", TWO, NOW, what="too many")
    one.take("a", TWO, NOW + timedelta(seconds=30), what="too many")


def test_what_did_not_happen_is_given_back__acme_13() -> None:
    """A use that came to nothing is free; giving back what was never used does nothing."""
    one = limiter()
    for _ in range(5):
        one.take("a", TWO, NOW, what="")
        one.give_back("a", TWO)
    one.give_back("b", TWO)
    assert one.used("a", TWO, NOW) == one.used("b", TWO, NOW) == 0


def test_uses_past_the_rate_do_not_add_up() -> None:
    """Whoever goes on is told to wait for the same moment, not for ever longer."""
    one = limiter()
    for _ in range(50):
        one.use("a", TWO, NOW)
    one.take("a", TWO, NOW + timedelta(seconds=30), what="")


def test_what_is_forgotten_is_new_again() -> None:
    """A success makes up for all failures before it."""
    one = limiter()
    for _ in range(2):
        one.use("a", TWO, NOW)
    assert one.used("a", TWO, NOW) == 1
    one.forget("a")
    one.check("a", TWO, NOW, what="")
    assert one.used("a", TWO, NOW) == 0


def test_memory_is_bounded__security_s50() -> None:
    """The key that was used longest ago goes first."""
    buckets = LocalBuckets(most=10)
    one = RateLimiter(Limit.RENEWALS, buckets)
    for number in range(100):
        one.use(number, TWO, NOW)
    assert len(buckets) == 10
    assert one.used(99, TWO, NOW) > 0
    assert one.used(0, TWO, NOW) == 0
    lineages = Lineages(most=10)
    for number in range(100):
        lineages.add(number, 0)
    assert lineages.first(99) == 0
    assert lineages.first(1) is None


def test_several_limits_are_spent_together_or_not_at_all__acme_13() -> None:
    """The refusal is that of the limit which frees last; the others get their use back; it is counted once."""
    told: list[str] = []
    limits = Limits(refused=told.append)
    uses = (
        Use(limits.orders, "a", TWO, "too many orders"),
        Use(limits.accounts, "a", THREE, "too many accounts"),
        Use(limits.downloads, "a", Rate(9, timedelta(hours=1)), "too many downloads"),
    )
    for _ in range(2):
        with limits.spending(uses, NOW):
            pass
    limits.accounts.use("a", THREE, NOW)
    with pytest.raises(RateLimited, match="too many accounts") as caught, limits.spending(uses, NOW):
        pytest.fail("nothing may be done")
    assert (caught.value.limit, caught.value.retry_after, told) == ("new-accounts", 1200, ["new-accounts"])
    assert limits.downloads.used("a", uses[2].rate, NOW) == pytest.approx(2 / 9)


def test_what_came_to_nothing_is_free__acme_13() -> None:
    """Whatever went wrong in the work, a stop of the server too."""
    limits = Limits()
    use = (Use(limits.orders, "a", TWO, ""),)
    for error in (ValueError, KeyboardInterrupt, RateLimited):
        with pytest.raises(error), limits.spending(use, NOW):
            raise error("no", retry_after=1) if error is RateLimited else error
    assert limits.orders.used("a", TWO, NOW) == 0


def test_failures_in_a_row_are_counted_until_a_success__acme_13() -> None:
    """By key; nothing is known of what never failed."""
    row = Limits().in_a_row
    for _ in range(3):
        row.add(("a", "x"))
    assert (row.count(("a", "x")), row.count(("a", "y"))) == (3, 0)
    row.forget(("a", "x"))
    assert row.count(("a", "x")) == 0


def test_a_switch_keeps_what_was_counted() -> None:
    """Off and on again: who was at the limit is still there."""
    limits = Limits()
    for _ in range(2):
        limits.orders.use("a", TWO, NOW)
    off = limits.switched(enabled=False)
    off.orders.take("a", TWO, NOW, what="")
    with pytest.raises(RateLimited):
        off.switched(enabled=True).orders.take("a", TWO, NOW, what="")


def test_a_count_that_is_full_is_told_and_counted() -> None:
    """What is counted and not timed is a limit as well."""
    told: list[str] = []
    found = Limits(refused=told.append).refuse(Limit.OPEN_ORDERS, "1,000 are open", wait=60)
    assert (found.detail, found.retry_after, found.limit) == ("1,000 are open (open-orders)", 60, "open-orders")
    assert told == ["open-orders"]
    assert Limits().refuse(Limit.OPEN_ORDERS, "", wait=1).retry_after == 1


def test_a_line_is_known_by_its_first_certificate() -> None:
    """Of one that nobody has looked at nothing is known."""
    lineages = Lineages()
    assert lineages.first(9) is None
    lineages.add(9, 7)
    assert lineages.first(9) == 7


def test_switched_off_nothing_is_limited_or_remembered() -> None:
    """`[limits] enabled = false`."""
    limits = Limits(enabled=False)
    for _ in range(100):
        limits.renewals.take("a", TWO, NOW, what="")
        limits.renewals.check("a", TWO, NOW, what="")
        limits.renewals.forget("a")
        limits.renewals.give_back("a", TWO)
    assert limits.renewals.used("a", TWO, NOW) == 0
    assert limits.switched(enabled=True).renewals.used("a", TWO, NOW) == 0


def test_a_source_is_an_address_or_a_64() -> None:
    """Whoever has an IPv6 network has a /64 of addresses."""
    assert source_key(ip_address("192.0.2.1")) == ip_address("192.0.2.1")
    assert source_key(ip_address("2001:db8::1")) == IPv6Network("2001:db8::/64")
    assert source_key(None) is None
