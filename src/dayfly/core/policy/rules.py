"""What a name rule is, and what makes one well formed (security.md section 4).

Rules: every rule has an owner; a pattern and a network have one spelling; what a rule excludes is written as it will be
met, since a misspelt exclusion would give the name away; a deny rule has no conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dayfly.core.identifiers import (
    Identifier,
    IdentifierType,
    parse_common_name,
    parse_dns,
    parse_email,
    uri_host,
)
from dayfly.core.problems import Refused
from dayfly.errors import ConfigError

Network = IPv4Network | IPv6Network
Source = IPv4Address | IPv6Address

_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class RuleKind(StrEnum):
    """What a rule speaks of."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"
    CN = "cn"


class RuleAction(StrEnum):
    """What a rule does."""

    ALLOW = "allow"
    DENY = "deny"


class RuleError(ConfigError):
    """A rule cannot be read."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        """Say what is wrong; the text names the rule or the flag."""
        super().__init__("", problem, hint=hint)


@dataclass(frozen=True, slots=True)
class Rule:
    """One name rule.

    What `pattern` is hangs on the kind: a name as `a.b`, `*.a.b`, `**.a.b`; a network; `user@a.b`, or `@a.b` for all of
    a domain; for a URI its host, written as names are, whatever scheme and path; a common name as it stands.
    `provisioner` empty means the whole authority; `excluded` are exact names that an allow rule never gives;
    `sources` are networks (CIDR) that a request must come from.
    """

    id: str
    kind: RuleKind
    pattern: str
    owner: str
    action: RuleAction = RuleAction.ALLOW
    provisioner: str = ""
    wildcards: bool = False
    sources: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def check_rule(rule: Rule) -> None:
    """Raise RuleError where the rule is not well formed."""
    if _RULE_ID.fullmatch(rule.id) is None:
        raise RuleError(f"rule id {rule.id[:80]!r} is not 1 to 63 letters, digits, dots, hyphens or underscores")
    if not rule.owner:
        raise RuleError(f"rule {rule.id} has no owner; every rule has one")
    if rule.action is RuleAction.DENY and (rule.sources or rule.excluded or rule.wildcards):
        raise RuleError(f"rule {rule.id} denies: it holds from everywhere, for all of its names, wildcards included")
    if rule.kind not in {RuleKind.DNS, RuleKind.IP} and (rule.wildcards or rule.excluded):
        raise RuleError(f"rule {rule.id} is of the kind {rule.kind}, which has no wildcards and no exclusions")
    check_pattern(rule.kind, rule.pattern, what=f"rule {rule.id}")
    for text in rule.sources:
        parse_network(text, what=f"rule {rule.id}, source")
    for name in rule.excluded:
        _check_excluded(rule, name)


def _check_excluded(rule: Rule, name: str) -> None:
    """An excluded name that is not canonical would never be met, and so would be given away."""
    try:
        canonical = parse_dns(name, wildcard=False).value if rule.kind is RuleKind.DNS else str(ip_address(name))
    except (Refused, ValueError):
        canonical = ""
    if canonical != name:
        raise RuleError(f"rule {rule.id} excludes {name[:80]!r}, which is no name of its kind in canonical spelling")


def check_pattern(kind: RuleKind, text: str, *, what: str) -> None:
    """Raise RuleError, whose text begins with `what`, where the text is no pattern of this kind."""
    if kind in {RuleKind.DNS, RuleKind.URI}:
        parse_pattern(text, what=what)
    elif kind is RuleKind.IP:
        parse_network(text, what=what)
    elif kind is RuleKind.EMAIL:
        _check_mailboxes(text, what)
    elif _canonical(parse_common_name, text) != (IdentifierType.CN, text):
        raise RuleError(
            f"{what}: {text[:80]!r} is no common name that is not a name of another kind",
            hint="write it as it stands in the subject, as 'Build robot'; a CN that is a name meets the rules of names",
        )


def _check_mailboxes(text: str, what: str) -> None:
    """`@a.b` or `user@a.b`, in canonical spelling."""
    whole = f"x{text}" if text.startswith("@") else text
    if _canonical(parse_email, whole) != (IdentifierType.EMAIL, whole):
        raise RuleError(f"{what}: {text[:80]!r} is no pattern of e-mail addresses", hint="write it as @a.b or user@a.b")


def _canonical(parse: Callable[[str], Identifier], text: str) -> tuple[IdentifierType, str] | None:
    """Type and canonical spelling; None where the text is no such name."""
    try:
        found = parse(text)
    except Refused:
        return None
    return found.type, found.value


def parse_pattern(text: str, *, what: str) -> tuple[str, str]:
    """The pattern's wildcard (`""`, `*` or `**`) and its base; RuleError, whose text begins with `what`."""
    head, dot, tail = text.partition(".")
    stars, base = (head, tail) if dot and head in {"*", "**"} else ("", text)
    try:
        canonical = parse_dns(base, wildcard=False).value
    except Refused as error:
        raise RuleError(
            f"{what}: {text[:80]!r} is no pattern: {error.detail}", hint="write it as a.b, *.a.b or **.a.b"
        ) from None
    if canonical != base:
        raise RuleError(f"{what}: {text!r} has upper case", hint=f"write {text.lower()}")
    return stars, base


