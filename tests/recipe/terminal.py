"""Commands as a person runs them: at a terminal of their own, or without one; all that they say is shown.

Rules: a prompt is answered only when it is there; a question that nobody foresaw ends the command; time is bounded.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

WITHIN = 60.0  # seconds, for one command
SILENCE = 20.0  # seconds without a word: it asks something that nobody answers

Answers = Sequence[tuple[str, str]]
"""What a prompt ends with, and what is typed then; in order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit status, and what was said: all of it, at a terminal in `text` alone."""

    status: int
    text: str
    stdout: str = ""


def run_plain(command: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Without a terminal: standard input is /dev/null."""
    done = subprocess.run(
        command, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN,
        check=False, cwd=environment["HOME"],
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout + done.stderr, done.stdout)


def run_at_terminal(command: Sequence[str], environment: Mapping[str, str], answers: Answers = ()) -> Outcome:
    """At a terminal, with these answers typed at their prompts."""
    session = Session(command, environment)
    waiting = list(answers)
    deadline = time.monotonic() + WITHIN
    while session.read(min(SILENCE, deadline - time.monotonic())):
        if waiting and session.text.rstrip().endswith(waiting[0][0]):
            session.type(waiting.pop(0)[1])
    status = session.wait()
    return Outcome(status, session.text if not waiting else f"{session.text}\n(never asked: {waiting[0][0]})")


@dataclass(slots=True)
class Session:
    """A process at a terminal of its own, which is its controlling one."""

    command: Sequence[str]
    environment: Mapping[str, str]
    text: str = ""
    pid: int = field(init=False)
    _screen: int = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            os.chdir(self.environment["HOME"])
            os.execvpe(self.command[0], list(self.command), dict(self.environment))  # noqa: S606 - no shell on purpose

    def read(self, within: float) -> bool:
        """Take what it says next; False at its end, or after silence."""
        ready, _, _ = select.select([self._screen], [], [], max(within, 0))
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
            self.text += "\n(it said nothing more, and was ended)"
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # EIO: nobody is at the other end any more
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def type(self, text: str) -> None:
        """As a person types, and the return key."""
        os.write(self._screen, text.encode() + b"\n")

    def wait(self, *, listener: threading.Thread | None = None) -> int:
        """Its exit status; what is said last is heard first."""
        _, status = os.waitpid(self.pid, 0)
        if listener is not None:
            listener.join()
        os.close(self._screen)
        return os.waitstatus_to_exitcode(status)


@dataclass(slots=True)
class Staying:
    """A process that stays, at a terminal or with what it says in a pipe."""

    session: Session | None = None
    process: subprocess.Popen[str] | None = None
    said: str = ""
    _listener: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        """Listen to it."""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @classmethod
    def at_terminal(cls, command: Sequence[str], environment: Mapping[str, str], answers: Answers) -> Staying:
        """Start it, and type what it asks for."""
        session = Session(command, environment)
        for prompt, answer in answers:
            while not session.text.rstrip().endswith(prompt) and session.read(SILENCE):
                pass
            session.type(answer)
        return cls(session=session)

    @classmethod
    def plain(cls, command: Sequence[str], environment: Mapping[str, str]) -> Staying:
        """Start it without a terminal."""
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, cwd=environment["HOME"],
        )  # fmt: skip
        return cls(process=process)

    @property
    def text(self) -> str:
        """What it said so far."""
        return self.session.text if self.session else self.said

    def wait_for(self, found: Callable[[str], bool], *, within: float = SILENCE) -> bool:
        """Did it say so in time?"""
        deadline = time.monotonic() + within
        while not found(self.text):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def end(self) -> int:
        """SIGTERM; the exit status."""
        if self.session is not None:
            os.kill(self.session.pid, signal.SIGTERM)
            status = self.session.wait(listener=self._listener)
        else:
            assert self.process is not None
            assert self.process.stderr is not None
            self.process.terminate()
            status = self.process.wait(timeout=15)
            self._listener.join()
            self.process.stderr.close()
        return status

    def _listen(self) -> None:
        if self.session is not None:
            while self.session.read(1e6):
                pass
            return
        assert self.process is not None
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
