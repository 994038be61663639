"""CRLs: what is drafted is what was planned, read back by our lint and by another library (RFC 5280 5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.frozen import replace
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.x509.crl import (
    MANY_ENTRIES,
    CRLPlan,
    DraftCRL,
    RevokedLeaf,
    build_crl,
    content_digest,
    entries_digest,
    plan_crl,
    refresh_at,
)
from dayfly.core.x509.crl_lint import CheckedCRL, check_crl
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from dayfly.core.x509.lint import LintRefused
from dayfly.core.x509.partitions import (
    crl_url,
    is_served,
    needs_crl,
    parse_partition,
    partition_bounds,
    partition_of,
    partition_url,
    render_partition,
)
from dayfly.core.x509.profile import issuer_facts
from dayfly.core.x509.template import assemble
from factories import NOW, ec_key

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
ROOT_KEY, KEY = ec_key(), ec_key()
ROOT = build_root(name="Test CA", key=ROOT_KEY, serial=1 << 150, not_before=NOW - DAY, not_after=NOW + 3650 * DAY)
INTERMEDIATE = build_intermediate(
    name="Test CA", public_key=KEY.public_key(), issuer=ROOT, issuer_key=ROOT_KEY, serial=1 << 151,
    not_before=NOW - DAY, not_after=NOW + 3650 * DAY,
)  # fmt: skip
ISSUER = issuer_facts(INTERMEDIATE)
URL = "http://ca.internal.example:9080/crl/20261224.crl"
ENTRIES = (RevokedLeaf(1 << 140, NOW, 4), RevokedLeaf(7, NOW - DAY, 0), RevokedLeaf((1 << 159) - 1, NOW, 1))


def plan(**changes: Any) -> CRLPlan:
    """A plan of three entries."""
    made = plan_crl(ENTRIES, url=URL, last_number=0, validity=DAY, now=NOW)
    return replace(made, **changes)


def signed(planned: CRLPlan) -> x509.CertificateRevocationList:
    """Drafted, checked, signed, and read by the library."""
    tbs = check_crl(build_crl(planned, ISSUER), planned, ISSUER).take()
    der = assemble(tbs, ISSUER.signature_algorithm, KEY.sign(tbs, ec.ECDSA(SHA256())))
    return x509.load_der_x509_crl(der)


def test_list_says_what_was_planned__rfc5280_5() -> None:
    """Issuer, times, number, entries in order of serials, a reason only where it says something, and no more."""
    found = signed(plan())
    assert found.is_signature_valid(KEY.public_key())
    assert found.issuer.public_bytes() == ISSUER.subject
    assert (found.last_update_utc, found.next_update_utc) == (NOW - timedelta(minutes=1), NOW + DAY)
    assert [one.serial_number for one in found] == [7, 1 << 140, (1 << 159) - 1]
    reasons = [[one.value.reason.value for one in entry.extensions] for entry in found]
    assert reasons == [[], ["superseded"], ["keyCompromise"]]
    assert [(one.oid.dotted_string, one.critical) for one in found.extensions] == [
        ("2.5.29.35", False), ("2.5.29.20", False), ("2.5.29.28", True),
    ]  # fmt: skip
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == int(NOW.timestamp())
    point = found.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert [one.value for one in point.full_name or ()] == [URL]
    assert (point.only_contains_user_certs, point.only_contains_ca_certs, point.indirect_crl) == (True, False, False)


def test_empty_list_has_no_list__rfc5280_5_1_2_6() -> None:
    """The field is absent, and the list good all the same."""
    assert list(signed(plan(entries=()))) == []


def test_year_2050_takes_generalized_time__rfc5280_5_1_2_4() -> None:
    """UTCTime ends in 2049."""
    at = datetime(2050, 1, 1, tzinfo=UTC)
    issuer = replace(ISSUER, not_after=at + DAY)
    far = plan(this_update=at - DAY, next_update=at, entries=(RevokedLeaf(7, at, 0),))
    check_crl(build_crl(far, issuer), far, issuer)


def test_large_list_is_read_back() -> None:
    """Beyond 64 KiB, where lengths take three octets."""
    many = tuple(RevokedLeaf(serial, NOW, 1) for serial in range(1, 3001))
    assert len(signed(plan(entries=many))) == 3000


def test_list_of_many_entries_is_long() -> None:
    """Whoever builds it lets others have their turn from one entry above the bound on."""
    many = tuple(RevokedLeaf(serial, NOW, 1) for serial in range(1, MANY_ENTRIES + 2))
    assert [plan(entries=entries).is_long for entries in ((), many[1:], many)] == [False, False, True]


@pytest.mark.parametrize("length", [80, 110, 127, 128, 200, 255, 256, 1000])
def test_url_of_any_length_is_read_back__x690_8_1_3(length: int) -> None:
    """From 128 octets on a length takes an octet more, from 256 on two; both writers agree, and so does the library."""
    url = "http://ca.internal.example/".ljust(length, "a")
    point = signed(plan(url=url)).extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert [one.value for one in point.full_name or ()] == [url]


def test_number_rises_and_is_never_below_the_time__rfc5280_5_2_3() -> None:
    """By one at least; a store that was set back does not make one again."""
    ahead = int(NOW.timestamp()) + 99
    assert plan_crl((), url=URL, last_number=ahead, validity=DAY, now=NOW).number == ahead + 1
    assert plan_crl((), url=URL, last_number=5, validity=DAY, now=NOW).number == int(NOW.timestamp())


def test_times_scale_with_the_validity() -> None:
    """Back-dated by a minute and a tenth at most; due at two thirds."""
    short = plan_crl((), url=URL, last_number=0, validity=timedelta(seconds=60), now=NOW + timedelta(microseconds=9))
    assert (short.this_update, short.next_update) == (NOW - 6 * SECOND, NOW + 60 * SECOND)
    assert refresh_at(NOW, NOW + timedelta(hours=24)) == NOW + timedelta(hours=16)


def test_digest_tells_entries_apart_and_not_their_order() -> None:
    """Another entry, time or reason is another digest."""
    others = [
        (), ENTRIES[:2], (*ENTRIES[:2], replace(ENTRIES[2], reason=4)),
        (*ENTRIES[:2], replace(ENTRIES[2], revoked_at=NOW + SECOND)),
    ]  # fmt: skip
    digests = {entries_digest(one) for one in (ENTRIES, *others)}
    assert len(digests) == 5
    assert entries_digest(ENTRIES[::-1]) == entries_digest(ENTRIES)


def test_every_single_octet_counts__p0_1() -> None:
    """A draft with one octet changed is refused, wherever it is."""
    planned = plan()
    tbs = build_crl(planned, ISSUER).tbs
    for place in range(len(tbs)):
        changed = bytearray(tbs)
        changed[place] ^= 0x01
        with pytest.raises(LintRefused):
            check_crl(DraftCRL(bytes(changed)), planned, ISSUER)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 8}, {"this_update": NOW}, {"next_update": NOW + 2 * DAY}, {"url": URL + "x"}, {"entries": ()},
        {"entries": ENTRIES[1:2]}, {"entries": tuple(sorted(ENTRIES, key=lambda one: one.serial))[:2]},
    ],
)  # fmt: skip
def test_draft_of_another_plan_is_refused(changes: dict[str, Any]) -> None:
    """Whatever differs, an entry left out above all."""
    with pytest.raises(LintRefused):
        check_crl(build_crl(plan(), ISSUER), plan(**changes), ISSUER)
    with pytest.raises(LintRefused):
        check_crl(build_crl(plan(**changes), ISSUER), plan(), ISSUER)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"number": 0}, "number"), ({"number": 1 << 159}, "number"), ({"next_update": NOW - DAY}, "over before"),
        ({"this_update": NOW + 9999 * DAY, "next_update": NOW + 10000 * DAY}, "issuer ended"),
        ({"url": "https://ca.internal.example/crl"}, "plain http"), ({"url": "http://bücher.example/"}, "plain http"),
        ({"entries": ENTRIES}, "in order"), ({"entries": (ENTRIES[0], ENTRIES[0])}, "in order"),
        ({"entries": (RevokedLeaf(7, NOW, 6),)}, "reason"),
    ],
)  # fmt: skip
def test_plan_that_no_list_can_have_is_refused(changes: dict[str, Any], says: str) -> None:
    """Before a byte is looked at."""
    with pytest.raises(LintRefused, match=says):
        check_crl(DraftCRL(b""), plan(**changes), ISSUER)


def test_checked_bytes_are_taken_once_and_made_by_the_lint_alone() -> None:
    """No draft is signed twice, and nobody else can make one."""
    checked = check_crl(build_crl(plan(), ISSUER), plan(), ISSUER)
    checked.take()
    with pytest.raises(LintRefused):
        checked.take()
    with pytest.raises(TypeError):
        CheckedCRL(b"", maker=object())


# --- partitions -------------------------------------------------------------------------------------------------------


def test_partition_is_the_day_on_which_a_leaf_ends() -> None:
    """In UTC, with its first second and without the next day's."""
    begin, end = partition_bounds(partition_of(NOW))
    assert (begin, end) == (datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC))
    assert partition_of(begin) == partition_of(end - SECOND) == partition_of(end) - 1


