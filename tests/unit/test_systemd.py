"""sd_notify: what is said, and to whom."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from dayfly.systemd import notify, notify_reloading, watchdog_interval


@pytest.mark.parametrize("abstract", [False, True])
def test_message_reaches_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool) -> None:
    """A path, or a name of Linux's own space behind an @."""
    address = f"@dayfly-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0") if abstract else address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
        notify_reloading()
        reloading, moment = manager.recv(100).decode().splitlines()
        assert reloading == "RELOADING=1"
        assert abs(int(moment.partition("=")[2]) - time.monotonic_ns() // 1000) < 60_000_000


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Nor is it an error."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", "", 15.0),
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", None),
        ("0", "", None),
        ("", "", None),
        ("soon", "", None),
    ],
)
def test_watchdog_hears_at_half_of_its_patience(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str, seconds: float | None
) -> None:
    """And nothing where nobody watches, or watches another process."""
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_interval() == seconds
