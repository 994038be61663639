"""The board on which the workers of a host mark what each validates: a table in shared memory, of a fixed size.

Rules: whoever changes a place of a bucket holds the bucket's lock; a mark counts while the worker that set it lives the
same life; where a bucket is full the mark is not shared, and the commit decides as it does between hosts.

A place is found by its key without a lock: what is half written, or half gone, is as good as not there yet, or there
still. What it holds is read under the lock.
"""

from __future__ import annotations

import struct

from dayfly.adapters.shared import SharedMemory, Slots
from dayfly.core.acme.objects import AuthorizationRef
from dayfly.ports.marks import MARK_TEXT

PLACE = 512  # octets: key, holder, text
PLACES = 8  # in a bucket, which is a page
BUCKET = PLACE * PLACES
BUCKETS = 1024  # 8,192 marks; the memory is taken when it is first written
SLACK = 4096  # octets behind the last bucket: find() of Python 3.11.2 reads past the end of a mapping
_KEY = struct.Struct("<QI")  # order id, index + 1
_HOLDER = struct.Struct("<IQH")  # worker, its generation, octets of text
_TEXT_AT = _KEY.size + _HOLDER.size
_EMPTY = bytes(_KEY.size)


class MarkTable:
    """The memory, made before the workers are forked."""

    def __init__(self, slots: Slots, *, buckets: int = BUCKETS) -> None:
        """Nothing is marked."""
        self.slots = slots
        self.buckets = buckets
        self.memory = SharedMemory(buckets * BUCKET + SLACK)

    def bucket(self, ref: AuthorizationRef) -> int:
        """Where the bucket of an authorization begins; ids of one moment are spread."""
        return (ref.order_id * 0x9E3779B97F4A7C15 + ref.index >> 24) % self.buckets * BUCKET


class SharedMarks:
    """One worker's hand on the board (ports.MarkBoard)."""

    def __init__(self, table: MarkTable, worker: int) -> None:
        """Marks are set in this worker's present life."""
        self._table = table
        self._memory = table.memory
        self._octets = table.memory.octets
        self._worker = worker
        self._generation = table.slots.generation(worker)

    def claim(self, ref: AuthorizationRef, text: bytes) -> bool:
        """Mark it as this worker's; False where another worker's mark stands."""
        start, key = self._table.bucket(ref), _key(ref)
        with self._memory.locked(start):
            place = self._find(start, key)
            if place is not None and self._stands(place):
                return False
            if place is None:
                place = self._free(start)
            if place is not None:
                self._write(place, key, text)
        return True

    def look(self, ref: AuthorizationRef) -> bytes | None:
        """The text of the mark that stands, whose ever it is."""
        start, key = self._table.bucket(ref), _key(ref)
        if self._find(start, key) is None:
            return None
        with self._memory.locked(start):
            place = self._find(start, key)
            return None if place is None or not self._stands(place) else self._text(place)

    def note(self, ref: AuthorizationRef, text: bytes) -> None:
        """Put another text on this worker's mark."""
        start, key = self._table.bucket(ref), _key(ref)
        with self._memory.locked(start):
            place = self._find(start, key)
            if place is not None and self._is_mine(place):
                self._write(place, key, text)

    def release(self, ref: AuthorizationRef) -> None:
        """Take this worker's mark away."""
        start, key = self._table.bucket(ref), _key(ref)
        with self._memory.locked(start):
            place = self._find(start, key)
            if place is not None and self._is_mine(place):
                self._octets[place : place + _KEY.size] = _EMPTY

    def _find(self, start: int, key: bytes) -> int | None:
        """The place with this key; the same octets inside a text are none."""
        place = self._octets.find(key, start, start + BUCKET)
        while place >= 0 and (place - start) % PLACE:
            place = self._octets.find(key, place + 1, start + BUCKET)
        return None if place < 0 else place

    def _free(self, start: int) -> int | None:
        """A place without a mark that stands."""
        for place in range(start, start + BUCKET, PLACE):
            if self._octets[place : place + _KEY.size] == _EMPTY or not self._stands(place):
                return place
        return None

    def _holder(self, place: int) -> tuple[int, int, int]:
        worker, generation, length = _HOLDER.unpack_from(self._octets, place + _KEY.size)
        return worker, generation, length

    def _stands(self, place: int) -> bool:
        worker, generation, _ = self._holder(place)
        return self._table.slots.generation(worker) == generation

    def _is_mine(self, place: int) -> bool:
        worker, generation, _ = self._holder(place)
        return (worker, generation) == (self._worker, self._generation)

    def _text(self, place: int) -> bytes:
        length = self._holder(place)[2]
        return self._octets[place + _TEXT_AT : place + _TEXT_AT + length]

    def _write(self, place: int, key: bytes, text: bytes) -> None:
        """Holder and text first, the key last: a worker that dies between has marked nothing."""
        if len(text) > MARK_TEXT:
            raise ValueError(f"a mark of {len(text)} octets is too long for the board")
        holder = _HOLDER.pack(self._worker, self._generation, len(text))
        self._octets[place + _KEY.size : place + _TEXT_AT + len(text)] = holder + text
        self._octets[place : place + _KEY.size] = key


def _key(ref: AuthorizationRef) -> bytes:
    return _KEY.pack(ref.order_id, ref.index + 1)
