"""The supervisor with children that do what a test wants: begun anew, killed when silent or slow, never left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dayfly.config.reading import parse_config
from dayfly.errors import DayflyError
from dayfly.wiring.workers import links
from dayfly.wiring.workers.children import FIRST_PAUSE, LONG_ENOUGH, LONGEST_PAUSE, Child
from dayfly.wiring.workers.links import Beat, Failed, Link, Message, Ready, Reload, Reloaded, render
from dayfly.wiring.workers.supervisor import SILENT_FOR, START_WITHIN, STOP_WITHIN, Supervisor, Wakeups
from factories import CA_TOML


def forked(work: Callable[[socket.socket], None]) -> Callable[[socket.socket, socket.socket], int]:
    """How a child is begun that does this with its end of the link."""

    def begin(end: socket.socket, ours: socket.socket) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                ours.close()
                work(end)
            finally:  # a link that broke must not lead the child through the rest of the tests
                os._exit(0)
        return pid

    return begin


def serves(end: socket.socket) -> None:
    """Say that it serves, and wait for the supervisor's end."""
    end.sendall(render(Ready()))
    while end.recv(4096):
        pass


def beats(end: socket.socket) -> None:
    """The same, saying all the time that it lives."""
    end.sendall(render(Ready()))
    while True:
        end.sendall(render(Beat(("disk",))))
        time.sleep(0.05)


def deaf(end: socket.socket) -> None:
    """The same, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    beats(end)


def dies(_: socket.socket) -> None:
    """End at once."""
    os._exit(7)


def waits(end: socket.socket) -> None:
    """Say nothing, and wait for the supervisor's end."""
    while end.recv(4096):
        pass


def fails(end: socket.socket) -> None:
    """Say why it cannot start, and end."""
    end.sendall(render(Failed("no database", "make one")))
    os._exit(1)


@dataclass
class World:
    """A supervisor whose clock the test moves."""

    supervisor: Supervisor
    home: Path
    wakeups: Wakeups
    ready: list[bool] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    ahead: float = 0.0

    def until(self, what: Callable[[], object], *, within: float = 15.0) -> None:
        """Let the supervisor work until it holds."""
        deadline = time.monotonic() + within
        while not what():
            assert time.monotonic() < deadline, [(child.name, child.pid) for child in self.supervisor.children]
            self.supervisor.turn()

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.supervisor.children]

    def all_gone(self) -> bool:
        return not any(self.pids)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """A world with children of these kinds, begun."""
    made: list[World] = []

    def build(*kinds: Callable[[socket.socket], None], collector: bool = False) -> World:
        (tmp_path / "ca.toml").write_bytes(CA_TOML)
        ended: list[int] = []
        ground: Any = SimpleNamespace(
            config=parse_config(CA_TOML, home=tmp_path),
            listener=SimpleNamespace(close=lambda: None),
            crl=None,
            slots=SimpleNamespace(end=ended.append),
        )
        names = range(-1 if collector else 0, len(kinds) - (1 if collector else 0))
        children = [
            Child(f"child {number}", forked(kind), None if number < 0 else number)
            for number, kind in zip(names, kinds, strict=True)
        ]
        wakeups = Wakeups()
        ready: list[bool] = []
        world = World(None, tmp_path, wakeups, ready, ended)  # type: ignore[arg-type]  # set in the next line
        world.supervisor = Supervisor(
            ground, children, wakeups, lambda: ready.append(True), monotonic=lambda: time.monotonic() + world.ahead
        )
        world.supervisor.selector.register(wakeups.reading, 1, None)
        world.supervisor._begin_due()
        made.append(world)
        return world

    yield build
    for world in made:
        for child in world.supervisor.children:
            child.signal(signal.SIGKILL)
        world.until(world.all_gone)
        for child in world.supervisor.children:
            world.supervisor._forget_link(child)
        world.supervisor.selector.close()
        world.wakeups.close()


def test_ready_is_said_once_when_all_serve(make: Callable[..., World]) -> None:
    """Not before the last of them."""
    world = make(serves, serves)
    world.until(lambda: world.ready)
    for _ in range(3):
        world.supervisor.turn()
    assert world.ready == [True]


