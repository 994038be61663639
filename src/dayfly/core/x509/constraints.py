"""Name constraints: which names an issuing certificate can vouch for at all (RFC 5280 4.2.1.10).

Rules: a type of name for which nothing is permitted is excluded as a whole, since silence would permit all of it; a
wildcard is permitted only with everything that it may stand for; what the issuer cannot vouch for is refused before
anything is signed, whatever the name rules say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from cryptography import x509

from dayfly.core.events import Reason
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.decisions import ISSUER_CONSTRAINTS
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from dayfly.core.problems import Denial, RejectedIdentifier, Subproblem

Network = IPv4Network | IPv6Network

_UNREAD = ((IdentifierType.EMAIL, x509.RFC822Name), (IdentifierType.URI, x509.UniformResourceIdentifier))
EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
NOBODY: tuple[Network, ...] = (ip_network("0.0.0.0/32"), ip_network("::/128"))  # unspecified, and so nobody's


@dataclass(frozen=True, slots=True)
class NameConstraints:
    """DNS domains (`a.b` covers itself and all below it) and networks; a type with nothing permitted is free.

    Constraints on e-mail addresses and URIs are not read closely: `closed` are the types that have any, and of which no
    name is vouched for.
    """

    permitted_dns: tuple[str, ...] = ()
    permitted_networks: tuple[Network, ...] = ()
    excluded_dns: tuple[str, ...] = ()
    excluded_networks: tuple[Network, ...] = ()
    closed: tuple[IdentifierType, ...] = ()


def plan_constraints(rules: Iterable[Rule], own_names: Sequence[Identifier]) -> NameConstraints:
    """What the first rules allow and the CA's own names, and no address where none of these is one.

    Where only one family has networks, of the other one address is permitted that nobody can have. Silence about it
    would permit all of it to GnuTLS, and an exclusion of all of it fails every address of the first family in Java,
    which holds the octets of one family against the mask of the other.
    """
    allowed = [rule for rule in rules if rule.action is RuleAction.ALLOW]
    domains = [rule.pattern.lstrip("*").removeprefix(".") for rule in allowed if rule.kind is RuleKind.DNS]
    domains += [one.value for one in own_names if one.type is IdentifierType.DNS]
    networks: list[Network] = [ip_network(rule.pattern) for rule in allowed if rule.kind is RuleKind.IP]
    networks += [ip_network(one.value) for one in own_names if one.type is IdentifierType.IP]
    unique = tuple(dict.fromkeys(networks))
    if not unique:
        return NameConstraints(_widest(domains), (), (), EVERYWHERE)
    of_no_use = tuple(one for one in NOBODY if all(one.version != other.version for other in unique))
    return NameConstraints(_widest(domains), (*unique, *of_no_use))


def _widest(domains: Sequence[str]) -> tuple[str, ...]:
    """Without those that another one covers."""
    unique = dict.fromkeys(domains)
    return tuple(one for one in unique if not any(one != other and _below(one, other) for other in unique))


def render_constraints(constraints: NameConstraints) -> x509.NameConstraints:
    """The extension; it is to be critical (RFC 5280 4.2.1.10)."""
    permitted = _general_names(constraints.permitted_dns, constraints.permitted_networks)
    excluded = _general_names(constraints.excluded_dns, constraints.excluded_networks)
    return x509.NameConstraints(permitted or None, excluded or None)


def _general_names(domains: tuple[str, ...], networks: tuple[Network, ...]) -> list[x509.GeneralName]:
    return [*map(x509.DNSName, domains), *map(x509.IPAddress, networks)]


def parse_constraints(certificate: x509.Certificate) -> NameConstraints | None:
    """The constraints of an issuing certificate on DNS names and addresses; None where it has none; ValueError."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
    permitted, excluded = found.permitted_subtrees or [], found.excluded_subtrees or []
    closed = tuple(kind for kind, form in _UNREAD if any(isinstance(one, form) for one in (*permitted, *excluded)))
    return NameConstraints(_domains(permitted), _networks(permitted), _domains(excluded), _networks(excluded), closed)


def _domains(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(one.value.lower().lstrip(".") for one in names if isinstance(one, x509.DNSName))


def _networks(names: Iterable[x509.GeneralName]) -> tuple[Network, ...]:
    values = [one.value for one in names if isinstance(one, x509.IPAddress)]
    return tuple(value for value in values if isinstance(value, IPv4Network | IPv6Network))


def is_permitted(constraints: NameConstraints, identifier: Identifier) -> bool:
    """Can an issuer with these constraints vouch for the name?"""
    if identifier.type is IdentifierType.IP:
        return _address_permitted(constraints, identifier.value)
    if identifier.type is not IdentifierType.DNS:
        return identifier.type not in constraints.closed
    name = identifier.value.removeprefix("*.")
    if any(_below(name, domain) or _stands_for(identifier, domain) for domain in constraints.excluded_dns):
        return False
    return not constraints.permitted_dns or any(_below(name, domain) for domain in constraints.permitted_dns)


def _address_permitted(constraints: NameConstraints, value: str) -> bool:
    address = ip_address(value)
    if any(address in network for network in constraints.excluded_networks if network.version == address.version):
        return False
    return not constraints.permitted_networks or any(
        address in network for network in constraints.permitted_networks if network.version == address.version
    )


def _below(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}") or not domain


def _stands_for(identifier: Identifier, domain: str) -> bool:
    """Is this a wildcard that a name in the excluded domain would match?"""
    return identifier.is_wildcard and domain.partition(".")[2] == identifier.value[2:]


def check_constraints(constraints: Sequence[NameConstraints], identifiers: Sequence[Identifier]) -> None:
    """Raise RejectedIdentifier for names that the issuing certificates cannot vouch for (RFC 5280 6.1.4)."""
    outside = [one for one in identifiers if not all(is_permitted(each, one) for each in constraints)]
    if not outside:
        return
    denial = Denial(ISSUER_CONSTRAINTS, reason=Reason.NAME_NOT_ALLOWED)
    subproblems = [Subproblem(RejectedIdentifier.type, _told(one), one, denial) for one in outside]
    detail = (
        subproblems[0].detail if len(outside) == 1 else f"{len(outside)} names are outside the issuer's constraints"
    )
    raise RejectedIdentifier(detail, subproblems=subproblems, denial=denial)


def _told(identifier: Identifier) -> str:
    return (
        f"{identifier.value}: the issuing certificate is constrained to other names ({ISSUER_CONSTRAINTS}), and no "
        "client would accept it; a rule cannot change that, another intermediate can"
    )
