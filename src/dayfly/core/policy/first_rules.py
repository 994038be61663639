"""The rules that a new CA begins with (security.md section 4, "First rule").

Rules: a rule gives what is below a domain that somebody can own: no public suffix, and of single labels only those that
are private; the CA's own names are excluded from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from dayfly.core.identifiers import parse_dns
from dayfly.core.policy.rules import (
    Rule,
    RuleError,
    RuleKind,
    check_rule,
    parse_network,
)
from dayfly.core.problems import Refused

# Parents of one label that are private, by RFC or by wide use, and so may become a rule of their own.
PRIVATE_PARENTS = frozenset(
    {
        "internal",  # reserved for private use by ICANN, 2024
        "test",  # RFC 6761
        "example",  # RFC 6761
        "local",  # RFC 6762; used for unicast all the same
        "lan",
        "home",
        "corp",
        "intranet",
        "private",
    }
)

PRIVATE_SUFFIXES = frozenset({"home.arpa"})  # RFC 8375


def first_rules(
    dns_names: Sequence[str],
    *,
    allow_dns: Sequence[str] = (),
    allow_ip: Sequence[str] = (),
    owner: str,
    is_public_suffix: Callable[[str], bool],
) -> tuple[Rule, ...]:
    """The rules that a new CA begins with (security.md section 4, "First rule").

    The parent of each of the CA's own names (canonical; addresses may be among them), and everything below it, without
    wildcards and the CA's own names; the same for `allow_dns`; the networks of `allow_ip`. RuleError for a suffix that
    is public, or for what is no domain or network.
    """
    own = tuple(name for name in dns_names if not _is_address(name))
    addresses = tuple(name for name in dns_names if _is_address(name))
    parents = [parent for name in own if (parent := _own_parent(name, is_public_suffix))]
    asked = [_asked_domain(name, is_public_suffix) for name in allow_dns]
    patterns = [(RuleKind.DNS, pattern) for base in dict.fromkeys(parents + asked) for pattern in (base, f"**.{base}")]
    networks = [str(parse_network(text, what="--allow-ip")) for text in allow_ip]
    patterns += [(RuleKind.IP, text) for text in dict.fromkeys(networks)]
    rules = tuple(
        Rule(f"r{number}", kind, pattern, owner, excluded=own if kind is RuleKind.DNS else addresses)
        for number, (kind, pattern) in enumerate(patterns, start=1)
    )
    for rule in rules:
        check_rule(rule)
    return rules


def _own_parent(name: str, is_public_suffix: Callable[[str], bool]) -> str:
    """The domain that the CA lives in, "" where that is none to give away."""
    if _is_address(name) or "." not in name:
        return ""
    parent = name.partition(".")[2]
    return parent if may_be_given(parent, is_public_suffix) else ""


def _asked_domain(name: str, is_public_suffix: Callable[[str], bool]) -> str:
    try:
        domain = parse_dns(name, wildcard=False).value
    except Refused as error:
        raise RuleError(f"--allow-dns: {error.detail}") from None
    if not may_be_given(domain, is_public_suffix):
        raise RuleError(
            f"--allow-dns: {domain} is a public suffix; nobody owns all names below it", hint="name a domain of yours"
        )
    return domain


def may_be_given(domain: str, is_public_suffix: Callable[[str], bool]) -> bool:
    """May a rule give the names below this domain? No public suffix, and of single labels only private ones."""
    if domain in PRIVATE_SUFFIXES:
        return True
    if "." not in domain:
        return domain in PRIVATE_PARENTS
    return not is_public_suffix(domain)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
