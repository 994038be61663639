"""Challenges: answered at once, validated in the background with bounded tries (RFC 8555 7.5.1, 8.2).

Rules: a mark in memory is set before the work is dispatched, so parallel answers give one validation; the mark need
not be durable: after a restart the challenge is pending and the next answer starts it anew; an outcome is committed
against the order as it is then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from dayfly.authority.context import Authority
from dayfly.authority.orders import load_order
from dayfly.core.acme.challenges import (
    VALIDATION_SPAN,
    find_challenge,
    key_authorization,
    needs_validation,
    retry_delay,
    settle,
)
from dayfly.core.acme.objects import Account, AuthorizationRef, Challenge, ChallengeStatus, Order, StoredProblem
from dayfly.core.acme.ordering import replace_authorization
from dayfly.core.events import ChallengeSettled, Outcome, Reason
from dayfly.core.problems import NoSuchResource, Refused, ServiceUnavailable
from dayfly.errors import Conflict, NotFound, Unavailable
from dayfly.ports import Changes, Validated, ValidationFailed, ValidationTarget

_LOG = logging.getLogger("dayfly.authority")
COMMIT_TRIES = 5


@dataclass(slots=True)
class _Mark:
    """A validation under way: its challenge type, the tries made, and the last try's error."""

    challenge_type: str
    tries: int = 0
    error: StoredProblem | None = None


class Validations:
    """The validations under way in this process."""

    def __init__(self, authority: Authority) -> None:
        """Nothing is under way yet."""
        self._authority = authority
        self._marks: dict[AuthorizationRef, _Mark] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(authority.caps.validations)
        self._account_slots: dict[int, asyncio.Semaphore] = {}
        self._account_users: Counter[int] = Counter()

    @property
    def waiting(self) -> int:
        """How many validations are waiting or running."""
        return len(self._marks)

    def overlay(self, order: Order) -> Order:
        """The order with what is known in memory: challenges that are being validated show as processing."""
        for index in range(len(order.authorizations)):
            mark = self._marks.get(AuthorizationRef(order.id, index))
            if mark is not None:
                order = _overlay_one(order, index, mark)
        return order

    async def answer(self, account: Account, ref: AuthorizationRef, challenge_type: str) -> Order:
        """The order after the client said that its answer is ready; a validation runs from now on."""
        order = await load_order(self._authority, account, ref.order_id)
        challenge = _challenge_of(order, ref, challenge_type)
        if ref in self._marks or not needs_validation(order, order.authorizations[ref.index], challenge):
            return self.overlay(order)
        if len(self._marks) >= self._authority.caps.waiting_validations:
            raise ServiceUnavailable("too many validations are waiting; try again", retry_after=5)
        self._marks[ref] = _Mark(challenge_type)
        task = asyncio.get_running_loop().create_task(self._run(account, order, ref, challenge))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self.overlay(order)

    async def close(self) -> None:
        """Stop what is under way; clients find their challenges pending again."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, account: Account, order: Order, ref: AuthorizationRef, challenge: Challenge) -> None:
        slots = self._account_slots.setdefault(
            account.id, asyncio.Semaphore(self._authority.caps.validations_per_account)
        )
        self._account_users[account.id] += 1
        try:
            await self._validate(account, order, ref, challenge, slots)
        except (Unavailable, NotFound) as error:
            # The challenge is pending again, and the client's next answer starts it anew.
            _LOG.warning("validation outcome not stored: %s", error)
        finally:
            self._marks.pop(ref, None)
            self._account_users[account.id] -= 1
            if not self._account_users[account.id]:
                del self._account_users[account.id], self._account_slots[account.id]

    async def _validate(
        self, account: Account, order: Order, ref: AuthorizationRef, challenge: Challenge, slots: asyncio.Semaphore
    ) -> None:
        authority, mark = self._authority, self._marks[ref]
        identifier = order.authorizations[ref.index].identifier
        target = ValidationTarget(
            replace(identifier, value=identifier.value.removeprefix("*.")),
            challenge.token,
            key_authorization(challenge.token, account.thumbprint),
        )
        began = authority.clock.now()
        while True:
            async with slots, self._slots:
                outcome = await self._try(target, challenge.type)
            mark.tries += 1
            if isinstance(outcome, Validated):
                await self._settle(order, ref, mark, failure=None, address=outcome.address, began=began)
                return
            delay = retry_delay(mark.tries, authority.jitter()) if outcome.transient else None
            late = authority.clock.now() - began
            if delay is None or late.total_seconds() + delay > VALIDATION_SPAN.total_seconds():
                _log_failure(order, ref, outcome)
                await self._settle(order, ref, mark, failure=outcome.problem, address="", began=began)
                return
            mark.error = StoredProblem(outcome.problem.type, outcome.problem.detail, outcome.problem.http_status)
            await authority.sleep(delay)

    async def _try(self, target: ValidationTarget, challenge_type: str) -> Validated | ValidationFailed:
        try:
            return await self._authority.validators[challenge_type].validate(target)
        except ValidationFailed as failure:
            return failure

    async def _settle(
        self,
        order: Order,
        ref: AuthorizationRef,
        mark: _Mark,
        *,
        failure: Refused | None,
        address: str,
        began: datetime,
    ) -> None:
        """Commit the outcome against the order as it is; siblings that settle at the same moment take turns."""
        authority = self._authority
        for _ in range(COMMIT_TRIES):
            now = authority.clock.now()
            current = await authority.store.orders.order(order.id)
            settled = settle(
                current,
                ref.index,
                mark.challenge_type,
                failure=failure,
                address=address,
                attempts=mark.tries,
                now=now,
            )
            if settled is None:
                return
            event = ChallengeSettled(
                now,
                mark.challenge_type,
                order.provisioner,
                Outcome.DENIED if failure else Outcome.OK,
                Reason.CHALLENGE_FAILED if failure else Reason.OK,
                (now - began).total_seconds(),
            )
            try:
                await authority.store.commit(Changes(update=(settled,), events=(event,)))
            except Conflict:
                continue
            return
        raise Unavailable(f"order {order.id:016x} kept changing while its validation was being recorded")


def _challenge_of(order: Order, ref: AuthorizationRef, challenge_type: str) -> Challenge:
    if ref.index >= len(order.authorizations):
        raise NoSuchResource("there is no such challenge")
    challenge = find_challenge(order.authorizations[ref.index], challenge_type)
    if challenge is None:
        raise NoSuchResource("there is no such challenge")
    return challenge


def _overlay_one(order: Order, index: int, mark: _Mark) -> Order:
    authorization = order.authorizations[index]
    challenges = tuple(
        replace(one, status=ChallengeStatus.PROCESSING, error=mark.error, attempts=mark.tries)
        if one.type == mark.challenge_type and one.status is ChallengeStatus.PENDING
        else one
        for one in authorization.challenges
    )
    return replace_authorization(order, index, replace(authorization, challenges=challenges))


def _log_failure(order: Order, ref: AuthorizationRef, failure: ValidationFailed) -> None:
    """For the operator: what the client may not see, with the setting that would open a refused address."""
    _LOG.info(
        "challenge failed",
        extra={
            "order": f"{order.id:016x}",
            "authorization": ref.index,
            "problem": failure.problem.type,
            "detail": failure.problem.detail,
            "note": failure.operator_note,
        },
    )
