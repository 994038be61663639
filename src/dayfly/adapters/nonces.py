"""Replay nonces of one process: a counter, and a ring of bits for those that were spent (acme.md part 4).

Rules: single use is exact; a counter that has left the ring counts as spent; unknown, old, spent and another process's
nonces look the same; memory is fixed.
"""

from __future__ import annotations

import os

from dayfly.core.acme.nonces import INSTANCE_OCTETS, KEY_OCTETS, seal, unseal
from dayfly.core.problems import BadNonce

RING = 1 << 20  # nonces that are good at a time; 128 KiB of bits


class RingNonces:
    """Makes nonces, and takes each once."""

    def __init__(self, *, ring: int = RING) -> None:
        """A new key and instance: what was made before this start is no nonce any more."""
        self._key = os.urandom(KEY_OCTETS)
        self._instance = os.urandom(INSTANCE_OCTETS)
        self._ring = ring
        self._spent = bytearray(ring // 8)
        self._next = 0

    def issue(self) -> str:
        """A fresh nonce; the place of the one that leaves the ring is cleared for it."""
        counter = self._next
        self._next += 1
        place = counter % self._ring
        self._spent[place >> 3] &= ~(1 << (place & 7)) & 0xFF
        return seal(self._key, self._instance, counter)

    async def spend(self, nonce: str) -> None:
        """Use it up; BadNonce."""
        sealed = unseal(self._key, nonce)
        if sealed is None or sealed.instance != self._instance or sealed.counter >= self._next:
            raise BadNonce(_TEXT)
        place = sealed.counter % self._ring
        bit = 1 << (place & 7)
        if sealed.counter < self._next - self._ring or self._spent[place >> 3] & bit:
            raise BadNonce(_TEXT)
        self._spent[place >> 3] |= bit


_TEXT = "the nonce is unknown, too old or spent; use the fresh one in this answer (RFC 8555 6.5)"
