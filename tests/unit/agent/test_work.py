"""The work on one certificate, as agent.md 3, 6, 7 and 18 tell it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent_world import SETTINGS, TARGET, World
from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.hooks import HookOutcome
from dayfly.agent.layout import Lock
from dayfly.agent.settings import KeyType, Target
from dayfly.core.deployment.states import State
from dayfly.core.frozen import replace

NEVER = HookOutcome(ok=False, text="exit 1")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A host that has no certificate yet."""
    return World(tmp_path / "home")


def _states(world: World) -> list[str]:
    import json

    lines = [json.loads(line) for line in world.said.getvalue().splitlines()]
    return [line["state"] for line in lines if line["event"] == "state"]


def test_first_certificate_goes_through_every_state__agent_3(world: World) -> None:
    """The usual path is walked in order, and ends only when the leaf was seen."""
    progress = world.settle(world.worker())
    usual = ["due", "requesting", "staged", "installed", "reloading", "verifying", "served"]
    assert _states(world) == usual
    assert (world.ca.issued, progress.generation, progress.last_verified) == (1, 1, world.clock.now())
    world.check_pair()


def test_nothing_is_asked_before_the_due_point__agent_5(world: World) -> None:
    """A served certificate rests until its due point, between half and two thirds of its life."""
    worker = world.worker()
    due = world.settle(worker).due
    assert due is not None
    world.wait_and_settle(worker)
    assert world.ca.issued == 2
    meta = world.generations.meta(1)
    assert meta is not None
    used = (world.clock.now() - meta.not_before) / (meta.not_after - meta.not_before)
    assert 0.4 <= used <= 0.67


def test_asked_not_after_is_lifetime_minus_one_second__acme_10(world: World) -> None:
    """The last second counts, so a lifetime of an hour ends one second before the hour."""
    world.settle(world.worker())
    assert world.meta().not_after == world.clock.now() + timedelta(seconds=3599)


def test_reload_ignored_stays_verifying_then_degraded__agent_18_1(world: World) -> None:
    """A service that ignores the reload is never called served, and the reason names the old serial."""
    worker = world.worker()
    world.settle(worker)
    old = world.meta().serial
    world.service.ignores_reload = True
    while worker.state is not State.VERIFYING:
        world.clock.advance(max(0.0, (worker.step() - world.clock.now()).total_seconds()))
    worker.step()
    assert worker.state is State.VERIFYING
    progress = world.settle(worker)
    assert progress.state is State.DEGRADED
    assert progress.reason == f"reload ran (exit 0), 127.0.0.1:8443 still serves serial {old}"
    assert (world.sample("probe_match", cert="web", target="127.0.0.1:8443"), progress.code) == (0.0, "not-served")
    assert world.sample("cert_state", cert="web", state="degraded") == 1.0


def test_a_service_that_comes_round_by_itself_is_served__agent_18_14(world: World) -> None:
    """The scheduled look finds what the reload did not bring, without another issuance."""
    worker = world.worker()
    world.settle(worker)
    world.service.ignores_reload = True
    world.wait_and_settle(worker)
    world.service.load()
    world.clock.advance(301)
    assert world.settle(worker, steps=400).state in (State.DEGRADED, State.SERVED)
    world.wait_and_settle(worker) if worker.state is State.DEGRADED else None
    assert (worker.state, world.ca.issued) == (State.SERVED, 2)


def test_a_service_that_ignores_reloads_still_gets_renewals__agent_1_7(world: World) -> None:
    """A delivery that never succeeds does not stop the next renewal at its time."""
    worker = world.worker()
    world.settle(worker)
    world.service.ignores_reload = True
    end = world.clock.now() + timedelta(hours=3)
    while world.clock.now() < end:
        world.clock.advance(max(0.1, (worker.step() - world.clock.now()).total_seconds()))
    assert 5 <= world.ca.issued <= 8


def test_hook_failing_twice_is_run_until_it_succeeds__agent_18_2(world: World) -> None:
    """Exit 1, 1, 0 with a restart between each: served at the third, by one issuance."""
    world.service.outcomes = [NEVER, NEVER]
    for _ in range(2):
        worker = world.worker()
        worker.step()
        progress = world.wait_and_settle(worker) if worker.state is State.BACKOFF else world.settle(worker)
        assert (progress.state, progress.code) == (State.BACKOFF, "hook-failed")
        assert "reload failed (exit 1)" in progress.reason
        worker.close()
    worker = world.worker()
    worker.step()
    assert world.wait_and_settle(worker).state is State.SERVED
    assert (world.ca.issued, world.service.reloads) == (1, 3)
    assert world.sample("hook_runs_total", cert="web", hook="command", outcome="failure") == 2.0


