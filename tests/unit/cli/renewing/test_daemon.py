"""`--daemon`: when it renews, how it fails, and how it ends; for a day's certificate and a minute's."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from agent_world import HandClock
from dayfly.cli.renewing.asking import Asking
from dayfly.cli.renewing.daemon import Daemon, SignalInbox, Wake
from dayfly.client.renewals import Suggestion
from dayfly.client.step import StepRefused
from dayfly.core.renewing import Cadence, Life
from dayfly.core.schedule import Window
from dayfly.errors import ClientError, DayflyError
from factories import NAME, NOW
from step_ca import refusal, unreachable


@dataclass
class World:
    """A pair, a clock and an inbox: waiting moves the clock, to the next word that is due or to the end of the wait."""

    length: timedelta
    clock: HandClock = field(default_factory=lambda: HandClock(NOW))
    words: list[tuple[float, Wake]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    renewals: list[float] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    told: int = 0
    tell_fails: bool = False
    lines: list[str] = field(default_factory=list)
    real: queue.SimpleQueue[Wake] = field(default_factory=queue.SimpleQueue)
    during: Callable[[], None] = lambda: None
    subject: str = NAME
    suggestion: Callable[[], Suggestion | None] = lambda: None
    asked: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.life = Life(NOW, NOW + self.length)
        self.on_disk = self.life

    def at(self) -> float:
        """Seconds since the beginning."""
        return (self.clock.now() - NOW).total_seconds()

    # the pair
    def look(self) -> Life:
        """What is on disk."""
        return self.on_disk

    def renew(self) -> Life:
        """One attempt."""
        self.attempts.append(self.at())
        self.during()
        if self.failures:
            raise self.failures.pop(0)
        self.renewals.append(self.at())
        self.on_disk = Life(self.clock.now(), self.clock.now() + self.length)
        return self.on_disk

    def suggest(self) -> Suggestion | None:
        """What the CA says of it."""
        self.asked.append(self.at())
        return self.suggestion()

    def tell(self, stop: threading.Event) -> None:
        """Tell who has to know."""
        self.told += 1
        assert not stop.is_set()
        if self.tell_fails:
            raise DayflyError("the hook failed")

    # the inbox
    def put(self, wake: Wake) -> None:
        """A word from a thread."""
        self.real.put(wake)

    def get(self, timeout: float) -> Wake | None:
        """The next word; an attempt or a question that runs is waited for, and takes no time."""
        running = {"renewal", "renewal-info"}
        if any(one.name in running for one in threading.enumerate()) or not self.real.empty():
            return self.real.get(timeout=10)
        end = self.at() + timeout
        if self.words and self.words[0][0] <= end:
            when, wake = self.words.pop(0)
            self.clock.advance(max(when - self.at(), 0))
            return wake
        self.clock.advance(timeout)
        return None

    def run(self, *words: tuple[float, Wake], cadence: Cadence | None = None, verb: str = "renewed") -> None:
        """A daemon with these words at these seconds, until the last of them."""
        self.words = [*self.words, *words]
        info, error = (lambda text: self.lines.append(f"I {text}")), (lambda text: self.lines.append(f"E {text}"))
        Daemon(self, cadence or Cadence(), self.clock, self, info, error, verb=verb).run()


def stop_at(seconds: float) -> tuple[float, Wake]:
    """SIGTERM then."""
    return seconds, Wake.STOP


@pytest.mark.parametrize("length", [timedelta(hours=24), timedelta(minutes=1)], ids=["day", "minute"])
def test_pair_is_renewed_in_its_window_again_and_again__agent_5(length: timedelta) -> None:
    """Between half and two thirds of each life, twenty times over, with step's lines."""
    world, seconds = World(length), length.total_seconds()
    world.run(stop_at(seconds * 12))
    steps = [later - earlier for earlier, later in zip([0.0, *world.renewals], world.renewals, strict=False)]
    assert len(world.renewals) >= 18
    assert all(0.5 * seconds <= step <= 0.70 * seconds for step in steps)
    assert world.told == len(world.renewals)
    assert world.lines[0].startswith("I first renewal in ")
    assert world.lines[1].startswith(f"I {NAME} certificate renewed, next in ")


def test_sighup_renews_at_once_and_the_plan_begins_anew() -> None:
    """Whatever is due when."""
    world = World(timedelta(hours=24))
    world.run((60.0, Wake.NOW), stop_at(3600))
    assert world.renewals == [60.0]


def test_outage_is_survived_with_growing_waits_and_the_pair_is_renewed_in_the_end() -> None:
    """Each failure has its line; the waits double; the CA that came back is found before the certificate ends."""
    world = World(timedelta(hours=24), failures=[unreachable() for _ in range(8)])
    world.run(stop_at(86_400))
    waits = [later - earlier for earlier, later in zip(world.attempts, world.attempts[1:9], strict=False)]
    assert waits[0] <= 30
    assert waits[-1] > waits[0] * 4
    assert world.renewals[0] < 86_400 * 7 / 8
    errors = [line for line in world.lines if line.startswith("E ")]
    assert len(errors) == 8
    assert "connection refused" in errors[0]
    assert "next try in" in errors[0]


