"""How far a certificate's life has gone, and whether it is due by a threshold (step-compat.md 14).

Rules: a threshold is a share of life that was used, or the time that is left; both count from the certificate's own
two times; without one it is 66 %, as step has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dayfly.core.policy.lifetimes import parse_duration


@dataclass(frozen=True, slots=True)
class ShareUsed:
    """Due from this share of life on, 0 to 1."""

    share: float


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Due with at most this time left; below zero: expired for so long."""

    duration: timedelta


Threshold = ShareUsed | TimeLeft
DEFAULT: Threshold = ShareUsed(0.66)


def parse_threshold(text: str) -> Threshold:
    """`75%`, or a duration such as `1h15m`, with a sign or without; ValueError with the reason."""
    if text.endswith("%"):
        digits = text[:-1]
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 100):
            raise ValueError(f"{text[:64]!r} is no whole percentage from 0% to 100%")
        return ShareUsed(int(digits) / 100)
    bare = text[1:] if text[:1] in {"-", "+"} else text
    duration = timedelta() if bare == "0" else parse_duration(bare)
    return TimeLeft(-duration if text.startswith("-") else duration)


def share_used(not_before: datetime, not_after: datetime, *, now: datetime) -> float:
    """The share of life behind `now`: below 0 before it begins, above 1 after its end; 1 for a life of no length."""
    life = not_after - not_before
    return (now - not_before) / life if life > timedelta() else 1.0


def is_due(threshold: Threshold, not_before: datetime, not_after: datetime, *, now: datetime) -> bool:
    """Has the certificate passed the threshold?"""
    if isinstance(threshold, TimeLeft):
        return not_after - now <= threshold.duration
    return share_used(not_before, not_after, now=now) >= threshold.share
