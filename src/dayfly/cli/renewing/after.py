"""What is told that a pair is new: a process by a signal, or a program that is run.

Rules: program and pid file are looked at before anything is asked of the CA; the program is an argument list and never
a shell, found in the system's directories, in a small environment, in `/`, and ends within 30 s (security.md 9); a pid
file is read when the signal is due, since services come back under another pid.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import click

from dayfly.cli.output import say
from dayfly.errors import DayflyError, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

EXEC_WITHIN = 30.0  # seconds
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class AfterError(DayflyError):
    """The pair is new, and who should know it was not told."""


def after_options(command: Command) -> Command:
    """`--exec`, `--pid`, `--pid-file` and `--signal`."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--signal", "number", type=int, help="The signal to send; 1, SIGHUP, by default."),
        click.option("--pid-file", type=path, help="Then signal the process that this file names."),
        click.option("--pid", type=click.IntRange(min=1), help="Then signal this process."),
        click.option("--exec", "command", metavar="COMMAND", help="Then run this: no shell, in /, 30 seconds at most."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class After:
    """Who is told: at most one process, and at most one program."""

    argv: tuple[str, ...] = ()
    pid: int | None = None
    pid_file: Path | None = None
    number: signal.Signals = signal.SIGHUP

    def check(self) -> None:
        """Raise where the program or the pid file could not be used now; AgentError."""
        if self.argv:
            from dayfly.agent.hooks.command import check_program

            check_program(Path(self.argv[0]))
        if self.pid_file is not None:
            from dayfly.agent.hooks.signal import check_pid_file

            check_pid_file(self.pid_file)

    def tell(self, crt: Path, stop: Event) -> None:
        """Send the signal, then run the program to its end or until `stop`; AfterError, AgentError."""
        self.check()
        if self.pid is not None:
            self._signal(self.pid)
        if self.pid_file is not None:
            self._signal_named_by(self.pid_file)
        if self.argv:
            self._run(crt, stop)

    def _signal_named_by(self, pid_file: Path) -> None:
        from dayfly.agent.hooks.signal import send_signal

        outcome = send_signal(self.number.name.removeprefix("SIG"), pid_file)
        if not outcome.ok:
            raise AfterError(f"the certificate is new, but nobody was told: {outcome.text}")

    def _signal(self, pid: int) -> None:
        try:
            os.kill(pid, self.number)
        except OSError as error:
            raise AfterError(
                f"the certificate is new, but {self.number.name} to process {pid} failed: {error.strerror}",
                hint="does it run, and as this user? --pid-file follows a service that restarts",
            ) from None

    def _run(self, crt: Path, stop: Event) -> None:
        from dayfly.agent.hooks.command import run_command, shown

        environment = {"DAYFLY_CERTIFICATE_FILE": str(crt.absolute())}
        with tempfile.TemporaryDirectory(prefix="dayfly-") as place:
            outcome = run_command(
                self.argv, environment=environment, output=Path(place) / "output", stop=stop, timeout=EXEC_WITHIN
            )
        if outcome.output.strip():
            say(shown(outcome.output))
        if not outcome.ok:
            raise AfterError(
                f"the certificate is new, but {self.argv[0]} failed: {outcome.text}",
                hint="run it by hand, and see what it says",
            )


def parse_after(options: Mapping[str, Any]) -> After:
    """What the flags ask for; UsageError."""
    if options["pid"] is not None and options["pid_file"] is not None:
        raise UsageError("--pid and --pid-file say the same thing twice", hint="leave one of them out")
    number = options["number"]
    if number is not None and options["pid"] is None and options["pid_file"] is None:
        raise UsageError("--signal takes --pid or --pid-file", hint="say which process gets it")
    try:
        chosen = signal.Signals(signal.SIGHUP if number is None else number)
    except ValueError:
        raise UsageError(f"there is no signal {number}", hint="see: kill -l") from None
    return After(_argv(options["command"]), options["pid"], options["pid_file"], chosen)


def _argv(command: str | None) -> tuple[str, ...]:
    """The words of a command line, the program with its whole path; UsageError."""
    if not command or not command.strip():
        return ()
    try:
        program, *arguments = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--exec cannot be read: {error}", hint="quotes come in pairs; there is no shell") from None
    found = program if program.startswith("/") else shutil.which(program, path=_PATH)
    if found is None:
        raise UsageError(f"--exec: there is no program {program} in {_PATH}", hint="name it with its whole path")
    return (found, *arguments)
