"""Which addresses the CA may dial: one table for validators and probers (security.md section 6, acme.md part 8).

Rules: an address that carries an IPv4 address inside is judged by that one; "never" cannot be opened by any setting;
everything special is denied unless a setting lists its network; only private networks and global unicast are open.
The table is ours because the standard library's has been wrong before, and calls 64:ff9b::7f00:1 global.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Network = IPv4Network | IPv6Network
IPAddress = IPv4Address | IPv6Address


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


NEVER = _networks(
    "0.0.0.0/8",  # "this network", RFC 791
    "169.254.0.0/16",  # link-local, RFC 3927; cloud metadata lives here
    "100.100.100.200/32",  # a cloud's metadata service
    "168.63.129.16/32",  # Azure's platform service, which has metadata too; a public address by its number
    "224.0.0.0/4",  # multicast, RFC 5771
    "240.0.0.0/4",  # reserved, RFC 1112; the limited broadcast too
    "::/128",  # unspecified, RFC 4291
    "fe80::/10",  # link-local, RFC 4291
    "fec0::/10",  # site-local, RFC 3879
    "ff00::/8",  # multicast, RFC 4291
    "fd00:ec2::254/128",  # a cloud's metadata service
    "fd20:ce::254/128",  # Google Cloud's metadata service
    "fd00:42::42/128",  # Scaleway's metadata service
)
LOOPBACK = _networks("127.0.0.0/8", "::1/128")
SPECIAL = _networks(
    "100.64.0.0/10",  # shared address space, RFC 6598
    "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
    "192.0.2.0/24",  # documentation, RFC 5737
    "192.31.196.0/24",  # AS112, RFC 7535
    "192.52.193.0/24",  # AMT, RFC 7450
    "192.88.99.0/24",  # 6to4 relay anycast, RFC 7526
    "192.175.48.0/24",  # AS112, RFC 7534
    "198.18.0.0/15",  # benchmarking, RFC 2544
    "198.51.100.0/24",  # documentation, RFC 5737
    "203.0.113.0/24",  # documentation, RFC 5737
    "2001::/23",  # IETF protocol assignments, RFC 2928; Teredo too
    "2001:db8::/32",  # documentation, RFC 3849
    "2620:4f:8000::/48",  # AS112, RFC 7534
    "3fff::/20",  # documentation, RFC 9637
)
OPEN = _networks(
    "10.0.0.0/8",  # private, RFC 1918
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",  # unique local, RFC 4193
    "2000::/3",  # global unicast, RFC 4291
)
_V4_AT_THE_END = (
    ip_network("::ffff:0:0/96"),  # IPv4-mapped, RFC 4291
    ip_network("::/96"),  # IPv4-compatible, RFC 4291
    ip_network("64:ff9b::/96"),  # NAT64, RFC 6052
)
_SIX_TO_FOUR = ip_network("2002::/16")  # RFC 3056: the IPv4 address stands in bits 16 to 47


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it be dialled; `reason` for a person; `opens_with` is the network that a setting could list, "" for never."""

    allowed: bool
    reason: str
    opens_with: str = ""


def unwrap(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 one that carries one, else the address itself; ::1 and :: are themselves."""
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return address
    if any(address in network for network in _V4_AT_THE_END):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return address


def judge(address: IPAddress, *, allow: tuple[Network, ...] = ()) -> Verdict:
    """May this address be dialled, with these networks opened by a setting?"""
    inner = unwrap(address)
    if _within(inner, NEVER):
        return Verdict(allowed=False, reason="it is link-local, multicast, unspecified, reserved or a metadata service")
    if _within(inner, allow):
        return Verdict(allowed=True, reason="a setting allows its network")
    loopback = _first(inner, LOOPBACK)
    if loopback is not None:
        return Verdict(allowed=False, reason="it is a loopback address", opens_with=str(loopback))
    special = _first(inner, SPECIAL)
    if special is not None:
        return Verdict(allowed=False, reason="it is a special-purpose address", opens_with=str(special))
    if isinstance(inner, IPv4Address) or _within(inner, OPEN):
        return Verdict(allowed=True, reason="")
    return Verdict(allowed=False, reason="it is not unicast that is in use", opens_with=f"{inner}/128")


def _first(address: IPAddress, networks: tuple[Network, ...]) -> Network | None:
    return next((network for network in networks if address.version == network.version and address in network), None)


def _within(address: IPAddress, networks: tuple[Network, ...]) -> bool:
    return _first(address, networks) is not None
