"""How a service is told that its pair has changed (agent.md 10): one module for each mechanism, one line in the table.

Rules: a hook is checked before anything is asked of the CA, and again before it runs; it gets paths, never key
material; it ends in bounded time, and so does whatever it left running when that time is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from dayfly.agent.hooks import command, signal, systemd
from dayfly.agent.hooks.outcome import HookOutcome
from dayfly.agent.settings import CommandReload, Reload, SignalReload, SystemdReload

__all__ = ["HookOutcome", "HookRun", "check_reload", "kind_of", "run_reload"]


@dataclass(frozen=True, slots=True)
class HookRun:
    """What a hook may know: the certificate's name, its directory, where its output goes, and when to give up."""

    certificate: str
    directory: Path
    output: Path
    stop: Event
    timeout: float = 30.0


def kind_of(reload: Reload) -> str:
    """The mechanism's word, for metrics and lines."""
    match reload:
        case CommandReload():
            return "command"
        case SignalReload():
            return "signal"
        case SystemdReload():
            return "systemd"


def check_reload(reload: Reload) -> None:
    """AgentError `hook-unsafe` or `hook-missing` where the reload must not or cannot run."""
    match reload:
        case CommandReload(argv):
            command.check_program(Path(argv[0]))
        case SignalReload(_, pid_file):
            signal.check_pid_file(pid_file)
        case SystemdReload():
            command.check_program(systemd.find_systemctl())


def run_reload(reload: Reload, run: HookRun) -> HookOutcome:
    """Tell the service, and say how that went; AgentError as `check_reload`."""
    check_reload(reload)
    match reload:
        case CommandReload(argv):
            return _start(argv, run)
        case SignalReload(name, pid_file):
            return signal.send_signal(name, pid_file)
        case SystemdReload(unit):
            return _start(systemd.reload_argv(unit), run)


def _start(argv: tuple[str, ...], run: HookRun) -> HookOutcome:
    environment = {"DAYFLY_CERTIFICATE": run.certificate, "DAYFLY_DIRECTORY": str(run.directory)}
    return command.run_command(argv, environment=environment, output=run.output, stop=run.stop, timeout=run.timeout)