def test_child_that_ends_is_begun_anew_more_and_more_slowly(make: Callable[..., World]) -> None:
    """Twice as long each time, up to five seconds; one that lived long enough begins with the first pause again."""
    world = make(beats)
    (child,) = world.supervisor.children
    world.until(lambda: world.ready)
    pauses = []
    for _ in range(8):
        before = child.pid
        os.kill(before, signal.SIGKILL)
        world.until(lambda: not child.pid)
        pauses.append(child.due - world.supervisor.monotonic())
        world.ahead += LONGEST_PAUSE
        world.until(lambda: child.ready)
        assert child.pid != before
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=0.09)
    assert world.ended == [0] * 8
    world.ahead += LONG_ENOUGH - 1  # it beats, so it is not silent
    world.supervisor.turn()
    world.ahead += 2
    os.kill(child.pid, signal.SIGKILL)
    world.until(lambda: not child.pid)
    assert child.due - world.supervisor.monotonic() <= FIRST_PAUSE


def test_child_that_says_nothing_is_killed(make: Callable[..., World]) -> None:
    """A loop that no longer turns is ended after thirty seconds, and not before."""
    world = make(serves, beats)
    silent, lively = world.supervisor.children
    world.until(lambda: world.ready)
    before = (silent.pid, lively.pid)
    world.until(lambda: lively.failing == ("disk",))
    world.ahead += SILENT_FOR - 2
    world.until(lambda: lively.heard >= world.supervisor.monotonic() - 1)
    assert (silent.pid, lively.pid) == before
    world.ahead += 4
    world.until(lambda: silent.pid not in {0, before[0]})
    assert lively.pid == before[1]


def test_child_that_is_never_ready_ends_the_start(make: Callable[..., World]) -> None:
    """After a minute it is killed, and the start has failed."""
    world = make(waits, serves)
    for _ in range(3):
        world.supervisor.turn()
    world.ahead += START_WITHIN + 1
    world.until(world.all_gone)
    assert "ended before it was ready (signal 9)" in str(world.supervisor._failure)


@pytest.mark.parametrize(("kind", "says"), [(dies, "exit status 7"), (fails, "no database")])
def test_child_that_cannot_start_ends_the_start(
    make: Callable[..., World], kind: Callable[[socket.socket], None], says: str
) -> None:
    """With its own reason where it gave one, and the others are ended too."""
    world = make(serves, kind)
    world.until(world.all_gone)
    assert isinstance(world.supervisor._failure, DayflyError)
    assert says in world.supervisor._failure.message
    assert world.supervisor._failure.hint
    assert not world.ready


def test_stop_ends_workers_first_and_kills_who_is_slow(make: Callable[..., World]) -> None:
    """SIGTERM to the workers; the collector when they are gone; SIGKILL when the time is over."""
    world = make(beats, serves, deaf, collector=True)
    collector, quick, slow = world.supervisor.children
    world.until(lambda: world.ready)
    os.kill(os.getpid(), signal.SIGTERM)
    world.until(lambda: not quick.pid)
    assert collector.pid
    assert slow.pid
    world.ahead += STOP_WITHIN
    world.until(world.all_gone)
    assert world.supervisor._failure is None


def test_worker_that_ends_during_the_stop_is_not_begun_anew(make: Callable[..., World]) -> None:
    """Nor is one that was waiting for its turn."""
    world = make(serves, serves)
    world.until(lambda: world.ready)
    os.kill(world.pids[0], signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGINT)
    world.until(world.all_gone)
    world.ahead += LONGEST_PAUSE
    for _ in range(3):
        world.supervisor.turn()
    assert world.all_gone()


