"""Names that policy refused, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from dayfly.core.policy.denials import ID_REST, MOST_GONE, KeptDenial, once_more, share_of
from dayfly.errors import Conflict, NotFound


class MemoryDenials:
    """Names that policy refused."""

    def __init__(self) -> None:
        """None yet."""
        self._rows: dict[str, KeptDenial] = {}
        self._gone: dict[str, tuple[KeptDenial, datetime]] = {}

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        """Store them, or count them up; their ids."""
        merged = dict(self._rows)
        now = max((one.last_at for one in denials), default=datetime.max.replace(tzinfo=UTC))
        resting = {id_: one for id_, (one, at) in self._gone.items() if at > now - ID_REST}
        for one in denials:
            if one.key not in merged:
                _check_new(one, resting)
            merged[one.key] = once_more(merged[one.key], one) if one.key in merged else one
        if len({one.id for one in merged.values()}) < len(merged):
            raise Conflict("another denial has this id")
        kept = sorted(merged.values(), key=_newest_first)
        for asker in {merged[one.key].first_by for one in denials} - {""}:
            over = [one for one in kept if one.first_by == asker][share_of(keep) :]
            kept = [one for one in kept if one not in over]
        self._rows = {one.key: one for one in kept[:keep]}
        there = {one.id for one in self._rows.values()}
        self._gone = {id_: self._gone[id_] for id_ in resting if id_ not in there}
        self._gone.update((one.id, (one, now)) for one in merged.values() if one.id not in there)
        return tuple(merged[one.key].id for one in denials)

    async def denial(self, denial_id: str) -> KeptDenial:
        """The denial with this id; NotFound."""
        for one in self._rows.values():
            if one.id == denial_id:
                return one
        raise NotFound(f"no denial {denial_id}")

    async def newest(self, *, limit: int) -> tuple[KeptDenial, ...]:
        """Those met last, newest first."""
        return tuple(sorted(self._rows.values(), key=_newest_first)[:limit])


def _check_new(denial: KeptDenial, resting: Mapping[str, KeptDenial]) -> None:
    """Conflict where the id was another's a moment ago, or the asker has used up too many."""
    if denial.id in resting and resting[denial.id].key != denial.key:
        raise Conflict("another denial had this id not long ago")
    if denial.first_by and sum(one.first_by == denial.first_by for one in resting.values()) >= MOST_GONE:
        raise Conflict("the asker has used up too many ids of denials")


def _newest_first(denial: KeptDenial) -> tuple[float, str]:
    return -denial.last_at.timestamp(), denial.id
