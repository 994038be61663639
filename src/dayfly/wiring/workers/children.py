"""The supervisor's children: how each is begun, and what is known of it.

Rules: a worker is forked and keeps nothing of the supervisor but the ground; the collector is started by exec, so that
nothing that the supervisor knows is in its memory; a child that keeps ending is begun more and more slowly.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from dayfly.wiring.workers.ground import Ground
from dayfly.wiring.workers.links import About, Link
from dayfly.wiring.workers.worker import run_worker

_LOG = logging.getLogger("dayfly.server")

FIRST_PAUSE = 0.1  # seconds before a child is begun anew, twice as long each time,
LONGEST_PAUSE = 5.0  # up to this,
LONG_ENOUGH = 30.0  # until it has lived for so long
SECRET_PLACES = ("DAYFLY_PASSWORD_FILE", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What the collector's environment does not name."""

Begin = Callable[[socket.socket, socket.socket], int]
"""Given the child's end of the link and the supervisor's; the pid."""


class Closing(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(slots=True)
class Child:
    """A process of the CA beside the supervisor; times are seconds of the supervisor's clock.

    `heard` is when it last said anything, `due` when it
    is to be begun again.
    """

    name: str
    begin: Begin
    worker: int | None
    pid: int = 0
    link: Link | None = None
    ready: bool = False
    began: float = 0.0
    heard: float = 0.0
    due: float = 0.0
    pause: float = FIRST_PAUSE
    failing: tuple[str, ...] = ()

    def start(self, now: float) -> Link:
        """Begin it; the supervisor's end of the link. OSError where the system has no room for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.pid = self.begin(theirs, ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.link = Link(ours)
        self.ready, self.failing = False, ()
        self.began = self.heard = now
        return self.link

    def ended(self, now: float) -> None:
        """It is gone; when it is due again."""
        if now - self.began >= LONG_ENOUGH:
            self.pause = FIRST_PAUSE
        self.put_off(now)
        self.pid, self.ready = 0, False
        if self.link is not None:
            self.link.socket.close()
            self.link = None

    def put_off(self, now: float) -> None:
        """It is due after a pause, and the next pause is longer."""
        self.due = now + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.pid:
            os.kill(self.pid, number)


def fork_worker(ground: Ground, number: int, end: socket.socket, *, forget: Sequence[Closing]) -> int:
    """Fork a worker; `forget` is what only the supervisor may keep open, such as its ends of the links."""
    ground.slots.begin(number)
    gc.freeze()  # what there is now stays shared, since no collection will touch it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # none is told to the wrong process
    try:
        pid = os.fork()
        if pid == 0:
            _be_worker(ground, number, end, forget)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _be_worker(ground: Ground, number: int, end: socket.socket, forget: Sequence[Closing]) -> NoReturn:
    status = 255
    try:
        _hear_signals()
        _name_lines(number)
        for other in forget:
            other.close()
        status = run_worker(ground, number, end)
    except BaseException:  # noqa: BLE001 - the edge of a process: whatever it was, the log has it
        _LOG.exception("worker %d met an error of its own", number)
    finally:
        logging.shutdown()
        os._exit(status)  # nothing that the supervisor has set up for its own end runs here


def _hear_signals() -> None:
    """Signals end this process until its loop takes them; what to reload the supervisor says."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _name_lines(number: int) -> None:
    """Every log line of this process says which worker it is."""

    def name(record: logging.LogRecord) -> bool:
        record.worker = number
        return True

    for handler in logging.getLogger("dayfly").handlers:
        handler.addFilter(name)


def start_collector(
    ground: Ground,
    end: socket.socket,
    ours: socket.socket,
    *,
    listener: socket.socket,
    counts: socket.socket,
    log_format: str | None,
) -> int:
    """Start the collector with the metrics' socket and the reading end of the counts; its pid.

    What it has to know of the configuration comes over the link: ca.toml may be spoilt by now, and argv is public.
    Nothing is imported from the directory that the command was called in (`-P`), and it does not stay there.
    """
    Link(ours).send(About(ground.config.name, ground.config.database))
    descriptors = [one.fileno() for one in (listener, counts, end)]
    command = [
        *(sys.executable, "-P", "-m", "dayfly.wiring.workers.collector", str(ground.config.home), log_format or ""),
        *map(str, (ground.workers, *descriptors)),
    ]
    environment = {key: value for key, value in os.environ.items() if key not in SECRET_PLACES}
    process = subprocess.Popen(  # noqa: S603 - ourselves
        command, pass_fds=descriptors, env=environment, stdin=subprocess.DEVNULL, cwd="/"
    )
    process.returncode = 0  # the supervisor reaps it itself
    return process.pid
