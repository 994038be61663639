"""Denials: a name that policy refuses gets a short id, by which an admin can allow exactly that name.

Rules: only what an authenticated client asked for is kept, and of one request no more names than one asker may have; a
refusal is told whether it could be kept or not, and then has no id; an equal denial costs one write a minute, whatever
a client does in between, and is counted all the same.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta

from dayfly.authority.context import Authority
from dayfly.core.frozen import replace
from dayfly.core.policy.denials import (
    ID_OCTETS,
    KEPT,
    Asker,
    KeptDenial,
    denials_in,
    once_more,
    put_ids,
    render_denial_id,
    share_of,
)
from dayfly.core.problems import Refused
from dayfly.errors import Conflict, NotFound, StoreError

_LOG = logging.getLogger("dayfly.authority")

WRITE_AGAIN = timedelta(minutes=1)  # after which an equal denial is written once more
TRIES = 5  # of ids: with 1,000 of 810,000 taken, a clash of one in 800


class _Noting:
    """What `noting_denials` gives: a class, since one is made for each order, and a generator takes longer."""

    __slots__ = ("_asker", "_authority")

    def __init__(self, authority: Authority, asker: Asker) -> None:
        self._authority = authority
        self._asker = asker

    async def __aenter__(self) -> None:
        """Nothing was refused yet."""

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Refused):
            await note_denials(self._authority, error, self._asker)


def noting_denials(authority: Authority, asker: Asker) -> AbstractAsyncContextManager[None]:
    """Around work on behalf of an authenticated client: what policy refuses in it leaves with ids."""
    return _Noting(authority, asker)


async def note_denials(authority: Authority, refused: Refused, asker: Asker) -> Refused:
    """The same refusal, each denied name with its id; without ids where the store cannot take them."""
    now = authority.clock.now()
    denials = denials_in(refused, asker, now)[: share_of(KEPT)]
    if not denials:
        return refused
    try:
        held = [await _held(authority, one, now) for one in denials]
        fresh = tuple(one for one, id_ in zip(denials, held, strict=True) if not id_)
        written = iter(await _write(authority, fresh, now) if fresh else ())
    except StoreError as error:
        _LOG.warning("a denial could not be kept", extra={"detail": str(error)})
        return refused
    put_ids(refused, {one.identifier: id_ or next(written) for one, id_ in zip(denials, held, strict=True)})
    return refused


async def _held(authority: Authority, denial: KeptDenial, now: datetime) -> str:
    """The id of an equal denial that was written a moment ago and still stands, after counting this one; else ""."""
    recent = authority.denials.get(denial.key)
    if recent is None or now - recent.written >= WRITE_AGAIN:
        return ""
    try:
        await authority.store.denials.denial(recent.denial.id)
    except NotFound:
        return ""
    known = recent.denial
    recent.denial = replace(denial, id=known.id, first_at=known.first_at, first_by=known.first_by)
    recent.pending += 1
    return recent.denial.id


async def _write(authority: Authority, denials: tuple[KeptDenial, ...], now: datetime) -> tuple[str, ...]:
    """Write them, with what was counted since; their ids. StoreError."""
    for _ in range(TRIES - 1):
        with suppress(Conflict):
            return await _try_write(authority, denials, now)
    return await _try_write(authority, denials, now)


async def _try_write(authority: Authority, denials: tuple[KeptDenial, ...], now: datetime) -> tuple[str, ...]:
    ids = await authority.store.denials.note([_counted(authority, one) for one in denials], keep=KEPT)
    for one, id_ in zip(denials, ids, strict=True):
        authority.denials.put(replace(one, id=id_), now)
    return ids


def _counted(authority: Authority, denial: KeptDenial) -> KeptDenial:
    """The denial with a fresh id, and with the tries of its equal that were counted in memory only."""
    fresh = replace(denial, id=render_denial_id(authority.entropy.octets(ID_OCTETS)))
    recent = authority.denials.get(denial.key)
    if recent is None or not recent.pending:
        return fresh
    return once_more(replace(recent.denial, count=recent.pending, id=fresh.id), fresh)


async def flush_denials(authority: Authority, now: datetime) -> None:
    """Write what was counted in memory only; StoreError. Called now and then, and at the end."""
    waiting = authority.denials.pending()
    if not waiting:
        return
    counted = [(one, one.pending) for one in waiting]
    with suppress(Conflict):  # it was forgotten meanwhile, and its id is another's: nobody needs the count
        await authority.store.denials.note([replace(one.denial, count=count) for one, count in counted], keep=KEPT)
    for one, count in counted:
        one.pending -= count
        one.written = now
