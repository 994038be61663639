"""Whose turn it is to look: few validations at once in all, fewer for one account and for one address.

Rules: who waits holds nothing that others need, so neither one account's thousand challenges nor a dead host that
many names lead to starve the rest; each queue is first come, first served; a queue that nobody waits in is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class _Queues(Generic[Key]):
    """A queue for each key, with so many places at its head."""

    def __init__(self, places: int) -> None:
        """Nobody waits yet."""
        self._places = places
        self._queues: dict[Key, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, key: Key) -> AsyncIterator[None]:
        """Wait for a place of this key, and hold it."""
        queue, users = self._queues.get(key) or (asyncio.Semaphore(self._places), 0)
        self._queues[key] = (queue, users + 1)
        try:
            async with queue:
                yield
        finally:
            queue, users = self._queues[key]
            if users == 1:
                del self._queues[key]
            else:
                self._queues[key] = (queue, users - 1)


class Turns:
    """The turns of one process: account first, then address, then a place among all."""

    def __init__(self, *, total: int, per_account: int, per_address: int) -> None:
        """How many may look at once."""
        self._all = asyncio.Semaphore(total)
        self._accounts: _Queues[int] = _Queues(per_account)
        self._addresses: _Queues[str] = _Queues(per_address)

    @asynccontextmanager
    async def of_account(self, account_id: int) -> AsyncIterator[None]:
        """Wait for one of the account's turns, and hold it."""
        async with self._accounts.turn(account_id):
            yield

    @asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[None]:
        """Within an account's turn: wait for one at this address, then for a place among all; "" is no address."""
        if not address:
            async with self._all:
                yield
            return
        async with self._addresses.turn(address), self._all:
            yield
