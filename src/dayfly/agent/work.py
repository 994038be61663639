"""The work on one certificate: one step at a time, each state with one act (agent.md 3 and 7).

    idle, served        look at the targets; begin a renewal when it is due
    due                 1 preflight, 2 key and CSR on disk
    requesting          3 request, 4 checks, 5 generation written
    staged              6 symlink swap
    installed           the request is done with and removed
    reloading           8 the service is told
    verifying           9 the targets are looked at until all serve the new leaf
    served              10 old generations pruned
    backoff, degraded   wait for the next attempt, and look meanwhile
    stuck               look only; a restart of the agent is a person's word to try again

Rules: a state is in the journal before its act begins, and every act may be repeated; what the disk says wins over
what the journal says; whoever works holds the certificate's lock; a failure never removes a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from dayfly.agent import pacing
from dayfly.agent.checking import Checked, Expected, check_answer
from dayfly.agent.delivering import Delivery
from dayfly.agent.enrolling import is_prepared, prepare_request, request_certificate
from dayfly.agent.failures import Failure, FailureClass, failure_of
from dayfly.agent.layout import Lock
from dayfly.agent.pairing import describe, make_pair
from dayfly.agent.preflight import check_passed, preflight
from dayfly.agent.settings import CertificateSettings
from dayfly.agent.standing import Standing
from dayfly.agent.steering import Steering, name_of
from dayfly.agent.tools import Tools
from dayfly.core.deployment.states import State
from dayfly.core.frozen import replace
from dayfly.errors import DayflyError

_SETTLED = (State.IDLE, State.SERVED)
_MOST_ISSUANCES = 3
#: Where a retry begins: what is staged or installed is delivered, and never asked for again.
_RESUME = {
    State.STAGED: State.STAGED,
    State.INSTALLED: State.INSTALLED,
    State.RELOADING: State.RELOADING,
    State.VERIFYING: State.RELOADING,
}


class Worker:
    """Carries one certificate from step to step; `step` is called by one thread at a time."""

    def __init__(self, settings: CertificateSettings, tools: Tools) -> None:
        """Nothing is read or locked before the first step."""
        self.name = settings.name
        self.standing = Standing(settings, tools)
        self._settings = settings
        self._tools = tools
        self._lock = Lock(tools.layout.lock(settings.name))
        self._delivery = Delivery(self.standing)
        self._steering = Steering(self.standing)
        self.is_busy = False
        self._acts: dict[State, Callable[[datetime], datetime]] = {
            State.IDLE: self._rest,
            State.SERVED: self._rest,
            State.DUE: self._prepare,
            State.REQUESTING: self._request,
            State.STAGED: self._install,
            State.INSTALLED: self._finish_request,
            State.RELOADING: self._delivery.reload,
            State.VERIFYING: self._verify,
            State.BACKOFF: self._wait,
            State.DEGRADED: self._wait,
        }

    @property
    def state(self) -> State:
        """The state that the certificate is in."""
        return self.standing.progress.state

    def step(self) -> datetime:
        """Do the one act of the present state, and say when to be called again.

        OSError where not even the journal can be written; then nothing has happened.
        """
        now = self._tools.clock.now()
        if not self._begin(now):
            return now + self.standing.pace().tick
        try:
            return self._acts.get(self.state, self._watch)(now)
        except (DayflyError, OSError) as error:
            failure = failure_of(error)
            if self.state in _SETTLED and failure.kind is not FailureClass.IDENTITY:
                raise  # nothing was under way: the loop says it, and the next step looks again
            return self._fail(failure)

    def retry_now(self) -> None:
        """A person asks: a waiting attempt is made at once, unless the CA named a time that lies ahead."""
        now = self._tools.clock.now()
        if self._begin(now):
            progress = self.standing.progress
            if progress.next_attempt and not (progress.hold and progress.hold > now):
                self.standing.progress = replace(progress, next_attempt=now)

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.release()

    def _begin(self, now: datetime) -> bool:
        """Take the lock; journal and disk are read when we get it."""
        if self._lock.held:
            return True
        busy, self.is_busy = self.is_busy, not self._lock.acquire()
        if self.is_busy:
            if not busy:
                self._tools.say("busy", certificate=self.name, text="another process works on it")
            return False
        self.standing.generations.clean()
        self.standing.recall()
        self._resume(now)
        self.standing.publish(now)
        return True

    def _resume(self, now: datetime) -> None:
        """Correct what the journal says by what is on disk, and by what was declared since."""
        standing, progress = self.standing, self.standing.progress
        current, meta = standing.generations.current(), standing.meta()
        if meta and current != progress.generation and State.STAGED not in (progress.state, progress.resume):
            due = pacing.draw_due(meta, now=now, jitter=self._tools.clock.jitter(), first=False)
            text = f"generation {current} was found in service"
            standing.move(State.INSTALLED, now, code="adopted", reason=text, generation=current, due=due)
        elif self.state is State.STUCK:
            standing.move(State.DUE, now, reason="tried again after a restart", issued=(), failures=0)
        elif progress.next_attempt and progress.declaration != self._settings.digest:
            standing.save(replace(progress, next_attempt=now), now)
        elif self.state in _SETTLED:
            standing.generations.prune(now, keep=current)

    def _rest(self, now: datetime) -> datetime:
        """Nothing to do, unless something is due, changed, or no longer served."""
        standing = self.standing
        if standing.generations.current():
            standing.generations.check(standing.generations.current())
        asked = self._steering.ask_if_time(now)
        cause, reason = self._cause(now)
        if cause:
            return standing.move(State.DUE, now, cause=cause, reason=reason)
        if not self._delivery.look_if_time(now):
            return standing.move(State.VERIFYING, now, since=now, reloads=0, reason="a target no longer serves it")
        return min(standing.progress.due or now, self._next_look(), asked)

    def _next_look(self) -> datetime:
        if self._settings.targets:
            return self._delivery.next_look
        return self._tools.clock.now() + self.standing.pace().probe_every

    def _cause(self, now: datetime) -> tuple[str, str]:
        """Why a renewal should begin now, as code and text; empty where it should not."""
        meta, due = self.standing.meta(), self.standing.progress.due
        if meta is None:
            return "first", "there is no certificate yet"
        if sorted(meta.names) != sorted(self._settings.names) or meta.key_type != self._settings.key_type:
            return "request-changed", "other names or another key type are declared"
        if due is None or now >= due or pacing.is_at_floor(meta, now):
            return "due", "its time has come"
        return "", ""

    def _prepare(self, now: datetime) -> datetime:
        """Steps 1 and 2."""
        standing, tools = self.standing, self._tools
        trusted_since = tools.root.not_valid_before_utc
        standing.checks = preflight(tools.layout, self._settings, now=now, trusted_since=trusted_since)
        check_passed(standing.checks)
        if standing.pending.order() is None:
            self._check_rate(now)
        prepare_request(standing.pending, self._settings)
        return standing.move(State.REQUESTING, now, last_attempt=now, next_attempt=None, hold=None)

    def _check_rate(self, now: datetime) -> None:
        """The loop breaker (agent.md 5): no more than three issuances in half a life."""
        half = timedelta(seconds=self._life() / 2)
        recent = [moment for moment in self.standing.progress.issued if timedelta() <= now - moment < half]
        if len(recent) >= _MOST_ISSUANCES:
            text = f"{len(recent)} certificates were issued in half a life: something asks over and over"
            hint = "find out why, then restart the agent"
            raise Failure(FailureClass.IDENTITY, "too-many-issuances", text, hint=hint)

    def _life(self) -> float:
        meta = self.standing.meta()
        return max(self._settings.lifetime, meta.lifetime if meta else 0.0) or pacing.DEFAULT_LIFE

    def _request(self, now: datetime) -> datetime:
        """Steps 3 to 5."""
        standing, tools = self.standing, self._tools
        if not is_prepared(standing.pending, self._settings):
            prepare_request(standing.pending, self._settings)
        with tools.meters.phases.labels("request").time():
            answer = self._ask(now)
        now = tools.clock.now()
        checked = self._check(answer, now)
        with tools.meters.phases.labels("stage").time():
            pair = make_pair(checked, key=standing.pending.read("key.pem") or b"", root=tools.root)
            meta = describe(checked, self._settings, root=tools.root, now=now)
            number = standing.generations.stage(pair, meta)
        first = standing.meta() is None
        due = pacing.draw_due(meta, now=now, jitter=tools.clock.jitter(), first=first)
        return standing.move(State.STAGED, now, generation=number, due=due, issued=self._issued(now), reloads=0)

    def _ask(self, now: datetime) -> bytes:
        requests, ask = self._tools.meters.ca_requests, self.standing.pending
        try:
            answer = request_certificate(
                ask, self._settings, self._tools.issuer, now=now, replaces=name_of(self.standing)
            )
        except Failure as failure:
            requests.labels("failure", failure.reason).inc()
            raise
        requests.labels("success", "").inc()
        self._tools.board.ca_answered(self._tools.clock.now())
        return answer

    def _check(self, answer: bytes, now: datetime) -> Checked:
        """Step 4; an answer that did not pass counts as an issuance, and its order is forgotten."""
        standing, order = self.standing, self.standing.pending.order()
        csr = standing.pending.read("request.csr") or b""
        asked = order.not_after if order else None
        expected = Expected(self._settings.names, csr, self._tools.root, asked, self._settings.lifetime)
        try:
            return check_answer(answer, expected, now=now)
        except Failure as failure:
            if failure.order_lost:
                standing.save(replace(standing.progress, issued=self._issued(now)), now)
                standing.pending.drop_order()
            raise

    def _issued(self, now: datetime) -> tuple[datetime, ...]:
        return (*self.standing.progress.issued, now)[-_MOST_ISSUANCES:]

    def _install(self, now: datetime) -> datetime:
        """Step 6."""
        with self._tools.meters.phases.labels("install").time():
            self.standing.generations.check(self.standing.progress.generation)
            self.standing.generations.swap(self.standing.progress.generation)
        return self.standing.move(State.INSTALLED, now, last_success=now)

    def _finish_request(self, now: datetime) -> datetime:
        self.standing.pending.empty()
        return self.standing.move(State.RELOADING, now, reloads=1)

    def _verify(self, now: datetime) -> datetime:
        """Steps 9 and 10."""
        again = self._delivery.verify(now)
        if again is not None:
            return again
        standing, progress, now = self.standing, self.standing.progress, self._tools.clock.now()
        if progress.since:
            self._tools.meters.phases.labels("verify").observe(max(0.0, (now - progress.since).total_seconds()))
        if progress.cause:
            self._tools.meters.renewals.labels(self.name, "success", progress.cause).inc()
        seen = bool(self._settings.targets)
        standing.move(
            State.SERVED if seen else State.IDLE,
            now,
            reason="" if seen else "no target is declared: nobody looks whether it is served",
            kind="",
            failures=0,
            cause="",
            next_attempt=None,
            resume=None,
            last_verified=now if seen else progress.last_verified,
        )
        standing.generations.prune(now, keep=progress.generation)
        return now

    def _wait(self, now: datetime) -> datetime:
        """Wait for the next attempt; a service that came round by itself, or a renewal that is due, ends the wait."""
        standing, progress = self.standing, self.standing.progress
        delivering = progress.resume is State.RELOADING
        cause, reason = self._cause(now) if delivering else ("", "")
        if cause:
            return standing.move(State.DUE, now, cause=cause, reason=reason, next_attempt=None)
        if progress.next_attempt is None or now >= progress.next_attempt or now < progress.at:  # or the clock was ahead
            resume = progress.resume or State.DUE
            return standing.move(resume, now, reloads=progress.reloads + delivering, next_attempt=None)
        well = self._delivery.look_if_time(now)
        if delivering and well and standing.targets:
            return standing.move(State.VERIFYING, now, since=now, reason="the targets came round")
        return min(progress.next_attempt, self._next_look())

    def _watch(self, now: datetime) -> datetime:
        """Stuck, paused or observed: looked at, and otherwise left alone."""
        self._delivery.look_if_time(now)
        return self._next_look()

    def _fail(self, failure: Failure) -> datetime:
        """Journal why it failed and when it is tried again."""
        standing, progress, now = self.standing, self.standing.progress, self._tools.clock.now()
        self._tools.meters.renewals.labels(self.name, "failure", failure.reason).inc()
        failures = progress.failures + 1
        told = failure.message + (f" (next: {failure.hint})" if failure.hint else "")
        if failure.kind is FailureClass.IDENTITY:
            standing.move(State.STUCK, now, code=failure.reason, reason=told, kind=failure.kind, failures=failures)
            return now
        delivering = failure.kind is FailureClass.DELIVERY
        number = progress.reloads if delivering else failures
        wait = pacing.retry_delay(
            failure, number, standing.pace(), meta=standing.meta(), now=now, clock=self._tools.clock
        )
        degraded = delivering and self._delivery.serves_something_valid(now)
        standing.move(
            State.DEGRADED if degraded else State.BACKOFF,
            now,
            code=failure.reason,
            reason=told,
            kind=failure.kind,
            failures=failures,
            resume=_RESUME.get(self.state, State.DUE),
            next_attempt=now + wait,
            hold=now + timedelta(seconds=failure.retry_after) if failure.retry_after else None,
        )
        return now
