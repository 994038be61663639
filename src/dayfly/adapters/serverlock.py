"""`run/server.lock`: one server per home (reliability.md 5); the kernel lets go of it when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from dayfly.errors import ConfigError


class ServerLock:
    """Held from start to end of a server; a CLI command never takes it."""

    def __init__(self, home: Path) -> None:
        """Take the lock; ConfigError names the process that has it."""
        path = home / "run" / "server.lock"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                "", f"{path} cannot be opened: {error.strerror}", hint="run as the user who owns the CA's home"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise ConfigError(
                "", f"a server is running in {home} already (process {holder})", hint="stop it first, or use it"
            ) from None
        with contextlib.suppress(OSError):  # the number is for people; on a full disk the lock holds without it
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let go; the file stays, since removing it would let two servers in."""
        os.close(self._descriptor)
