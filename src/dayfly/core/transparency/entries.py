"""The canonical bytes of a logged event: one entry, one spelling.

Rules: each kind has a number that is never reused, not even when the kind goes (the table below); an entry is JSON
without white space, its members in a fixed order, the first being `t` (the number) and `v` (the version of the kind's
form); serials are decimal strings, since they are beyond the integers of most readers; times are UTC in whole seconds.
What `render_entry` gives is what `parse_entry` takes, and nothing else.

    1 LogStarted         2 CertificateIssued   3 CertificateRevoked   4 AccountCreated
    5 AccountUpdated     6 AccountDeactivated  7 AccountKeyChanged    8 SettingChanged
    9 AccountRevoked    10 ExternalKeyMade    11 ExternalKeyRevoked  12 AccountBound
   13 NamesPreauthorized 14 AccountScopeChanged
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

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
from dayfly.core.identifiers import Identifier
from dayfly.errors import DayflyError

MAX_ENTRY_OCTETS = 1 << 20  # a certificate of a thousand names of full length stays below a third of it

_VERSION: Literal[1] = 1

_Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Serial = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,48}\Z")]  # 20 octets (RFC 5280 4.1.2.2) are 49 digits


class EntryError(DayflyError):
    """Bytes are not an entry in its one spelling, or an event cannot become one."""


# --- the forms on disk ------------------------------------------------------------------------------------------------


class _Form(Struct, frozen=True, forbid_unknown_fields=True, tag_field="t"):
    v: Literal[1]
    at: datetime


class _LogStarted(_Form, frozen=True, tag=1):
    origin: str


class _CertificateIssued(_Form, frozen=True, tag=2):
    certificate_id: _Id
    serial: _Serial
    fingerprint: str
    names: tuple[Identifier, ...]
    not_before: datetime
    not_after: datetime
    provisioner: str
    owner: str
    rule: str
    profile: str
    profile_hash: str
    account_id: _Id | None
    order_id: _Id | None
    kind: IssueKind
    spki_hash: str


class _CertificateRevoked(_Form, frozen=True, tag=3):
    certificate_id: _Id
    serial: _Serial
    reason: _Id
    by: str


class _AccountCreated(_Form, frozen=True, tag=4):
    account_id: _Id
    provisioner: str
    thumbprint: str


class _AccountUpdated(_Form, frozen=True, tag=5):
    account_id: _Id
    provisioner: str


class _AccountDeactivated(_Form, frozen=True, tag=6):
    account_id: _Id
    provisioner: str


class _AccountKeyChanged(_Form, frozen=True, tag=7):
    account_id: _Id
    provisioner: str
    thumbprint: str
    old_thumbprint: str


class _SettingChanged(_Form, frozen=True, tag=8):
    revision: _Id
    kind: str
    name: str
    action: SettingAction
    digest: str


class _AccountRevoked(_Form, frozen=True, tag=9):
    account_id: _Id
    provisioner: str
    by: str


class _ExternalKeyMade(_Form, frozen=True, tag=10):
    kid: str
    provisioner: str
    owner: str
    scope: str
    preauthorized: bool


class _ExternalKeyRevoked(_Form, frozen=True, tag=11):
    kid: str
    provisioner: str


class _AccountBound(_Form, frozen=True, tag=12):
    account_id: _Id
    provisioner: str
    kid: str


class _NamesPreauthorized(_Form, frozen=True, tag=13):
    order_id: _Id
    account_id: _Id
    provisioner: str
    kid: str
    names: tuple[Identifier, ...]


class _AccountScopeChanged(_Form, frozen=True, tag=14):
    account_id: _Id
    provisioner: str
    owner: str
    scope: str
    by: str


# --- both ways --------------------------------------------------------------------------------------------------------


def render_entry(event: LoggedEvent) -> bytes:
    """The event's canonical bytes, a leaf of the log; EntryError for a naive time, or a size that no reader takes."""
    if type(event) is CertificateIssued:
        body = _encode(_issued_form(event))
    elif type(event) is CertificateRevoked:
        body = _encode(_revoked_form(event))
    else:
        form, members = _PLAIN[type(event)]
        body = _encode(form(_VERSION, _second(event.at), *members(event)))
    if len(body) > MAX_ENTRY_OCTETS:
        raise EntryError(f"an entry of {len(body)} octets is above the {MAX_ENTRY_OCTETS} that are read")
    return body


