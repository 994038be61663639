"""Memory that the workers of a host share, made before they are forked.

Rules: whoever changes an octet that another process may change too holds the lock on it; a lock is a record lock of
the kernel on the file behind the memory, so it ends with its holder, at whatever instruction that was; a worker's
line in the table of slots is written by itself, and by the supervisor once it is dead.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

SLOT_OCTETS = 64  # a cache line, so that workers do not slow each other by counting
GENERATION, CONNECTIONS = 0, 1  # the words of a slot
GONE = (1 << 64) - 1  # connections of a worker that takes none


class SharedMemory:
    """A file in memory, seen by every process that is forked from here on."""

    def __init__(self, octets: int) -> None:
        """All octets are zero, and take no room before they are written."""
        self._descriptor = os.memfd_create("dayfly-workers", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, octets)
        self.octets = mmap.mmap(self._descriptor, octets)

    def lock(self, offset: int) -> None:
        """Wait for the lock on one octet; no process holds two at a time, so none waits for ever."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, offset)

    def unlock(self, offset: int) -> None:
        """Give it back."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, offset)

    @contextmanager
    def locked(self, offset: int) -> Iterator[None]:
        """Hold the lock on one octet."""
        self.lock(offset)
        try:
            yield
        finally:
            self.unlock(offset)


class Slots:
    """One line a worker: its generation, raised whenever it is begun or gone, and how many connections it has."""

    def __init__(self, workers: int) -> None:
        """Nobody has begun."""
        self._workers = workers
        self._words = memoryview(SharedMemory(workers * SLOT_OCTETS).octets).cast("Q")
        for worker in range(workers):
            self._put(worker, CONNECTIONS, GONE)

    def generation(self, worker: int) -> int:
        """The number of the life that this worker has; what was written under another one is void."""
        return self._words[worker * SLOT_OCTETS // 8 + GENERATION]

    def begin(self, worker: int) -> None:
        """A new life of this worker begins; called by the supervisor before the fork."""
        self._put(worker, GENERATION, self.generation(worker) + 1)

    def end(self, worker: int) -> None:
        """The worker is dead: its marks are void, and nobody waits for it to take a connection."""
        self._put(worker, GENERATION, self.generation(worker) + 1)
        self._put(worker, CONNECTIONS, GONE)

    def publish(self, worker: int, connections: int) -> None:
        """How many connections this worker has."""
        self._put(worker, CONNECTIONS, connections)

    def is_lightest(self, worker: int) -> bool:
        """Has no worker fewer connections than this one?"""
        step = SLOT_OCTETS // 8
        return self._words[worker * step + CONNECTIONS] <= min(
            [self._words[other * step + CONNECTIONS] for other in range(self._workers)]
        )

    def _put(self, worker: int, word: int, value: int) -> None:
        self._words[worker * SLOT_OCTETS // 8 + word] = value
