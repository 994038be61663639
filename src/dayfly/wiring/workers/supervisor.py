"""The supervisor: begins the workers, keeps them, and ends with them.

Rules: no event loop, no thread, no open database, so that every worker is forked from the same clean process; it acts
on signals and messages only between two waits; a child that cannot start ends the start, one that ends later is begun
anew; nothing outlives it.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dayfly.errors import DayflyError, Unavailable
from dayfly.systemd import notify, notify_reloading, watchdog_interval
from dayfly.wiring.reload import read_again
from dayfly.wiring.workers.children import Child
from dayfly.wiring.workers.ground import Ground
from dayfly.wiring.workers.links import Beat, Failed, Message, Ready, Reload, Reloaded

_LOG = logging.getLogger("dayfly.server")

STOP_WITHIN = 9.0  # seconds; `ca start` has to end within 10 (interfaces.md 4)
START_WITHIN = 60.0  # seconds for a child to be ready
SILENT_FOR = 30.0  # seconds after which a child that says nothing is killed
RELOAD_WITHIN = 5.0  # seconds for the workers to take a configuration up
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Wakeups:
    """Signals as octets in a socket that a selector can wait for."""

    def __init__(self) -> None:
        """From now on signals are kept, and none of them ends the process."""
        self.reading, self._writing = socket.socketpair()
        self.reading.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._writing.setblocking(False)  # noqa: FBT003 - the same
        self._before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        signal.set_wakeup_fd(self._writing.fileno())

    def take(self) -> set[int]:
        """The signals that came since."""
        try:
            return set(self.reading.recv(4096))
        except BlockingIOError:
            return set()

    def sockets(self) -> tuple[socket.socket, ...]:
        """Both ends, for a child to close."""
        return (self.reading, self._writing)

    def close(self) -> None:
        """Signals do what they did before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for one in self.sockets():
            one.close()


