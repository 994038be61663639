"""What would be allowed and looks most like what was denied (security.md section 4, "Denials").

Rules: a hint is looked up, never searched for: a denial costs the same with ten rules and with ten thousand; the more
labels are shared from the right, the nearer; what is given here is a candidate, and the caller asks the rules about it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class Hints:
    """Per scope (a provisioner's name, "" for the whole authority): names by suffix, networks by version."""

    below: dict[tuple[str, str], str] = field(default_factory=dict)
    exact: dict[tuple[str, str], str] = field(default_factory=dict)
    networks: dict[tuple[str, int], list[tuple[int, int, str]]] = field(default_factory=dict)


def add_base(hints: Hints, scope: str, base: str) -> None:
    """Names below `base` are given."""
    _add(hints.below, scope, base)


def add_exact(hints: Hints, scope: str, name: str) -> None:
    """The name itself is given."""
    _add(hints.exact, scope, name)


def _add(table: dict[tuple[str, str], str], scope: str, name: str) -> None:
    for suffix in _suffixes(name):
        present = table.get((scope, suffix))
        if present is None or _rank(name) < _rank(present):
            table[scope, suffix] = name


def _rank(name: str) -> tuple[int, str]:
    """The shortest first, and among those the alphabet, so that the answer does not hang on the order of rules."""
    return name.count("."), name


def add_network(hints: Hints, scope: str, network: IPv4Network | IPv6Network) -> None:
    """Addresses in `network` are given."""
    first, last = int(network.network_address), int(network.broadcast_address)
    insort(hints.networks.setdefault((scope, network.version), []), (first, last, str(network)))


def near_names(hints: Hints, name: str, scopes: tuple[str, ...]) -> Iterator[str]:
    """Names that rules of these scopes may give, the nearest first; at most four for each suffix of `name`."""
    label = name.partition(".")[0]
    for suffix in _suffixes(name):
        for table in (hints.below, hints.exact):
            for scope in dict.fromkeys(scopes):
                found = table.get((scope, suffix))
                if found is not None:
                    yield f"{label}.{found}" if table is hints.below else found


def near_network(hints: Hints, address: IPv4Address | IPv6Address, provisioner: str) -> str:
    """The network next to `address`, of its version; "" where there is none."""
    number, found = int(address), []
    for scope in (provisioner, ""):
        networks = hints.networks.get((scope, address.version), [])
        place = bisect_right(networks, (number,))
        found += networks[max(place - 1, 0) : place + 1]
    return min(found, key=lambda one: (max(one[0] - number, number - one[1]), one[2]), default=(0, 0, ""))[2]


def _suffixes(name: str) -> Iterator[str]:
    """The name, its parents, and at last "", which all names share."""
    while name:
        yield name
        name = name.partition(".")[2]
    yield ""
