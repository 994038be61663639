"""What a name rule is, and what makes one well formed (security.md section 4).

Rules: every rule has an owner; a pattern and a network have one spelling; what a rule excludes is written as it will be
met, since a misspelt exclusion would give the name away; a deny rule has no conditions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from dayfly.core.identifiers import parse_dns
from dayfly.core.problems import Refused
from dayfly.errors import ConfigError

Network = IPv4Network | IPv6Network

_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class RuleKind(StrEnum):
    """What a rule speaks of."""

    DNS = "dns"
    IP = "ip"


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
    if rule.kind is RuleKind.DNS:
        parse_pattern(rule.pattern, what=f"rule {rule.id}")
    else:
        parse_network(rule.pattern, what=f"rule {rule.id}")
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


def parse_network(text: str, *, what: str) -> Network:
    """The network in CIDR notation; RuleError, whose text begins with `what`."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise RuleError(f"{what}: {text[:80]!r} is no network: {error}", hint="write it as 10.0.0.0/24") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None and network.prefixlen >= 96:
        raise RuleError(f"{what}: {text} is IPv4-mapped, which no address here is", hint="write the IPv4 network")
    return network
