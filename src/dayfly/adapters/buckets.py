"""What was used of each limit, in memory that the workers of a host share: a table of a fixed size.

Rules: whoever changes an entry of a page holds the page's lock, so that of two workers exactly one takes the last use;
a full page gives up the entry that is free the soonest; which page a key falls on is keyed by a secret of this start,
so that nobody can choose keys that push another's out.

An entry is sixteen octets: eight of the key's digest, and the moment until which its use is paid for, in microseconds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from dayfly.adapters.shared import SharedMemory
from dayfly.ports.limits import Step

ENTRY = 16
ENTRIES = 16  # in a page
PAGE = ENTRY * ENTRIES
PAGES = 16_384  # 262,144 keys in 4 MiB, taken when they are first written
_ENTRY = struct.Struct("<8sQ")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BucketTable:
    """The memory, made before the workers are forked."""

    def __init__(self, *, pages: int = PAGES) -> None:
        """Nothing is used."""
        self.pages = pages
        self.secret = os.urandom(16)
        self.memory = SharedMemory(pages * PAGE)


class SharedBuckets:
    """The host's buckets, from any of its workers (ports.Buckets)."""

    def __init__(self, table: BucketTable) -> None:
        """All workers are given the same table."""
        self._table = table
        self._octets = table.memory.octets

    def look(self, limit: str, key: Hashable) -> datetime | None:
        """Until when the use is paid for; None where nothing is known."""
        digest, page = self._place(limit, key)
        if self._find(digest, page) is None:
            return None
        with self._table.memory.locked(page):
            return self._read(self._find(digest, page))

    def change(self, limit: str, key: Hashable, step: Step) -> None:
        """Let `step` make the new moment of the present one, None where nothing is known; None changes nothing."""
        digest, page = self._place(limit, key)
        with self._table.memory.locked(page):
            at = self._find(digest, page)
            after = step(self._read(at))
            if after is not None:
                moment = max(0, (after - _EPOCH) // _MICROSECOND)
                _ENTRY.pack_into(self._octets, self._soonest(page) if at is None else at, digest, moment)

    def forget(self, limit: str, key: Hashable) -> None:
        """Nothing is known of it any more."""
        digest, page = self._place(limit, key)
        with self._table.memory.locked(page):
            at = self._find(digest, page)
            if at is not None:
                self._octets[at : at + ENTRY] = bytes(ENTRY)

    def _place(self, limit: str, key: Hashable) -> tuple[bytes, int]:
        """The digest, which is never zero, and the offset of the page."""
        whole = blake2b(f"{limit} {key!r}".encode(), digest_size=12, key=self._table.secret).digest()
        return b"\x01" + whole[1:8], int.from_bytes(whole[8:]) % self._table.pages * PAGE

    def _find(self, digest: bytes, page: int) -> int | None:
        """The offset of the entry with this digest; the same octets elsewhere in an entry are none."""
        at = self._octets.find(digest, page, page + PAGE)
        while at >= 0 and (at - page) % ENTRY:
            at = self._octets.find(digest, at + 1, page + PAGE)
        return None if at < 0 else at

    def _read(self, at: int | None) -> datetime | None:
        if at is None:
            return None
        _, moment = _ENTRY.unpack_from(self._octets, at)
        return _EPOCH + timedelta(microseconds=moment)

    def _soonest(self, page: int) -> int:
        """An empty entry, else the one that is free the soonest."""
        return min(range(page, page + PAGE, ENTRY), key=lambda at: _ENTRY.unpack_from(self._octets, at)[1])
