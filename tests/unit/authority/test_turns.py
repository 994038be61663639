"""Turns: who waits holds nothing that others need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from dayfly.authority.turns import Turns


async def settled() -> None:
    """Let every task run to where it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


def holder(
    turns: Turns, name: str, log: list[str], *, account: int, address: str | tuple[str, ...], go: asyncio.Event
) -> asyncio.Task[None]:
    """A task that takes its turns, says so, and holds them until it may go."""

    async def hold() -> None:
        addresses = (address,) if isinstance(address, str) else address
        async with turns.of_account(account), turns.at(*addresses):
            log.append(name)
            await go.wait()

    return asyncio.create_task(hold())


def play(scenario: Callable[[asyncio.Event, list[str]], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with a signal to go on, and a list of who had a turn."""

    async def body() -> None:
        await scenario(asyncio.Event(), [])

    asyncio.run(body())


def test_each_queue_is_first_come_first_served() -> None:
    """One place, and turns in the order of asking."""

    async def scenario(go: asyncio.Event, log: list[str]) -> None:
        turns = Turns(total=1, per_account=9, per_address=9)
        tasks = [holder(turns, name, log, account=1, address="a", go=go) for name in "abcd"]
        await settled()
        assert log == ["a"]
        go.set()
        await asyncio.gather(*tasks)
        assert log == ["a", "b", "c", "d"]

    play(scenario)


def test_who_waits_for_an_address_holds_no_place_among_all() -> None:
    """Two places in all; one address is busy, and those who wait for it leave the second place to others."""

    async def scenario(go: asyncio.Event, log: list[str]) -> None:
        turns = Turns(total=2, per_account=9, per_address=1)
        tasks = [holder(turns, f"dead{number}", log, account=1, address="dead", go=go) for number in range(5)]
        tasks.append(holder(turns, "live", log, account=2, address="live", go=go))
        await settled()
        assert log == ["dead0", "live"]
        go.set()
        await asyncio.gather(*tasks)

    play(scenario)


def test_who_may_dial_several_addresses_has_a_turn_at_each() -> None:
    """Two places at the victim, and no way round by another address in front of it, or by the same one twice."""

    async def scenario(go: asyncio.Event, log: list[str]) -> None:
        turns = Turns(total=99, per_account=9, per_address=2)
        names = [(f"{number}", "victim", f"{number}", "victim") for number in range(6)]
        tasks = [holder(turns, name[0], log, account=n, address=name, go=go) for n, name in enumerate(names)]
        await settled()
        assert log == ["0", "1"]
        go.set()
        await asyncio.gather(*tasks)
        assert sorted(log) == ["0", "1", "2", "3", "4", "5"]
        assert not turns._addresses._queues

    play(scenario)


def test_who_waits_for_one_of_its_addresses_holds_none_of_the_others() -> None:
    """A dead address beside a live one does not stop the live one, in whatever order they come."""

    async def scenario(go: asyncio.Event, log: list[str]) -> None:
        turns = Turns(total=99, per_account=99, per_address=1)
        pairs = [("live", "dead"), ("dead", "live")]
        tasks = [holder(turns, "dead", log, account=1, address="dead", go=go)]
        tasks += [holder(turns, "both", log, account=1, address=pairs[number % 2], go=go) for number in range(6)]
        await settled()
        tasks.append(holder(turns, "live", log, account=2, address="live", go=go))
        await settled()
        assert log == ["dead", "live"]
        tasks[2].cancel()
        go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert log == ["dead", "live", *["both"] * 5]
        assert not turns._addresses._queues

    play(scenario)


def test_who_waits_for_its_account_holds_no_address() -> None:
    """An account's queue is its own: the next account has its turn at the same address."""

    async def scenario(go: asyncio.Event, log: list[str]) -> None:
        turns = Turns(total=9, per_account=1, per_address=2)
        tasks = [holder(turns, f"one{number}", log, account=1, address="a", go=go) for number in range(5)]
        tasks.append(holder(turns, "two", log, account=2, address="a", go=go))
        await settled()
        assert log == ["one0", "two"]
        go.set()
        await asyncio.gather(*tasks)

    play(scenario)


def test_turn_comes_back_when_its_holder_fails_or_is_cancelled() -> None:
    """Nobody takes a place along; and a queue that nobody is in is forgotten."""

    async def scenario(go: asyncio.Event, log: list[str]) -> None:
        turns = Turns(total=1, per_account=3, per_address=1)
        first = holder(turns, "first", log, account=1, address="a", go=go)
        at_address = holder(turns, "waits for its address", log, account=1, address="a", go=go)
        at_all = holder(turns, "waits for a place among all", log, account=1, address="b", go=go)
        at_account = holder(turns, "waits for its account", log, account=1, address="c", go=go)
        last = holder(turns, "last", log, account=2, address="b", go=go)
        tasks = (first, at_address, at_all, at_account, last)
        await settled()
        for task in (at_account, at_all, at_address, first):
            task.cancel()
        await settled()
        assert log == ["first", "last"]
        go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not turns._accounts._queues
        assert not turns._addresses._queues
        assert not turns._all.locked()

    play(scenario)
