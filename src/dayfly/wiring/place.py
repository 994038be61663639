"""Where a process stands among those of its CA, and what every one of them does alike.

Rules: nothing here loads more than it needs, since the collector starts from here too.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass

from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.system import SystemClock, TimeOrderedIds
from dayfly.core.ids import render_id
from dayfly.errors import StoreError
from dayfly.ports.store import Store

PAGE = 200  # rows of the fleet that are read in one turn of the loop: a few milliseconds

_LOG = logging.getLogger("dayfly.server")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands among the workers of its CA: `number` is below `workers`; number 0 does the timed work."""

    number: int = 0
    workers: int = 1


ALONE = Place()


def quiet_collector() -> None:
    """Leave what was made at start out of every collection, and collect less often: requests make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class RequestIds:
    """Ids for requests that bring none: time-ordered, and the same in answer and log."""

    def __init__(self, place: Place) -> None:
        """Made as row ids are, so those of two workers differ."""
        self._ids = TimeOrderedIds(place.number)

    def new(self) -> str:
        """The next one, 16 hex digits."""
        return render_id(self._ids.new())


async def load_fleet(store: Store, fleet: Fleet) -> None:
    """The names in use before this start, page by page, beside the first requests: readiness does not wait for them.

    A store that fails meanwhile leaves the fleet incomplete, so it has no figures.
    """
    fleet.complete = False
    now, after = SystemClock().now(), 0
    try:
        while page := await store.certificates.live_certificates(now, after=after, limit=PAGE):
            fleet.load(page)
            after = page[-1].id
            await asyncio.sleep(0)  # others get their turn
    except StoreError as error:
        _LOG.warning("the names in use could not be read", extra={"detail": str(error)})
    else:
        fleet.complete = True
