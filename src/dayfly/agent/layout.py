"""Where the agent's state lies, and the only ways in which a file of it is written (agent.md 2, 9).

Rules: directories are 0700, files 0600; a file is made with O_CREAT|O_EXCL|O_NOFOLLOW, its mode set by descriptor
before its content; it is complete and on disk before it gets its name, and the directory is synced after. A lock is a
flock on a file that is never removed, so that the kernel lets go of it with the process that held it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dayfly.errors import AgentError, ConfigError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths inside an agent's home."""

    home: Path

    @property
    def journal(self) -> Path:
        """One line per transition."""
        return self.home / "journal"

    @property
    def status(self) -> Path:
        """What the running agent last said of itself, for `dayfly agent status`."""
        return self.home / "status.json"

    @property
    def accounts(self) -> Path:
        """Keys and URLs of the ACME accounts."""
        return self.home / "accounts"

    def certificate(self, name: str) -> Path:
        """The directory that services are pointed at; it holds `current`."""
        return self.home / "certs" / name

    def generations(self, name: str) -> Path:
        """All generations of a certificate."""
        return self.certificate(name) / "gens"

    def current(self, name: str) -> Path:
        """The one symlink that ever changes."""
        return self.certificate(name) / "current"

    def pending(self, name: str) -> Path:
        """Key, CSR, order and answer of a request in flight."""
        return self.home / "pending" / name

    def lock(self, name: str) -> Path:
        """The lock file of a certificate."""
        return self.home / "lock" / name

    def hook_output(self, name: str) -> Path:
        """What the last reload of a certificate printed."""
        return self.home / "hooks" / name

    def prepare(self, names: tuple[str, ...]) -> None:
        """Make the directories, and clean what a killed process left.

        ConfigError for a CA's home, a link or a foreign owner in the place of a directory, or one others may write.
        """
        refuse_ca_home(self.home)
        for directory in (self.home, *(self.home / room for room in ("certs", "pending", "lock", "hooks"))):
            make_directory(directory)
        for name in names:
            make_directory(self.certificate(name))
            make_directory(self.generations(name))
            make_directory(self.pending(name))


def refuse_ca_home(home: Path) -> None:
    """ConfigError for a home that holds `ca.toml`: agent and CA never share one."""
    if (home / "ca.toml").exists():
        raise ConfigError("home", f"{home} is the home of a CA", hint="give the agent a home of its own: --home DIR")


def make_directory(path: Path) -> None:
    """Make a directory of mode 0700, or hold the one that is there to: ours, a real one, not writable by others."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise ConfigError("home", f"{path} must be a directory of this user that nobody else may write")


def sync_directory(path: Path) -> None:
    """Make the names inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600, durably; FileExistsError where the name is taken, by a link too."""
    descriptor = os.open(path, _NEW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Give `path` this content at once: a reader sees the old file or the new one, also after a crash."""
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.unlink(missing_ok=True)
    create_file(temporary, data)
    temporary.replace(path)
    sync_directory(path.parent)


def shred_file(path: Path) -> None:
    """Overwrite a key with zeros and remove it; nothing happens where it is gone already."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _write_all(descriptor, bytes(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()


def read_file(path: Path, *, limit: int = 1 << 20) -> bytes | None:
    """The content of one of our files, or None where there is none; AgentError when it is larger than `limit`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise AgentError("state", f"{path} is larger than {limit} octets")
    return data


class Lock:
    """A flock on one file; it is held until `release`, or until this process ends in whatever way."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened yet."""
        self._path = path
        self._descriptor = -1

    @property
    def held(self) -> bool:
        """Do we hold it?"""
        return self._descriptor >= 0

    def acquire(self, *, wait: bool = False) -> bool:
        """Take it; False where somebody else holds it and we do not `wait`."""
        if self.held:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go of it; the file stays."""
        if self.held:
            os.close(self._descriptor)
            self._descriptor = -1


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path` for a moment, waiting for it."""
    lock = Lock(path)
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