def test_reload_goes_to_the_workers_and_a_deaf_one_is_begun_anew(make: Callable[..., World]) -> None:
    """All get the same octets; who does not take them up in time is killed, and comes back with the new settings."""
    world = make(beats, beats, collector=True)
    collector, worker = world.supervisor.children
    world.until(lambda: world.ready)
    before = (collector.pid, worker.pid)
    (world.home / "ca.toml").write_bytes(CA_TOML + b"[limits]\nenabled = false\n")
    os.kill(os.getpid(), signal.SIGHUP)
    world.until(lambda: world.supervisor._reloading == {worker.name})
    assert world.supervisor.ground.config.limits_enabled is False
    world.ahead += 6
    world.until(lambda: worker.pid not in {0, before[1]})
    assert collector.pid == before[0]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What systemd was told since the last look."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)  # noqa: FBT003 - the standard library's signature
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def look() -> list[str]:
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(manager.recv(4096).decode().partition("\n")[0])
            return found

        yield look


def test_worker_that_takes_no_reload_is_begun_anew(
    make: Callable[..., World], told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its link is full or gone, so it would go on with the old settings while systemd hears READY."""
    monkeypatch.setattr(links, "SEND_TIMEOUT", 0.05)
    world = make(beats, beats)
    full, gone = world.supervisor.children
    world.until(lambda: world.ready)
    assert full.link is not None
    assert full.link.send(Reload(0, b"x" * 4_000_000)) is False
    assert full.link.send(Ready()) is False  # it would be read as the rest of the other
    world.supervisor._forget_link(gone)
    before = (full.pid, gone.pid)
    told()
    world.supervisor._reload()
    assert world.supervisor._reloading == {full.name, gone.name}
    world.supervisor._settle_reload()
    assert told() == ["RELOADING=1"]
    world.until(lambda: world.supervisor._reload_by is None, within=4)  # less than a deaf worker is given
    assert "READY=1" in told()
    world.until(lambda: full.ready and gone.ready)
    assert not {full.pid, gone.pid} & set(before)


def test_reloads_are_told_apart(make: Callable[..., World], told: Callable[[], list[str]]) -> None:
    """An answer to the first is none to the second, and a file that cannot be read ends neither."""
    world = make(beats)
    (worker,) = world.supervisor.children
    world.until(lambda: world.ready)
    supervisor = world.supervisor
    supervisor._reload()
    supervisor._reload()
    supervisor._on_message(worker, Reloaded(1))
    assert supervisor._reloading == {worker.name}
    (world.home / "ca.toml").write_bytes(b"no TOML")
    told()
    supervisor._reload()
    supervisor._settle_reload()
    assert told() == ["RELOADING=1"]
    supervisor._on_message(worker, Reloaded(2))
    supervisor._settle_reload()
    assert told() == ["READY=1"]
    supervisor._reload()
    assert told() == ["RELOADING=1", "READY=1"]


def no_room(*_: socket.socket) -> int:
    """What fork says when there is no room for a process."""
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_child_that_cannot_be_begun_now_is_begun_later(make: Callable[..., World]) -> None:
    """More and more slowly, while the others serve on."""
    world = make(beats, beats)
    child, other = world.supervisor.children
    world.until(lambda: world.ready)
    begin, before = child.begin, other.pid
    child.begin = no_room
    os.kill(child.pid, signal.SIGKILL)
    world.until(lambda: not child.pid and child.pause >= FIRST_PAUSE * 8)
    child.begin = begin
    world.until(lambda: child.ready)
    assert other.pid == before
    assert world.supervisor._failure is None


def test_child_that_cannot_be_begun_at_the_start_ends_it(make: Callable[..., World]) -> None:
    """Nothing serves yet, so whoever starts the CA is told."""
    world = make(waits)
    world.supervisor.children.append(Child("another", no_room, 1))
    world.until(world.all_gone)
    assert isinstance(world.supervisor._failure, DayflyError)
    assert "another cannot be begun" in world.supervisor._failure.message


def test_message_is_put_together_however_it_comes() -> None:
    """Octet by octet, or many at once; the end of the stream is None."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sent: list[Message] = [Reload(1, b"x" * 300), Ready(), Beat(("db", "disk")), Failed("a", "b")]
        link = Link(ours)
        data = b"".join(map(render, sent))
        found = []
        for octet in range(0, 400, 7):
            theirs.sendall(data[octet : octet + 7])
            found += link.receive() or []
        theirs.sendall(data[406:])
        found += link.receive() or []
        assert found == sent
        assert link.receive() == []
        theirs.close()
        assert link.receive() is None
        assert link.send(Ready()) is False
