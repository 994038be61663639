"""The tries of one validation (acme.md part 7): up to five in 45 s, where a failure may mend itself.

Rules: each try locates and dials anew; its time begins with its turn, not in the queue; a failure that cannot mend
itself is the last one; an error of ours is logged, and is a failure like others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from dayfly.authority.context import Authority
from dayfly.authority.turns import Turns
from dayfly.core.acme.challenges import VALIDATION_SPAN, retry_delay
from dayfly.core.problems import Connection, Refused, ServerInternal
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget

_LOG = logging.getLogger("dayfly.authority")
SHORTEST_LOOK = timedelta(seconds=2)  # a try that could not have so long is not begun

Result = TypeVar("Result")


class Attempts:
    """The tries for one challenge of one account."""

    def __init__(
        self,
        authority: Authority,
        turns: Turns,
        target: ValidationTarget,
        *,
        challenge_type: str,
        account_id: int,
        confirm: Callable[[], Awaitable[datetime | None]],
    ) -> None:
        """Nothing was tried yet.

        `confirm` is asked once a proof was found; it may fail like a look, and gives its own moment if it has one.
        """
        self._authority = authority
        self._turns = turns
        self._target = target
        self._validator = authority.validators[challenge_type]
        self.account_id = account_id
        self._confirm = confirm
        self.made = 0
        self.began: datetime | None = None
        self.confirmed_at: datetime | None = None

    async def outcome(self, on_failure: Callable[[int, Refused], None]) -> Validated | ValidationFailed:
        """What counts in the end; `on_failure` hears of each failure that is tried again, with the tries made."""
        while True:
            outcome = await self._look()
            self.made += 1
            if isinstance(outcome, Validated):
                return outcome
            delay = self._delay() if outcome.transient else None
            if delay is None:
                return outcome
            on_failure(self.made, outcome.problem)
            await self._authority.sleep(delay)

    def _delay(self) -> float | None:
        """Seconds until the next try; None where the tries or the time are used up."""
        delay = retry_delay(self.made, self._authority.jitter())
        if delay is None or self._elapsed() + timedelta(seconds=delay) + SHORTEST_LOOK > VALIDATION_SPAN:
            return None
        return delay

    def _elapsed(self) -> timedelta:
        now = self._authority.clock.now()
        self.began = self.began or now
        return now - self.began

    async def _look(self) -> Validated | ValidationFailed:
        """One try: locate, wait for a turn at every address that may be dialled, look there, and where it leads."""
        try:
            async with self._turns.of_account(self.account_id):
                async with self._turns.at():
                    location = await self._in_time(self._validator.locate(self._target))
                while True:
                    async with self._turns.at(*map(str, location.addresses)):
                        outcome = await self._in_time(self._validator.validate(self._target, location))
                    if isinstance(outcome, Validated):
                        break
                    location = outcome
                self.confirmed_at = await self._in_time(self._confirm())
                return outcome
        except ValidationFailed as failure:
            return failure
        except Exception:  # noqa: BLE001 - the edge of a task: without an outcome the client would wait for nothing
            _LOG.exception("a validator met an error of its own")
            problem = ServerInternal("the CA met an error of its own while it looked; its log has the details")
            return ValidationFailed(problem, transient=True)

    async def _in_time(self, looking: Awaitable[Result]) -> Result:
        """Its result, in what is left of the time for all tries; ValidationFailed."""
        left = max(VALIDATION_SPAN - self._elapsed(), SHORTEST_LOOK).total_seconds()
        try:
            async with asyncio.timeout(left):
                return await looking
        except TimeoutError:
            raise ValidationFailed(Connection(f"no answer within the last {left:.0f} s"), transient=True) from None