def parse_target(text: str, *, what: str = "the pattern", kind: RuleKind | None = None) -> tuple[RuleKind, str]:
    """What a person names, as kind and pattern in the spelling of a rule; RuleError, whose text begins with `what`.

    A network or an address, what has an `@`, `uri:a.b` for URIs at a host, `cn:Build robot` for a common name; else a
    pattern of names. Where the kind is known the text is a pattern of it, and nothing else.
    """
    named, _, rest = text.partition(":")
    found, pattern = _prefixed(named, rest) or (_guessed(text), text)
    if kind is not None and found is not kind:
        if found is not RuleKind.DNS or kind is RuleKind.IP:
            raise RuleError(f"{text} is of the kind {found}, not {kind}", hint=f"say {found} in place of {kind}")
        found, pattern = kind, text
    if found is RuleKind.IP:
        return found, str(parse_network(pattern, what=what))
    check_pattern(found, pattern, what=what)
    return found, pattern


def _prefixed(named: str, rest: str) -> tuple[RuleKind, str] | None:
    """`uri:a.b`, `cn:Build robot`; a whole URI is no pattern, but its host is."""
    if rest.startswith("//"):
        raise RuleError(
            f"{named}:{rest[:80]} is a URI, and a rule is for all of a host",
            hint=f"write uri:{rest[2:].partition('/')[0]}",
        )
    kinds = {str(one): one for one in (RuleKind.DNS, RuleKind.EMAIL, RuleKind.URI, RuleKind.CN)}
    return (kinds[named], rest) if named in kinds and rest else None


def _guessed(text: str) -> RuleKind:
    if "@" in text:
        return RuleKind.EMAIL
    if "/" in text:
        return RuleKind.IP
    try:
        ip_address(text)
    except ValueError:
        return RuleKind.DNS
    return RuleKind.IP


def parse_network(text: str, *, what: str) -> Network:
    """The network in CIDR notation; RuleError, whose text begins with `what`."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise RuleError(f"{what}: {text[:80]!r} is no network: {error}", hint="write it as 10.0.0.0/24") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None and network.prefixlen >= 96:
        raise RuleError(f"{what}: {text} is IPv4-mapped, which no address here is", hint="write the IPv4 network")
    return network


def is_within(source: Source | None, networks: tuple[Network, ...]) -> bool:
    """Is the source, which must be known, in one of the networks?"""
    return source is not None and any(source.version == network.version and source in network for network in networks)


def smallest_rule(identifier: Identifier) -> tuple[RuleKind, str]:
    """The kind and pattern of the smallest rule that would allow this name; a wildcard's must say `wildcards` too."""
    if identifier.type is IdentifierType.IP:
        return RuleKind.IP, str(ip_network(identifier.value))
    if identifier.type is IdentifierType.URI:
        return RuleKind.URI, uri_host(identifier)
    return RuleKind(identifier.type.value), identifier.value
