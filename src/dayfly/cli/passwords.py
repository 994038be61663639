"""Where a command's password comes from: a file, the environment's file, or a prompt (security.md 9).

Rules: never argv; no prompt where standard input is no terminal, but an error that names the flags.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from dayfly.adapters.keyfiles import read_password
from dayfly.errors import UsageError


def from_file(path: Path | None, flag: str) -> bytes | None:
    """The password in the file that a flag names, or None without one; ConfigError."""
    return None if path is None else read_password(path, flag=flag)


def from_environment(variable: str) -> bytes | None:
    """The password in the file that a variable names, or None without one; ConfigError."""
    named = os.environ.get(variable)
    return read_password(Path(named), flag=variable) if named else None


def ask(question: str, *, flags: str) -> bytes:
    """The answer at a terminal; UsageError off one, and for an empty answer."""
    if not sys.stdin.isatty():
        raise UsageError("a password is needed, and there is no terminal to ask for it at", hint=f"add {flags}")
    answer: str = click.prompt(question, hide_input=True, err=True, default="", show_default=False)
    if not answer:
        raise UsageError("an empty password opens nothing", hint=f"try again, or add {flags}")
    return answer.encode()
