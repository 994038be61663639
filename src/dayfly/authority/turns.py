"""Whose turn it is to look: few validations at once in all, fewer for one account and for one address.

Rules: who waits holds nothing that others need, so neither one account's thousand challenges nor a dead host that
many names lead to starve the rest; each queue is first come, first served; a queue that nobody waits in is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class _Queues(Generic[Key]):
    """A queue for each key, with so many places at its head."""

    def __init__(self, places: int) -> None:
        """Nobody waits yet."""
        self._places = places
        self._queues: dict[Key, tuple[asyncio.Semaphore, int]] = {}

    async def enter(self, *keys: Key) -> None:
        """Wait until each of these keys has a place, and take them together: who waits for one holds none."""
        for key in keys:
            queue, users = self._queues.get(key) or (asyncio.Semaphore(self._places), 0)
            self._queues[key] = (queue, users + 1)
        try:
            await self._take([self._queues[key][0] for key in keys])
        except BaseException:
            self._forget(*keys)
            raise

    @staticmethod
    async def _take(queues: list[asyncio.Semaphore]) -> None:
        if len(queues) == 1:
            await queues[0].acquire()
            return
        while True:
            awaited = next((queue for queue in queues if queue.locked()), queues[0])
            await awaited.acquire()
            others = [queue for queue in queues if queue is not awaited]
            if not any(queue.locked() for queue in others):
                for queue in others:
                    await queue.acquire()  # it is free, so this does not wait
                return
            awaited.release()

    def leave(self, *keys: Key) -> None:
        """Give the places back."""
        for key in keys:
            self._queues[key][0].release()
        self._forget(*keys)

    def _forget(self, *keys: Key) -> None:
        for key in keys:
            queue, users = self._queues[key]
            if users == 1:
                del self._queues[key]
            else:
                self._queues[key] = (queue, users - 1)


class _OfAccount:
    """An account's turn while it is held."""

    def __init__(self, queues: _Queues[int], account_id: int) -> None:
        self._queues = queues
        self._account_id = account_id

    async def __aenter__(self) -> None:
        await self._queues.enter(self._account_id)

    async def __aexit__(self, *_: object) -> None:
        self._queues.leave(self._account_id)


class _At:
    """A turn at each of some addresses, and a place among all, while they are held."""

    def __init__(self, queues: _Queues[str], all_: asyncio.Semaphore, addresses: tuple[str, ...]) -> None:
        self._queues = queues
        self._all = all_
        self._addresses = addresses

    async def __aenter__(self) -> None:
        await self._queues.enter(*self._addresses)
        try:
            await self._all.acquire()
        except BaseException:
            self._queues.leave(*self._addresses)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._all.release()
        self._queues.leave(*self._addresses)


class Turns:
    """The turns of one process: account first, then address, then a place among all."""

    def __init__(self, *, total: int, per_account: int, per_address: int) -> None:
        """How many may look at once."""
        self._all = asyncio.Semaphore(total)
        self._accounts: _Queues[int] = _Queues(per_account)
        self._addresses: _Queues[str] = _Queues(per_address)

    def of_account(self, account_id: int) -> AbstractAsyncContextManager[None]:
        """Wait for one of the account's turns, and hold it."""
        return _OfAccount(self._accounts, account_id)

    def at(self, *addresses: str) -> AbstractAsyncContextManager[None]:
        """Within an account's turn: wait for one at each of these addresses, then for a place among all."""
        different = tuple(dict.fromkeys(addresses))
        return _At(self._addresses, self._all, different) if different else self._all
