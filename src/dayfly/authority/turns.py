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

    async def enter(self, key: Key) -> None:
        """Wait for a place of this key."""
        queue, users = self._queues.get(key) or (asyncio.Semaphore(self._places), 0)
        self._queues[key] = (queue, users + 1)
        try:
            await queue.acquire()
        except BaseException:
            self._forget(key)
            raise

    def leave(self, key: Key) -> None:
        """Give the place back."""
        self._queues[key][0].release()
        self._forget(key)

    def _forget(self, key: Key) -> None:
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
    """A turn at an address, and a place among all, while they are held."""

    def __init__(self, queues: _Queues[str], all_: asyncio.Semaphore, address: str) -> None:
        self._queues = queues
        self._all = all_
        self._address = address

    async def __aenter__(self) -> None:
        await self._queues.enter(self._address)
        try:
            await self._all.acquire()
        except BaseException:
            self._queues.leave(self._address)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._all.release()
        self._queues.leave(self._address)


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

    def at(self, address: str) -> AbstractAsyncContextManager[None]:
        """Within an account's turn: wait for one at this address, then for a place among all; "" is no address."""
        return _At(self._addresses, self._all, address) if address else self._all
