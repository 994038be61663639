"""Profiles: what a certificate may be asked for, by the kind of thing that it is for (acme.md part 10).

Rules: a profile narrows what its provisioner gives; only `device`, which a provisioner must name to offer it, has
longer lifetimes than the provisioner's claims; what a certificate then holds stands in core/x509/profile, under the
same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from dayfly.core.policy.keys import CERTIFICATE_KEYS, KeyType
from dayfly.core.policy.lifetimes import Lifetimes

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """What may be asked for under a profile.

    `usual` and `longest` are lifetimes, None those of the provisioner's claims; `within_claims` says that the claims
    bound them. `identifier_types` and `challenges` are the only ones, empty is all that there are. `needs_crl` marks
    one whose certificates live too long to go without revocation (RFC 9608).
    """

    name: str
    description: str
    usual: timedelta | None = None
    longest: timedelta | None = None
    within_claims: bool = True
    identifier_types: tuple[str, ...] = ()
    challenges: tuple[str, ...] = ()
    most_names: int = 100
    keys: frozenset[KeyType] = CERTIFICATE_KEYS
    needs_crl: bool = False


SERVICE = ProfileRules("service", "services that renew by themselves; the lifetime is the provisioner's, mostly a day")
DEVICE = ProfileRules(
    "device",
    "devices that are renewed by hand or seldom: 30 days, with a certificate revocation list",
    usual=30 * DAY,
    longest=30 * DAY,
    within_claims=False,
    identifier_types=("dns", "ip"),
    most_names=10,
    needs_crl=True,
)
EPHEMERAL = ProfileRules(
    "ephemeral",
    "jobs that are over before their certificate: an hour at most, and no renewal expected",
    usual=HOUR,
    longest=HOUR,
    most_names=10,
    keys=CERTIFICATE_KEYS | {KeyType.ED25519},
)
PROFILES: Mapping[str, ProfileRules] = MappingProxyType({one.name: one for one in (SERVICE, DEVICE, EPHEMERAL)})
ALL_KEYS = frozenset[KeyType]().union(*(one.keys for one in PROFILES.values()))
NEED_CRL = frozenset(one.name for one in PROFILES.values() if one.needs_crl)
DEFAULT_PROFILES = ("service", "ephemeral")


def offered_profiles(named: tuple[str, ...], claims: Lifetimes) -> tuple[str, ...]:
    """The profiles that a provisioner offers, its default first: those that it names, else the usual ones.

    One that must stay within the claims is left out where they ask for longer lives.
    """
    wanted = [PROFILES[name] for name in named or DEFAULT_PROFILES]
    fitting = [one.name for one in wanted if not _is_too_short(one, claims)]
    return tuple(fitting) or ("service",)


def _is_too_short(rules: ProfileRules, claims: Lifetimes) -> bool:
    return rules.within_claims and rules.longest is not None and rules.longest < claims.minimum


def profile_lifetimes(rules: ProfileRules, claims: Lifetimes) -> Lifetimes:
    """The lifetimes under a profile, by these claims."""
    if rules.usual is None or rules.longest is None:
        return claims
    longest = min(rules.longest, claims.maximum) if rules.within_claims else rules.longest
    usual = min(rules.usual, longest)
    return Lifetimes(min(claims.minimum, usual), usual, longest)
