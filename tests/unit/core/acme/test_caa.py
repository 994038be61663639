"""What CAA records allow and forbid (RFC 8659 3 to 5, RFC 8657 3 and 4)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.acme.caa import CaaRecord, Issuance, forbidden_by, is_fresh, names_to_climb
from dayfly.core.frozen import replace
from factories import NOW

URL = "https://ca.internal.example/acme/acme/account/7"
PLAIN = Issuance(("ca.internal.example",), (URL,), "http-01", wildcard=False)
WILD = replace(PLAIN, method="dns-01", wildcard=True)


def records(*texts: str) -> list[CaaRecord]:
    """Records in presentation format, as `0 issue ca.example`."""
    parts = [text.split(" ", 2) for text in texts]
    return [CaaRecord(int(flags), tag, value.encode()) for flags, tag, value in parts]


@pytest.mark.parametrize(
    ("texts", "issuance"),
    [
        ((), PLAIN),
        (("0 iodef mailto:pki@example.com",), PLAIN),
        (("0 issuemail other.example",), PLAIN),
        (("0 unknown x",), PLAIN),
        (("128 iodef mailto:pki@example.com",), PLAIN),
        (("0 issue ca.internal.example",), PLAIN),
        (("128 issue CA.internal.example",), PLAIN),
        (("0 issue other.example", "0 issue ca.internal.example"), PLAIN),
        (("0 issue ca.internal.example; unknown=x",), PLAIN),
        ((f"0 issue ca.internal.example; accounturi={URL}",), PLAIN),
        (("0 issue ca.internal.example; validationmethods=dns-01,http-01",), PLAIN),
        (("0 issuewild ;",), PLAIN),
        (("0 issue ;", "0 issuewild ca.internal.example"), WILD),
        (("0 issue ca.internal.example",), WILD),
    ],
)
def test_records_that_allow__rfc8659_4(texts: tuple[str, ...], issuance: Issuance) -> None:
    """No record, none that speaks of this certificate, or one that names this CA with parameters that are met."""
    assert forbidden_by(records(*texts), issuance) == ""


@pytest.mark.parametrize(
    ("texts", "issuance", "words"),
    [
        (("0 issue ;",), PLAIN, "none of them names"),
        (("0 issue other.example",), PLAIN, "none of them names"),
        (("0 issue %%%%%",), PLAIN, "none of them names"),
        (("0 issue ca.internal.example; broken",), PLAIN, "none of them names"),
        (("0 issue internal.example",), PLAIN, "none of them names"),
        (("128 tbs x", "0 issue ca.internal.example"), PLAIN, "critical"),
        (("129 tbs x",), PLAIN, "critical"),
        (("0 issue ca.internal.example; accounturi=https://other.example/1",), PLAIN, "another account"),
        ((f"0 issue ca.internal.example; accounturi={URL}; accounturi={URL}",), PLAIN, "another account"),
        ((f"0 issue ca.internal.example; accounturi={URL}; validationmethods=dns-01",), PLAIN, "other ways"),
        (("0 issue ca.internal.example; validationmethods=",), PLAIN, "other ways"),
        (("0 issue ca.internal.example; validationmethods=HTTP-01",), PLAIN, "other ways"),
        (("0 issue ca.internal.example; validationmethods=http-01; validationmethods=http-01",), PLAIN, "other ways"),
        (("0 issue ca.internal.example", "0 issuewild ;"), WILD, "none of them names"),
        (("0 issue ca.internal.example", "0 issuewild other.example"), WILD, "none of them names"),
        (("0 issue other.example",), WILD, "none of them names"),
        (("0 issue x.example", "0 issue ca.internal.example; accounturi=u"), PLAIN, "another account"),
    ],
)
def test_records_that_forbid__rfc8659_4_rfc8657(texts: tuple[str, ...], issuance: Issuance, words: str) -> None:
    """Nobody or another CA named, an unknown critical tag, a parameter that is not met or stands twice."""
    assert words in forbidden_by(records(*texts), issuance)


def test_climbing_ends_below_the_root__rfc8659_3() -> None:
    """The name and all above it; a wildcard begins below its star."""
    assert list(names_to_climb("a.b.example")) == ["a.b.example", "b.example", "example"]
    assert list(names_to_climb("*.b.example")) == ["b.example", "example"]
    assert list(names_to_climb("host")) == ["host"]


@pytest.mark.parametrize(
    ("age", "lifetime", "fresh"),
    [
        (timedelta(), timedelta(hours=24), True),
        (timedelta(hours=8) - timedelta(seconds=1), timedelta(hours=24), True),
        (timedelta(hours=8), timedelta(hours=24), False),
        (timedelta(seconds=59), timedelta(minutes=1), True),
        (timedelta(minutes=1), timedelta(minutes=1), False),
    ],
)
def test_check_counts_for_eight_hours_and_no_longer_than_a_life__acme_8(
    age: timedelta, lifetime: timedelta, fresh: bool
) -> None:
    """A short-lived certificate is not issued on an old look; what was never looked at is not fresh."""
    assert is_fresh(NOW - age, now=NOW, lifetime=lifetime) is fresh
    assert is_fresh(None, now=NOW, lifetime=lifetime) is False
