"""Entries: one spelling for each event, pinned for as long as logs live."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.events import (
    AccountBound,
    AccountCreated,
    AccountDeactivated,
    AccountKeyChanged,
    AccountRevoked,
    AccountScopeChanged,
    AccountUpdated,
    CertificateIssued,
    CertificateRevoked,
    ExternalKeyMade,
    ExternalKeyRevoked,
    IssueKind,
    LoggedEvent,
    LogStarted,
    NamesPreauthorized,
    SettingAction,
    SettingChanged,
)
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.transparency.entries import MAX_ENTRY_OCTETS, EntryError, parse_entry, render_entry

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HEX = "ab" * 32

PINNED: list[tuple[LoggedEvent, str]] = [
    (LogStarted(AT, "ca.test/log"), '{"t":1,"v":1,"at":"2026-03-01T12:00:00Z","origin":"ca.test/log"}'),
    (
        CertificateIssued(
            at=AT,
            certificate_id=7,
            serial=2**158,
            fingerprint=HEX,
            names=(Identifier(IdentifierType.DNS, "*.a.test"), Identifier(IdentifierType.IP, "2001:db8::1")),
            not_before=AT - timedelta(seconds=60),
            not_after=AT + timedelta(seconds=86_339),
            provisioner="internal-acme",
            owner="platform",
            rule="r1",
            profile="service",
            profile_hash=HEX,
            account_id=1,
            order_id=None,
            kind=IssueKind.NEW,
            spki_hash=HEX,
        ),
        (
            '{"t":2,"v":1,"at":"2026-03-01T12:00:00Z","certificate_id":7,'
            '"serial":"365375409332725729550921208179070754913983135744",'
            f'"fingerprint":"{HEX}",'
            '"names":[{"type":"dns","value":"*.a.test"},{"type":"ip","value":"2001:db8::1"}],'
            '"not_before":"2026-03-01T11:59:00Z","not_after":"2026-03-02T11:58:59Z","provisioner":"internal-acme",'
            f'"owner":"platform","rule":"r1","profile":"service","profile_hash":"{HEX}",'
            f'"account_id":1,"order_id":null,"kind":"new","spki_hash":"{HEX}"}}'
        ),
    ),
    (
        CertificateRevoked(AT, 7, 1234, 4, "account 1"),
        '{"t":3,"v":1,"at":"2026-03-01T12:00:00Z","certificate_id":7,"serial":"1234","reason":4,"by":"account 1"}',
    ),
    (
        AccountCreated(AT, 1, "internal-acme", "thumb"),
        '{"t":4,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme","thumbprint":"thumb"}',
    ),
    (
        AccountUpdated(AT, 1, "internal-acme"),
        '{"t":5,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme"}',
    ),
    (
        AccountDeactivated(AT, 1, "internal-acme"),
        '{"t":6,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme"}',
    ),
    (
        AccountKeyChanged(AT, 1, "internal-acme", "new", "old"),
        (
            '{"t":7,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme",'
            '"thumbprint":"new","old_thumbprint":"old"}'
        ),
    ),
    (
        SettingChanged(AT, 3, "rule", "r1", SettingAction.PUT, HEX),
        (
            '{"t":8,"v":1,"at":"2026-03-01T12:00:00Z","revision":3,"kind":"rule","name":"r1","action":"put",'
            f'"digest":"{HEX}"}}'
        ),
    ),
    (
        AccountRevoked(AT, 1, "internal-acme", "revocation of 7"),
        (
            '{"t":9,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme",'
            '"by":"revocation of 7"}'
        ),
    ),
    (
        ExternalKeyMade(AT, "kid", "internal-acme", "web-team", HEX, preauthorized=True),
        (
            '{"t":10,"v":1,"at":"2026-03-01T12:00:00Z","kid":"kid","provisioner":"internal-acme","owner":"web-team",'
            f'"scope":"{HEX}","preauthorized":true}}'
        ),
    ),
    (
        ExternalKeyRevoked(AT, "kid", "internal-acme"),
        '{"t":11,"v":1,"at":"2026-03-01T12:00:00Z","kid":"kid","provisioner":"internal-acme"}',
    ),
    (
        AccountBound(AT, 1, "internal-acme", "kid"),
        '{"t":12,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme","kid":"kid"}',
    ),
    (
        NamesPreauthorized(AT, 2, 1, "internal-acme", "kid", (Identifier(IdentifierType.DNS, "a.b"),)),
        (
            '{"t":13,"v":1,"at":"2026-03-01T12:00:00Z","order_id":2,"account_id":1,"provisioner":"internal-acme",'
            '"kid":"kid","names":[{"type":"dns","value":"a.b"}]}'
        ),
    ),
    (
        AccountScopeChanged(AT, 1, "internal-acme", "web-team", HEX, "the CA's operator"),
        (
            '{"t":14,"v":1,"at":"2026-03-01T12:00:00Z","account_id":1,"provisioner":"internal-acme",'
            f'"owner":"web-team","scope":"{HEX}","by":"the CA\'s operator"}}'
        ),
    ),
]
REVOKED = PINNED[2][1]

ids = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
names = st.builds(Identifier, st.sampled_from(IdentifierType), texts)
serials = st.integers(1, 2**160 - 1)
EVENTS = st.one_of(
    st.builds(LogStarted, times, texts),
    st.builds(
        CertificateIssued,
        at=times,
        certificate_id=ids,
        serial=serials,
        fingerprint=texts,
        names=st.lists(names, max_size=3).map(tuple),
        not_before=times,
        not_after=times,
        provisioner=texts,
        owner=texts,
        rule=texts,
        profile=texts,
        profile_hash=texts,
        account_id=st.none() | ids,
        order_id=st.none() | ids,
        kind=st.sampled_from(IssueKind),
        spki_hash=texts,
    ),
    st.builds(CertificateRevoked, times, ids, serials, st.integers(0, 10), texts),
    st.builds(AccountCreated, times, ids, texts, texts),
    st.builds(AccountUpdated, times, ids, texts),
    st.builds(AccountDeactivated, times, ids, texts),
    st.builds(AccountKeyChanged, times, ids, texts, texts, texts),
    st.builds(ExternalKeyMade, times, texts, texts, texts, texts, st.booleans()),
    st.builds(ExternalKeyRevoked, times, texts, texts),
    st.builds(AccountBound, times, ids, texts, texts),
    st.builds(NamesPreauthorized, times, ids, ids, texts, texts, st.lists(names, max_size=3).map(tuple)),
    st.builds(SettingChanged, times, ids, texts, texts, st.sampled_from(SettingAction), texts),
    st.builds(AccountRevoked, times, ids, texts, texts),
    st.builds(AccountScopeChanged, times, ids, texts, texts, texts, texts),
)


@pytest.mark.parametrize(("event", "text"), PINNED, ids=lambda one: type(one).__name__)
def test_entry_has_its_pinned_bytes(event: LoggedEvent, text: str) -> None:
    """The bytes of each kind, its number first, never change: old logs must verify for ever."""
    assert render_entry(event) == text.encode()
    assert parse_entry(text.encode()) == event


def test_every_logged_kind_has_an_entry() -> None:
    """No event that is to be logged lacks its form."""
    assert {type(event) for event, _ in PINNED} == set(get_args(LoggedEvent))


@given(EVENTS)
def test_entry_gives_its_event_back(event: LoggedEvent) -> None:
    """What was logged can be read, whatever the event holds."""
    body = render_entry(event)
    assert parse_entry(body) == event
    assert render_entry(parse_entry(body)) == body


@given(EVENTS, st.data())
def test_an_edited_entry_is_another_event_or_none(event: LoggedEvent, data: st.DataObject) -> None:
    """There are no two spellings of one event: a changed octet changes the event, or refuses the entry."""
    body = bytearray(render_entry(event))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with suppress(EntryError):
        assert parse_entry(bytes(body)) != event


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        REVOKED.replace('"t":3', '"t":99'),
        REVOKED.replace('"t":3', '"t":"3"'),
        REVOKED.replace('"v":1', '"v":2'),
        REVOKED.replace('"v":1', '"v":true'),
        REVOKED.replace('"v":1', '"v":1.0'),
        REVOKED.replace('"v":1,', ""),
        REVOKED.replace('"v":1', '"v":1,"v":1'),
        REVOKED.replace("{", "{ "),
        REVOKED + "\n",
        REVOKED.replace('"by":', '"more":1,"by":'),
        REVOKED.replace('"reason":4,', ""),
        REVOKED.replace('"reason":4,"by":"account 1"', '"by":"account 1","reason":4'),
        REVOKED.replace('"reason":4', '"reason":"4"'),
        REVOKED.replace('"reason":4', '"reason":4e0'),
        REVOKED.replace('"reason":4', '"reason":-1'),
        REVOKED.replace('"certificate_id":7', '"certificate_id":9223372036854775808'),
        REVOKED.replace('"1234"', "1234"),
        REVOKED.replace('"1234"', '"01234"'),
        REVOKED.replace('"1234"', '"1234\\n"'),
        REVOKED.replace('"1234"', f'"{"1" * 50}"'),
        REVOKED.replace('"1234"', '"١٢٣٤"'),
        REVOKED.replace("account", "\\u0061ccount"),
        REVOKED.replace("12:00:00Z", "12:00:00+00:00"),
        REVOKED.replace("12:00:00Z", "12:00:00.5Z"),
        REVOKED.replace("12:00:00Z", "12:00:00z"),
        REVOKED.replace("12:00:00Z", "12:00:00"),
        REVOKED.replace("T12", " 12"),
        PINNED[1][1].replace('"type":"dns",', '"type":"dns","x":1,'),
        PINNED[1][1].replace('"type":"dns"', '"type":"x400"'),
        PINNED[1][1].replace('"kind":"new"', '"kind":"old"'),
    ],
)
def test_any_other_spelling_is_refused(body: str | bytes) -> None:
    """Unknown kinds, versions and members, missing ones, and any spelling but the canonical one are no entries."""
    with pytest.raises(EntryError):
        parse_entry(body if isinstance(body, bytes) else body.encode())


def test_times_are_utc_in_whole_seconds() -> None:
    """A fraction is cut off, and another zone is turned into UTC."""
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    for at in (AT.replace(microsecond=999_999), elsewhere, elsewhere.replace(microsecond=1)):
        assert render_entry(LogStarted(at, "ca.test/log")) == PINNED[0][1].encode()


def test_a_time_without_zone_is_refused() -> None:
    """Nobody would know which second a naive time means."""
    with pytest.raises(EntryError, match="zone"):
        render_entry(LogStarted(AT.replace(tzinfo=None), "ca.test/log"))


def test_what_could_not_be_read_is_not_written() -> None:
    """An entry above the cap is refused on both ways."""
    with pytest.raises(EntryError, match="above"):
        render_entry(LogStarted(AT, "x" * MAX_ENTRY_OCTETS))
    with pytest.raises(EntryError, match="above"):
        parse_entry(b" " * (MAX_ENTRY_OCTETS + 1))
