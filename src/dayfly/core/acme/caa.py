"""CAA: do the records of a name let this CA issue for it? (RFC 8659, with the parameters of RFC 8657.)

Rules: the relevant set of records is the first that is found on the way up from the name; no records, or none of a kind
that speaks of this certificate, forbid nothing; a record that is critical and not understood forbids all; a value that
cannot be read, or a parameter that is not met, makes its record say nothing in our favour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.acme.issue_values import parse_issue_value

CRITICAL = 0x80
CHECK_AGE = timedelta(hours=8)  # RFC 8659 gives none; this is the web PKI's
ISSUE, ISSUE_WILD = "issue", "issuewild"
# Those of RFC 8659 4, and those that speak of other certificates or of nobody's issuance (RFC 9495, CA/Browser Forum).
UNDERSTOOD = frozenset({ISSUE, ISSUE_WILD, "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"})


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """A record: its flags, its tag in lower case, its value as it came."""

    flags: int
    tag: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Issuance:
    """What shall be issued: the CA's names in CAA records, the account's URLs, how the name was proved, a wildcard?"""

    identities: tuple[str, ...]
    account_urls: tuple[str, ...]
    method: str
    wildcard: bool


def names_to_climb(name: str) -> Iterator[str]:
    """The name without its `*.` and all above it, the root not among them (RFC 8659 3)."""
    labels = name.removeprefix("*.").split(".")
    for place in range(len(labels)):
        yield ".".join(labels[place:])


def forbidden_by(records: Sequence[CaaRecord], issuance: Issuance) -> str:
    """Why this relevant set of records forbids the issuance, in words for a client; "" where it allows it."""
    if any(one.flags & CRITICAL and one.tag not in UNDERSTOOD for one in records):
        return "a record that is critical has a tag that this CA does not understand"
    speaking = [one for one in records if one.tag == ISSUE_WILD] if issuance.wildcard else []
    speaking = speaking or [one for one in records if one.tag == ISSUE]
    if not speaking:
        return ""
    reasons = [_unmet(one, issuance) for one in speaking]
    if "" in reasons:
        return ""
    return max(reasons, key=_REASONS.index)


_REASONS = (
    "none of them names this CA",
    "the one that names this CA is for another account (accounturi)",
    "the one that names this CA is for other ways of validation (validationmethods)",
)
"""The nearer to an allowance the later."""


def _unmet(record: CaaRecord, issuance: Issuance) -> str:
    """The reason why a record does not allow it; "" where it does."""
    value = parse_issue_value(record.value)
    if value is None or not value.issuer or value.issuer not in issuance.identities:
        return _REASONS[0]
    accounts = value.values("accounturi")
    if len(accounts) > 1 or any(one not in issuance.account_urls for one in accounts):  # RFC 8657 3
        return _REASONS[1]
    methods = value.values("validationmethods")
    if len(methods) > 1 or any(issuance.method not in one.split(",") for one in methods):  # RFC 8657 4
        return _REASONS[2]
    return ""


def is_fresh(checked_at: datetime | None, *, now: datetime, lifetime: timedelta) -> bool:
    """Does a check of that moment still count? For eight hours, and never longer than a certificate lives."""
    return checked_at is not None and now - checked_at < min(CHECK_AGE, lifetime)
