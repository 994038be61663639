"""Which certificates a list shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dayfly.core.fleet.selecting import CertificateState, Selection, is_met, state_of
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.rules import RuleError
from factories import NAME, NOW, certificate, dns

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "now", "state"),
    [
        ({}, NOW, "valid"),
        ({}, NOW + 17 * HOUR, "valid"),
        ({}, NOW + 18 * HOUR, "overdue"),
        ({}, NOW + 24 * HOUR, "expired"),
        ({"revoked_at": NOW}, NOW + 48 * HOUR, "revoked"),
    ],
)
def test_a_state_follows_from_times_and_revocation(changes: dict[str, Any], now: datetime, state: str) -> None:
    """Overdue is what should have been renewed by now; a revoked one stays revoked."""
    assert state_of(certificate(**changes), now) == CertificateState(state)


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"not_after": NOW - HOUR}, False),
        ({"revoked_at": NOW}, False),
        ({"provisioner": ""}, False),
    ],
)
def test_without_a_word_it_is_what_lives(changes: dict[str, Any], alive: bool) -> None:
    """Expired and revoked ones, and the CA's own, are seen with `everything`."""
    assert Selection(NOW).takes(certificate(**changes)) is alive
    assert Selection(NOW, everything=True).takes(certificate(**changes))


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({"expiring": 24 * HOUR}, True),
        ({"expiring": 23 * HOUR}, False),
        ({"owner": "platform-team"}, True),
        ({"owner": "other"}, False),
        ({"provisioner": "acme"}, True),
        ({"provisioner": "other"}, False),
        ({"name": NAME}, True),
        ({"name": "internal.example"}, False),
        ({"owner": "platform-team", "name": "*.internal.example", "expiring": HOUR}, False),
    ],
)
def test_all_that_is_asked_must_hold(asked: dict[str, Any], taken: bool) -> None:
    """Each filter narrows."""
    assert Selection(NOW, **asked).takes(certificate()) is taken


@pytest.mark.parametrize(
    ("wanted", "name", "met"),
    [
        ("a.b", dns("a.b"), True),
        ("*.b", dns("a.b"), True),
        ("*.b", dns("*.b"), True),
        ("*.b", dns("c.a.b"), False),
        ("**.b", dns("c.a.b"), True),
        ("**.b", dns("b"), False),
        ("b", dns("a.b"), False),
        ("10.0.0.1", Identifier(IdentifierType.IP, "10.0.0.1"), True),
        ("fd00::1", dns("a.b"), False),
        ("**.b", Identifier(IdentifierType.IP, "10.0.0.1"), False),
    ],
)
def test_a_name_is_met_by_itself_or_by_a_pattern(wanted: str, name: Identifier, met: bool) -> None:
    """The patterns are those of name rules."""
    assert is_met(wanted, name) is met


def test_a_pattern_that_is_none_is_an_error() -> None:
    """It would find nothing, and nobody would know why."""
    with pytest.raises(RuleError):
        is_met("*.", dns("a.b"))
