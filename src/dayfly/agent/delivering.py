"""Tells the service, and looks until every target serves the new leaf (agent.md 7 steps 8 and 9, 10, 11).

Rules: *served* is said only after all targets gave the expected leaf, k times in a row, with a chain to our root; a
reload that ran is no proof; a target that does not answer is not a mismatch, and both are told apart in the reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.hooks import HookRun, kind_of
from dayfly.agent.hooks.command import shown
from dayfly.agent.probing import TargetResult, look_until_mismatch
from dayfly.agent.standing import Standing
from dayfly.core.deployment.states import State

_TIMES = {1: "", 2: " twice"}


class Delivery:
    """What happens to a pair once `current` points at it."""

    def __init__(self, standing: Standing) -> None:
        """Work on the certificate of `standing`."""
        self._standing = standing
        self.next_look = standing.tools.clock.now()

    def reload(self, now: datetime) -> datetime:
        """Step 8: run the hook once more; Failure of class delivery. When the agent is stopping, nothing is decided."""
        standing, tools, name = self._standing, self._standing.tools, self._standing.settings.name
        reload = standing.settings.reload
        if reload is None:
            return standing.move(State.VERIFYING, now, since=now, told="")
        run = HookRun(name, tools.layout.current(name), tools.layout.hook_output(name), tools.stop)
        with tools.meters.phases.labels("reload").time():
            outcome = tools.reload(reload, run)
        if tools.stop.is_set() and not outcome.ok:
            return now
        tools.meters.hooks.labels(name, kind_of(reload), "success" if outcome.ok else "failure").inc()
        if not outcome.ok:
            said = shown(outcome.output)
            text = f"reload failed ({outcome.text})" + (f": {said}" if said else "")
            raise Failure(FailureClass.DELIVERY, "hook-failed", text)
        now = tools.clock.now()
        return standing.move(State.VERIFYING, now, since=now, told=outcome.text)

    def verify(self, now: datetime) -> datetime | None:
        """Step 9: look once at every target; None when all serve the pair, else when to look again. Failure."""
        standing = self._standing
        results = self.look(now, matches=standing.settings.matches)
        if all(result.verified for result in results):
            return None
        pace, since = standing.pace(), standing.progress.since or now
        if now - since < min(timedelta(seconds=standing.settings.within), pace.verify_within):
            return now + pace.verify_every
        code = "not-served" if any(result.served.fingerprint for result in results) else "unreachable"
        raise Failure(FailureClass.DELIVERY, code, self._why(results))

    def look(self, now: datetime, *, matches: int = 1) -> tuple[TargetResult, ...]:
        """Look at every target, and keep what was seen."""
        standing = self._standing
        meta = standing.meta()
        expected = meta.fingerprint if meta else ""
        results = []
        for target in standing.settings.targets:
            served, match = look_until_mismatch(standing.tools.prober, target, expected=expected, matches=matches)
            results.append(TargetResult(target.label, now, served, match))
        standing.targets = tuple(results)
        self.next_look = now + standing.pace().probe_every
        standing.publish(now)
        return standing.targets

    def look_if_time(self, now: datetime) -> bool:
        """The scheduled look; is all well, as far as anybody looked?"""
        if now >= self.next_look or self.next_look - now > self._standing.pace().probe_every:  # the clock was ahead
            self.look(now)
        return all(result.verified for result in self._standing.targets)

    def serves_something_valid(self, now: datetime) -> bool:
        """Does every target serve a certificate that clients accept, though it is not the right one?"""
        served = [result.served for result in self._standing.targets]
        return bool(served) and all(one.chain_valid and one.not_after and one.not_after > now for one in served)

    def _why(self, results: tuple[TargetResult, ...]) -> str:
        """`reload ran twice (exit 0), 127.0.0.1:8443 still serves serial 4f…`."""
        progress = self._standing.progress
        words = [result.words() for result in results if not result.verified]
        if progress.reloads and progress.told:
            times = _TIMES.get(progress.reloads, f" {progress.reloads} times")
            words.insert(0, f"reload ran{times} ({progress.told})")
        if len(results) > 1:
            words.append(f"{sum(result.verified for result in results)} of {len(results)} targets serve the new one")
        return ", ".join(words)
