"""sd_notify in a few lines: tells systemd that a service is ready, alive, or what it does."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(message: str) -> None:
    """Send `READY=1` and the like to the socket in NOTIFY_SOCKET; nothing happens where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(1.0)  # a manager that does not read must not hold the server up
        sender.connect(address)
        sender.sendall(message.encode())


def notify_reloading() -> None:
    """The configuration is being read again; `READY=1` ends it."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval() -> float | None:
    """Seconds between two `WATCHDOG=1`, half of what the unit allows; None where nobody watches this process."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", "")
    if not (allowed.isascii() and allowed.isdigit() and int(allowed)) or (watched and watched != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000
