"""A small disk of its own for a CA's home, which can be filled, emptied and made read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """A tmpfs; `path` is where it is mounted."""

    path: Path
    mount: str

    @property
    def free(self) -> int:
        """Octets that can still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leave: int = 0) -> None:
        """Take all but `leave` octets (whole pages)."""
        with (self.path / "filler").open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), max(self.free - leave, 1)) if self.free > leave else None

    def empty(self) -> None:
        """Give back what `fill` took."""
        (self.path / "filler").unlink(missing_ok=True)

    def make(self, how: str) -> None:
        """`ro` or `rw`."""
        subprocess.run([self.mount, "-o", f"remount,{how}", str(self.path)], check=True)


@contextmanager
def small_disk(path: Path, program: Callable[..., str], *, megabytes: int = 16) -> Iterator[Disk]:
    """A tmpfs at `path`, which is gone at the end."""
    mount, umount = program("mount"), program("umount")
    path.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(path)], check=True)
    try:
        yield Disk(path, mount)
    finally:
        subprocess.run([umount, "--lazy", str(path)], check=True)
