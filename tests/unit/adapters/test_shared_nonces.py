"""Nonces of several workers: single use is exact between processes, whoever dies where (acme.md part 4, D9 to D11)."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.adapters.nonces import RingNonces, Rings
from dayfly.core.problems import BadNonce

FORK = multiprocessing.get_context("fork")
ROUNDS = 50
MANY = 4_000


def is_spent(nonces: RingNonces, nonce: str) -> bool:
    """Use it up: True where it was good."""
    try:
        asyncio.run(nonces.spend(nonce))
    except BadNonce:
        return False
    return True


def take_all(nonces: RingNonces, made: list[str]) -> int:
    """Spend each in turn without a loop; how many were good."""
    good = 0
    for nonce in made:
        try:
            nonces.spend(nonce).send(None)
        except StopIteration:
            good += 1
        except BadNonce:
            pass
    return good


def in_processes(work: Callable[[int], int], *, count: int = 2) -> list[int]:
    """What `work` gives in each of so many processes that begin together."""
    barrier, found = FORK.Barrier(count), [FORK.Value("q", -1) for _ in range(count)]

    def run(number: int, result: Synchronized[int]) -> None:
        barrier.wait(timeout=30)
        result.value = work(number)

    processes = [FORK.Process(target=run, args=(number, found[number])) for number in range(count)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(timeout=60)
        assert one.exitcode == 0
    return [int(one.value) for one in found]


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("issue"), st.integers(0, 2), st.integers(1, 40)),
            st.tuples(st.just("spend"), st.integers(0, 2), st.integers(0, 400)),
        ),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=200)
def test_each_nonce_is_good_once_at_whatever_worker__d9(steps: list[tuple[str, int, int]]) -> None:
    """A nonce is good exactly if it is one of its worker's newest 32 and was not spent, whoever spends it."""
    rings = Rings(workers=3, ring=32)
    workers = [RingNonces(rings, number) for number in range(3)]
    made: list[tuple[int, int, str]] = []
    issued, spent = [0, 0, 0], set()
    for what, worker, number in steps:
        if what == "issue":
            for _ in range(number):
                made.append((worker, issued[worker], workers[worker].issue()))
                issued[worker] += 1
        elif made:
            owner, counter, nonce = made[-1 - number % len(made)]
            good = counter >= issued[owner] - 32 and (owner, counter) not in spent
            assert is_spent(workers[worker], nonce) is good
            spent.add((owner, counter))


def test_one_nonce_fifty_times_at_two_workers_passes_once__d10() -> None:
    """Two processes that spend one nonce at once: exactly one of a hundred tries succeeds."""
    rings = Rings(workers=2)
    nonce = RingNonces(rings, 0).issue()
    assert sum(in_processes(lambda worker: take_all(RingNonces(rings, worker), [nonce] * ROUNDS))) == 1


class _Slow:
    """The bits of the rings, with time between reading and what follows, in which another process comes in."""

    def __init__(self, bits: memoryview) -> None:
        self.bits = bits

    def __getitem__(self, octet: int) -> int:
        value = self.bits[octet]
        time.sleep(0.002)
        return value

    def __setitem__(self, octet: int, value: int) -> None:
        self.bits[octet] = value


def test_nonce_is_tested_and_set_in_one_step_whoever_comes_between__d10() -> None:
    """With time between test and set, in both processes at once, each nonce is still good once."""
    rings = Rings(workers=2)
    made = [RingNonces(rings, number % 2).issue() for number in range(ROUNDS)]

    def work(worker: int) -> int:
        slow: Any = _Slow(rings.spent)
        rings.spent = slow
        return take_all(RingNonces(rings, worker), made)

    assert sum(in_processes(work)) == ROUNDS


def test_two_workers_on_the_same_nonces_share_them_out__d10() -> None:
    """Thousands of nonces that two processes walk through side by side are good once each."""
    rings = Rings(workers=2)
    made = [RingNonces(rings, number % 2).issue() for number in range(MANY)]
    assert sum(in_processes(lambda worker: take_all(RingNonces(rings, worker), made))) == MANY


def test_issuing_loses_no_bit_that_another_worker_sets__d10() -> None:
    """While a worker goes on issuing round a small ring, what others spend stays spent."""
    rings = Rings(workers=2, ring=64)
    results = FORK.SimpleQueue()

    def owner() -> int:
        nonces, twice = RingNonces(rings, 0), 0
        for _ in range(2_000):
            newest = [nonces.issue() for _ in range(3)]
            twice += take_all(nonces, newest) - 3  # nobody else has seen them
            twice += take_all(nonces, newest)
        results.put(twice)
        return 0

    def other() -> int:
        nonces = RingNonces(rings, 1)
        foreign = [_sealed(rings, 0, counter) for counter in range(6_000)]
        good = take_all(nonces, foreign * 2)
        return min(good, 0)

    in_processes(lambda worker: owner() if worker == 0 else other())
    lost = results.get()
    assert lost <= 0  # a bit that is set too much costs a retry; one that is lost would count here


def _sealed(rings: Rings, worker: int, counter: int) -> str:
    from dayfly.core.acme.nonces import seal

    return seal(rings.key, rings.instances[worker], counter)


class _Deadly:
    """The bits of the rings, which kill who writes them, before or after."""

    def __init__(self, bits: memoryview, *, after: bool) -> None:
        self.bits, self.after = bits, after

    def __getitem__(self, octet: int) -> int:
        return self.bits[octet]

    def __setitem__(self, octet: int, value: int) -> None:
        if self.after:
            self.bits[octet] = value
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("after", [False, True])
def test_worker_killed_while_spending_leaves_no_lock_and_no_second_use(*, after: bool) -> None:
    """Killed before the bit was set the nonce is good once more, killed after it is spent; the others go on."""
    rings = Rings(workers=2)
    nonce = RingNonces(rings, 0).issue()

    def die() -> None:
        deadly: Any = _Deadly(rings.spent, after=after)
        rings.spent = deadly
        take_all(RingNonces(rings, 1), [nonce])

    victim = FORK.Process(target=die)
    victim.start()
    victim.join(timeout=30)
    assert victim.exitcode == -signal.SIGKILL
    assert [is_spent(RingNonces(rings, 0), nonce) for _ in range(2)] == [not after, False]


def test_worker_begun_anew_goes_on_with_its_ring__d11() -> None:
    """Nonces of the life before stay good once, spent ones stay spent, and none is given twice."""
    rings = Rings(workers=2)
    before = [RingNonces(rings, 1).issue() for _ in range(20)]
    assert take_all(RingNonces(rings, 0), before[:10]) == 10
    anew = RingNonces(rings, 1)
    after = [anew.issue() for _ in range(20)]
    assert not set(before) & set(after)
    assert take_all(anew, before) == 10
    assert take_all(anew, after) == 20


def test_nonces_of_another_host_or_start_are_refused__d11() -> None:
    """Rings of another start have another key."""
    assert not is_spent(RingNonces(Rings(workers=2), 0), RingNonces(Rings(workers=2), 0).issue())
