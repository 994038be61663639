"""Machines for the recipe: network namespaces with real addresses, real ports and real names, and nobody else.

Rules: everything that is made is taken away at the end, whatever happened; names come from a hosts file of the
namespaces' own; no packet leaves them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NETNS = Path("/etc/netns")
NETWORK = "10.177.53"  # of nobody: the link is between the namespaces alone
CA, API, SHOP = "ca.internal.example", "api.internal.example", "shop.corp.example.net"
"""The CA's name, the service's, and one that no rule gives."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One namespace; `title` is what a person reads, `home` is the home directory of who works there."""

    title: str
    namespace: str
    address: str
    home: Path

    def command(self, *words: str) -> list[str]:
        """A command as it is run there."""
        return ["ip", "netns", "exec", self.namespace, *words]


def ip(*words: str) -> None:
    """One `ip` command; CalledProcessError has what it said."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def why_not() -> str:
    """Why no machine can be made here; empty when they can."""
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    if shutil.which("ip") is None:
        return "the ip command is missing: apt-get install iproute2"
    name = f"dayfly-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if tried.returncode != 0:
        return f"ip netns does not work here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return ""


@contextlib.contextmanager
def machines(where: Path, layout: Mapping[str, Sequence[str]]) -> Iterator[list[Machine]]:
    """One machine for each title of the layout, which says what names point to it; linked when there are two."""
    made = [
        Machine(title, f"dayfly-{os.getpid()}-{number}", f"{NETWORK}.{number + 1}", where / f"home-{number}")
        for number, title in enumerate(layout)
    ]
    hosts = "127.0.0.1 localhost\n" + "".join(
        f"{machine.address} {name}\n" for machine in made for name in layout[machine.title]
    )
    with contextlib.ExitStack() as stack:
        for machine in made:
            stack.callback(_remove, machine)
            _add(machine, hosts)
        _link(made)
        yield made


def _add(machine: Machine, hosts: str) -> None:
    machine.home.mkdir(parents=True)
    files = NETNS / machine.namespace
    files.mkdir(parents=True)
    (files / "hosts").write_text(hosts)
    (files / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    ip("netns", "add", machine.namespace)
    ip("-n", machine.namespace, "link", "set", "lo", "up")


def _link(made: list[Machine]) -> None:
    """A cable between two machines; a lonely one has both ends."""
    ends = (f"dfl{os.getpid() % 100000}a", f"dfl{os.getpid() % 100000}b")
    first, last = made[0].namespace, made[-1].namespace
    ip("link", "add", ends[0], "netns", first, "type", "veth", "peer", "name", ends[1], "netns", last)
    ip("-n", last, "link", "set", ends[1], "up")
    for machine, end in zip(made, ends, strict=False):
        ip("-n", machine.namespace, "address", "add", f"{machine.address}/24", "dev", end)
        ip("-n", machine.namespace, "link", "set", end, "up")


def _remove(machine: Machine) -> None:
    subprocess.run(["ip", "netns", "delete", machine.namespace], check=False, capture_output=True)
    shutil.rmtree(NETNS / machine.namespace, ignore_errors=True)
    with contextlib.suppress(OSError):
        NETNS.rmdir()
