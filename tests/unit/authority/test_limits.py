"""Limits in memory: bounded, undone where nothing happened, and off where they are switched off."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv6Network, ip_address

import pytest

from dayfly.authority.limits import Limits, Lineages, RateLimiter, source_key
from dayfly.core.policy.limits import Rate
from dayfly.core.problems import RateLimited
from factories import NOW

TWO = Rate(2, timedelta(minutes=1))


def test_past_the_rate_it_says_when_to_come_back() -> None:
    """RateLimited with the seconds to wait; a refused use costs nothing."""
    limiter = RateLimiter()
    limiter.take("a", TWO, NOW, what="too many")
    limiter.take("a", TWO, NOW, what="too many")
    for _ in range(3):
        with pytest.raises(RateLimited, match="too many; try again in 30 s") as caught:
            limiter.take("a", TWO, NOW, what="too many")
    assert caught.value.retry_after == 30
    limiter.take("b", TWO, NOW, what="too many")
    limiter.take("a", TWO, NOW + timedelta(seconds=30), what="too many")


def test_what_did_not_happen_is_given_back() -> None:
    """A use that came to nothing is free; giving back what was never used does nothing."""
    limiter = RateLimiter()
    for _ in range(5):
        limiter.take("a", TWO, NOW, what="")
        limiter.give_back("a", TWO)
    limiter.give_back("b", TWO)
    assert len(limiter) == 1


def test_uses_past_the_rate_do_not_add_up() -> None:
    """Whoever goes on is told to wait for the same moment, not for ever longer."""
    limiter = RateLimiter()
    for _ in range(50):
        limiter.use("a", TWO, NOW)
    limiter.take("a", TWO, NOW + timedelta(seconds=30), what="")


def test_memory_is_bounded() -> None:
    """The key that was used longest ago goes first."""
    limiter = RateLimiter(most=10)
    for number in range(100):
        limiter.use(number, TWO, NOW)
    assert len(limiter) == 10
    lineages = Lineages(most=10)
    for number in range(100):
        lineages.add(number, 0)
    assert lineages.first(99) == 0
    assert lineages.first(1) is None


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
    assert len(limits.renewals) == 0


def test_a_source_is_an_address_or_a_64() -> None:
    """Whoever has an IPv6 network has a /64 of addresses."""
    assert source_key(ip_address("192.0.2.1")) == ip_address("192.0.2.1")
    assert source_key(ip_address("2001:db8::1")) == IPv6Network("2001:db8::/64")
    assert source_key(None) is None
