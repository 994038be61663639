"""The states of a certificate on a host: the table, and every arrow that is not in it (agent.md 3)."""

from __future__ import annotations

from itertools import product

import pytest

from dayfly.core.deployment import states as module
from dayfly.core.deployment.states import TRANSITIONS, Event, State, advance, check_move
from dayfly.errors import IllegalTransition

USUAL = [
    (Event.CAME_DUE, State.DUE),
    (Event.PREPARED, State.REQUESTING),
    (Event.CHECKED, State.STAGED),
    (Event.SWAPPED, State.INSTALLED),
    (Event.RELOAD_STARTED, State.RELOADING),
    (Event.RELOADED, State.VERIFYING),
    (Event.MATCHED, State.SERVED),
]
ABSENT = [pair for pair in product(State, Event) if pair not in TRANSITIONS]


def test_words_are_those_that_people_see__agent_3() -> None:
    """Status, metrics, reports and console use exactly these."""
    words = "idle due requesting staged installed reloading verifying served backoff degraded stuck observe paused"
    assert [str(state) for state in State] == words.split()


def test_usual_path_leads_from_idle_to_served_and_round_again__agent_3() -> None:
    """One renewal, and the next."""
    state = State.IDLE
    for event, expected in USUAL * 2:
        state = advance(state, event)
        assert state is expected


def test_served_has_one_way_in__agent_1() -> None:
    """From verifying, by the new certificate being seen."""
    assert [pair for pair, goal in TRANSITIONS.items() if goal is State.SERVED] == [(State.VERIFYING, Event.MATCHED)]


@pytest.mark.parametrize(("state", "event"), ABSENT)
def test_arrow_that_is_not_in_the_table_is_a_bug(state: State, event: Event) -> None:
    """IllegalTransition names both."""
    with pytest.raises(IllegalTransition, match=f"{state} cannot take {event}"):
        advance(state, event)


def test_every_arrow_leads_where_the_table_says() -> None:
    """No arrow of a group overrides one of the path: each event leads from one state to one other."""
    shared = sum(len(states) for _, _, states in module._SHARED)
    assert len(TRANSITIONS) == len(module._PATH) + shared
    assert all(advance(state, event) is goal for (state, event), goal in TRANSITIONS.items())
    assert all(state is not goal for (state, event), goal in TRANSITIONS.items() if event is not Event.ADOPTED)


def test_move_is_an_arrow_of_the_table_whatever_its_event() -> None:
    """What some event leads to passes; what none does is a bug that names both states."""
    arrows = {(state, goal) for (state, _), goal in TRANSITIONS.items()}
    for before, after in product(State, State):
        if (before, after) in arrows:
            check_move(before, after)
        else:
            with pytest.raises(IllegalTransition, match=f"{before} cannot become {after}"):
                check_move(before, after)


def test_every_state_can_be_entered_and_left() -> None:
    """None is a trap, none is out of reach, and no event is without use."""
    assert set(TRANSITIONS.values()) == set(State)
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)


@pytest.mark.parametrize(
    "state", [State.DUE, State.REQUESTING, State.STAGED, State.INSTALLED, State.RELOADING, State.VERIFYING]
)
def test_what_fails_on_the_way_waits__agent_6(state: State) -> None:
    """Whatever was under way is tried again; only while delivering can a valid one be in service beside it."""
    assert advance(state, Event.FAILED) is State.BACKOFF
    assert advance(state, Event.GAVE_UP) is State.STUCK
    delivering = state in {State.RELOADING, State.VERIFYING}
    assert ((state, Event.FAILED_IN_SERVICE) in TRANSITIONS) is delivering


@pytest.mark.parametrize("state", [State.BACKOFF, State.DEGRADED])
@pytest.mark.parametrize(
    ("event", "goal"),
    [
        (Event.RETRY_REQUEST, State.DUE),
        (Event.RETRY_SWAP, State.STAGED),
        (Event.RETRY_INSTALLED, State.INSTALLED),
        (Event.RETRY_RELOAD, State.RELOADING),
        (Event.CAME_ROUND, State.VERIFYING),
        (Event.CAME_DUE, State.DUE),
    ],
)
def test_wait_ends_where_the_work_stood__agent_7(state: State, event: Event, goal: State) -> None:
    """What is installed is delivered, and never asked for again; a service that came round is verified first."""
    assert advance(state, event) is goal


def test_stuck_is_left_by_a_person_s_word__agent_3() -> None:
    """Or by a pair that somebody put in place: no retry of ours leads out."""
    left_by = {event for state, event in TRANSITIONS if state is State.STUCK}
    assert left_by == {Event.TRIED_AGAIN, Event.ADOPTED, Event.OBSERVED, Event.PAUSED}


@pytest.mark.parametrize("state", [State.OBSERVE, State.PAUSED])
def test_observed_and_paused_certificates_never_renew__agent_14(state: State) -> None:
    """They are left by a person's word only, and then begin at idle."""
    goals = {goal for (start, _), goal in TRANSITIONS.items() if start is state}
    assert goals == {State.IDLE, State.OBSERVE, State.PAUSED} - {state}
