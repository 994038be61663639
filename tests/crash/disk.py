"""A small disk of its own for a CA's home, which can be filled, emptied and made read-only."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

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
            for _ in range(100):
                if (more := self.free - leave) <= 0:
                    return
                with contextlib.suppress(OSError):  # somebody else took some of it meanwhile
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more)
        raise AssertionError(f"{self.free} octets are free, not {leave}")

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


@contextmanager
def ext4_disk(path: Path, image: Path, program: Callable[..., str]) -> Iterator[Callable[[], None]]:
    """An ext4 at `path` that becomes read-only when it meets an error; what is given makes it meet one.

    Skips where the kernel gives no loop device.
    """
    mkfs, mount, umount = program("mkfs.ext4", "e2fsprogs"), program("mount"), program("umount")
    with image.open("wb") as file:
        file.truncate(64 * MEGABYTE)
    subprocess.run([mkfs, "-q", "-F", str(image)], check=True)
    options = "loop,errors=remount-ro"
    made = subprocess.run([mount, "-o", options, str(image), str(path)], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    try:
        path.chmod(0o700)
        device = next(line.split()[0] for line in Path("/proc/mounts").read_text().splitlines() if f" {path} " in line)
        trigger = Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel's ext4 cannot be told to meet an error")

        def fail() -> None:
            trigger.write_text("the test says so")

        yield fail
    finally:
        subprocess.run([umount, "--lazy", str(path)], check=True)