def test_delivery_waits_5_15_60_300_seconds__agent_6(tmp_path: Path) -> None:
    """The waits of a delivery grow as told, each at most a twelfth of life."""
    world = World(tmp_path / "home", replace(SETTINGS, lifetime=86_400))
    world.service.outcomes = [NEVER] * 5
    worker = world.worker()
    waits = []
    progress = world.settle(worker)
    for _ in range(4):
        assert progress.next_attempt is not None
        waits.append((progress.next_attempt - world.clock.now()).total_seconds())
        progress = world.wait_and_settle(worker)
    assert waits == [5, 15, 60, 300]


def test_one_of_two_targets_stale_is_degraded__agent_18_46(world: World) -> None:
    """All targets must serve the new leaf; the reason says how many do."""
    stale = Target("127.0.0.1", 9443, "web.test")
    worker = world.worker(targets=(TARGET, stale))
    world.settle(worker)
    world.service.ignores_reload = True
    progress = world.wait_and_settle(worker)
    assert "0 of 2 targets serve the new one" in progress.reason


def test_service_that_is_down_is_told_apart__agent_11(world: World) -> None:
    """Nobody answering is `backoff` with its own code, and no match value exists."""
    world.service.down = True
    progress = world.settle(world.worker())
    assert (progress.state, progress.code) == (State.BACKOFF, "unreachable")
    assert "127.0.0.1:8443 does not answer (Connection refused)" in progress.reason
    assert world.sample("probe_match", cert="web", target="127.0.0.1:8443") is None
    assert world.sample("probe_success", cert="web", target="127.0.0.1:8443") == 0.0


def test_without_targets_it_is_idle_and_says_so__agent_1_1(world: World) -> None:
    """Served means seen on the wire: what nobody looks at is never called served."""
    progress = world.settle(world.worker(targets=()))
    assert progress.state is State.IDLE
    worker = world.worker(targets=())
    worker.close()
    assert (world.ca.issued, progress.last_verified) == (1, None)


def test_denied_once_then_allowed_is_renewed__agent_18_31(world: World) -> None:
    """One 403 never ends it."""
    world.ca.failures = [Failure(FailureClass.POLICY, "rejectedIdentifier", "no rule gives web.test")]
    worker = world.worker()
    progress = world.settle(worker)
    assert (progress.state, progress.kind) == (State.BACKOFF, "policy")
    assert world.wait_and_settle(worker).state is State.SERVED
    assert world.sample("ca_requests_total", outcome="failure", reason="rejectedIdentifier") == 1.0


def test_dead_ca_is_tried_often_enough__agent_18_32(tmp_path: Path) -> None:
    """With the CA gone, a day's certificate gets at least 20 tries before it expires, and one of a minute 10."""
    for lifetime, least in ((86_400, 20), (60, 7)):
        world = World(tmp_path / str(lifetime), replace(SETTINGS, lifetime=lifetime))
        worker = world.worker()
        world.settle(worker)
        end, calls = world.meta().not_after, world.ca.calls
        world.ca.failures = [Failure(FailureClass.TRANSIENT, "connection", "refused")] * 10_000
        while world.clock.now() < end:
            world.clock.advance(max(0.01, (worker.step() - world.clock.now()).total_seconds()))
        assert world.ca.calls - calls >= least
        world.check_pair()
        world.ca.failures = []
        assert world.wait_and_settle(worker).state is State.SERVED


def test_retry_after_is_obeyed__agent_6(world: World) -> None:
    """The CA's Retry-After is longer than our own step, and wins."""
    world.ca.failures = [Failure(FailureClass.TRANSIENT, "rateLimited", "slow down", retry_after=600)]
    progress = world.settle(world.worker())
    assert progress.next_attempt == world.clock.now() + timedelta(seconds=600)
    assert progress.hold == progress.next_attempt


def test_lost_order_is_replaced_with_the_same_key__agent_7(world: World) -> None:
    """An order that can give nothing any more is made again; the key is the one on disk."""
    world.ca.failures = [Failure(FailureClass.TRANSIENT, "order-invalid", "gone", order_lost=True)]
    worker = world.worker()
    worker.step()
    worker.step()
    key = world.layout.pending("web") / "key.pem"
    before = key.read_bytes()
    world.settle(worker)
    assert world.wait_and_settle(worker).state is State.SERVED
    assert (world.generations.path(1) / "key.pem").read_bytes() == before


def test_new_key_at_every_renewal__agent_12(world: World) -> None:
    """No key is used for two certificates."""
    worker = world.worker()
    world.settle(worker)
    world.wait_and_settle(worker)
    first, second = ((world.generations.path(n) / "key.pem").read_bytes() for n in (1, 2))
    assert first != second


def test_changed_names_are_one_renewal__agent_3(world: World) -> None:
    """A difference between declared and present is `request-changed` and causes one renewal."""
    worker = world.worker()
    world.settle(worker)
    worker.close()
    changed = world.worker(names=("web.test", "www.web.test"), key_type=KeyType.P384)
    world.ca.default_life = 3600
    changed.step()
    assert changed.standing.progress.cause == "request-changed"


