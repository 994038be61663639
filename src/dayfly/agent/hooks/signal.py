"""A signal as a hook (agent.md 10): to the process that a pid file names, and to no other.

Rules: the pid file and the directories above it belong to root or this user, and others may write none of them; the
process is held by a pidfd, and its start time is read before and after, so that a pid which was given to another
process in between gets no signal; a process that started after its pid file was written is not the one that wrote it.
"""

from __future__ import annotations

import os
import re
import signal
import stat
from pathlib import Path

from dayfly.agent.hooks.outcome import HookOutcome
from dayfly.agent.hooks.trust import place_of_others
from dayfly.errors import AgentError

_PID = re.compile(rb"\s*([0-9]{1,10})\s*")
_SLACK = 2.0


def check_pid_file(path: Path) -> Path:
    """The pid file, without links; AgentError `hook-missing`, or `hook-unsafe` where others choose who is signalled."""
    try:
        real = path.resolve(strict=True)
        facts = real.stat()
        place = place_of_others(real)
    except (OSError, RuntimeError) as error:
        raise AgentError("hook-missing", f"the pid file {path} is not there: is the service running?") from error
    if not stat.S_ISREG(facts.st_mode):
        raise AgentError("hook-unsafe", f"the pid file {path} is no file")
    if place is not None:
        raise AgentError(
            "hook-unsafe",
            f"{place} may be changed by others than root and this user, so the pid file {path} is not believed",
            hint=f"chown root {place} && chmod go-w {place}; or tell the service by a program, or by systemd",
        )
    return real


def send_signal(name: str, pid_file: Path) -> HookOutcome:
    """Send signal `name` (`HUP`) to the process of `pid_file`, unless it is stale; AgentError as `check_pid_file`."""
    pid_file = check_pid_file(pid_file)
    match = _PID.fullmatch(pid_file.read_bytes()[:64])
    pid = int(match[1]) if match else 0
    if pid <= 1:
        return HookOutcome(ok=False, text=f"{pid_file} holds no pid")
    try:
        started = start_ticks(pid)
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError):
        return HookOutcome(ok=False, text=f"process {pid} of {pid_file} does not run")
    try:
        if _started_at(started) > pid_file.stat().st_mtime + _SLACK or start_ticks(pid) != started:
            return HookOutcome(ok=False, text=f"process {pid} is younger than {pid_file}: the file is stale")
        signal.pidfd_send_signal(descriptor, signal.Signals[f"SIG{name}"])
    except (OSError, ValueError) as error:
        return HookOutcome(ok=False, text=f"{name} to process {pid} failed: {error}")
    finally:
        os.close(descriptor)
    return HookOutcome(ok=True, text=f"{name} sent to process {pid}")


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; OSError where it does not run."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[19])  # field 22 of proc(5); the name in brackets may hold spaces


def _started_at(ticks: int) -> float:
    """The same in seconds since 1970."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return boot + ticks / os.sysconf("SC_CLK_TCK")
