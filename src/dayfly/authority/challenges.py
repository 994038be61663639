"""Challenges: answered at once, validated in the background with bounded tries (RFC 8555 7.5.1, 8.2).

Rules: one validation of an authorization at a time, whichever of its challenges was answered first (`marks`); tries
take turns (`turns`), and the time that a try waits for its turn is none of its own; an outcome is committed against
the authorization as it is then; whatever happens, an answered challenge settles.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from functools import partial

from dayfly.authority import caa
from dayfly.authority.attempts import Attempts
from dayfly.authority.context import Authority, SingleFlight
from dayfly.authority.external_accounts import grant_of_account
from dayfly.authority.holding import Held, load_held, settled_rows
from dayfly.authority.marks import Mark, Marks
from dayfly.authority.order_limits import count_failure, forget_failures
from dayfly.authority.turns import Turns
from dayfly.core.acme.challenges import (
    OF_AN_ACCOUNT,
    SettledBy,
    find_challenge,
    key_authorization,
    needs_validation,
    stored_problem,
)
from dayfly.core.acme.objects import (
    Account,
    Authorization,
    AuthorizationRef,
    Challenge,
    ChallengeStatus,
    Evidence,
    render_authorization_ref,
)
from dayfly.core.events import ChallengeSettled, Outcome, Reason
from dayfly.core.frozen import replace
from dayfly.core.policy.lifetimes import LONGEST
from dayfly.core.problems import NoSuchResource, Refused, ServiceUnavailable
from dayfly.errors import Conflict, NotFound, Unavailable
from dayfly.ports.changes import Changes
from dayfly.ports.validation import Validated, ValidationFailed, ValidationTarget

_LOG = logging.getLogger("dayfly.authority")
COMMIT_TRIES = 5
COMMIT_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds, while the store cannot be used
HOLD = 0.1  # seconds for which a question waits for the outcome
MAX_REUSE = 7 * 24 * 3600  # seconds; a TTL may be longer than any date
BUSY_RETRY = 5  # seconds, in Retry-After when too many wait


class Validations:
    """The validations under way in this process."""

    def __init__(self, authority: Authority) -> None:
        """Nothing is under way yet."""
        caps = authority.caps
        self._authority = authority
        self._marks = Marks(authority.board)
        self._settling = SingleFlight()
        self._tasks: dict[AuthorizationRef, asyncio.Task[None]] = {}
        self._turns = Turns(
            total=caps.validations,
            per_account=caps.validations_per_account,
            per_address=caps.validations_per_address,
        )

    @property
    def waiting(self) -> int:
        """How many validations are waiting or running."""
        return len(self._marks)

    def overlay(self, held: Held) -> Authorization:
        """The authorization with what is known in memory: a challenge that is being validated shows as processing."""
        return _shown(held.authorization, self._marks.find(held.ref))

    async def answer(self, account: Account, ref: AuthorizationRef, challenge_type: str) -> Authorization:
        """The authorization after the client said that its answer is ready; a validation runs from now on."""
        held = await load_held(self._authority, account, ref)
        challenge = _challenge_of(held, challenge_type)
        if self._marks.find(ref) or not needs_validation(held.order, held.authorization, challenge):
            return self.overlay(held)
        self._check_room(account)
        if self._marks.set(ref, Mark(account.id, challenge_type)):
            if self._authority.board is not None and not await self._is_still_due(account, ref, challenge):
                return self.overlay(await load_held(self._authority, account, ref))
            task = asyncio.get_running_loop().create_task(self._run(account, held, challenge))
            self._tasks[ref] = task
            task.add_done_callback(partial(self._forget, ref))
        return self.overlay(held)

    async def _is_still_due(self, account: Account, ref: AuthorizationRef, challenge: Challenge) -> bool:
        """Was it not settled by another process between our look and our mark? The mark goes where it was."""
        try:
            held = await load_held(self._authority, account, ref)
            is_due = needs_validation(held.order, held.authorization, challenge)
        except BaseException:
            self._marks.clear(ref)
            raise
        if not is_due:
            self._marks.clear(ref)
        return is_due

    def _check_room(self, account: Account) -> None:
        """Raise ServiceUnavailable where the account, or all together, have too many waiting."""
        caps = self._authority.caps
        if len(self._marks) >= caps.waiting_validations:
            raise ServiceUnavailable("too many validations are waiting; try again", retry_after=BUSY_RETRY)
        if self._marks.count(account.id) >= caps.waiting_per_account:
            detail = f"{caps.waiting_per_account} validations of this account are waiting; try again"
            raise ServiceUnavailable(detail, retry_after=BUSY_RETRY)

    async def settled(self, ref: AuthorizationRef) -> bool:
        """Was a validation under way here, and worth waiting for? Then a moment has passed, or it has ended.

        Most end within it, and the client need not ask again: the next question would cost more than the wait.
        """
        task = self._tasks.get(ref)
        if task is None:
            return False
        await _ended(task, HOLD)
        return True

    async def close(self) -> None:
        """Stop what is under way; clients find their challenges pending again."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, account: Account, held: Held, challenge: Challenge) -> None:
        try:
            await self._validate(account, held, challenge)
        except (Unavailable, NotFound) as error:
            # The challenge is pending again, and the client's next answer starts it anew.
            _LOG.warning("validation outcome not stored: %s", error)
        finally:
            self._marks.clear(held.ref)

    def _forget(self, ref: AuthorizationRef, task: asyncio.Task[None]) -> None:
        """A task has ended; the next one for this authorization may be there already."""
        if self._tasks.get(ref) is task:
            del self._tasks[ref]

    async def _validate(self, account: Account, held: Held, challenge: Challenge) -> None:
        """Try until there is an outcome that counts, and commit it."""
        target = await self._target(account, held, challenge)
        identifier = held.authorization.identifier
        attempts = Attempts(
            self._authority,
            self._turns,
            target,
            challenge_type=challenge.type,
            account_id=account.id,
            confirm=partial(caa.confirm, self._authority, account, held.provisioner, identifier, method=challenge.type),
        )

        def show(tries: int, problem: Refused) -> None:
            self._marks.change(held.ref, Mark(account.id, challenge.type, tries, stored_problem(problem)))

        outcome = await attempts.outcome(show)
        if isinstance(outcome, ValidationFailed):
            _log_failure(held.ref, outcome)
        await self._record(held, challenge, outcome=outcome, attempts=attempts)

    async def _target(self, account: Account, held: Held, challenge: Challenge) -> ValidationTarget:
        """What to look for; a wildcard is proved by the name below its `*.` (RFC 8555 7.1.4)."""
        identifier = held.authorization.identifier
        target = ValidationTarget(
            replace(identifier, value=identifier.value.removeprefix("*.")),
            challenge.token,
            key_authorization(challenge.token, account.thumbprint),
            wildcard=identifier.is_wildcard,
        )
        if challenge.type not in OF_AN_ACCOUNT:
            return target
        _, grant = await self._authority.acme_grant_if_any(held.provisioner)
        issuers = () if grant is None else grant.identities
        return replace(target, account_urls=self._authority.account_urls(account), issuers=issuers)

    async def _record(
        self, held: Held, challenge: Challenge, *, outcome: Validated | ValidationFailed, attempts: Attempts
    ) -> None:
        """Commit the outcome; while the store cannot be used, a few times more."""
        for pause in (*COMMIT_PAUSES, None):
            try:
                async with self._settling.alone(held.ref.order_id):
                    await self._settle(held, challenge, outcome=outcome, attempts=attempts)
            except Unavailable as error:
                if pause is None:
                    raise
                _LOG.warning("validation outcome not stored, trying again: %s", error)
                await self._authority.sleep(pause)
            else:
                return

    async def _settle(
        self, held: Held, challenge: Challenge, *, outcome: Validated | ValidationFailed, attempts: Attempts
    ) -> None:
        """Commit the outcome against what is stored now; siblings in this process take turns, others may come first."""
        authority = self._authority
        failure = outcome.problem if isinstance(outcome, ValidationFailed) else None
        address = outcome.address if isinstance(outcome, Validated) else ""
        evidence = _evidence(outcome, attempts.confirmed_at, authority.clock.now())
        by = SettledBy(challenge.type, failure, address, attempts.made, evidence)
        for _ in range(COMMIT_TRIES):
            now = authority.clock.now()
            settled = await settled_rows(authority, held.ref, by, now)
            if not settled:
                return
            event = ChallengeSettled(
                now,
                challenge.type,
                held.provisioner,
                Outcome.DENIED if failure else Outcome.OK,
                Reason.CHALLENGE_FAILED if failure else Reason.OK,
                (now - (attempts.began or now)).total_seconds(),
            )
            try:
                await authority.store.commit(Changes(update=settled, events=(event,)))
            except Conflict:
                continue
            await self._count(held, attempts.account_id, failed=failure is not None)
            return
        what = render_authorization_ref(held.ref)
        raise Unavailable(f"authorization {what} kept changing while its validation was being recorded")

    async def _count(self, held: Held, account_id: int, *, failed: bool) -> None:
        """Count a failure for the account and the name; a success makes up for all before it."""
        authority, name = self._authority, held.authorization.identifier
        if not authority.limits.enabled:
            return
        if not failed:
            forget_failures(authority, account_id, name)
            return
        count_failure(authority, account_id, name, await self._life(account_id))

    async def _life(self, account_id: int) -> timedelta:
        """How long the account's certificates live, by which its orders are judged too."""
        try:
            account = await self._authority.store.accounts.account(account_id)
            _, grant, _ = await grant_of_account(self._authority, account)
        except NoSuchResource:  # its provisioner is gone, or disabled
            return LONGEST
        return grant.lifetimes.default


