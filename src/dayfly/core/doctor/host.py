"""The host under a home: clock, room, other services, and what the server's process may leak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.findings import Finding, Group, passed, settle, unknown, wrong

MIB, GIB = 1 << 20, 1 << 30
LOW_DISK = 200 * MIB  # below it the CA is not ready (reliability.md R4)
FEW_INODES = 1000
SKEW = timedelta(seconds=60)  # as far as back-dating reaches
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs"}
)
MEMORY_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
# What a host may run beside a CA: ways in for its admin, the time, and what measures.
EXPECTED = frozenset({
    "sshd", "systemd", "systemd-resolve", "systemd-network", "systemd-timesyn", "chronyd", "ntpd", "ntpd-rs",
    "node_exporter", "prometheus-node", "dhclient",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on more than loopback; `name` is empty where it cannot be seen."""

    port: int
    name: str
    uid: int


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host at one moment; None stands for what cannot be seen from here."""

    now: datetime
    synchronised: bool | None
    free_octets: int
    free_inodes: int | None
    filesystem: str
    others: tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """The running server, as /proc shows it; None where it does not."""

    pid: int
    core_limit: int | None  # octets
    umask: int | None


def judge_host(facts: HostFacts) -> tuple[Finding, ...]:
    """What is to be said of the host, whatever home it has."""
    return (_clock(facts), _room(facts), _inodes(facts), _filesystem(facts), _others(facts))


def judge_clock(now: datetime, *, newest: datetime | None, root_since: datetime | None) -> tuple[Finding, ...]:
    """The clock against what the CA wrote and against its root."""
    found = []
    if newest is not None and newest > now + SKEW:
        says = (
            f"the database's newest entry is of {newest:%Y-%m-%d %H:%M:%S} UTC, the clock says {now:%Y-%m-%d %H:%M:%S}"
        )
        found.append(wrong("DF4102", Group.HOST, says, next_step="put the clock right before anything is issued"))
    if root_since is not None and now < root_since:
        says = f"the clock says {now:%Y-%m-%d %H:%M:%S} UTC, before the root came to life"
        found.append(wrong("DF4103", Group.HOST, says, next_step="put the clock right"))
    return settle(found, otherwise=passed("DF4102", Group.HOST, "clock and database agree"))


def _clock(facts: HostFacts) -> Finding:
    if facts.synchronised is None:
        return unknown(
            "DF4101", Group.HOST, "whether the clock is synchronised cannot be seen", next_step="timedatectl"
        )
    if facts.synchronised:
        return passed("DF4101", Group.HOST, "time synchronised")
    return wrong(
        "DF4101", Group.HOST, "the clock is not synchronised", next_step="systemctl enable --now systemd-timesyncd"
    )


def _room(facts: HostFacts) -> Finding:
    free = facts.free_octets
    words = f"{free / GIB:.0f} GiB free" if free >= GIB else f"{free // MIB} MiB free"
    if free >= GIB:
        return passed("DF4104", Group.HOST, words)
    level = Level.PROBLEM if free < LOW_DISK else Level.WARNING
    return wrong("DF4104", Group.HOST, f"only {words}", next_step="make room on the home's file system", level=level)


def _inodes(facts: HostFacts) -> Finding:
    if facts.free_inodes is None or facts.free_inodes >= FEW_INODES:
        return passed("DF4105", Group.HOST, "inodes left")
    says = f"only {facts.free_inodes} inodes are free"
    return wrong("DF4105", Group.HOST, says, next_step="remove small files on the home's file system")


def _filesystem(facts: HostFacts) -> Finding:
    if facts.filesystem in NETWORK_FILESYSTEMS:
        says = f"the home is on {facts.filesystem}, where a database loses commits"
        return wrong("DF4109", Group.HOST, says, next_step="move the home to a local disk")
    if facts.filesystem in MEMORY_FILESYSTEMS:
        says = f"the home is on {facts.filesystem}, which is empty after the next start"
        return wrong("DF4109", Group.HOST, says, next_step="move the home to a disk", level=Level.WARNING)
    return passed("DF4109", Group.HOST, "local disk")


def _others(facts: HostFacts) -> Finding:
    strangers = [one for one in facts.others if one.name not in EXPECTED and not (not one.name and one.port == 22)]
    if not strangers:
        return passed("DF4106", Group.HOST, "no other service listens")
    named = sorted({f"{one.name or f'a process of user {one.uid}'} on port {one.port}" for one in strangers})
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    says = f"other services listen on this host: {', '.join(named[:5])}{more}"
    return wrong("DF4106", Group.HOST, says, next_step="move them to another host, or bind them to loopback")


def judge_process(facts: ProcessFacts) -> tuple[Finding, ...]:
    """What the running server may leak."""
    return settle(_leaks(facts), otherwise=passed("DF4107", Group.HOST, "no core dumps, umask 0077"))


def _leaks(facts: ProcessFacts) -> Iterator[Finding]:
    if facts.core_limit:
        says = f"the server (process {facts.pid}) may leave a core dump, which holds the decrypted key"
        yield wrong("DF4107", Group.HOST, says, next_step="in its unit: LimitCORE=0; restart the server")
    if facts.umask is not None and facts.umask & 0o077 != 0o077:
        says = f"the server (process {facts.pid}) makes files with umask {facts.umask:04o}"
        yield wrong("DF4108", Group.HOST, says, next_step="in its unit: UMask=0077; restart the server")
