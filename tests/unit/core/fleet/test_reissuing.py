"""Whom a reissue means, and when each one's turn is."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.acme.objects import Certificate
from dayfly.core.fleet.reissuing import find_reissue, is_meant, turn_of
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.core.schedule import Window
from dayfly.core.settings.reissues import Reissue
from factories import NOW, certificate

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def reissue(**changes: Any) -> Reissue:
    """All certificates, within an hour."""
    return replace(Reissue("i1", NOW, HOUR, NOW + 24 * HOUR), **changes)


def issued(ago: timedelta = HOUR, **changes: Any) -> Certificate:
    """A certificate that was issued so long before the word."""
    row_id = make_id(int((NOW - ago).timestamp() * 1000), 0, 1)
    return certificate(**{"id": row_id, "serial": row_id << 96 | 0xABCDEF, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"serials": ("1", f"{issued().serial:x}")}, {"names": ("x.example", "api.internal.example")},
        {"names": ("*.internal.example",)}, {"names": ("**.example",)}, {"accounts": ("0000000000000007",)},
        {"owner": "platform-team"}, {"provisioner": "acme"}, {"not_issuer": "00" * 32},
        {"owner": "platform-team", "provisioner": "acme", "names": ("**.example",)},
    ],
)  # fmt: skip
def test_certificate_is_meant_where_every_choice_holds(changes: dict[str, Any]) -> None:
    """And nothing chosen is everything."""
    assert is_meant(reissue(**changes), issued())


@pytest.mark.parametrize(
    "changes",
    [
        {"serials": ("1",)}, {"names": ("internal.example",)}, {"names": ("*.example",)}, {"owner": "web-team"},
        {"accounts": ("0000000000000008",)}, {"provisioner": "other"}, {"not_issuer": issued().issuer},
        {"owner": "platform-team", "provisioner": "other"},
    ],
)  # fmt: skip
def test_certificate_is_not_meant_where_one_choice_fails(changes: dict[str, Any]) -> None:
    """One is enough."""
    assert not is_meant(reissue(**changes), issued())


def test_successor_and_the_cas_own_are_not_meant() -> None:
    """What was issued after the word is what the word asked for; one without an account belongs to no account."""
    assert not is_meant(reissue(), issued(timedelta()))
    assert not is_meant(reissue(), issued(-HOUR))
    assert is_meant(reissue(), issued(SECOND))
    assert not is_meant(reissue(), issued(provisioner=""))
    assert not is_meant(reissue(accounts=("0000000000000007",)), issued(account_id=None))


@given(st.integers(0, (1 << 96) - 1), st.integers(1, 7 * 86_400))
def test_turn_lies_within_the_time_that_was_given__rfc9773_4_2(random_part: int, seconds: int) -> None:
    """From the word to its end, whatever the serial is, and at least a second long."""
    wanted = reissue(within=timedelta(seconds=seconds))
    window = turn_of(wanted, issued(serial=1 << 158 | random_part))
    assert wanted.at <= window.start < window.end <= wanted.at + wanted.within
    assert window.end - window.start >= SECOND


def test_turn_without_a_spread_is_at_once() -> None:
    """The window has passed when the word is given."""
    assert turn_of(reissue(within=timedelta()), issued()) == Window(NOW - SECOND, NOW)


def test_turns_of_many_are_spread_evenly__acme_i6() -> None:
    """Ten thousand in an hour: every minute has its part, none is empty or double."""
    draw = random.Random(20261124)  # noqa: S311 - a seed, so that the figure is the same
    wanted = reissue(within=HOUR)
    turns = [turn_of(wanted, issued(serial=1 << 158 | draw.getrandbits(96))).start for _ in range(10_000)]
    minutes = Counter(int((turn - NOW) / (0.95 * MINUTE)) for turn in turns)
    assert set(minutes) == set(range(60))
    assert max(minutes.values()) < 2 * 10_000 / 60
    assert min(minutes.values()) > 10_000 / 60 / 2


def test_earliest_turn_counts() -> None:
    """Of several that mean it; None where nobody does."""
    late = reissue(id="i1", within=timedelta(days=7))
    now = reissue(id="i2", within=timedelta())
    other = reissue(id="i3", owner="web-team")
    assert find_reissue((late, now, other), issued()) == now
    assert find_reissue((other,), issued()) is None
    assert find_reissue((), issued()) is None
