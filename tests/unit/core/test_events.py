"""Events: closed sets, and which kinds are logged."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from dayfly.core.events import (
    CertificateIssued,
    ChallengeSettled,
    ConnectionsShed,
    Event,
    IssueKind,
    LoggedEvent,
    OrderCreated,
    Outcome,
    Reason,
    RequestHandled,
    SettingAction,
    Throttled,
)

REASONS = """
ok name_not_allowed lifetime_not_allowed key_not_allowed owner_unknown source_not_allowed unauthorized token_expired
token_reused challenge_failed caa account_disabled rate_limited bad_csr bad_request not_found revoked cert_locked
renew_disabled expired_too_long signer_unavailable signer_error db_unavailable db_conflict clock audit_unavailable
overload internal other
"""


def test_reasons_are_the_closed_set() -> None:
    """A reason is one of the words that operators' rules know."""
    assert [one.value for one in Reason] == REASONS.split()


def test_outcomes_are_the_closed_set() -> None:
    """An outcome is one of four words."""
    assert [one.value for one in Outcome] == ["ok", "denied", "error", "throttled"]


def test_kinds_of_issuance_and_actions_are_closed_sets() -> None:
    """What stands in entries has fixed words."""
    assert [one.value for one in IssueKind] == ["new", "renew", "rekey", "replace", "internal"]
    assert [one.value for one in SettingAction] == ["put", "remove"]


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_event_is_a_frozen_value_that_begins_with_its_time(kind: type) -> None:
    """Every kind is a frozen struct, whose first field is `at`."""
    assert issubclass(kind, msgspec.Struct)
    assert kind.__struct_fields__[0] == "at"
    assert kind.__struct_config__.frozen


def test_strangers_cannot_grow_the_log() -> None:
    """What a stranger can make happen at will is not logged; an issuance is."""
    logged = set(get_args(LoggedEvent))
    assert set(get_args(Event)) - logged == {OrderCreated, ChallengeSettled, RequestHandled, Throttled, ConnectionsShed}
    assert CertificateIssued in logged
