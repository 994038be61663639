"""What is checked before anything is asked of the CA (agent.md 1.5, 7 step 1).

Rules: nothing is spent that cannot land; each check has a name and a reason code, and looks without changing anything;
the CA itself is not asked here, since the request that follows does that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.hooks import check_reload
from dayfly.agent.layout import Layout
from dayfly.agent.settings import CertificateSettings, Webroot
from dayfly.errors import AgentError

#: A generation takes about 30 kB; the rest is for the journal and for others.
LEAST_BYTES = 1 << 20
LEAST_INODES = 64
CHECKS = ("space", "inodes", "mode", "clock", "hook", "webroot")


@dataclass(frozen=True, slots=True)
class Check:
    """One check's verdict; `problem` is empty where it passed."""

    name: str
    problem: str = ""
    code: str = ""
    hint: str = ""


def preflight(
    layout: Layout, settings: CertificateSettings, *, now: datetime, trusted_since: datetime
) -> tuple[Check, ...]:
    """Every check of one certificate. `trusted_since` is the root's notBefore."""
    return (
        _space(layout.home),
        _inodes(layout.home),
        _mode(layout, settings.name),
        _clock(now, trusted_since),
        _hook(settings),
        _webroot(settings),
    )


def check_passed(checks: tuple[Check, ...]) -> None:
    """Failure of class local for the first check that did not pass."""
    for check in _failed(checks):
        raise Failure(FailureClass.LOCAL, check.code or check.name, check.problem, hint=check.hint)


def _failed(checks: tuple[Check, ...]) -> Iterator[Check]:
    return (check for check in checks if check.problem)


def _space(home: Path) -> Check:
    facts = os.statvfs(home)
    free = facts.f_bavail * facts.f_frsize
    return Check("space", f"only {free} octets are free at {home}" if free < LEAST_BYTES else "")


def _inodes(home: Path) -> Check:
    facts = os.statvfs(home)
    few = facts.f_files and facts.f_favail < LEAST_INODES  # some file systems count none
    return Check("inodes", f"only {facts.f_favail} inodes are free at {home}" if few else "")


def _mode(layout: Layout, name: str) -> Check:
    for path in (layout.home, layout.certificate(name), layout.generations(name), layout.pending(name)):
        facts = path.lstat()
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            return Check("mode", f"{path} is not ours alone to write", hint=f"chmod go-w {path}")
        if not os.access(path, os.W_OK | os.X_OK):
            return Check("mode", f"{path} cannot be written")
    return Check("mode")


def _clock(now: datetime, trusted_since: datetime) -> Check:
    """A clock that was ahead and was put right is no reason to wait; one before the root's own birth is."""
    if now >= trusted_since:
        return Check("clock")
    problem = f"the clock says {now:%Y-%m-%d %H:%M:%S}, which is before the root came to life"
    return Check("clock", problem, hint="synchronise the clock")


def _hook(settings: CertificateSettings) -> Check:
    if settings.reload is None:
        return Check("hook")
    try:
        check_reload(settings.reload)
    except AgentError as error:
        # a service that is not up yet has no pid file: it reads the new pair when it starts
        return (
            Check("hook") if _not_started(settings, error) else Check("hook", error.message, error.reason, error.hint)
        )
    return Check("hook")


def _not_started(settings: CertificateSettings, error: AgentError) -> bool:
    return error.reason == "hook-missing" and hasattr(settings.reload, "pid_file")


def _webroot(settings: CertificateSettings) -> Check:
    match settings.challenge:
        case Webroot(directory) if not os.access(directory, os.W_OK | os.X_OK):
            return Check("webroot", f"{directory} is not there, or cannot be written")
    return Check("webroot")