async def _ended(task: asyncio.Task[None], seconds: float) -> None:
    """Wait for its end, so long at most; in a third of the steps of `asyncio.wait`."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def wake(_task: asyncio.Task[None] | None = None) -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(seconds, wake)
    task.add_done_callback(wake)
    try:
        await over
    finally:
        timer.cancel()
        task.remove_done_callback(wake)


def _evidence(outcome: Validated | ValidationFailed, confirmed_at: datetime | None, now: datetime) -> Evidence | None:
    """What a proof says beyond itself; None for most, and for failures."""
    if not isinstance(outcome, Validated) or (confirmed_at is None and outcome.reuse_for is None):
        return None
    reuse_until = None if outcome.reuse_for is None else now + timedelta(seconds=min(outcome.reuse_for, MAX_REUSE))
    return Evidence(confirmed_at, reuse_until)


def _challenge_of(held: Held, challenge_type: str) -> Challenge:
    challenge = find_challenge(held.authorization, challenge_type)
    if challenge is None:
        raise NoSuchResource("there is no such challenge")
    return challenge


def _shown(authorization: Authorization, mark: Mark | None) -> Authorization:
    """The authorization as its mark has it: a challenge that is looked at is processing, with its last error."""
    if mark is None:
        return authorization
    challenges = tuple(
        replace(one, status=ChallengeStatus.PROCESSING, error=mark.error, attempts=mark.tries)
        if one.type == mark.challenge_type and one.status is ChallengeStatus.PENDING
        else one
        for one in authorization.challenges
    )
    return replace(authorization, challenges=challenges)


def _log_failure(ref: AuthorizationRef, failure: ValidationFailed) -> None:
    """For the operator: what the client may not see, with the setting that would open a refused address."""
    _LOG.info(
        "challenge failed",
        extra={
            "authorization": render_authorization_ref(ref),
            "problem": failure.problem.type,
            "detail": failure.problem.detail,
            "note": failure.operator_note,
        },
    )
