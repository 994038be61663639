"""Which lasting records count, and what is wrong with others (draft-ietf-acme-dns-persist)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.acme.persistent import Fault, Sought, judge_records
from factories import NOW

URL = "https://ca.internal.example:9000/acme/acme/account/0000000000000007"
CANONICAL = URL.encode()
SOUGHT = Sought(("ca.internal.example",), (URL,), wildcard=False)
WILD = Sought(("ca.internal.example",), (URL,), wildcard=True)
SECOND = int(NOW.timestamp())


def record(*parameters: str, issuer: str = "ca.internal.example", account: str | None = URL) -> bytes:
    """A record; it counts as it stands."""
    named = () if account is None else (f"accounturi={account}",)
    return "; ".join((issuer, *named, *parameters)).encode()


@pytest.mark.parametrize(
    ("text", "sought"),
    [
        (record(), SOUGHT),
        (record(issuer="CA.Internal.Example"), SOUGHT),
        (record("policy=wildcard"), SOUGHT),
        (record("policy=somethingElse"), SOUGHT),
        (record("unknown=parameter"), SOUGHT),
        (record(f"persistUntil={SECOND}"), SOUGHT),
        (record("persistUntil=999999999999999"), SOUGHT),
        (record("policy=wildcard"), WILD),
        (record("POLICY=WildCard"), WILD),
    ],
)
def test_record_for_ca_and_account_counts__acme_8(text: bytes, sought: Sought) -> None:
    """Tags and policy have no case, what is unknown is ignored, and the last second still counts."""
    assert judge_records((text,), sought, now=NOW) is None


@pytest.mark.parametrize(
    ("text", "sought", "fault"),
    [
        (b"", SOUGHT, Fault.OTHER),
        (b"; accounturi=" + CANONICAL, SOUGHT, Fault.OTHER),
        (record(issuer="other.example"), SOUGHT, Fault.OTHER),
        (record(issuer="internal.example"), SOUGHT, Fault.OTHER),
        (record("no parameter"), SOUGHT, Fault.OTHER),
        (record("policy=wildcard", "Policy=none"), SOUGHT, Fault.MALFORMED),
        (record(f"accounturi={URL}"), SOUGHT, Fault.MALFORMED),
        (record("persistUntil=tomorrow"), SOUGHT, Fault.MALFORMED),
        (record("persistUntil=-1"), SOUGHT, Fault.MALFORMED),
        (record("persistUntil="), SOUGHT, Fault.MALFORMED),
        (record(account=None), SOUGHT, Fault.NO_ACCOUNT),
        (record(account=URL + "/"), SOUGHT, Fault.OTHER_ACCOUNT),
        (record(account=URL.upper()), SOUGHT, Fault.OTHER_ACCOUNT),
        (record(account=URL[:-1] + "8"), SOUGHT, Fault.OTHER_ACCOUNT),
        (record(f"persistUntil={SECOND - 1}"), SOUGHT, Fault.ENDED),
        (record("persistUntil=0"), SOUGHT, Fault.ENDED),
        (record(), WILD, Fault.NO_WILDCARD),
        (record("policy=wildcards"), WILD, Fault.NO_WILDCARD),
    ],
)
def test_record_that_does_not_count_says_why__acme_8(text: bytes, sought: Sought, fault: Fault) -> None:
    """Another CA or account, an end, a missing grant, a malformed parameter."""
    assert judge_records((text,), sought, now=NOW) is fault


def test_records_are_judged_each_by_itself_and_the_nearest_is_told__acme_8() -> None:
    """One good record among bad ones is enough; among bad ones the one that came nearest is worth telling."""
    others = (b"v=spf1 -all", record(issuer="other.example"), record(account="https://x.example/1"))
    assert judge_records((*others, record()), SOUGHT, now=NOW) is None
    assert judge_records(others, SOUGHT, now=NOW) is Fault.OTHER_ACCOUNT
    assert judge_records((), SOUGHT, now=NOW) is Fault.OTHER


def test_record_ends_a_second_after_its_last_one__acme_8() -> None:
    """At the second that persistUntil names it counts, at the next it does not."""
    text = record(f"persistUntil={SECOND}")
    assert judge_records((text,), SOUGHT, now=NOW) is None
    assert judge_records((text,), SOUGHT, now=NOW + timedelta(seconds=1)) is Fault.ENDED
