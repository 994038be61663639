"""CRLs in partitions: which one a leaf belongs to, and where it is to be had (RFC 5280 4.2.1.13, 5.2.5).

Rules: a leaf that lives longer than noRevAvail may say names one partition, that of the day of its notAfter, UTC; so a
partition holds what ends on one day and nothing else, and is over a day after it; the URL in a leaf and that in its CRL
are made here alone, for a reader compares them octet by octet.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from dayfly.core.policy.lifetimes import LONGEST, LONGEST_WITH_CRL, Validity

DAY = timedelta(days=1)
_NAME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_EPOCH = date(1970, 1, 1)


def partition_of(not_after: datetime) -> int:
    """The partition of a leaf: the day on which it ends, counted from 1970, UTC."""
    return int(not_after.timestamp()) // 86_400


def partition_bounds(partition: int) -> tuple[datetime, datetime]:
    """The first moment of the partition's day, and that of the next one."""
    begin = datetime.fromtimestamp(partition * 86_400, UTC)
    return begin, begin + DAY


def render_partition(partition: int) -> str:
    """Its name, as 20261224."""
    return f"{_EPOCH + partition * DAY:%Y%m%d}"


def parse_partition(text: str) -> int | None:
    """The partition of a name; None where it is none."""
    match = _NAME.fullmatch(text)
    try:
        return None if match is None else (date(*map(int, match.groups())) - _EPOCH).days
    except ValueError:
        return None


def is_served(partition: int, now: datetime) -> bool:
    """Can a leaf of this partition be about? From yesterday on, as far as leaves live; so there are few of them."""
    today = partition_of(now)
    return today - 1 <= partition <= today + LONGEST_WITH_CRL // DAY + 1


def partition_url(base: str, partition: int) -> str:
    """Where the partition's CRL is, under the base of `[crl]`."""
    return f"{base}/crl/{render_partition(partition)}.crl"


def needs_crl(validity: Validity) -> bool:
    """Does a leaf of this validity live too long for noRevAvail (RFC 9608 5)?"""
    return validity.lifetime > LONGEST


def crl_url(base: str, validity: Validity) -> str | None:
    """What a leaf of this validity names as its CRL; None where it needs none. `base` is that of `[crl]`."""
    return partition_url(base, partition_of(validity.not_after)) if needs_crl(validity) else None
