"""Which clients cannot be expected to renew in time (acme.md part 15)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.acme.habits import GAPS, Conduct, Issuance, advice_for, advise, conduct_of, misfits
from dayfly.core.acme.objects import AccountStatus
from dayfly.core.policy.lifetimes import SECOND, short_duration
from factories import NOW, account

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OLD_CERTBOT, NEW_CERTBOT = "CertbotACMEClient/2.1.0 (certbot)", "CertbotACMEClient/5.8.0 (certbot)"
SIX_HOURS = "run `certbot renew` every 6h; from version 4 on it asks the CA when to renew"
THIRTY = "takes 30 days before the end for due, so every run renews"
FRESH = Conduct(life=DAY, in_time=False, too_often=False)


def issued(*hours_ago: float, life: timedelta = DAY, **changes: Any) -> list[Issuance]:
    """An account's certificates for one name, issued so many hours ago, newest first."""
    owner, names = changes.pop("account_id", 7), changes.pop("names", frozenset({"api.internal.example"}))
    begins = (NOW - timedelta(hours=one) for one in hours_ago)
    return [Issuance(owner, names, begin, begin + life - SECOND) for begin in begins]


def seen(*hours_ago: float, life: timedelta = DAY) -> Conduct:
    """What was seen of account 7 that was given these."""
    return conduct_of(issued(*hours_ago, life=life), NOW)[7]


@pytest.mark.parametrize(
    ("hours_ago", "in_time", "too_often"),
    [
        ((1,), False, False),  # nothing was renewed yet
        ((1, 13), False, False),  # once is no habit
        ((1, 13, 25), True, False),
        ((1, 19, 37), True, False),  # at three quarters, exactly
        ((1, 20, 32), False, False),  # once too late
        ((1, 3, 5), True, True),
        ((1, 3, 7), True, False),  # oftener than needed, once
        ((1, *range(13, 13 + 12 * GAPS, 12), 500), True, False),  # what is long ago is forgotten
        ((1, *range(13, 13 + 12 * (GAPS - 1), 12), 500), False, False),
    ],
)
def test_renewals_are_judged_by_the_gaps_between_them(
    hours_ago: Sequence[float], in_time: bool, too_often: bool
) -> None:
    """In time is twice at least, and each by three quarters of the life; too often is all within an eighth."""
    assert seen(*hours_ago) == Conduct(DAY, in_time, too_often)


def test_only_certificates_that_live_count() -> None:
    """What nobody renews any more says nothing of the account."""
    assert conduct_of(issued(25, 37), NOW) == {}
    other = issued(1, 13, 25, names=frozenset({"b.internal.example"}))
    assert conduct_of([*other, *issued(30, 60)], NOW)[7].in_time


def test_every_set_of_names_counts_by_itself() -> None:
    """One that is renewed late spoils it; the shortest life is the account's."""
    late = issued(1, 24, 47, names=frozenset({"b.internal.example"}))
    found = conduct_of([*issued(1, 2, 3, life=4 * HOUR), *late], NOW)[7]
    assert found == Conduct(4 * HOUR, in_time=False, too_often=False)


def test_accounts_are_told_apart() -> None:
    """Each has its own conduct."""
    found = conduct_of([*issued(1, 13, 25), *issued(1, account_id=8)], NOW)
    assert {number: one.in_time for number, one in found.items()} == {7: True, 8: False}


