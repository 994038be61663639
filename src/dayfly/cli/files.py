"""The pair of files that a command writes (interfaces.md 7).

Rules: nothing is overwritten without a word; the key is 0600 from its first octet; each file is whole or not there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from dayfly.errors import UsageError


def check_targets(paths: tuple[Path, ...], *, force: bool) -> None:
    """Raise UsageError, or ask at a terminal, where a file exists; before anything is asked of the CA."""
    for path in paths:
        if not path.parent.is_dir():
            raise UsageError(f"there is no directory {path.parent}", hint=f"make it: mkdir -p {path.parent}")
        if path.is_dir():
            raise UsageError(f"{path} is a directory", hint="name a file")
        if not os.access(path.parent, os.W_OK):
            raise UsageError(f"this user may not write in {path.parent}", hint="choose another place")
    existing = [path for path in paths if path.exists() or path.is_symlink()]
    if not existing or force:
        return
    if not sys.stdin.isatty():
        names, several = " and ".join(map(str, existing)), len(existing) > 1
        raise UsageError(
            f"{names} exist{'' if several else 's'}, and there is no terminal to ask at",
            hint=f"overwrite {'them' if several else 'it'} with --force",
        )
    for path in existing:
        answer = click.prompt(f"Would you like to overwrite {path} [y/n]", err=True, show_default=False)
        if answer.strip().lower() not in {"y", "yes"}:
            raise UsageError(f"{path} was left as it is")


def write_file(path: Path, content: bytes, *, mode: int) -> None:
    """Put a file in place, by rename, with its mode set before its content; UsageError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="choose another place") from None
