"""The states of a certificate on a host, in exactly the words of agent.md 3, and the arrows between them as a table.

    idle → due → requesting → staged → installed → reloading → verifying → served → due …
    what fails on the way waits in backoff or degraded, and goes on where it stood; stuck waits for a person

Rules: `served` has one way in, from `verifying`, by the new certificate being seen on every target; what is not in
the table is IllegalTransition, always a bug; people, metrics and reports see these words and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from dayfly.errors import IllegalTransition


class State(StrEnum):
    """Where a certificate stands."""

    IDLE = "idle"
    DUE = "due"
    REQUESTING = "requesting"
    STAGED = "staged"
    INSTALLED = "installed"
    RELOADING = "reloading"
    VERIFYING = "verifying"
    SERVED = "served"
    BACKOFF = "backoff"
    DEGRADED = "degraded"
    STUCK = "stuck"
    OBSERVE = "observe"
    PAUSED = "paused"


class Event(StrEnum):
    """What moves a certificate on."""

    CAME_DUE = "came_due"  # its moment, ARI, a changed request, or there is none yet
    PREPARED = "prepared"  # preflight passed; key and CSR are on disk
    CHECKED = "checked"  # a checked answer is written as a generation
    SWAPPED = "swapped"  # `current` points at it
    RELOAD_STARTED = "reload_started"
    RELOADED = "reloaded"  # the hook ended with 0, or there is none
    MATCHED = "matched"  # every target serves the new leaf
    UNWATCHED = "unwatched"  # no target is declared: nobody can say that it is served
    DRIFTED = "drifted"  # a target serves it no longer
    CAME_ROUND = "came_round"  # the targets serve it after all, as far as one look says
    FAILED = "failed"
    FAILED_IN_SERVICE = "failed_in_service"  # delivery failed, and clients are served something valid
    GAVE_UP = "gave_up"  # only a person can mend it
    RETRY_REQUEST = "retry_request"  # the waits end; each goes back to where it stood
    RETRY_SWAP = "retry_swap"
    RETRY_INSTALLED = "retry_installed"
    RETRY_RELOAD = "retry_reload"
    ADOPTED = "adopted"  # another generation than the journal's was found in place: it is delivered
    TRIED_AGAIN = "tried_again"  # a person's word, a restart included
    OBSERVED = "observed"
    PAUSED = "paused"
    RESUMED = "resumed"  # to idle: the next look finds what is not served


_PATH: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.CAME_DUE): State.DUE,
    (State.SERVED, Event.CAME_DUE): State.DUE,
    (State.DUE, Event.PREPARED): State.REQUESTING,
    (State.REQUESTING, Event.CHECKED): State.STAGED,
    (State.STAGED, Event.SWAPPED): State.INSTALLED,
    (State.INSTALLED, Event.RELOAD_STARTED): State.RELOADING,
    (State.RELOADING, Event.RELOADED): State.VERIFYING,
    (State.VERIFYING, Event.MATCHED): State.SERVED,
    (State.VERIFYING, Event.UNWATCHED): State.IDLE,
    (State.IDLE, Event.DRIFTED): State.VERIFYING,
    (State.SERVED, Event.DRIFTED): State.VERIFYING,
    (State.STUCK, Event.TRIED_AGAIN): State.DUE,
    (State.OBSERVE, Event.RESUMED): State.IDLE,
    (State.PAUSED, Event.RESUMED): State.IDLE,
}

_ACTING = (State.DUE, State.REQUESTING, State.STAGED, State.INSTALLED, State.RELOADING, State.VERIFYING)
_DELIVERING = (State.RELOADING, State.VERIFYING)
_WAITING = (State.BACKOFF, State.DEGRADED)
_RESTING = (State.IDLE, State.SERVED, *_WAITING, State.STUCK)

# The same arrow from several states: the event, where it leads, and from where.
_SHARED: tuple[tuple[Event, State, tuple[State, ...]], ...] = (
    (Event.FAILED, State.BACKOFF, _ACTING),
    (Event.FAILED_IN_SERVICE, State.DEGRADED, _DELIVERING),
    (Event.GAVE_UP, State.STUCK, (State.IDLE, State.SERVED, *_ACTING, *_WAITING)),
    (Event.CAME_DUE, State.DUE, _WAITING),
    (Event.CAME_ROUND, State.VERIFYING, _WAITING),
    (Event.RETRY_REQUEST, State.DUE, _WAITING),
    (Event.RETRY_SWAP, State.STAGED, _WAITING),
    (Event.RETRY_INSTALLED, State.INSTALLED, _WAITING),
    (Event.RETRY_RELOAD, State.RELOADING, _WAITING),
    (Event.ADOPTED, State.INSTALLED, (*_RESTING, *_ACTING)),
    (Event.OBSERVED, State.OBSERVE, (*_RESTING, State.PAUSED)),
    (Event.PAUSED, State.PAUSED, (*_RESTING, State.OBSERVE)),
)

#: Every arrow that there is.
TRANSITIONS: Mapping[tuple[State, Event], State] = _PATH | {
    (state, event): goal for event, goal, states in _SHARED for state in states
}


def advance(state: State, event: Event) -> State:
    """The state after `event`; IllegalTransition where the table has no such arrow."""
    goal = TRANSITIONS.get((state, event))
    if goal is None:
        raise IllegalTransition(f"a certificate that is {state} cannot take {event}")
    return goal


_ARROWS = frozenset((state, goal) for (state, _), goal in TRANSITIONS.items())


def check_move(before: State, after: State) -> None:
    """Raise IllegalTransition where no event of the table leads from one state to the other."""
    if (before, after) not in _ARROWS:
        raise IllegalTransition(f"a certificate that is {before} cannot become {after}")
