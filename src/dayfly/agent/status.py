"""What the agent knows of its certificates at one moment: for `status`, for the metrics, and on disk between them.

Rules: a value is a frozen snapshot; the file is replaced as a whole and holds no key; without a running agent the
snapshot is made from journal and generations, and only the last looks at the targets come from the file.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

import msgspec

from dayfly.agent.installing import Generations, Meta
from dayfly.agent.journal import Progress, parse_journal
from dayfly.agent.layout import Layout, read_file, replace_file
from dayfly.agent.preflight import Check
from dayfly.agent.probing import TargetResult
from dayfly.agent.settings import AgentSettings, CertificateSettings
from dayfly.core.frozen import replace

#: Less than this share of life is a loud matter (agent.md 17, reliability.md G14).
LOW = 0.2


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """One certificate: where it stands, what is in service on disk, and what its targets served when last looked at."""

    progress: Progress
    owner: str = ""
    names: tuple[str, ...] = ()
    meta: Meta | None = None
    targets: tuple[TargetResult, ...] = ()
    checks: tuple[Check, ...] = ()

    def left(self, now: datetime) -> float:
        """Seconds of life left, 0 once expired or where there is no certificate."""
        return max(0.0, (self.meta.not_after - now).total_seconds()) if self.meta else 0.0

    def used(self, now: datetime) -> float:
        """The share of life that is used, from 0 to 1; 1 where there is no certificate."""
        return 1 - self.left(now) / self.meta.lifetime if self.meta else 1.0

    def is_low(self, now: datetime) -> bool:
        """Is under a fifth of life left?"""
        return self.used(now) > 1 - LOW


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """All certificates of an agent; `pid` is that of the process that wrote it, 0 where it was read from disk only."""

    at: datetime
    directory: str
    certificates: tuple[CertificateStatus, ...]
    pid: int = 0
    version: str = ""
    ca_last_success: datetime | None = None


_DECODER = msgspec.json.Decoder(AgentStatus)


class Board:
    """The newest snapshot of every certificate, for threads that read while others work; saved when it changes."""

    def __init__(self, layout: Layout, *, head: AgentStatus) -> None:
        """Begin with no certificate; `head` holds what does not change."""
        self._layout = layout
        self._head = head
        self._entries: dict[str, CertificateStatus] = {}
        self._lock = threading.Lock()

    def publish(self, entry: CertificateStatus, *, at: datetime) -> None:
        """Take the newest snapshot of a certificate, and write the file."""
        with self._lock:
            self._entries[entry.progress.certificate] = entry
            self._save(at)

    def ca_answered(self, at: datetime) -> None:
        """The CA gave an answer."""
        with self._lock:
            self._head = replace(self._head, ca_last_success=at)

    def read(self) -> AgentStatus:
        """The newest snapshot."""
        with self._lock:
            return replace(self._head, certificates=tuple(self._entries.values()))

    def _save(self, at: datetime) -> None:
        snapshot = replace(self._head, at=at, certificates=tuple(self._entries.values()))
        replace_file(self._layout.status, msgspec.json.encode(snapshot))


def load_status(layout: Layout, settings: AgentSettings, *, now: datetime) -> AgentStatus:
    """The state on disk, with the last looks of the agent; works with no agent running, and changes nothing."""
    saved = _saved(layout)
    journal = parse_journal(read_file(layout.journal, limit=64 << 20) or b"")
    looks = {} if saved is None else {entry.progress.certificate: entry for entry in saved.certificates}
    entries = tuple(_entry(layout, one, journal, looks, now) for one in settings.certificates)
    head = saved or AgentStatus(now, settings.ca.directory, ())
    return replace(head, directory=settings.ca.directory, certificates=entries)


def _saved(layout: Layout) -> AgentStatus | None:
    data = read_file(layout.status, limit=16 << 20)
    try:
        return _DECODER.decode(data) if data is not None else None
    except msgspec.MsgspecError:
        return None


def _entry(
    layout: Layout,
    settings: CertificateSettings,
    journal: dict[str, Progress],
    looks: dict[str, CertificateStatus],
    now: datetime,
) -> CertificateStatus:
    progress = journal.get(settings.name, Progress(settings.name, now))
    generations = Generations(layout, settings.name)
    look = looks.get(settings.name)
    return CertificateStatus(
        progress=progress,
        owner=settings.owner,
        names=settings.names,
        meta=generations.meta(generations.current()) if generations.current() else None,
        targets=() if look is None else look.targets,
        checks=() if look is None else look.checks,
    )