@dataclass(slots=True)
class Supervisor:
    """`children` are begun together; `on_ready` is called once, when all of them serve; `monotonic` gives seconds."""

    ground: Ground
    children: list[Child]
    wakeups: Wakeups
    on_ready: Callable[[], None]
    monotonic: Callable[[], float] = time.monotonic
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ready: bool = False
    _stop_by: float | None = None
    _reload_by: float | None = None
    _reloads: int = 0
    _reloading: set[str] = field(default_factory=set)
    _failure: DayflyError | None = None
    _watchdog: float | None = field(default_factory=watchdog_interval)
    _watched_at: float = 0.0
    _status: str = ""
    _note: str = ""

    def run(self) -> None:
        """Until SIGTERM or SIGINT, and until every child has ended; DayflyError where the start failed."""
        self.selector.register(self.wakeups.reading, selectors.EVENT_READ, None)
        try:
            self._begin_due()
            while self._stop_by is None or any(child.pid for child in self.children):
                self.turn()
        finally:
            for child in self.children:
                child.signal(signal.SIGKILL)
            self.selector.close()
        if self._failure is not None:
            raise self._failure

    def turn(self) -> None:
        """Wait for something to happen, for a second at most, and do what is due."""
        self._wait()
        self._reap()
        self._begin_due()
        self._end_silent()
        self._end_slow()
        self._settle_reload()
        self._tell()

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        for key, _ in self.selector.select(self._timeout()):
            if key.data is None:
                self._on_signals(self.wakeups.take())
            else:
                self._on_messages(key.data)

    def _timeout(self) -> float:
        """Seconds until something may have to be done; a second at most."""
        now = self.monotonic()
        moments = [now + 1.0, *(child.due for child in self.children if not child.pid and self._stop_by is None)]
        moments += [moment for moment in (self._stop_by, self._reload_by) if moment is not None]
        if self._watchdog is not None:
            moments.append(self._watched_at + self._watchdog)
        return max(0.0, min(moments) - now)

    def _on_signals(self, numbers: set[int]) -> None:
        if numbers & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif signal.SIGHUP in numbers and self._ready:
            self._reload()

    def _on_messages(self, child: Child) -> None:
        messages = [] if child.link is None else child.link.receive()
        if messages is None:
            self._forget_link(child)
            return
        child.heard = self.monotonic()
        for message in messages:
            self._on_message(child, message)

    def _on_message(self, child: Child, message: Message) -> None:
        if isinstance(message, Ready):
            child.ready = True
        elif isinstance(message, Beat):
            child.failing = message.failing
        elif isinstance(message, Reloaded) and message.number == self._reloads:
            self._reloading.discard(child.name)
        elif isinstance(message, Failed) and not self._ready:
            self._fail(DayflyError(message.message, hint=message.hint))

    def _forget_link(self, child: Child) -> None:
        """The child is ending, or has: SIGCHLD will tell."""
        if child.link is not None:
            self.selector.unregister(child.link.socket)
            child.link.socket.close()
            child.link = None

    # --- children begin and end ---------------------------------------------------------------------------------------

    def _begin_due(self) -> None:
        now = self.monotonic()
        for child in self.children:
            if self._stop_by is None and not child.pid and child.due <= now:
                self._begin(child, now)

    def _begin(self, child: Child, now: float) -> None:
        try:
            link = child.start(now)
        except OSError as error:  # no process or descriptor is left just now
            child.put_off(now)
            if not self._ready:
                self._fail(Unavailable(f"{child.name} cannot be begun: {error.strerror}", hint="look at the limits"))
                return
            _LOG.error("a process cannot be begun now", extra={"child": child.name, "detail": str(error)})
        else:
            self.selector.register(link.socket, selectors.EVENT_READ, child)

    def _reap(self) -> None:
        for child in self.children:
            if child.pid:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, status: int) -> None:
        self._on_last_words(child)
        self._forget_link(child)
        was_ready = child.ready
        child.ended(self.monotonic())
        self._reloading.discard(child.name)
        if child.worker is not None:
            self.ground.slots.end(child.worker)
        if self._stop_by is not None:
            return
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        if not self._ready and not was_ready:
            self._fail(Unavailable(f"{child.name} ended before it was ready ({how})", hint="see the lines above"))
            return
        _LOG.error("a process ended and is started anew", extra={"child": child.name, "how": how})

    def _on_last_words(self, child: Child) -> None:
        """What it said before it ended, such as why it cannot start."""
        if child.link is not None:
            for message in child.link.receive() or ():
                self._on_message(child, message)

    def _end_silent(self) -> None:
        now = self.monotonic()
        for child in self.children:
            patience = SILENT_FOR if child.ready else START_WITHIN
            if child.pid and now - child.heard > patience and self._stop_by is None:
                _LOG.error("a process says nothing and is killed", extra={"child": child.name, "pid": child.pid})
                child.signal(signal.SIGKILL)
                child.heard = now

    # --- the end ------------------------------------------------------------------------------------------------------

    def _fail(self, error: DayflyError) -> None:
        if self._failure is None and self._stop_by is None:
            self._failure = error
            self._stop()

    def _stop(self) -> None:
        """No new connection; the workers finish what they have, and after them the collector ends."""
        if self._stop_by is not None:
            return
        notify("STOPPING=1")
        self._stop_by = self.monotonic() + STOP_WITHIN
        self.ground.listener.close()
        if self.ground.crl is not None:
            self.ground.crl.close()
        for child in self.children:
            if child.worker is not None:
                child.signal(signal.SIGTERM)

    def _end_slow(self) -> None:
        """The collector ends when no worker is left; whoever is not done in time is killed."""
        if self._stop_by is None:
            return
        if not any(child.pid for child in self.children if child.worker is not None):
            for child in self.children:
                child.signal(signal.SIGTERM)
        if self.monotonic() >= self._stop_by:
            for child in self.children:
                if child.pid:
                    _LOG.error("a process did not end in time and is killed", extra={"child": child.name})
                child.signal(signal.SIGKILL)

    # --- reload and health --------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        notify_reloading()
        change = read_again(self.ground.config)
        self._note = "" if change else "; ca.toml was not taken, see the log"
        if change is None:
            if self._reload_by is None:  # else an earlier reload is still under way, and its end is told
                notify("READY=1")
            return
        self.ground.config = change.config
        self._reload_by = self.monotonic() + RELOAD_WITHIN
        self._reloads += 1
        message = Reload(self._reloads, change.text)
        for child in self.children:
            if child.worker is not None and child.pid:
                self._reloading.add(child.name)
                if child.link is None or not child.link.send(message):
                    _LOG.error("a worker cannot be told to reload and is killed", extra={"child": child.name})
                    child.signal(signal.SIGKILL)

    def _settle_reload(self) -> None:
        """Done when every worker has taken it up; one that does not is killed, and begun anew with it."""
        if self._reload_by is None or (self._reloading and self.monotonic() < self._reload_by):
            return
        for child in self.children:
            if child.name in self._reloading:
                _LOG.error("a worker did not take the configuration up and is killed", extra={"child": child.name})
                child.signal(signal.SIGKILL)
        self._reload_by = None
        self._reloading.clear()
        notify("READY=1")

    def _tell(self) -> None:
        """The ready line once, the status when it changes, the watchdog while some worker lives."""
        if self._stop_by is not None:
            return
        if not self._ready and all(child.ready for child in self.children):
            self._ready = True
            self.on_ready()
        now, workers = self.monotonic(), [child for child in self.children if child.worker is not None]
        if self._ready and (status := _status(workers) + self._note) != self._status and self._reload_by is None:
            self._status = status
            notify(f"STATUS={status}")
        lives = any(child.pid and now - child.heard <= SILENT_FOR for child in workers)
        if self._watchdog is not None and lives and now >= self._watched_at + self._watchdog:
            self._watched_at = now
            notify("WATCHDOG=1")


def _status(workers: list[Child]) -> str:
    """One line for `systemctl status`."""
    serving = sum(child.ready for child in workers)
    failing = sorted({name for child in workers for name in child.failing})
    words = f"{serving} of {len(workers)} workers serve"
    return f"{words}; failing: {', '.join(failing)}" if failing else words
