"""The database file on its disk: made for its owner alone, still the one that was opened, with room to write.

Rules: the file is 0600; a file that is there is never opened and closed beside a store, since POSIX lets go of all
locks that the process has on it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from dayfly.errors import Unavailable

ROOM = 1024 * 1024  # octets; with less the store stays unusable after it


def prepare_file(path: Path) -> int:
    """The permissions of the database file, made if it is not there; OSError where it is none, or not to be written.

    A file that is there is not opened: POSIX lets go of all locks that this process has on it when any descriptor of it
    is closed, and another store of this process may hold some.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(found.st_mode) & 0o777


def files_of(database: str, log: str) -> tuple[tuple[int, int] | None, ...]:
    """Device and inode of the file and of its write-ahead log; None for one that is not there."""
    return _identity(database), _identity(log)


def _identity(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 - a string is quicker, and this runs for each group
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_read_only(path: Path) -> bool:
    """Has the file's file system become read-only, as one that met an error does? Its flags do not always say so."""
    try:
        os.utime(path)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def has_room(path: Path) -> bool:
    """Is there room for a few groups, and may it be written?"""
    return room_at(path) >= ROOM and not is_read_only(path)


def room_at(path: Path | str) -> int:
    """Octets that can still be written where the file lies; 0 where that cannot be seen."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def full() -> Unavailable:
    """What is said of a full disk."""
    return Unavailable("the database cannot be written: the disk is full", hint="make room on the disk")