def test_more_than_three_issuances_in_half_a_life_is_stuck__agent_5(world: World) -> None:
    """A CA whose answers never pass the checks is not asked over and over."""
    world.ca.change = lambda answer: world.ca.chain(
        world.ca.leaf(_csr(world), not_after=world.clock.now() + timedelta(seconds=100))
    )
    worker = world.worker()
    world.settle(worker)
    while worker.state is State.BACKOFF:
        world.wait_and_settle(worker)
    assert (worker.state, world.ca.issued) == (State.STUCK, 3)
    assert worker.standing.progress.code == "too-many-issuances"
    worker.close()
    again = world.worker()
    again.step()
    assert again.state is State.REQUESTING


def _csr(world: World):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a library's type
    from cryptography import x509

    return x509.load_der_x509_csr((world.layout.pending("web") / "request.csr").read_bytes())


def test_changed_file_of_the_pair_is_stuck__agent_2(world: World) -> None:
    """A pair that somebody else changed is not overwritten blindly."""
    worker = world.worker()
    world.settle(worker)
    (world.generations.path(1) / "cert.pem").write_bytes(b"other")
    worker.step()
    assert (worker.state, worker.standing.progress.code) == (State.STUCK, "foreign-change")


def test_second_process_says_so_and_does_nothing__agent_2(world: World) -> None:
    """While somebody else holds the lock, no step is made."""
    lock = Lock(world.layout.lock("web"))
    assert lock.acquire()
    worker = world.worker()
    worker.step()
    assert (worker.is_busy, world.ca.calls) == (True, 0)
    assert "another process works on it" in world.said.getvalue()
    lock.release()
    assert world.settle(worker).state is State.SERVED


def test_full_disk_asks_nothing_and_resumes__agent_18_19(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Space is checked before the CA is asked; when there is space again the renewal goes on by itself."""
    with monkeypatch.context() as patch:
        patch.setattr("dayfly.agent.preflight.LEAST_BYTES", 1 << 62)
        worker = world.worker()
        progress = world.settle(worker)
        assert (progress.state, progress.code, progress.kind) == (State.BACKOFF, "space", "local")
        assert (world.ca.calls, world.sample("preflight_ok", check="space")) == (0, 0.0)
    assert world.wait_and_settle(worker).state is State.SERVED
    assert world.sample("preflight_ok", check="space") == 1.0


def test_clock_before_the_root_waits__agent_18_27(tmp_path: Path) -> None:
    """At 1970 nothing is asked and nothing is discarded; once the clock is right it renews."""
    world = World(tmp_path / "home")
    right = world.clock.wall
    world.clock.wall = right.replace(year=1971)
    worker = world.worker()
    assert (world.settle(worker).code, world.ca.calls) == ("clock", 0)
    world.clock.wall = right
    assert world.wait_and_settle(worker).state is State.SERVED


def test_clock_that_was_ahead_delays_nothing__agent_13(world: World) -> None:
    """A next attempt that was planned under a clock of next year is made at once."""
    right = world.clock.wall
    world.clock.wall = right + timedelta(days=365)
    world.ca.failures = [Failure(FailureClass.TRANSIENT, "connection", "refused")]
    worker = world.worker()
    world.settle(worker)
    world.clock.wall = right
    worker.step()
    assert worker.state is State.DUE


def test_suspend_renews_at_the_next_step__agent_18_26(world: World) -> None:
    """Ten hours later the next step begins the renewal, although the certificate has expired."""
    worker = world.worker()
    world.settle(worker)
    world.clock.wall += timedelta(hours=10)
    worker.step()
    assert worker.state is State.DUE
    assert world.settle(worker).state is State.SERVED


def test_lost_journal_adopts_the_pair_in_service__agent_2(world: World) -> None:
    """Without a journal the pair on disk is taken up, and the service told again; nothing is asked of the CA."""
    worker = world.worker()
    world.settle(worker)
    worker.close()
    world.layout.journal.unlink()
    again = world.worker()
    assert world.settle(again).state is State.SERVED
    assert (world.ca.issued, world.service.reloads) == (1, 2)


def test_generations_are_kept_three_and_expired_keys_shredded__agent_18_24(world: World) -> None:
    """Three stay, and everything valid; what has expired has no key any more."""
    worker = world.worker()
    world.settle(worker)
    for _ in range(6):
        world.wait_and_settle(worker)
    numbers = world.generations.numbers()
    assert len(numbers) >= 3
    for number in numbers:
        meta = world.generations.meta(number)
        assert meta is not None
        has_key = (world.generations.path(number) / "key.pem").exists()
        assert has_key == (meta.not_after >= world.clock.now())
    assert numbers[-1] == world.generations.current()


def test_no_probe_result_is_no_series__observability_3(world: World) -> None:
    """A value that is not known is no series."""
    assert world.sample("cert_not_after_timestamp_seconds", cert="web") is None
    world.settle(world.worker())
    assert world.sample("cert_not_after_timestamp_seconds", cert="web") == world.meta().not_after.timestamp()
    assert world.sample("renewals_total", cert="web", outcome="success", reason="first") == 1.0
