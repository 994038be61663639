"""sd_notify in a few lines: tells systemd that a service is ready, alive, or what it does."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(message: str) -> None:
    """Send `READY=1` and the like to the socket in NOTIFY_SOCKET; nothing happens where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(message.encode())
