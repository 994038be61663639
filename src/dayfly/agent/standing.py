"""Where one certificate stands: in memory, in the journal, on the board and in the log, always in this order of truth.

Rules: the journal comes first, and what it did not take has not happened; each transition is one line for a person;
what is on disk in `current` is the pair in service, whatever was planned.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack

from dayfly.agent.installing import Generations, Meta
from dayfly.agent.journal import Progress
from dayfly.agent.pacing import pace_of
from dayfly.agent.pending import Pending
from dayfly.agent.preflight import Check
from dayfly.agent.probing import TargetResult
from dayfly.agent.settings import CertificateSettings
from dayfly.agent.status import CertificateStatus
from dayfly.agent.tools import Tools
from dayfly.core.deployment.states import State, check_move
from dayfly.core.frozen import replace
from dayfly.core.schedule import Timing


class Changes(TypedDict, total=False):
    """The fields of `Progress` that a transition may set."""

    code: str
    reason: str
    kind: str
    told: str
    generation: int
    resume: State | None
    due: datetime | None
    next_attempt: datetime | None
    hold: datetime | None
    since: datetime | None
    failures: int
    reloads: int
    issued: tuple[datetime, ...]
    cause: str
    last_attempt: datetime | None
    last_success: datetime | None
    last_verified: datetime | None


class Standing:
    """One certificate's state over time; whoever changes it holds the certificate's lock."""

    def __init__(self, settings: CertificateSettings, tools: Tools) -> None:
        """Nothing is read before `recall`."""
        self.settings = settings
        self.tools = tools
        self.progress = Progress(settings.name, tools.clock.now())
        self.generations = Generations(tools.layout, settings.name)
        self.pending = Pending(tools.layout.pending(settings.name))
        self.targets: tuple[TargetResult, ...] = ()
        self.checks: tuple[Check, ...] = ()

    def recall(self) -> None:
        """Take up what the journal says of this certificate."""
        self.progress = self.tools.journal.replay().get(self.settings.name, self.progress)

    def move(self, state: State, now: datetime, **changes: Unpack[Changes]) -> datetime:
        """Journal the new state, say it, show it; gives `now`, for the next act may follow. IllegalTransition."""
        before = self.progress.state
        if state is not before:
            check_move(before, state)
        self.save(replace(replace(self.progress, state=state, code="", reason=""), **changes), now)
        after = self.progress
        self.tools.say(
            "state",
            certificate=self.settings.name,
            text=f"{before} → {state}: {after.reason}" if after.reason else f"{before} → {state}",
            state=state,
            code=after.code,
            generation=after.generation,
            next_attempt=after.next_attempt,
        )
        self.publish(now)
        return now

    def save(self, progress: Progress, now: datetime) -> None:
        """Journal a snapshot; OSError, and then it has not happened."""
        progress = replace(progress, at=now, declaration=self.settings.digest)
        self.tools.journal.append(progress)
        self.progress = progress

    def publish(self, now: datetime) -> None:
        """Show the snapshot to metrics and status."""
        one = self.settings
        entry = CertificateStatus(self.progress, one.owner, one.names, self.meta(), self.targets, self.checks)
        self.tools.board.publish(entry, at=now)

    def meta(self) -> Meta | None:
        """What the pair in service says of itself."""
        current = self.generations.current()
        return self.generations.meta(current) if current else None

    def pace(self) -> Timing:
        """The constants for the life of the pair in service, or of the one that is asked for."""
        meta = self.meta()
        return pace_of(meta.lifetime if meta else self.settings.lifetime)
