"""Lifetimes: seconds and shares of life, never days; one function for every entry point (acme.md part 10).

Rules: notAfter = notBefore + lifetime - 1 s, since both ends are inside (RFC 5280 4.1.2.5); whole seconds; back-dated
by min(backdate, lifetime/10); an asked end is exact or refused; nothing outlives its issuer; never below ten seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.problems import Malformed, ServiceUnavailable

SHORTEST = timedelta(seconds=10)
LONGEST = timedelta(days=7)  # above it a leaf needs a CRL (RFC 9608 5 leaves the bound to the CA)
LONGEST_WITH_CRL = timedelta(days=398)  # as long as a leaf of the public web could live since 2020
BACKDATE = timedelta(minutes=1)
MAX_BACKDATE = timedelta(hours=1)
SECOND = timedelta(seconds=1)

_UNITS = {"ms": timedelta(milliseconds=1), "s": SECOND, "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_UNITS["d"] = timedelta(days=1)
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+")
_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")


class LifetimeError(ValueError):
    """Lifetimes do not fit together."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """What a provisioner gives: the shortest, the usual and the longest lifetime."""

    minimum: timedelta
    default: timedelta
    maximum: timedelta


@dataclass(frozen=True, slots=True)
class Validity:
    """A certificate's first and last second, both inside (RFC 5280 4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    @property
    def lifetime(self) -> timedelta:
        """From the first second to the last, both counted."""
        return self.not_after - self.not_before + SECOND


def check_lifetimes(lifetimes: Lifetimes) -> None:
    """Raise LifetimeError where the three are out of order or out of bounds."""
    if not lifetimes.minimum <= lifetimes.default <= lifetimes.maximum:
        raise LifetimeError("the lifetimes must rise: shortest, default, longest")
    if lifetimes.minimum < SHORTEST:
        raise LifetimeError(f"the shortest lifetime is {render_duration(lifetimes.minimum)}; the floor is 10s")
    if lifetimes.maximum > LONGEST_WITH_CRL:
        raise LifetimeError(f"the longest lifetime is {render_duration(lifetimes.maximum)}; the ceiling is 398d")


def shrink(constant: timedelta, divisor: float, lifetime: timedelta) -> timedelta:
    """The smaller of a constant and a share of life: min(constant, lifetime/divisor)."""
    return min(constant, lifetime / divisor)


def plan_validity(
    now: datetime,
    *,
    lifetimes: Lifetimes,
    issuer_not_after: datetime,
    requested_not_before: datetime | None = None,
    requested_not_after: datetime | None = None,
    backdate: timedelta = BACKDATE,
) -> Validity:
    """The validity of a certificate issued at `now`.

    1. The start: asked for, or now, back-dated by what the maximum does not count.
    2. The end: asked for, to the second, or the default lifetime after the start.
    3. The bounds: the provisioner's, and the issuer's; Malformed for what was asked and cannot be.
    4. An issuer that ends too soon to give the shortest lifetime is ServiceUnavailable.
    """
    moment = now.replace(microsecond=0)
    if requested_not_after is not None or requested_not_before is not None:
        return _asked(moment, lifetimes, issuer_not_after, requested_not_before, requested_not_after, backdate)
    not_before = moment - _backdated(backdate, lifetimes.default)
    not_after = min(not_before + lifetimes.default - SECOND, issuer_not_after)
    shortest = max(lifetimes.minimum, SHORTEST)
    if not_after - not_before + SECOND < shortest:
        raise ServiceUnavailable(
            "the CA's issuing certificate ends before a certificate of the shortest lifetime would", retry_after=3600
        )
    return Validity(not_before, not_after)


def _backdated(backdate: timedelta, lifetime: timedelta) -> timedelta:
    """Whole seconds, at most an hour and a tenth of life."""
    share = min(backdate, MAX_BACKDATE, lifetime / 10)
    return timedelta(seconds=int(share.total_seconds()))


def _asked(
    now: datetime,
    lifetimes: Lifetimes,
    issuer_not_after: datetime,
    start: datetime | None,
    end: datetime | None,
    backdate: timedelta,
) -> Validity:
    """What was asked for exactly, or Malformed; the back-dating of an unasked start counts for no bound."""
    if start is not None and start < now - MAX_BACKDATE:
        raise Malformed("notBefore lies in the past")
    begin = (start or now).replace(microsecond=0)
    if begin - now > lifetimes.maximum:
        raise Malformed("notBefore lies too far in the future")
    finish = end.replace(microsecond=0) if end is not None else begin + lifetimes.default - SECOND
    if finish <= now or finish <= begin:
        raise Malformed("notAfter lies in the past, or before notBefore")
    lifetime = finish - begin + SECOND
    if lifetime < max(lifetimes.minimum, SHORTEST):
        raise Malformed(
            f"a lifetime of {render_duration(lifetime)} is below the shortest, "
            f"{render_duration(max(lifetimes.minimum, SHORTEST))}"
        )
    if lifetime > lifetimes.maximum + SECOND:  # the asked end may be a second past what now + maximum gives
        raise Malformed(f"the lifetime is above the longest, {render_duration(lifetimes.maximum)}")
    if finish > issuer_not_after:
        raise Malformed(f"notAfter lies beyond the issuing certificate's, {issuer_not_after:%Y-%m-%dT%H:%M:%SZ}")
    if start is None:
        begin = _backdated_begin(begin, finish, backdate)
    return Validity(begin, finish)


def _backdated_begin(begin: datetime, finish: datetime, backdate: timedelta) -> datetime:
    """Back-dated, but not so that a life which needs no CRL comes to need one."""
    lifetime = finish - begin + SECOND
    earlier = begin - _backdated(backdate, lifetime)
    if lifetime > LONGEST + SECOND:
        return earlier
    return max(earlier, finish - LONGEST + SECOND)


def parse_duration(text: str) -> timedelta:
    """A duration as Go writes it (`1h30m`, `90s`, `500ms`), and `d` for 24 hours; ValueError with the reason."""
    if len(text) > 64 or not text.isascii() or _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text[:64]!r} is no duration such as 30s, 5m or 24h")
    try:
        return sum((float(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta())
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:64]!r} is no duration such as 30s, 5m or 24h") from None


def render_duration(duration: timedelta) -> str:
    """The duration as Go writes it: `24h0m0s`, `1m0s`, `30s`."""
    seconds = duration.total_seconds()
    whole, rest = divmod(int(seconds), 60), seconds - int(seconds)
    minutes, second = whole
    hours, minute = divmod(minutes, 60)
    tail = f"{second + rest:g}s" if rest else f"{second}s"
    if hours:
        return f"{hours}h{minute}m{tail}"
    return f"{minute}m{tail}" if minute else tail


def short_duration(duration: timedelta) -> str:
    """The duration as a person writes it: `30d`, `24h`, `1h30m`, `20s`."""
    days, rest = divmod(duration, timedelta(days=1))
    if days > 1 and not rest:
        return f"{days}d"
    text = render_duration(duration)
    for unit in ("0s", "0m"):
        if text.endswith((f"h{unit}", f"m{unit}")):
            text = text.removesuffix(unit)
    return text
