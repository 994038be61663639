"""Where a file really lies: found once, its directory held open, and nothing outside of it is written.

Rules: links are followed here, one by one, and never again; whoever writes into a spot does so by the directory's
descriptor. Root follows no link that somebody else could have placed, and writes in no directory of somebody else:
there the name of any file on the machine could be put under his hands.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dayfly.errors import UsageError

MAX_LINKS = 40  # as many as the kernel follows
_PASSING = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLDING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Spot:
    """A directory's descriptor and a file's name in it, there or not; `real` is its path, for people."""

    directory: int
    name: str
    real: Path


Spots = Mapping[Path, Spot]
"""By the path that was named."""


def open_spots(paths: tuple[Path, ...], held: ExitStack) -> dict[Path, Spot]:
    """Where these files lie; `held` closes the directories. UsageError."""
    spots: dict[Path, Spot] = {}
    for path in paths:
        try:
            spots[path] = _open(path)
        except OSError as error:
            raise UsageError(f"the directory of {path} cannot be opened: {error.strerror}") from None
        held.callback(os.close, spots[path].directory)
    return spots


def refuse_moved(spots: Spots) -> None:
    """UsageError where a name leads elsewhere by now: what was read is not what would be replaced."""
    with ExitStack() as held:
        found = open_spots(tuple(spots), held)
    for path, spot in spots.items():
        if found[path].real != spot.real:
            raise UsageError(f"{path} leads to another file than a moment ago", hint="run it again")


def _open(path: Path) -> Spot:
    with _Walk(path) as walk:
        while walk.left:
            part = walk.left.pop()
            if part == "..":
                walk.step(part)
            elif (target := walk.link(part)) is not None:
                walk.follow(target)
            elif walk.left:
                walk.step(part)
            else:
                _refuse_directory(walk.at, walk.where)
                return Spot(os.open(".", _HOLDING, dir_fd=walk.at), part, walk.where / part)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


class _Walk:
    """Goes from directory to directory; `left` is what is still to go, the next part last."""

    def __init__(self, path: Path) -> None:
        """At the root."""
        self.left = list(reversed(path.absolute().parts[1:]))
        self.where = Path("/")
        self.at = os.open("/", _PASSING)
        self._links = 0

    def __enter__(self) -> Self:
        """It holds one descriptor."""
        return self

    def __exit__(self, *_: object) -> None:
        """And lets go of it."""
        os.close(self.at)

    def step(self, part: str) -> None:
        """Into a directory, which is no link; OSError."""
        self._move(os.open(part, _PASSING, dir_fd=self.at))
        self.where = self.where.parent if part == ".." else self.where / part

    def link(self, part: str) -> str | None:
        """Where a link leads, None where it is none; OSError, UsageError where root should not follow it."""
        try:
            facts = os.stat(part, dir_fd=self.at, follow_symlinks=False)
        except FileNotFoundError:
            if self.left:
                raise
            return None
        if not stat.S_ISLNK(facts.st_mode):
            return None
        _refuse_link(facts, os.fstat(self.at), self.where / part)
        return os.readlink(part, dir_fd=self.at)

    def follow(self, target: str) -> None:
        """Go on along a link; OSError after too many."""
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        parts = Path(target).parts
        if target.startswith("/"):
            self._move(os.open("/", _PASSING))
            self.where, parts = Path("/"), parts[1:]
        self.left.extend(reversed(parts))

    def _move(self, to: int) -> None:
        os.close(self.at)
        self.at = to


def _refuse_directory(descriptor: int, where: Path) -> None:
    facts = os.fstat(descriptor)
    if os.geteuid() == 0 and (facts.st_uid != 0 or facts.st_mode & 0o022):
        raise UsageError(
            f"others may change {where}, where root would write by names that they choose", hint=_hint(facts, where)
        )


def _refuse_link(link: os.stat_result, around: os.stat_result, where: Path) -> None:
    """A link of root's in a sticky directory of root's (`/tmp`) is nobody else's doing."""
    is_open = around.st_uid != 0 or (around.st_mode & 0o022 and not around.st_mode & stat.S_ISVTX)
    if os.geteuid() == 0 and (link.st_uid != 0 or is_open):
        raise UsageError(
            f"others may change the link {where}, which root would follow", hint=_hint(around, where.parent)
        )


def _hint(facts: os.stat_result, where: Path) -> str:
    if facts.st_uid == 0:
        return f"close it to others: chmod go-w {where}; or name the file itself, in a directory of root's"
    try:
        owner = f"runuser -u {pwd.getpwuid(facts.st_uid).pw_name} --"
    except KeyError:
        owner = f"setpriv --reuid={facts.st_uid} --regid={facts.st_gid} --clear-groups --"
    return f"run it as the owner of {where}: {owner} dayfly ca …"
