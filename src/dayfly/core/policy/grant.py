"""A grant is data: what a provisioner lets its clients ask for, whatever kind of provisioner it is."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.policy.names import NameRules


@dataclass(frozen=True, slots=True)
class Grant:
    """Names by rules, lifetimes, challenge types, the profile of the certificates, and whether a CN is forced."""

    provisioner: str
    rules: NameRules
    lifetimes: Lifetimes
    challenges: tuple[str, ...]
    profile: str
    force_cn: bool = False