@pytest.mark.parametrize(
    ("user_agent", "life", "says", "change"),
    [
        (OLD_CERTBOT, DAY, f"{THIRTY}, and looks every 12h", SIX_HOURS),
        (OLD_CERTBOT, 7 * DAY, THIRTY, "from version 4 on it asks the CA when to renew"),
        (NEW_CERTBOT, DAY, "looks every 12h", "run `certbot renew` every 6h"),
        ("acme.sh/3.1.3 (x)", DAY,
         "counts in days from the issue, so it renews when a short life is over, and looks every 24h",
         "run `acme.sh --cron` every 6h; run it with `--force`; from 3.1.4 on it asks the CA when to renew"),
        ("acme.sh/3.1.4 (x)", HOUR, "looks every 6h", "run `acme.sh --cron` every 15m"),
        ("lego-cli/4.9.1 xenolf-acme/4.9.1 (x)", 8 * HOUR, THIRTY,
         "run it every 2h, and not oftener; from version 5 on it asks the CA when to renew"),
        ("Caddy/2.6.2 CertMagic acmez (linux; amd64)", 20 * SECOND, "looks every 10m", "set `renew_interval` to 5s"),
        ("HAProxy", DAY, "renews when a twelfth of the life is left, and looks every 12h",
         "send `acme renew CERTIFICATE` to its socket every 6h"),
    ],
)  # fmt: skip
def test_client_that_does_not_fit_is_told_of__acme_15(user_agent: str, life: timedelta, says: str, change: str) -> None:
    """What it does, how long its certificates live, and what to change, in that lifetime's figures."""
    advice = advise(user_agent, Conduct(life, in_time=False, too_often=False))
    assert advice is not None
    assert (advice.says, advice.change) == (f"{says}: its certificates live {short_duration(life)}", change)


@pytest.mark.parametrize(
    ("user_agent", "life"),
    [
        ("curl/8", DAY),  # nothing is known of it
        ("", DAY),
        (NEW_CERTBOT, 2 * DAY),
        (OLD_CERTBOT, 90 * DAY),
        ("acme.sh/3.1.4 (x)", DAY),
        ("Caddy/2.6.2 CertMagic acmez (linux; amd64)", DAY),
        ("dayfly/0.1.0", timedelta(minutes=1)),
        ("uacme/1.7.6 (x)", DAY),
    ],
)
def test_client_that_fits_is_left_alone__acme_15(user_agent: str, life: timedelta) -> None:
    """Unknown, or its ways fit such a life."""
    assert advise(user_agent, Conduct(life, in_time=False, too_often=False)) is None


def test_client_that_was_seen_to_renew_in_time_is_left_alone() -> None:
    """What the operator was told to change was changed; renewals at every moment are told of still."""
    assert advise(OLD_CERTBOT, seen(1, 7, 13)) is None
    often = advise(OLD_CERTBOT, seen(0.1, 0.2, 0.3))
    assert often is not None
    assert often.says == f"{THIRTY}: its certificates live 24h"
    assert advise(NEW_CERTBOT, seen(0.1, 0.2, 0.3)) is None


def test_release_that_is_not_said_is_the_oldest() -> None:
    """A client without a version is judged by its first habits."""
    assert advise("acme-tiny", FRESH) is not None


def test_account_that_was_ended_is_not_told_of() -> None:
    """Nor one that has no certificate."""
    mine = account(user_agent=OLD_CERTBOT)
    assert advice_for(mine, {7: FRESH}) is not None
    assert advice_for(mine, {8: FRESH}) is None
    assert advice_for(account(user_agent=OLD_CERTBOT, status=AccountStatus.REVOKED), {7: FRESH}) is None


def test_misfits_are_told_once_for_each_program_and_provisioner() -> None:
    """With how many accounts they are."""
    accounts = (
        account(user_agent=OLD_CERTBOT),
        account(id=8, user_agent=NEW_CERTBOT),
        account(id=9, user_agent=OLD_CERTBOT, provisioner="other"),
        account(id=10, user_agent="curl/8"),
        account(id=11, user_agent="dayfly/0.1.0"),
    )
    found = misfits(accounts, {one.id: FRESH for one in accounts})
    assert [(one.provisioner, one.program, one.accounts) for one in found] == [
        ("acme", "certbot", 2),
        ("other", "certbot", 1),
    ]
    assert found[0].advice == advise(OLD_CERTBOT, FRESH)