def test_outage_beyond_the_end_of_life_is_survived_too() -> None:
    """It is never given up; what is tried is at most a quarter of an hour apart."""
    world = World(timedelta(minutes=1), failures=[unreachable() for _ in range(40)])
    world.run(stop_at(4 * 3600))
    assert world.renewals
    assert max(b - a for a, b in zip(world.attempts, world.attempts[1:], strict=False)) <= 15 * 60 + 1


def test_refusal_is_asked_less_often_than_an_outage() -> None:
    """A rule changes when a person changes it."""
    refused = World(timedelta(hours=24), failures=[StepRefused(refusal(403, "no rule")) for _ in range(3)])
    refused.run(stop_at(86_400))
    away = World(timedelta(hours=24), failures=[StepRefused(refusal(503, "not now")) for _ in range(3)])
    away.run(stop_at(86_400))
    assert refused.attempts[1] - refused.attempts[0] > 10 * (away.attempts[1] - away.attempts[0])


def test_retry_after_is_obeyed() -> None:
    """What a limit asks for is waited."""
    world = World(timedelta(hours=24), failures=[StepRefused(refusal(429, "slow down", retry_after="600"))])
    world.run(stop_at(86_400))
    assert world.attempts[1] - world.attempts[0] == pytest.approx(600, abs=1)


def test_pair_that_another_renewer_made_fresh_is_left_alone() -> None:
    """The plan follows what is on disk; nothing is asked."""
    world = World(timedelta(hours=1))
    world.on_disk = world.life

    def look() -> Life:
        if 0 < world.at() < 3000:
            return Life(NOW + timedelta(minutes=25), NOW + timedelta(minutes=85))
        return world.on_disk

    world.look = look  # type: ignore[method-assign]  # somebody else renewed at minute 25
    world.run(stop_at(3000))
    assert world.attempts == []


def test_failed_hook_is_told_and_does_not_end_the_daemon() -> None:
    """The certificate is new, and the next one comes all the same."""
    world = World(timedelta(minutes=1), tell_fails=True)
    world.run(stop_at(150))
    assert len(world.renewals) >= 3
    assert world.lines.count("E the hook failed") == len(world.renewals)


def test_unexpected_error_is_told_without_its_values_and_the_loop_goes_on() -> None:
    """A bug in one attempt costs one attempt."""
    world = World(timedelta(minutes=1), failures=[ZeroDivisionError("a secret value")])
    world.run(stop_at(120))
    assert world.renewals
    said = next(line for line in world.lines if line.startswith("E "))
    assert "ZeroDivisionError" in said
    assert "secret" not in said


def test_stop_during_an_attempt_lets_it_end_and_begins_no_other() -> None:
    """What was under way is finished, hook included, where it ends in time."""
    world = World(timedelta(minutes=1))
    world.during = lambda: world.put(Wake.STOP)
    world.run()
    assert (len(world.attempts), world.told) == (1, 1)
    assert not [line for line in world.lines if "renewed" in line]


def test_attempt_that_hangs_keeps_nobody_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM counts even while the CA says nothing."""
    monkeypatch.setattr("dayfly.cli.renewing.daemon.END_WITHIN", 0.05)
    monkeypatch.setattr("dayfly.cli.renewing.daemon.KILL_WITHIN", 0.05)
    world, hanging = World(timedelta(minutes=1)), threading.Event()

    def hang() -> None:
        world.put(Wake.STOP)
        hanging.wait(10)
        raise unreachable()

    world.during = hang
    world.run()
    assert (len(world.attempts), world.renewals) == (1, [])
    hanging.set()
    for thread in threading.enumerate():
        if thread.name == "renewal":
            thread.join(10)


def test_period_is_kept() -> None:
    """Each so often, whatever the life says."""
    world = World(timedelta(hours=24))
    world.run(stop_at(10 * 3600 + 60), cadence=Cadence(period=timedelta(hours=2)), verb="rekeyed")
    assert world.renewals == [pytest.approx(7200 * number, abs=1) for number in range(1, 6)]
    assert world.lines[0] == "I first rekey in 2h0m0s"
    assert world.lines[1] == f"I {NAME} certificate rekeyed, next in 2h0m0s"


def test_systemd_hears_that_it_is_ready_alive_and_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY once the plan stands, WATCHDOG at least twice in its time, STATUS with the next point, STOPPING."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        World(timedelta(minutes=1)).run(stop_at(7))  # a socket holds ten words that nobody reads
        said = []
        while "STOPPING=1" not in said:
            said.append(listener.recv(1000).decode())
    assert said[0].startswith("READY=1\nSTATUS=next in ")
    assert said.count("WATCHDOG=1") >= 4


def test_signals_become_words() -> None:
    """SIGHUP, SIGTERM and SIGINT, as they come."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    inbox = SignalInbox()
    try:
        inbox.catch()
        for number, wake in ((signal.SIGHUP, Wake.NOW), (signal.SIGTERM, Wake.STOP), (signal.SIGINT, Wake.STOP)):
            os.kill(os.getpid(), number)
            assert inbox.get(5) is wake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert inbox.get(0.001) is None


