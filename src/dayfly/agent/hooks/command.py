"""A program as a hook (agent.md 10, security.md 9).

Rules: an argv array and never a shell; the program is absolute, belongs to root or to the agent's user, and neither it
nor a directory above it may be written by others; what was checked is what runs, whatever a link says later; no input,
a small environment, umask 077, a session of its own; output goes to a file, so that a grandchild that keeps it open
delays nobody; at the deadline the whole process group gets TERM and then KILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from dayfly.agent.hooks.outcome import HookOutcome
from dayfly.agent.hooks.trust import place_of_others
from dayfly.errors import AgentError

OUTPUT_LIMIT = 64 * 1024
_SHOWN = 400
_GRACE = 2.0
_PASSED = ("LANG", "LC_ALL", "TZ")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check_program(path: Path) -> Path:
    """What runs, without links; AgentError `hook-missing`, or `hook-unsafe` where somebody else could change it."""
    try:
        real = path.resolve(strict=True)
        facts = real.stat()
        place = place_of_others(real)
    except (OSError, RuntimeError) as error:
        raise AgentError("hook-missing", f"{path} is not there") from error
    if not stat.S_ISREG(facts.st_mode) or not os.access(real, os.X_OK):
        raise AgentError("hook-missing", f"{path} is not a program", hint=f"chmod +x {real}")
    if place is not None:
        raise AgentError(
            "hook-unsafe",
            f"{place} may be changed by others than root and this user, so {path} is not run",
            hint=f"chown root {place} && chmod go-w {place}",
        )
    return real


def run_command(
    argv: tuple[str, ...], *, environment: Mapping[str, str], output: Path, stop: Event, timeout: float
) -> HookOutcome:
    """Run `argv` to its end, at most `timeout` seconds, or until `stop` is set; AgentError as `check_program`."""
    program = check_program(Path(argv[0]))
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(output, flags, 0o600)
    try:
        process = _start(program, argv, environment, file)
        ended = _wait(process, file, stop, time.monotonic() + timeout)
        if not ended:
            _end_group(process)
        text = os.pread(file, OUTPUT_LIMIT, 0).decode(errors="replace")
    except OSError as error:
        return HookOutcome(ok=False, text=f"did not start: {error.strerror}")
    finally:
        os.close(file)
    if not ended:
        return HookOutcome(ok=False, text="stopped" if stop.is_set() else f"timed out after {timeout:g} s", output=text)
    return HookOutcome(ok=process.returncode == 0, text=_exit_text(process.returncode), output=text)


def _start(program: Path, argv: tuple[str, ...], environment: Mapping[str, str], file: int) -> subprocess.Popen[bytes]:
    """Start what was checked, under the name that it was given."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return subprocess.Popen(  # noqa: S603 - declared by the owner of the configuration, checked, and no shell
        argv,
        executable=program,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": _PATH, **passed, **environment},
        start_new_session=True,
        umask=0o077,
        close_fds=True,
    )


def _wait(process: subprocess.Popen[bytes], file: int, stop: Event, deadline: float) -> bool:
    """Did it end by itself? Its output is cut back to the limit while it runs."""
    pause = 0.005
    while not stop.is_set() and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause)
            return True
        pause = min(2 * pause, 0.1)
        if os.fstat(file).st_size > OUTPUT_LIMIT:
            os.ftruncate(file, OUTPUT_LIMIT)
    return False


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM to the whole group, KILL to what is left of it after two seconds; and nothing stays a zombie."""
    deadline = time.monotonic() + _GRACE
    _signal_group(process.pid, signal.SIGTERM)
    while time.monotonic() < deadline:
        process.poll()
        if not _signal_group(process.pid, 0):
            return
        time.sleep(0.02)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Is there still somebody in the group?"""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _exit_text(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"


def shown(output: str) -> str:
    """The end of a hook's output for a line: control characters escaped, at most 400 characters."""
    return output.strip()[-_SHOWN:].encode("unicode_escape").decode("ascii")
