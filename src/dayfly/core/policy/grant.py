"""A grant is data: what a provisioner lets its clients ask for, whatever kind of provisioner it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dayfly.core.events import Reason
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, parse_name
from dayfly.core.policy.decisions import Allowed, Denied, check_decisions
from dayfly.core.policy.index import NameRules
from dayfly.core.policy.keys import CERTIFICATE_KEYS, KeyType
from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.policy.names import check_names, decide
from dayfly.core.policy.profiles import NEED_CRL, PROFILES, ProfileRules, profile_lifetimes
from dayfly.core.policy.rules import Source
from dayfly.core.policy.scopes import BoundScope, held_back, narrow_lifetimes
from dayfly.core.problems import BadCSR, InvalidProfile, RejectedIdentifier, Subproblem


@dataclass(frozen=True, slots=True)
class Grant:
    """Names by rules, lifetimes, challenge types, the profile of the certificates, and what its claims say.

    `force_cn` puts a common name into every certificate; `may_renew` is off where the claim `disableRenewal` is on.
    `may_renew_expired` allows it after the end, for `renewal_grace`; None is one lifetime. `scopes` are those of the
    external account key and the account that ask, and hold them to less than the rules give. `caa` asks for a look at
    CAA records, where the CA is one of `identities`. `pre_authorization` lets
    clients prove names before they order (RFC 8555 7.4.1); a name that was proved serves the account's next orders for
    `authorization_reuse`, none where that is nought. `profiles` are those that are offered, the default first;
    lifetimes, challenges, `key_types` and the number of names are those of `profile`, made of what the provisioner has:
    `claims`, `all_challenges` and `named_keys`, which is empty where it names none.
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
    scopes: tuple[BoundScope, ...] = ()
    caa: bool = False
    identities: tuple[str, ...] = ()
    pre_authorization: bool = False
    authorization_reuse: timedelta = timedelta()
    key_types: frozenset[KeyType] = CERTIFICATE_KEYS
    profiles: tuple[str, ...] = ("service",)
    claims: Lifetimes | None = None
    all_challenges: tuple[str, ...] = ()
    identifier_types: tuple[str, ...] = ()
    most_names: int = 100
    named_keys: frozenset[KeyType] = frozenset()


def under_profile(grant: Grant, name: str) -> Grant:
    """The grant for this profile, "" for the first that is offered to this bearer; InvalidProfile tells which are."""
    if not name and not grant.scopes and grant.profiles[:1] == (grant.profile,):
        return grant
    offered = [one for one in grant.profiles if all(_may_have(bound, one) for bound in grant.scopes)]
    if name in grant.profiles and name not in offered:
        check_profile_granted(grant, name)
    if name not in offered and (name or not offered):
        known = f"those that are: {', '.join(offered)}" if offered else "none is offered to this account"
        raise InvalidProfile(f"the profile {name[:40]!r} is not offered here; {known}")
    chosen = name or offered[0]
    return grant if chosen == grant.profile else _changed(grant, PROFILES[chosen])


def without_crl(grant: Grant) -> Grant:
    """The grant where there are no CRLs: what would need one is not offered (RFC 9608)."""
    if NEED_CRL.isdisjoint(grant.profiles):
        return grant
    return replace(grant, profiles=tuple(one for one in grant.profiles if one not in NEED_CRL))


def _may_have(bound: BoundScope, profile: str) -> bool:
    return not bound.scope.profiles or profile in bound.scope.profiles


def _changed(grant: Grant, rules: ProfileRules) -> Grant:
    lifetimes = profile_lifetimes(rules, grant.claims or grant.lifetimes)
    challenges = grant.all_challenges or grant.challenges
    return replace(
        grant,
        profile=rules.name,
        lifetimes=narrow_lifetimes(lifetimes, grant.scopes) if grant.scopes else lifetimes,
        challenges=tuple(one for one in challenges if not rules.challenges or one in rules.challenges),
        identifier_types=rules.identifier_types,
        most_names=rules.most_names,
        key_types=_keys(grant, rules),
    )


def _keys(grant: Grant, rules: ProfileRules) -> frozenset[KeyType]:
    """The key types of a profile that the provisioner and all scopes let through; who names none lets all."""
    scopes = (frozenset(one.scope.key_types) for one in grant.scopes)
    return rules.keys.intersection(*(one for one in (grant.named_keys, *scopes) if one))


