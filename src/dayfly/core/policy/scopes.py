"""Scopes: what an external account key, or an account, may ask for within what the name rules give (acme.md part 5).

Rules: a scope narrows and never widens, so a name needs a rule and every scope that binds the request; an empty part of
a scope says nothing; deny wins; patterns are those of rules, and a wildcard needs a scope that says so; a scope has one
canonical spelling, and one that cannot be read is an error, never no scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import msgspec

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier
from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.policy.decisions import DEFAULT_DENY, Allowed, Denied
from dayfly.core.policy.index import NameRules, compile_rules
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.lifetimes import LONGEST_WITH_CRL, SHORTEST, Lifetimes, render_duration
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import (
    Network,
    Rule,
    RuleAction,
    RuleError,
    RuleKind,
    is_within,
    parse_network,
    parse_target,
)
from dayfly.core.problems import Denial

MAX_PATTERNS = 1_000  # of one scope
MAX_PROFILES = 100

_encode: Callable[[object], bytes] = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Scope:
    """What its bearer is held to; the default holds it to nothing.

    `allow` and `deny` are patterns as `parse_target` reads them (`a.b`, `*.a.b`, `**.a.b`, `10.0.0.0/24`, `@a.b`), and
    an empty `allow` leaves names to the rules; `wildcards` lets `allow` give wildcards too. `sources` are the networks
    that requests must come from. `owner` is whose the certificates are, "" leaves that to the rule. `profiles` and
    `key_types` are the only ones that may be asked for, `max_lifetime` the longest life.
    """

    owner: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    wildcards: bool = False
    sources: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    key_types: tuple[KeyType, ...] = ()
    max_lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class BoundScope:
    """A scope, and whose it is without a space: `eab:7hQ2`, `account:00000b1e5f400000`; a denial's rule is that.

    No rule's id has a colon, so the two are never taken for each other.
    """

    where: str
    scope: Scope


def check_scope(scope: Scope, *, what: str) -> None:
    """Raise RuleError, whose text begins with `what`, where the scope is not well formed."""
    if len(scope.allow) + len(scope.deny) > MAX_PATTERNS or len(scope.profiles) > MAX_PROFILES:
        raise RuleError(f"{what}: a scope has at most {MAX_PATTERNS} patterns and {MAX_PROFILES} profiles")
    if scope.wildcards and not scope.allow:
        raise RuleError(f"{what}: wildcards are of the names that a scope allows, and it allows none by name")
    for text in (*scope.allow, *scope.deny):
        parse_target(text, what=what)
    for text in scope.sources:
        if str(parse_network(text, what=f"{what}, source")) != text:
            raise RuleError(f"{what}, source: {text} is not the canonical spelling of the network")
    if scope.max_lifetime is not None and not SHORTEST <= scope.max_lifetime <= LONGEST_WITH_CRL:
        shortest, longest = render_duration(SHORTEST), render_duration(LONGEST_WITH_CRL)
        raise RuleError(f"{what}: the longest lifetime must lie between {shortest} and {longest}")


def render_scope(scope: Scope) -> bytes:
    """The canonical JSON of a scope, as rows and documents keep it."""
    return _encode(scope)


def parse_scope(body: bytes) -> Scope:
    """The scope in canonical JSON; RuleError where it is none, is not well formed, or says what we do not know."""
    try:
        members = strict_json_object(body)
        scope = msgspec.convert(members, Scope)
    except (EncodingError, msgspec.ValidationError) as error:
        raise RuleError(f"a scope cannot be read: {error}") from None
    unknown = members.keys() - strict_json_object(render_scope(scope)).keys()
    if unknown:
        raise RuleError(f"a scope holds {min(unknown)[:80]!r}, which this Dayfly does not know")
    check_scope(scope, what="the scope")
    return scope


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A scope's patterns as rules, and its networks."""

    rules: NameRules
    sources: tuple[Network, ...]


@lru_cache(maxsize=4096)
def _compiled(scope: Scope) -> _Compiled:
    allows = [_rule(text, scope, RuleAction.ALLOW, number) for number, text in enumerate(scope.allow)]
    denies = [_rule(text, scope, RuleAction.DENY, number) for number, text in enumerate(scope.deny)]
    sources = tuple(parse_network(text, what="the scope, source") for text in scope.sources)
    return _Compiled(compile_rules((*allows, *denies)), sources)


def _rule(text: str, scope: Scope, action: RuleAction, number: int) -> Rule:
    kind, pattern = parse_target(text, what="the scope")
    wildcards = scope.wildcards and action is RuleAction.ALLOW and kind is RuleKind.DNS
    return Rule(f"{action}{number}", kind, pattern, scope.owner or "scope", action, wildcards=wildcards)


def held_back(bound: BoundScope, identifier: Identifier, *, source: IPv4Address | IPv6Address | None) -> Denied | None:
    """Why the scope does not let its bearer have the name from this source; None where it does.

    1. The source is in the scope's networks.  2. No pattern denies it.  3. A pattern allows it, if there are any.
    """
    scope, compiled = bound.scope, _compiled(bound.scope)
    if compiled.sources and not is_within(source, compiled.sources):
        return _denied(bound, Reason.SOURCE_NOT_ALLOWED, f"{bound.where} is bound to other networks", nearest="")
    found = decide(compiled.rules, identifier, provisioner="", source=source)
    if isinstance(found, Allowed):
        return None
    if found.denial.rule != DEFAULT_DENY:
        return _denied(bound, Reason.NAME_NOT_ALLOWED, f"the scope of {bound.where} denies it", nearest="")
    if not scope.allow:
        return None
    why = f"the scope of {bound.where} does not allow it"
    return _denied(bound, Reason.NAME_NOT_ALLOWED, why, nearest=found.denial.nearest)


def _denied(bound: BoundScope, reason: Reason, why: str, *, nearest: str) -> Denied:
    return Denied(Denial(bound.where, bound.scope.owner, nearest), reason, why)


def narrow_lifetimes(lifetimes: Lifetimes, scopes: Iterable[BoundScope]) -> Lifetimes:
    """The lifetimes within the scopes' longest; the provisioner's shortest stays, for a scope never widens."""
    longest = min((one.scope.max_lifetime or lifetimes.maximum for one in scopes), default=lifetimes.maximum)
    maximum = max(lifetimes.minimum, min(lifetimes.maximum, longest))
    return Lifetimes(lifetimes.minimum, min(lifetimes.default, maximum), maximum)
