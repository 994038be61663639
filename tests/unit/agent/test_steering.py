"""The CA's word on when to renew: asked, obeyed both ways, never to the harm of a pair (agent.md 5, RFC 9773)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent_world import World
from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.work import Worker
from dayfly.client.renewals import Suggestion, parse_suggestion
from dayfly.client.transport import Answer
from dayfly.core.acme.renewal_info import parse_certificate_id
from dayfly.core.deployment.states import State
from dayfly.core.schedule import Window
from dayfly.errors import ClientError

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LIFE = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An agent's home, a CA and a service."""
    return World(tmp_path / "agent")


def settled(world: World) -> Worker:
    """A worker whose first certificate is served."""
    worker = world.worker()
    world.settle(worker)
    assert worker.state is State.SERVED
    return worker


def rest(world: World, worker: Worker, until: timedelta) -> int:
    """Let time pass step by step; how many certificates were issued meanwhile."""
    before, end = world.ca.issued, world.clock.now() + until
    for _ in range(5_000):
        wake = worker.step()
        if world.clock.now() >= end:
            break
        world.clock.advance(max(0.001, (min(wake, end) - world.clock.now()).total_seconds()))
    return world.ca.issued - before


def says(
    world: World, begin: timedelta, end: timedelta, *, retry_after: float | None = 60
) -> Callable[..., Suggestion]:
    """A CA that names this window, counted from now."""
    now = world.clock.now()
    return lambda _: Suggestion(Window(now + begin, now + end), retry_after, "https://wiki.example/why")


def test_ca_is_asked_by_the_name_of_the_certificate_in_service__rfc9773_4_1(world: World) -> None:
    """Its issuer's key and its serial; about every fiftieth of life where the CA does not say."""
    worker = settled(world)
    rest(world, worker, 10 * MINUTE)
    (named,) = set(world.ca.asked)
    assert parse_certificate_id(named).serial == int(world.meta().serial, 16)
    assert 8 <= len(world.ca.asked) <= 10  # 72 s apart


def test_retry_after_of_the_ca_is_kept__rfc9773_4_3(world: World) -> None:
    """Neither sooner nor, within six hours, later; below ten seconds it is ten."""
    worker = settled(world)
    world.ca.suggest = says(world, 30 * MINUTE, 40 * MINUTE, retry_after=300)
    rest(world, worker, 11 * MINUTE)
    assert len(world.ca.asked) == 3
    world.ca.suggest = says(world, 30 * MINUTE, 40 * MINUTE, retry_after=0.1)
    rest(world, worker, 5 * MINUTE)
    before = len(world.ca.asked)
    rest(world, worker, MINUTE)
    assert len(world.ca.asked) - before <= 7


def test_window_that_moves_forward_is_obeyed__agent_5(world: World) -> None:
    """A window in the past renews at once, with the reason in the agent's own lines."""
    worker = settled(world)
    first = world.meta().serial
    world.ca.suggest = says(world, -2 * MINUTE, -MINUTE)
    assert rest(world, worker, 2 * MINUTE) >= 1
    assert world.meta().serial != first
    assert "the CA moved its renewal: https://wiki.example/why" in world.said.getvalue()
    assert worker.state is State.SERVED


def test_order_names_the_certificate_that_it_replaces__rfc9773_5(world: World) -> None:
    """The first replaces none, the second the first."""
    worker = settled(world)
    world.ca.suggest = lambda _: None
    assert world.ca.replaced == [""]
    first = int(world.meta().serial, 16)
    rest(world, worker, 45 * MINUTE)
    assert parse_certificate_id(world.ca.replaced[1]).serial == first


def test_window_that_moves_back_is_obeyed_but_not_past_an_eighth_of_life__agent_5(world: World) -> None:
    """Later than two thirds where the CA says so; a CA that puts it off for ever is not followed to the end."""
    worker = settled(world)
    born = world.clock.now()
    world.ca.suggest = says(world, 300 * MINUTE, 400 * MINUTE)
    assert rest(world, worker, 50 * MINUTE) == 0
    assert rest(world, worker, 8 * MINUTE) >= 1
    assert world.clock.now() - born < LIFE


def test_usual_window_changes_nothing__agent_5(world: World) -> None:
    """What was drawn wider for a fleet that was enrolled in one afternoon stays wide."""
    worker = settled(world)
    before = worker.standing.progress.due
    meta = world.meta()
    life = meta.not_after - meta.not_before
    usual = Window(meta.not_before + life / 2, meta.not_before + life * 2 / 3)
    world.ca.suggest = lambda _: Suggestion(usual, 60)
    rest(world, worker, 5 * MINUTE)
    assert worker.standing.progress.due == before


def test_ca_that_asks_over_and_over_is_not_followed_a_third_time__agent_5(world: World) -> None:
    """Every window in the past, for hours: the loop breaker is never reached, and the service keeps its certificate."""
    worker = settled(world)
    world.ca.suggest = lambda _: Suggestion(Window(world.clock.now() - 2 * MINUTE, world.clock.now() - MINUTE), 10)
    issued = rest(world, worker, 3 * LIFE)
    assert worker.state is not State.STUCK
    assert 5 <= issued <= 3 * 2 * 3
    assert world.meta().not_after > world.clock.now()


def test_ca_that_cannot_be_asked_changes_nothing__agent_5(world: World) -> None:
    """An error counts, the certificate renews as drawn, and nothing is stuck."""
    worker = settled(world)
    due = worker.standing.progress.due

    def fails(_: str) -> Suggestion:
        raise Failure(FailureClass.TRANSIENT, "ca-unreachable", "connection refused")

    world.ca.suggest = fails
    rest(world, worker, 5 * MINUTE)
    assert worker.state is State.SERVED
    assert worker.standing.progress.due == due
    assert world.sample("ca_requests_total", outcome="failure", reason="ca-unreachable")


def answer(body: str, retry_after: float | None = None) -> Answer:
    """An answer of the CA."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Answer(200, headers, body.encode())


def test_answer_is_read_strictly__rfc9773_4_2() -> None:
    """Garbage is an error; a page that is none is left out; members that nobody knows are ignored."""
    good = '{"suggestedWindow":{"start":"2026-11-24T12:00:00Z","end":"2026-11-24T14:00:00+01:00"}%s}'
    found = parse_suggestion(answer(good % ',"explanationURL":"javascript:1","more":1', 5))
    assert found.window == Window(
        datetime.fromisoformat("2026-11-24T12:00:00+00:00"), datetime.fromisoformat("2026-11-24T13:00:00+00:00")
    )
    assert (found.retry_after, found.explanation_url) == (5, "")
    assert (
        parse_suggestion(answer(good % ',"explanationURL":"https://a.example/"')).explanation_url
        == "https://a.example/"
    )
    for body in (
        "", "{}", "[]", good.replace("14:00:00+01:00", "12:00:00Z") % "", good.replace("12:00:00Z", "12:00:00") % "",
        good.replace('"2026-11-24T12:00:00Z"', "5") % "",
    ):  # fmt: skip
        with pytest.raises(ClientError):
            parse_suggestion(answer(body))


def test_certificate_without_a_name_is_not_asked_about(world: World) -> None:
    """No generation, no name."""
    worker = world.worker()
    worker.step()
    assert world.ca.asked == []