def check_asked(grant: Grant, identifiers: Sequence[Identifier]) -> None:
    """Raise RejectedIdentifier where a profile has fewer names, or other types of them, than are asked for."""
    if len(identifiers) > grant.most_names:
        raise RejectedIdentifier(
            f"{len(identifiers)} names; profile {grant.profile} has at most {grant.most_names} in a certificate"
        )
    if grant.identifier_types:
        other = [one for one in identifiers if one.type not in grant.identifier_types]
        if other:
            types = " and ".join(grant.identifier_types)
            what = f"profile {grant.profile} takes identifiers of type {types} only"
            bad = [Subproblem(RejectedIdentifier.type, f"{one.value}: {what}", one) for one in other]
            raise RejectedIdentifier(f"{other[0].value}: {what}", subproblems=bad)


def within_scopes(grant: Grant, scopes: tuple[BoundScope, ...]) -> Grant:
    """The grant as it is for a bearer of these scopes."""
    if not scopes:
        return grant
    kinds = grant.key_types.intersection(*(one.scope.key_types for one in scopes if one.scope.key_types))
    return replace(grant, scopes=scopes, lifetimes=narrow_lifetimes(grant.lifetimes, scopes), key_types=kinds)


def check_key_granted(grant: Grant, kind: KeyType) -> None:
    """Raise BadCSR for a key of a kind that is not given here; say by what, and which are."""
    if kind in grant.key_types:
        return
    given = f"use one of {', '.join(sorted(grant.key_types))}" if grant.key_types else "none at all is allowed"
    scope = next((one for one in grant.scopes if one.scope.key_types and kind not in one.scope.key_types), None)
    if scope is not None:
        what = f"the scope of {scope.where} allows no keys of type {kind}"
    elif grant.named_keys and kind not in grant.named_keys:
        what = f"provisioner {grant.provisioner} takes no keys of type {kind}"
    else:
        what = f"profile {grant.profile} takes no keys of type {kind}"
    raise BadCSR(f"{what}; {given}", reason=Reason.KEY_NOT_ALLOWED)


def check_profile_granted(grant: Grant, profile: str) -> None:
    """Raise InvalidProfile for a profile, "" being the usual one, that a scope does not allow."""
    asked = profile or grant.profile
    for one in grant.scopes:
        if one.scope.profiles and asked not in one.scope.profiles:
            allowed = ", ".join(one.scope.profiles)
            raise InvalidProfile(f"the scope of {one.where} does not allow the profile {asked}; ask for {allowed}")


def check_granted(grant: Grant, identifiers: Sequence[Identifier], *, source: Source | None) -> tuple[Allowed, ...]:
    """What allows each name, in order; RejectedIdentifier names all that rules or scopes deny (RFC 8555 6.7.1)."""
    if not grant.scopes:
        return check_names(grant.rules, identifiers, provisioner=grant.provisioner, source=source)
    return check_decisions([(one, decide_granted(grant, one, source=source)) for one in identifiers])


def decide_granted(grant: Grant, identifier: Identifier, *, source: Source | None) -> Allowed | Denied:
    """May this name be had under this grant? A rule must give it, and every scope let it pass.

    The owner is that of the narrowest scope which names one, else the rule's. A scope's nearest is told only where it
    would be allowed.
    """
    found = decide(grant.rules, identifier, provisioner=grant.provisioner, source=source)
    if isinstance(found, Denied):
        return found
    for bound in grant.scopes:
        held = held_back(bound, identifier, source=source)
        if held is not None:
            return _told_honestly(grant, held, source)
        found = Allowed(found.rule, bound.scope.owner or found.owner)
    return found


def _told_honestly(grant: Grant, held: Denied, source: Source | None) -> Denied:
    nearest = held.denial.nearest
    if nearest and not _would_be_allowed(grant, nearest, source):
        return replace(held, denial=replace(held.denial, nearest=""))
    return held


def _would_be_allowed(grant: Grant, nearest: str, source: Source | None) -> bool:
    """Is it a network, which is advice and no name, or a name that all of it allows?"""
    if "/" in nearest and "://" not in nearest:
        return True
    asked = parse_name(nearest)
    if isinstance(decide(grant.rules, asked, provisioner=grant.provisioner, source=source), Denied):
        return False
    return all(held_back(one, asked, source=source) is None for one in grant.scopes)
