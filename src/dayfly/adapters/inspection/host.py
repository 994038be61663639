"""The host as facts: clock, room, listeners, and the server's process, from /proc and the C library.

Rules: what cannot be seen is None or an empty name, never a guess; no program is started, and nothing is changed.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from dayfly.core.doctor.host import HostFacts, Listener, ProcessFacts

PROC = Path("/proc")
LOCK_READS = 3  # an entry may be passed over while locks before it in the list come and go
_LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp
_UNSYNCHRONISED = 0x40  # STA_UNSYNC, adjtimex(2)
_TIME_ERROR = 5
_STATUS_AT = 40  # octets into struct timex on 64-bit Linux
_TIMEX = 208
_FIRST_ORDINARY_PORT = 1024
_BIND_SERVICE = 1 << 10  # CAP_NET_BIND_SERVICE


@dataclass(frozen=True, slots=True)
class Socket:
    """A listening TCP socket: `pid` is 0 where its process cannot be seen."""

    address: IPv4Address | IPv6Address
    port: int
    uid: int
    pid: int

    @property
    def name(self) -> str:
        """The process's name, where it can be seen."""
        return _text(PROC / str(self.pid) / "comm").strip() if self.pid else ""


def inspect_host(home: Path, *, now: datetime, ours: frozenset[int]) -> HostFacts:
    """The host of this home; `ours` are the server's processes."""
    room = os.statvfs(home)
    others = {
        Listener(one.port, one.name, one.uid)
        for one in listening_sockets()
        if not one.address.is_loopback and one.pid not in ours
    }
    return HostFacts(
        now=now,
        synchronised=is_synchronised(),
        free_octets=room.f_bavail * room.f_frsize,
        free_inodes=room.f_favail if room.f_files else None,  # some file systems count none
        filesystem=filesystem_of(home),
        others=tuple(sorted(others, key=lambda one: (one.port, one.name))),
    )


def is_synchronised() -> bool | None:
    """Does the kernel hold its clock to be synchronised (adjtimex, read only)? None where it does not say."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(_TIMEX)
        state = library.adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    (status,) = struct.unpack_from("i", buffer.raw, _STATUS_AT)
    return state != _TIME_ERROR and not status & _UNSYNCHRONISED


def filesystem_of(path: Path) -> str:
    """The type of the file system that a path is on; empty where /proc does not say."""
    best, kind = "", ""
    resolved = str(path.resolve())
    for line in _text(PROC / "self" / "mountinfo").splitlines():
        fields = line.split(" ")
        place = fields[4].encode().decode("unicode_escape")  # a blank is \040 there
        inside = resolved == place or resolved.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, fields[fields.index("-") + 1]
    return kind


def listening_sockets() -> tuple[Socket, ...]:
    """Every listening TCP socket of this network namespace."""
    rows = [row for name in ("tcp", "tcp6") for row in _rows(_text(PROC / "net" / name))]
    holders = _holders({inode for *_, inode in rows})
    return tuple(Socket(address, port, uid, holders.get(inode, 0)) for address, port, uid, inode in rows)


def _rows(table: str) -> Iterator[tuple[IPv4Address | IPv6Address, int, int, str]]:
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            place, _, port = fields[1].partition(":")
            yield _address(place), int(port, 16), int(fields[7]), fields[9]


def _address(text: str) -> IPv4Address | IPv6Address:
    """An address as the kernel prints it: words of four octets in the host's order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    found = ip_address(b"".join(struct.pack("=I", word) for word in words))
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _holders(inodes: set[str]) -> dict[str, int]:
    """The process of each socket, for those processes that we may look into."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, int] = {}
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                inode = wanted.get(str(descriptor.readlink()))
                if inode is not None:
                    found.setdefault(inode, int(process.name))
        except OSError:  # not ours to look into, or it has ended
            continue
    return found


def may_bind(port: int) -> bool:
    """May this process listen on the port?"""
    first = _text(PROC / "sys/net/ipv4/ip_unprivileged_port_start").strip()
    if port >= (int(first) if first.isdigit() else _FIRST_ORDINARY_PORT):
        return True
    capabilities = _field(PROC / "self" / "status", "CapEff")
    return bool(capabilities and int(capabilities, 16) & _BIND_SERVICE)


def server_process(home: Path) -> int:
    """The process that holds run/server.lock, 0 where nobody does; the lock itself is not touched."""
    path = home / "run" / "server.lock"
    try:
        inode = path.stat().st_ino
    except OSError:
        return 0
    written = _text(path).strip()
    holders = {written, "0"}  # 0: taken in another namespace of processes
    for _ in range(LOCK_READS):
        for line in _text(PROC / "locks").splitlines():
            fields = line.split()  # number, FLOCK, ADVISORY, WRITE, process, device:inode, from, to
            if "FLOCK" in fields and fields[-3].endswith(f":{inode}") and fields[-4] in holders:
                return int(written) if written.isdigit() else 0
    return 0


def family_of(pid: int) -> frozenset[int]:
    """A process and its children's children."""
    parents: dict[int, int] = {}
    for process in PROC.iterdir():
        if process.name.isdigit():
            parent = _field(process / "status", "PPid")
            parents[int(process.name)] = int(parent) if parent else 0
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return frozenset(found)


def inspect_process(pid: int) -> ProcessFacts:
    """What a process may leak, as far as it may be looked into."""
    umask = _field(PROC / str(pid) / "status", "Umask")
    limit: int | None = None
    for line in _text(PROC / str(pid) / "limits").splitlines():
        if line.startswith("Max core file size"):
            soft = line.split()[4]
            limit = int(soft) if soft.isdigit() else 1 << 63  # unlimited
    return ProcessFacts(pid, limit, int(umask, 8) if umask else None)


def _field(path: Path, name: str) -> str:
    """A value of a `Name: value` file; empty where it is not to be had."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
