"""dns-persist-01: what a lasting TXT record must say (draft-ietf-acme-dns-persist).

Rules: a record counts if it names this CA and exactly this account, has not ended, and grants what is asked; others are
ignored, each by itself; a policy that nobody knows is none, and so is an unknown parameter; a name below the record's
is not covered by it, whatever it says; a parameter that stands twice makes the record malformed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from dayfly.core.acme.issue_values import IssueValue, parse_issue_value

LASTING = "dns-persist-01"
LABEL = "_validation-persist"
MAX_ISSUERS = 10  # of the challenge object
WILDCARD = "wildcard"

_INTEGER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Sought:
    """What a record must match: one of the CA's names, one of the account's URLs, and whether a wildcard is asked."""

    issuers: tuple[str, ...]
    account_urls: tuple[str, ...]
    wildcard: bool


class Fault(Enum):
    """Why a record does not count, the nearer to counting the later; the words are for a client."""

    OTHER = "none is an issue-value that names this CA"
    MALFORMED = "the one for this CA names a parameter twice, or has a persistUntil that is no integer"
    NO_ACCOUNT = "the one for this CA has no accounturi"
    OTHER_ACCOUNT = "the one for this CA names another account in accounturi"
    ENDED = "the one for this account has ended (persistUntil)"
    NO_WILDCARD = "the one for this account has no policy=wildcard"


def judge_records(texts: Sequence[bytes], sought: Sought, *, now: datetime) -> Fault | None:
    """None where one of the records counts, else what is wrong with the one that comes nearest; `now` is aware, UTC."""
    faults = [_judge(parse_issue_value(text), sought, now=now) for text in texts]
    if None in faults:
        return None
    order = list(Fault)
    return max((one for one in faults if one is not None), key=order.index, default=Fault.OTHER)


def _judge(value: IssueValue | None, sought: Sought, *, now: datetime) -> Fault | None:
    if value is None or not value.issuer or value.issuer not in sought.issuers:
        return Fault.OTHER
    if value.has_duplicates:
        return Fault.MALFORMED
    parameters = dict(value.parameters)
    until = parameters.get("persistuntil")
    if until is not None and _INTEGER.fullmatch(until) is None:
        return Fault.MALFORMED
    if "accounturi" not in parameters:
        return Fault.NO_ACCOUNT
    if parameters["accounturi"] not in sought.account_urls:
        return Fault.OTHER_ACCOUNT
    if until is not None and now.astimezone(UTC).timestamp() > int(until):
        return Fault.ENDED
    if sought.wildcard and parameters.get("policy", "").lower() != WILDCARD:
        return Fault.NO_WILDCARD
    return None
