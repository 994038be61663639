"""CAA records as DNS has them: the relevant set of a name, found by climbing (RFC 8659 3).

Rules: aliases are followed at each step; the first name that has records ends the climb; where the servers say nothing,
nothing may be issued, so that is a failure and no empty set.
"""

from __future__ import annotations

import asyncio

from dayfly.adapters.validators.dnsclient import dns_failure
from dayfly.adapters.validators.hops import Step, hop
from dayfly.adapters.validators.resolver import Resolver
from dayfly.core.acme.caa import CaaRecord, names_to_climb

CLIMB_TIMEOUT = 10.0  # seconds


class CaaClimber:
    """Finds the records that count for a name."""

    def __init__(self, resolver: Resolver) -> None:
        """`resolver` is asked for CAA records."""
        self._resolver = resolver

    async def relevant(self, name: str) -> tuple[CaaRecord, ...]:
        """The relevant set, empty where there is none up to the top; ValidationFailed with a `dns` problem."""
        try:
            async with asyncio.timeout(CLIMB_TIMEOUT):
                return await self._climb(name)
        except TimeoutError:
            raise dns_failure(f"CAA of {name}", f"no answer within {CLIMB_TIMEOUT:.0f} s") from None

    async def _climb(self, name: str) -> tuple[CaaRecord, ...]:
        for one in names_to_climb(name):
            records = await self._resolver.caa(one)
            if records:
                hop(Step.ANSWER, f"CAA of {one}", f"{len(records)} records")
                return records
        hop(Step.ANSWER, f"CAA of {name}", "none, up to the top")
        return ()
