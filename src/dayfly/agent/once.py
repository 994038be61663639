"""`run --once`: one pass over all certificates, and an exit code that says how they stand (agent.md 17).

Rules: whatever is due is carried until it is served, or waits for another attempt; a person or a timer who asks is a
reason to try again now, unless the CA named a time; the worst certificate decides the exit code.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum

from dayfly.agent.clock import Clock
from dayfly.agent.failures import FailureClass
from dayfly.agent.speaking import Say
from dayfly.agent.work import Worker
from dayfly.core.deployment.states import State

_AT_ONCE = 16
_SETTLED = (State.IDLE, State.SERVED)
_RESTING = (*_SETTLED, State.BACKOFF, State.DEGRADED, State.STUCK)


class Exit(IntEnum):
    """The exit codes of agent.md 17, as far as a pass can end in them."""

    DONE = 0
    MISSING = 2
    DENIED = 3
    UNREACHABLE = 4
    PARTLY = 5
    UNSAFE = 6
    ENROL_AGAIN = 7
    INTERNAL = 255


#: The worst first.
_SEVERITY = (
    Exit.INTERNAL,
    Exit.ENROL_AGAIN,
    Exit.UNSAFE,
    Exit.DENIED,
    Exit.UNREACHABLE,
    Exit.MISSING,
    Exit.PARTLY,
    Exit.DONE,
)
_LOCAL = {"hook-unsafe": Exit.UNSAFE, "mode": Exit.UNSAFE, "hook-missing": Exit.MISSING, "webroot": Exit.MISSING}


def run_once(workers: Sequence[Worker], *, clock: Clock, say: Say, stop: threading.Event) -> Exit:
    """Carry every certificate as far as it goes now; the worst outcome."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="once") as pool:
        outcomes = list(pool.map(lambda worker: _carry(worker, clock, say, stop), workers))
    return min(outcomes, key=_SEVERITY.index)


def _carry(worker: Worker, clock: Clock, say: Say, stop: threading.Event) -> Exit:
    try:
        worker.retry_now()
        while not stop.is_set():
            before = worker.state
            wake = worker.step()
            resting = worker.state in _RESTING and (worker.state is before or worker.state not in _SETTLED)
            if worker.is_busy or resting:
                break
            stop.wait(max(0.0, (wake - clock.now()).total_seconds()))
    except Exception as error:  # noqa: BLE001 - the edge of a certificate: the others go on
        say("error", certificate=worker.name, text=f"{type(error).__name__}: {error}")
        return Exit.INTERNAL
    finally:
        worker.close()
    return outcome_of(worker)


def outcome_of(worker: Worker) -> Exit:
    """How the certificate stands, as an exit code; somebody else's work is no failure of ours."""
    progress = worker.standing.progress
    if worker.is_busy or progress.state in _SETTLED:
        return Exit.DONE
    if progress.state is State.STUCK:
        return Exit.ENROL_AGAIN
    match progress.kind:
        case FailureClass.POLICY:
            return Exit.DENIED
        case FailureClass.TRANSIENT:
            return Exit.UNREACHABLE
        case FailureClass.LOCAL:
            return _LOCAL.get(progress.code, Exit.PARTLY)
    return Exit.PARTLY
