"""`--daemon`: a pair that stays fresh for as long as the process runs, with step's lines (agent.md 5, 6 and 13).

Rules: every plan is in wall-clock time and looked at again each tick, so that a suspend delays nothing; an attempt runs
beside the loop, which goes on to hear signals and to tell systemd that it lives; SIGHUP renews at once, SIGTERM and
SIGINT end with 0; no failure ends the loop, each has its line and a wait that knows how much life is left; the CA's own
word on when to renew (RFC 9773) is obeyed as the agent obeys it, but never past a point that was asked for.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import FrameType
from typing import Protocol

from dayfly.agent.clock import Clock
from dayfly.cli.renewing.asking import Asking
from dayfly.client.renewals import Suggestion
from dayfly.client.step import StepRefused
from dayfly.core.policy.lifetimes import render_duration
from dayfly.core.renewing import Cadence, Failed, Life, plan_first, plan_next, plan_retry
from dayfly.core.schedule import Timing
from dayfly.core.steering import MOST_FOLLOWED, followed_enough, steer
from dayfly.errors import DayflyError
from dayfly.systemd import notify

LATE = 300.0  # seconds; an attempt that takes longer is stuck, and systemd is told so by silence
END_WITHIN = 5.0  # seconds that an attempt has at the end, before its program is ended
KILL_WITHIN = 3.0  # seconds that ending the program takes at most
_SHORTEST_TICK = 0.05


class Wake(Enum):
    """Why the loop looks up before its time."""

    STOP = "stop"
    NOW = "now"
    TOLD = "told"
    DONE = "done"


class Inbox(Protocol):
    """Where signals and finished attempts arrive."""

    def put(self, wake: Wake) -> None:
        """Leave a word; safe in a signal handler and in any thread."""
        ...

    def get(self, timeout: float) -> Wake | None:
        """The next word, or None after `timeout` seconds."""
        ...


class Renewer(Protocol):
    """The pair that is kept."""

    @property
    def subject(self) -> str:
        """Whose it is."""
        ...

    def look(self) -> Life:
        """The life of what lies in the files now; DayflyError."""
        ...

    def renew(self) -> Life:
        """Renew it, write it; the life of what is there now. DayflyError."""
        ...

    def suggest(self) -> Suggestion | None:
        """When the CA wants it renewed; None where it has no renewal information. DayflyError."""
        ...

    def tell(self, stop: threading.Event) -> None:
        """Tell who has to know; DayflyError."""
        ...


class SignalInbox:
    """An inbox that SIGHUP, SIGTERM and SIGINT write to."""

    def __init__(self) -> None:
        """Nothing is caught yet."""
        self._words: queue.SimpleQueue[Wake] = queue.SimpleQueue()  # its put is reentrant

    def catch(self) -> None:
        """Take the signals over."""
        for number, wake in ((signal.SIGTERM, Wake.STOP), (signal.SIGINT, Wake.STOP), (signal.SIGHUP, Wake.NOW)):
            signal.signal(number, self._writer(wake))

    def _writer(self, wake: Wake) -> Callable[[int, FrameType | None], None]:
        def write(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._words.put(wake)

        return write

    def put(self, wake: Wake) -> None:
        """Leave a word."""
        self._words.put(wake)

    def get(self, timeout: float) -> Wake | None:
        """The next word, or None."""
        try:
            return self._words.get(timeout=timeout)
        except queue.Empty:
            return None


@dataclass
class Daemon:
    """One pair and its plan; `info` and `error` say step's lines."""

    renewer: Renewer
    cadence: Cadence
    clock: Clock
    inbox: Inbox
    info: Callable[[str], None]
    error: Callable[[str], None]
    verb: str = "renewed"
    stop: threading.Event = field(default_factory=threading.Event)
    failures: int = 0
    renewed: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing is asked yet."""
        self._asking = Asking(self.renewer.suggest, answered=lambda: self.inbox.put(Wake.TOLD), say=self.info)

    def run(self) -> None:
        """Until it is told to stop."""
        life = self.renewer.look()
        due = plan_first(self.cadence, life, now=self.clock.now(), jitter=self.clock.jitter())
        self.info(f"first {'rekey' if self.verb == 'rekeyed' else 'renewal'} in {self._until(due)}")
        notify(f"READY=1\nSTATUS=next in {self._until(due)}")
        while (wake := self._wait(due, life)) is not Wake.STOP:
            if wake is None and (other := self._renewed_by_another(life)) is not None:
                life = other
                due = plan_next(self.cadence, life, now=self.clock.now(), jitter=self.clock.jitter())
                continue
            ended = self._attempt(life)
            if ended is None:
                break
            life, due = ended
            notify(f"STATUS=next in {self._until(due)}")
        notify("STOPPING=1")

    def _until(self, due: datetime) -> str:
        left = max(due - self.clock.now(), timedelta())
        return render_duration(timedelta(seconds=round(left.total_seconds())))

    def _wait(self, due: datetime, life: Life) -> Wake | None:
        """None at the due point; a word that came before it."""
        tick = _tick(life)
        while (left := (due - self.clock.now()).total_seconds()) > 0:
            notify("WATCHDOG=1")
            self._asking.begin_if_time(life, self.clock.now())
            wake = self.inbox.get(min(tick, max(left, 0.001)))
            if wake in {Wake.STOP, Wake.NOW}:
                return wake
            if self._asking.has_answer:
                due = self._steered(due, life)
        return None

    def _steered(self, due: datetime, life: Life) -> datetime:
        """The due point after the CA's word; a wait after a failure stays as it is."""
        now = self.clock.now()
        found = self._asking.take(life, now)
        if found is None or self.failures:
            return due
        moved = steer(found.window, life, due, now=now, jitter=self.clock.jitter())
        if moved is None or (moved > due and self.cadence.is_chosen):
            return due
        if moved < due and followed_enough(self.renewed, life.length, now=now):
            return due
        self.info(f"the CA moved the renewal: {found.explanation_url or 'it gives no reason'}; in {self._until(moved)}")
        return moved

    def _renewed_by_another(self, life: Life) -> Life | None:
        """The life of a pair that somebody else put there, when it is not the one that we planned for."""
        try:
            found = self.renewer.look()
        except DayflyError:
            return None  # the attempt says what is wrong with it
        return found if found.end > life.end else None

    def _attempt(self, life: Life) -> tuple[Life, datetime] | None:
        """One attempt, beside the loop: what is there now and when to come back; None where it is time to stop."""
        outcome: list[Life | DayflyError] = []
        thread = threading.Thread(target=self._work, args=(outcome,), name="renewal", daemon=True)
        thread.start()
        began = time.monotonic()
        while (wake := self.inbox.get(_tick(life))) is not Wake.DONE:
            if wake is Wake.STOP:
                thread.join(END_WITHIN)
                self.stop.set()
                thread.join(KILL_WITHIN)
                return None
            if time.monotonic() - began < LATE:
                notify("WATCHDOG=1")
        thread.join()
        return self._ended(outcome[0], life)

    def _work(self, outcome: list[Life | DayflyError]) -> None:
        try:
            outcome.append(self.renewer.renew())
        except DayflyError as error:
            outcome.append(error)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the loop must hear of it, and go on
            outcome.append(DayflyError(f"something unexpected happened ({type(error).__name__})"))
        else:
            self._tell()
        self.inbox.put(Wake.DONE)

    def _tell(self) -> None:
        try:
            self.renewer.tell(self.stop)
        except DayflyError as error:
            self.error(_words(error))

    def _ended(self, outcome: Life | DayflyError, life: Life) -> tuple[Life, datetime]:
        now, jitter = self.clock.now(), self.clock.jitter()
        if isinstance(outcome, Life):
            self.failures = 0
            self.renewed = [*self.renewed[-MOST_FOLLOWED:], now]
            due = plan_next(self.cadence, outcome, now=now, jitter=jitter)
            self.info(f"{self.renewer.subject} certificate {self.verb}, next in {self._until(due)}")
            return outcome, due
        self.failures += 1
        due = plan_retry(_failed(outcome, self.failures), life, now=now, jitter=jitter)
        self.error(f"{_words(outcome)}; next try in {self._until(due)}")
        return life, due


def _failed(error: DayflyError, attempt: int) -> Failed:
    if not isinstance(error, StepRefused):
        return Failed(attempt)
    is_refusal = 400 <= error.status < 500 and error.status not in {408, 429}
    return Failed(attempt, is_refusal, timedelta(seconds=error.retry_after or 0))


def _words(error: DayflyError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _tick(life: Life) -> float:
    """Seconds between two looks at the clock; half of what systemd's watchdog allows at most."""
    tick = Timing.for_lifetime(life.length).tick.total_seconds()
    allowed = os.environ.get("WATCHDOG_USEC", "")
    if allowed.isdigit() and int(allowed) > 0:
        tick = min(tick, int(allowed) / 2_000_000)
    return max(tick, _SHORTEST_TICK)