def parse_entry(body: bytes) -> LoggedEvent:
    """The event of an entry; EntryError for another kind, version or member, and for any other spelling of it."""
    if len(body) > MAX_ENTRY_OCTETS:
        raise EntryError(f"the entry is above {MAX_ENTRY_OCTETS} octets")
    try:
        event = _event_of(_decode(body))
        canonical = render_entry(event)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        raise EntryError("the entry is of no kind and form that this version knows") from None
    if canonical != body:
        raise EntryError("the entry is not in its canonical spelling")
    return event


def _issued_form(event: CertificateIssued) -> _CertificateIssued:
    return _CertificateIssued(
        _VERSION,
        _second(event.at),
        event.certificate_id,
        str(event.serial),
        event.fingerprint,
        event.names,
        _second(event.not_before),
        _second(event.not_after),
        event.provisioner,
        event.owner,
        event.rule,
        event.profile,
        event.profile_hash,
        event.account_id,
        event.order_id,
        event.kind,
        event.spki_hash,
    )


def _revoked_form(event: CertificateRevoked) -> _CertificateRevoked:
    return _CertificateRevoked(
        _VERSION, _second(event.at), event.certificate_id, str(event.serial), event.reason, event.by
    )


def _event_of(form: _AnyForm) -> LoggedEvent:
    if isinstance(form, _CertificateIssued | _CertificateRevoked):
        members = msgspec.structs.asdict(form) | {"serial": int(form.serial)}
        del members["v"]
        return CertificateIssued(**members) if type(form) is _CertificateIssued else CertificateRevoked(**members)
    event: LoggedEvent = _EVENTS[type(form)](*msgspec.structs.astuple(form)[1:])
    return event


def _second(moment: datetime) -> datetime:
    """The moment in UTC without its fraction: an entry tells the second."""
    if moment.tzinfo is UTC:
        return moment.replace(microsecond=0) if moment.microsecond else moment
    if moment.tzinfo is None:
        raise EntryError("a time without a zone cannot be logged")
    return moment.astimezone(UTC).replace(microsecond=0)


_AnyForm = (
    _LogStarted
    | _CertificateIssued
    | _CertificateRevoked
    | _AccountCreated
    | _AccountUpdated
    | _AccountDeactivated
    | _AccountKeyChanged
    | _SettingChanged
    | _ExternalKeyMade
    | _ExternalKeyRevoked
    | _AccountBound
    | _NamesPreauthorized
    | _AccountRevoked
    | _AccountScopeChanged
)

# Forms whose members are those of their event, one by one; `Any`, since the pairs are only related by their names.
_PAIRS: tuple[tuple[type[Any], type[Struct]], ...] = (
    (LogStarted, _LogStarted),
    (AccountCreated, _AccountCreated),
    (AccountUpdated, _AccountUpdated),
    (AccountDeactivated, _AccountDeactivated),
    (AccountKeyChanged, _AccountKeyChanged),
    (SettingChanged, _SettingChanged),
    (ExternalKeyMade, _ExternalKeyMade),
    (ExternalKeyRevoked, _ExternalKeyRevoked),
    (AccountBound, _AccountBound),
    (NamesPreauthorized, _NamesPreauthorized),
    (AccountRevoked, _AccountRevoked),
    (AccountScopeChanged, _AccountScopeChanged),
)
_EVENTS: dict[type[Struct], type[Any]] = {form: event for event, form in _PAIRS}


def _members(form: type[Struct]) -> Callable[[LoggedEvent], tuple[Any, ...]]:
    """What reads the members after `v` and `at` from an event, always as a tuple."""
    names = form.__struct_fields__[2:]
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda event: (read(event),)


_PLAIN: dict[type[Any], tuple[type[Any], Callable[[LoggedEvent], tuple[Any, ...]]]] = {
    event: (form, _members(form)) for event, form in _PAIRS
}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_AnyForm).decode