@given(st.integers(0, 80_000))
def test_name_of_a_partition_is_read_back(partition: int) -> None:
    """One name for each, and one for each name."""
    assert parse_partition(render_partition(partition)) == partition


@pytest.mark.parametrize("text", ["", "2026-12-24", "20261332", "20260230", "202612244", "０" * 8, "../etc/pa"])
def test_name_that_is_none(text: str) -> None:
    """Nothing but eight digits that are a day."""
    assert parse_partition(text) is None


def test_partitions_are_served_from_yesterday_to_the_longest_life() -> None:
    """So they are bounded, whoever asks."""
    today = partition_of(NOW)
    assert [is_served(today + days, NOW) for days in (-2, -1, 0, 399, 400)] == [False, True, True, True, False]


def test_url_is_that_of_the_day_and_only_for_what_lives_long__rfc9608() -> None:
    """Seven days need none, a second more does."""
    short, long = (Validity(NOW, NOW + 7 * DAY - SECOND + more) for more in (timedelta(), SECOND))
    assert (needs_crl(short), needs_crl(long)) == (False, True)
    assert crl_url("http://ca.internal.example", short) is None
    expected = "http://ca.internal.example/crl/20261201.crl"
    assert crl_url("http://ca.internal.example", long) == expected
    assert partition_url("http://ca.internal.example", partition_of(long.not_after)) == expected


def test_content_digest_tells_issuers_and_entries_apart__acme_10() -> None:
    """By the name and the key of the issuer; another certificate of the same two is the same issuer."""
    others = [replace(ISSUER, key_id=b"k" * 20), replace(ISSUER, subject=ISSUER.subject + b"x")]
    digests = {content_digest(ENTRIES, one) for one in (ISSUER, *others)} | {content_digest((), ISSUER)}
    assert len(digests) == 4
    assert content_digest(ENTRIES[::-1], replace(ISSUER, fingerprint="another")) == content_digest(ENTRIES, ISSUER)
