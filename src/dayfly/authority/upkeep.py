"""What happens on a schedule: retention, checkpoints, CRLs, and the server's own certificate.

Rules: an error in one job is logged and harms no other; every job is done in small slices; everything here may run at
any time, any number of times.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.authority.context import Authority
from dayfly.authority.crls import refresh_crls
from dayfly.authority.denials import WRITE_AGAIN, flush_denials
from dayfly.authority.log import sign_checkpoint
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.errors import DayflyError

_LOG = logging.getLogger("dayfly.authority")

TICK = 1.0  # seconds; the server's own certificate may live for a minute only
PRUNE_EVERY = timedelta(seconds=60)
PRUNE_SLICE = 500
KEEP_ENDED_ORDERS = timedelta(hours=24)
TELL_EVERY = timedelta(minutes=1)  # a full disk fails the own certificate's renewal every second
CRLS_EVERY = timedelta(seconds=5)  # a revocation that nobody has asked about is in its CRL by then
CHECKPOINT_EVERY = timedelta(minutes=10)


@dataclass(slots=True)
class _Job:
    every: timedelta
    run: Callable[[datetime], Awaitable[None]]
    due: datetime
    told: datetime | None = None  # when its failure was last logged; None while it works


class Upkeep:
    """The loop of timed work of one server process."""

    def __init__(self, authority: Authority, own_certificate: OwnCertificate, *, timed_work: bool = True) -> None:
        """Every job is due at once; `timed_work` is what one of several workers does for all."""
        now = authority.clock.now()
        self._authority = authority
        self._own_certificate = own_certificate
        self._checkpointed = 0
        own = (
            _Job(timedelta(0), self._renew_own_certificate, now),
            _Job(WRITE_AGAIN, self._flush_denials, now),
        )
        of_all = (
            _Job(PRUNE_EVERY, self._prune, now),
            _Job(CHECKPOINT_EVERY, self._checkpoint, now),
            _Job(CRLS_EVERY, self._refresh_crls, now),
        )
        self._jobs = (*own, *of_all) if timed_work else own

    async def run(self) -> None:
        """Look every second what is due, until cancelled."""
        while True:
            await self.tick()
            await self._authority.sleep(TICK)

    async def tick(self) -> None:
        """Run what is due now."""
        now = self._authority.clock.now()
        for job in self._jobs:
            if job.due <= now:
                job.due = now + job.every
                await self._guard(job, now)

    async def finish(self) -> None:
        """What was counted in memory only, and the last checkpoint, at a graceful stop."""
        now = self._authority.clock.now()
        await self._guard(_Job(WRITE_AGAIN, self._flush_denials, now), now)
        await self._guard(_Job(CHECKPOINT_EVERY, self._checkpoint, now), now)  # without it the log is as whole

    async def _guard(self, job: _Job, now: datetime) -> None:
        """Run it; a failure that goes on is told of once a minute, and its end is told of too."""
        name = job.run.__name__.strip("_")
        try:
            await job.run(now)
        except DayflyError as error:
            if job.told is None or now - job.told >= TELL_EVERY:
                job.told = now
                _LOG.error("upkeep failed", extra={"job": name, "detail": error.message, "next": error.hint})
        else:
            if job.told is not None:
                job.told = None
                _LOG.info("upkeep works again", extra={"job": name})

    async def _renew_own_certificate(self, now: datetime) -> None:
        await self._own_certificate.renew_if_due(now)

    async def _prune(self, now: datetime) -> None:
        store, before = self._authority.store, now - KEEP_ENDED_ORDERS
        while await store.prune(orders_before=before, claims_before=now, limit=PRUNE_SLICE) >= PRUNE_SLICE:
            await self._authority.sleep(0.05)  # others get their turn between slices

    async def _flush_denials(self, now: datetime) -> None:
        await flush_denials(self._authority, now)

    async def _refresh_crls(self, now: datetime) -> None:
        await refresh_crls(self._authority, now)

    async def _checkpoint(self, now: datetime) -> None:
        del now
        self._checkpointed = await sign_checkpoint(self._authority, last_size=self._checkpointed)
