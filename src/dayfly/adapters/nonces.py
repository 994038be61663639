"""Replay nonces: a counter for each process, and a ring of bits for those that were spent (acme.md part 4).

Rules: single use is exact, also between the workers of a host; a counter that has left the ring counts as spent;
unknown, old, spent and foreign nonces look the same; memory is fixed.

Each worker issues from a ring of its own; every worker can spend from every ring. The bit is tested and set under the
record lock on its octet, so of two workers exactly one has it, and a worker that dies there leaves either an unspent
nonce that nobody was answered for, or a spent one. A worker that is started anew goes on with the ring that it finds.

An octet holds eight counters and is cleared when the first of them is issued. The ring has sixteen places more than
nonces that are good, so whatever the octet told of before was no good any more: nobody sets a bit in what is cleared.
"""

from __future__ import annotations

import os

from dayfly.adapters.shared import SharedMemory
from dayfly.core.acme.nonces import INSTANCE_OCTETS, KEY_OCTETS, SealedCounter, seal, unseal
from dayfly.core.problems import BadNonce

RING = 1 << 20  # nonces that are good at a time; 128 KiB of bits
MARGIN = 16  # places


class Rings:
    """The rings of all workers of a host, made before they are forked; of one process, in its own memory."""

    def __init__(self, *, workers: int = 1, ring: int = RING) -> None:
        """A new key and instances: what was made before this start is no nonce any more. `ring` divides by eight."""
        self.key = os.urandom(KEY_OCTETS)
        self.instances = tuple(os.urandom(INSTANCE_OCTETS - 1) + bytes([worker]) for worker in range(workers))
        self.good = ring
        self.places = ring + MARGIN
        octets = workers * (self.places // 8)
        self.shared = SharedMemory(octets) if workers > 1 else None
        self.spent = memoryview(bytearray(octets) if self.shared is None else self.shared.octets)
        counters = bytearray(8 * workers) if workers == 1 else SharedMemory(8 * workers).octets
        self.issued = memoryview(counters).cast("Q")  # the next counter of each worker

    def octet(self, worker: int, counter: int) -> int:
        """Where the counter's bit is."""
        return worker * (self.places // 8) + (counter % self.places >> 3)


class RingNonces:
    """Makes one worker's nonces, and takes each of any worker once."""

    def __init__(self, rings: Rings | None = None, worker: int = 0, *, ring: int = RING) -> None:
        """With rings of its own where none are given; `ring` is how many of these are good at a time."""
        self._rings = Rings(ring=ring) if rings is None else rings
        self._worker = worker

    def issue(self) -> str:
        """A fresh nonce; the octet of bits that it begins is cleared first."""
        rings, worker = self._rings, self._worker
        counter = rings.issued[worker]
        if not counter & 7:
            self._clear(rings.octet(worker, counter))
        rings.issued[worker] = counter + 1
        return seal(rings.key, rings.instances[worker], counter)

    async def spend(self, nonce: str) -> None:
        """Use it up; BadNonce."""
        sealed = unseal(self._rings.key, nonce)
        if sealed is None or not self._take(sealed):
            raise BadNonce(_TEXT)

    def _take(self, sealed: SealedCounter) -> bool:
        rings, worker = self._rings, sealed.instance[-1]
        if worker >= len(rings.instances) or sealed.instance != rings.instances[worker]:
            return False
        if rings.shared is None:
            return self._test_and_set(worker, sealed.counter)
        octet = rings.octet(worker, sealed.counter)
        rings.shared.lock(octet)
        try:
            return self._test_and_set(worker, sealed.counter)
        finally:
            rings.shared.unlock(octet)

    def _test_and_set(self, worker: int, counter: int) -> bool:
        rings = self._rings
        issued, octet, bit = rings.issued[worker], rings.octet(worker, counter), 1 << (counter % rings.places & 7)
        spent = rings.spent[octet]
        if spent & bit or not issued - rings.good <= counter < issued:
            return False
        rings.spent[octet] = spent | bit
        return True

    def _clear(self, octet: int) -> None:
        rings = self._rings
        if rings.shared is None:
            rings.spent[octet] = 0
        else:
            with rings.shared.locked(octet):
                rings.spent[octet] = 0


_TEXT = "the nonce is unknown, too old or spent; use the fresh one in this answer (RFC 8555 6.5)"
