"""A command at a terminal: a pseudo-terminal that answers its questions."""

from __future__ import annotations

import os
import pty
import sys
import time
from pathlib import Path

from ca_world import environment


def at_terminal(arguments: list[str], answers: list[str], where: Path, *, code: int = 0) -> str:
    """Run a command under a pseudo-terminal, answer each question in turn; all that was shown, with its exit code."""
    process_id, terminal = pty.fork()
    if process_id == 0:
        os.execve(sys.executable, [sys.executable, "-m", "dayfly", *arguments], environment(where))  # noqa: S606 - a program, no shell
    shown, asked, deadline = b"", 0, time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the terminal is gone: the command has ended
            break
        if asked < len(answers) and shown[-2:] in {b": ", b"] "}:
            os.write(terminal, answers[asked].encode() + b"\n")
            asked, shown = asked + 1, shown + b"\n"
    _, status = os.waitpid(process_id, 0)
    os.close(terminal)
    text = shown.decode()
    assert os.waitstatus_to_exitcode(status) == code, text
    return text