def test_pair_that_cannot_be_read_at_the_due_point_is_told_by_the_attempt() -> None:
    """A file that went away is a failure with a line, not the end."""
    world = World(timedelta(minutes=1))

    def look() -> Life:
        if world.at() > 1:
            raise ClientError("there is no file")
        return world.life

    world.look = look  # type: ignore[method-assign]  # the file goes away
    world.failures = [ClientError("there is no file")]
    world.run(stop_at(50))
    assert [line for line in world.lines if line.startswith("E there is no file")]


# --- the CA's word on when to renew (RFC 9773) ------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def window_at(world: World, begin: float, end: float, *, retry_after: float | None = None) -> None:
    """Have the CA name a window in seconds since the beginning."""
    window = Window(NOW + timedelta(seconds=begin), NOW + timedelta(seconds=end))
    world.suggestion = lambda: Suggestion(window, retry_after, "https://wiki.example/why")


def test_certificate_that_the_ca_wants_replaced_is_renewed_within_a_poll__rfc9773_4(capsys: object) -> None:
    """The window moves into the past after a while: at the next question it is time, and the line says why."""
    del capsys
    world = World(HOUR)

    def suggestion() -> Suggestion | None:
        begin = 900 if world.renewals else -60 if world.at() > 300 else 2000
        return Suggestion(
            Window(NOW + timedelta(seconds=begin), NOW + timedelta(seconds=begin + 50)), 30, "https://w/y"
        )

    world.suggestion = suggestion
    world.run(stop_at(600))
    (renewed,) = world.renewals
    assert 300 <= renewed <= 340
    assert any("the CA moved the renewal: https://w/y; in 0s" in line for line in world.lines), world.lines


def test_window_that_moves_back_is_obeyed_but_not_past_an_eighth_of_life__agent_5() -> None:
    """And where a point was asked for, it stays."""
    late = World(HOUR)
    window_at(late, 100_000, 200_000)
    late.run(stop_at(3600))
    assert late.renewals[0] == pytest.approx(3600 * 7 / 8, abs=61)
    asked = World(HOUR)
    window_at(asked, 100_000, 200_000)
    asked.run(stop_at(3000), cadence=Cadence(share=0.5))
    assert asked.renewals[0] < 1900
    early = World(HOUR)
    window_at(early, 100, 200)
    early.run(stop_at(1000), cadence=Cadence(share=0.5))
    assert 90 <= early.renewals[0] <= 260


def test_ca_is_asked_when_it_said_so_and_of_each_certificate_anew__rfc9773_4_3() -> None:
    """About each fiftieth of life where it does not say; at once after a renewal."""
    world = World(HOUR)
    world.run(stop_at(600))
    assert 8 <= len(world.asked) <= 10  # 72 s apart
    told = World(HOUR)
    window_at(told, 1800, 2400, retry_after=300)
    told.run(stop_at(650))
    assert len(told.asked) == 3
    renewed = World(HOUR)
    renewed.run((100, Wake.NOW), stop_at(160))
    assert next(one for one in renewed.asked if one >= 100) < 110


def test_ca_that_asks_over_and_over_is_not_followed_a_third_time__agent_5() -> None:
    """Every window in the past: two renewals in half a life, and no more."""
    world = World(HOUR)
    world.suggestion = lambda: Suggestion(Window(world.clock.now() - 2 * HOUR, world.clock.now() - HOUR), 10)
    world.run(stop_at(1700))
    assert len(world.renewals) == 2


def test_ca_that_says_nothing_changes_nothing_but_a_line__agent_5() -> None:
    """Said once, and again after it has spoken; an unexpected error is no end either."""
    world = World(HOUR)

    def fails() -> Suggestion | None:
        if 200 < world.at() < 300:
            return None
        raise ClientError("connection refused") if world.at() < 400 else KeyError("what")

    world.suggestion = fails
    world.run(stop_at(3000))
    assert len(world.renewals) == 1
    silent = [line for line in world.lines if "does not say when to renew" in line]
    assert len(silent) == 2
    assert world.attempts == world.renewals


def test_wait_after_a_failure_is_not_cut_short_by_the_ca__agent_6() -> None:
    """A CA that refuses and wants it renewed at once, as it is with what was revoked, is not stormed."""
    world = World(HOUR, failures=[StepRefused(refusal(401, "revoked")) for _ in range(50)])
    window_at(world, -100, -50, retry_after=10)
    world.run(stop_at(1500))
    assert 2 <= len(world.attempts) <= 20


def test_answer_about_a_certificate_that_is_gone_is_dropped() -> None:
    """It was renewed while the CA was asked about the one before."""
    world = World(HOUR)
    window_at(world, -100, -50)
    asking = Asking(world.suggest, answered=lambda: None, say=world.lines.append)
    asking.begin_if_time(world.life, NOW)
    asking.begin_if_time(world.life, NOW + HOUR)
    assert asking.take(Life(NOW, NOW + 2 * HOUR), NOW) is None
    assert len(world.asked) == 1
