"""A network of the benchmark's own: loopback alone, names in a hosts file, port 80 free.

Rules: nothing of the machine is changed; what is mounted and bound here is gone with the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_INSIDE = "DAYFLY_BENCH_INSIDE"
NAMES = 200


def names() -> list[str]:
    """The names of the load, as the load generator makes them."""
    return [f"h{number}.load.test" for number in range(NAMES)]


def enter() -> None:
    """Run the whole command again inside network and mount namespaces; as no root, with a user namespace."""
    if os.environ.get(_INSIDE):
        _prepare()
        return
    for program in ("unshare", "ip", "mount"):
        if shutil.which(program) is None:
            sys.exit(f"error: {program} is missing. next: apt-get install util-linux iproute2 mount")
    command = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", [*command, sys.executable, *sys.argv])  # noqa: S606, S607 - the same command, fenced in


def _prepare() -> None:
    """Loopback up, and a hosts file of our own over /etc/hosts: peers resolve the names as the system does."""
    with tempfile.NamedTemporaryFile("w", prefix="dayfly-bench-hosts-", delete=False) as file:
        file.write("127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {name}\n" for name in names()))
    try:
        for command in (["ip", "link", "set", "lo", "up"], ["mount", "--bind", file.name, "/etc/hosts"]):
            done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
            if done.returncode != 0:
                sys.exit(f"error: {' '.join(command)}: {done.stderr.strip()}. next: run it as root")
    finally:
        Path(file.name).unlink()


def missing(packages: dict[str, str]) -> list[str]:
    """Programs that are still missing after an attempt to install their Debian packages, as root only."""
    wanted = [program for program in packages if shutil.which(program) is None]
    if wanted and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "POLICY_RC_D": "none"}
        with _no_services():
            subprocess.run(  # noqa: S603
                ["apt-get", "install", "-qq", "-y", *(packages[program] for program in wanted)],  # noqa: S607
                check=False,
                env=environment,
                stdout=subprocess.DEVNULL,
                timeout=300,
            )
    return [program for program in wanted if shutil.which(program) is None]


class _no_services:  # noqa: N801 - reads as a word in `with`
    """A policy under which apt-get starts no service, for the time of an installation."""

    _path = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        """Put the policy there, unless the machine has one."""
        self._ours = not self._path.exists()
        if self._ours:
            self._path.write_text("#!/bin/sh\nexit 101\n", "utf-8")
            self._path.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        """Take it away again."""
        if self._ours:
            self._path.unlink(missing_ok=True)
