"""Buckets of limits: in one process and in shared memory alike; of two workers one has the last use (acme.md 13)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv6Network
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.adapters.buckets import ENTRIES, PAGE, BucketTable, SharedBuckets
from dayfly.authority.limits import LocalBuckets, RateLimiter
from dayfly.core.policy.limits import Limit, Rate
from dayfly.ports.limits import Buckets
from factories import NOW

FORK = multiprocessing.get_context("fork")
RATE = Rate(4_000, timedelta(hours=1))
MAKERS: dict[str, Callable[[], Buckets]] = {
    "local": LocalBuckets,
    "shared": lambda: SharedBuckets(BucketTable(pages=8)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_buckets_keep_a_moment_for_each_limit_and_key(kind: str) -> None:
    """To the microsecond; what changes nothing leaves no trace; what is forgotten is gone."""
    buckets, moment = MAKERS[kind](), NOW + timedelta(microseconds=7)
    assert buckets.look("a", 1) is None
    buckets.change("a", 1, lambda held: moment if held is None else None)
    assert buckets.look("a", 1) == moment
    buckets.change("a", 1, lambda held: None)
    buckets.change("a", 2, lambda held: held)
    assert (buckets.look("a", 1), buckets.look("a", 2), buckets.look("b", 1)) == (moment, None, None)
    buckets.change("a", 1, lambda held: held and held + timedelta(days=1))
    assert buckets.look("a", 1) == moment + timedelta(days=1)
    buckets.forget("a", 1)
    buckets.forget("a", 1)
    assert buckets.look("a", 1) is None


@pytest.mark.parametrize("key", [None, 7, "x", (1, "a.b"), IPv6Network("2001:db8::/64")])
def test_every_worker_finds_what_another_wrote(key: object) -> None:
    """By the key's value, whoever made the key."""
    table = BucketTable(pages=4)
    SharedBuckets(table).change("a", key, lambda _: NOW)
    assert SharedBuckets(table).look("a", key) == NOW


def test_a_full_page_gives_up_what_is_free_the_soonest__security_s50() -> None:
    """Memory is fixed; who has used most is remembered longest."""
    buckets = SharedBuckets(BucketTable(pages=1))
    for number in range(ENTRIES + 3):
        buckets.change("a", number, lambda _, at=number: NOW + timedelta(seconds=100 - at))  # type: ignore[misc]  # bound now
    kept = [number for number in range(ENTRIES + 3) if buckets.look("a", number) is not None]
    assert kept == [*range(ENTRIES - 1), ENTRIES + 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), max_size=80))
def test_a_table_agrees_with_a_dictionary_while_there_is_room(uses: list[tuple[int, int]]) -> None:
    """Whatever is changed in whatever order."""
    table, plain = SharedBuckets(BucketTable(pages=64)), LocalBuckets()
    for key, seconds in uses:
        for buckets in (table, plain):
            buckets.change("a", key, lambda held, more=seconds: (held or NOW) + timedelta(seconds=more))  # type: ignore[misc]  # bound now
    for key in range(41):
        assert table.look("a", key) == plain.look("a", key)


def test_an_entry_is_found_only_where_it_begins() -> None:
    """Octets of a moment that look like a digest are none."""
    table = BucketTable(pages=1)
    buckets = SharedBuckets(table)
    digest = buckets._place("a", 1)[0]
    table.memory.octets[8:16] = digest
    assert buckets.look("a", 1) is None
    table.memory.octets[PAGE - 16 : PAGE - 8] = digest
    assert buckets.look("a", 1) is not None


def _spend(table: BucketTable, granted: Synchronized[int], together: Barrier) -> None:
    limiter = RateLimiter(Limit.NEW_ORDERS, SharedBuckets(table))
    together.wait(20)
    mine = sum(not limiter.try_take("account", RATE, NOW) for _ in range(RATE.count))
    with granted.get_lock():
        granted.value += mine


def test_limits_are_exact_over_the_workers_of_a_host__acme_13() -> None:
    """Four processes that each want all of it get exactly all of it together."""
    table, granted, together = BucketTable(pages=2), FORK.Value("i", 0), FORK.Barrier(4)
    workers = [FORK.Process(target=_spend, args=(table, granted, together)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert granted.value == RATE.count
