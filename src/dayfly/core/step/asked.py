"""Times and numbers as step writes them: a moment, a span from now, or nothing; serials in two spellings.

Rules: what nobody asked for may be absent, `""` or Go's zero time; what is out of the calendar is refused as Malformed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec

from dayfly.core.policy.lifetimes import parse_duration, render_duration
from dayfly.core.problems import Malformed

GO_ZERO_TIME = "0001-01-01T00:00:00Z"

Asked: TypeAlias = datetime | timedelta | None
"""A time as a client asks for it: a moment, a span from now, or nothing."""

_SERIAL = re.compile(r"0x[0-9a-fA-F]{1,40}|0|[1-9][0-9]{0,48}")  # 20 octets (RFC 5280 4.1.2.2) are 49 digits
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.+")


def parse_asked(text: str | None, member: str) -> Asked:
    """A TimeDuration: an RFC 3339 time, a Go duration, perhaps negative, or `""`; Malformed for anything else."""
    if not text or text == GO_ZERO_TIME:
        return None
    if _MOMENT.fullmatch(text):
        try:
            moment = msgspec.convert(text, datetime)
        except (msgspec.ValidationError, OverflowError):
            moment = None
        if moment is not None and moment.tzinfo is not None:
            return _in_utc(moment, member)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    try:
        return sign * (timedelta() if digits == "0" else parse_duration(digits))
    except (ValueError, OverflowError):
        raise Malformed(f"{member} is neither an RFC 3339 time nor a duration such as 1h30m") from None


def _in_utc(moment: datetime, member: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Malformed(f"{member} is beyond the calendar") from None


def render_asked(asked: Asked) -> str:
    """The TimeDuration that `parse_asked` reads; a moment in whole seconds."""
    if asked is None:
        return ""
    if isinstance(asked, datetime):
        return asked.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"-{render_duration(-asked)}" if asked < timedelta() else render_duration(asked)


def resolve_asked(asked: Asked, now: datetime, member: str) -> datetime | None:
    """The moment that is asked for; a span counts from `now`, for the end as well (step-compat.md part 1)."""
    if not isinstance(asked, timedelta):
        return asked
    try:
        return now + asked
    except OverflowError:
        raise Malformed(f"{member} is beyond the calendar") from None


def parse_serial(text: str) -> int:
    """A serial number, decimal or hex after `0x`; Malformed for any other spelling, and beyond 20 octets."""
    if len(text) > 64 or _SERIAL.fullmatch(text) is None:
        raise Malformed("serial is not a number of at most 20 octets, in decimal or as 0x and hex digits")
    return int(text, 0)
