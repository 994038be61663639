"""A grant is data: what a provisioner lets its clients ask for, whatever kind of provisioner it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.policy.names import NameRules


@dataclass(frozen=True, slots=True)
class Grant:
    """Names by rules, lifetimes, challenge types, the profile of the certificates, and what its claims say.

    `force_cn` puts a common name into every certificate; `may_renew` is off where the claim `disableRenewal` is on.
    `may_renew_expired` allows it after the end, for `renewal_grace`; None is one lifetime.
    """

    provisioner: str
    rules: NameRules
    lifetimes: Lifetimes
    challenges: tuple[str, ...]
    profile: str
    force_cn: bool = False
    may_renew: bool = True
    may_renew_expired: bool = False
    renewal_grace: timedelta | None = None
