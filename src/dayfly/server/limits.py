"""The numbers of the front: how much, how long, how many (security.md 7).

Rules: sizes are octets, times are seconds; every limit is a field here, so that a deployment or a test can set it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

PRIVATE_NETWORKS: tuple[Network, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
"""Peers with the larger share; our own table, because `ipaddress.is_private` means much more (security.md 8)."""


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """What one connection, one peer and all of them together may take; sizes in octets, times in seconds.

    A *peer* is an IPv4 address or an IPv6 /64. A connection is *half open* from accept to the end of the handshake.
    """

    target: int = 8 * 1024
    """The request target: path and query (414)."""
    head: int = 16 * 1024
    """Request line and headers, names, values, colons and line ends together (431)."""
    header_count: int = 64
    """Header lines (431)."""
    body: int = 64 * 1024
    """The body without its framing (413)."""
    chunk_overhead: int = 8 * 1024
    """What chunked framing adds to one body, chunk extensions included (400)."""
    pipelined: int = 16
    """Requests that wait behind the one being answered (400 for the next)."""
    write_buffer: int = 64 * 1024
    """What may wait for a slow reader before the write timeout runs."""
    lingering: int = 1024 * 1024
    """What is read and thrown away after a 413, 414 or 431, so that the client sees the answer and not a reset."""

    handshake_timeout: float = 10.0
    """From accept to the end of the TLS handshake."""
    head_timeout: float = 10.0
    """From connection, and later from a request's first octet, to the end of its head (408)."""
    body_timeout: float = 15.0
    """From the end of the head to the end of the body (408)."""
    idle_timeout: float = 60.0
    """Between an answer and the next request."""
    write_timeout: float = 30.0
    """For a reader to take what waits in the write buffer."""
    linger_timeout: float = 1.0
    """How long to read on after a 413, 414 or 431."""
    shutdown_timeout: float = 2.0
    """For the peer to answer our TLS close_notify."""

    connections: int = 8192
    """Connections in all, half-open ones included; lowered to what the descriptor limit allows."""
    half_open: int = 1024
    """Half-open connections in all; past that the oldest is dropped, for an honest handshake takes milliseconds."""
    peer_connections: int = 128
    """Connections of one peer."""
    private_peer_connections: int = 4096
    """Connections of one private peer: many services may sit behind one address."""
    peer_rate: float = 50.0
    """New connections of one peer per second, with a second's worth at once; 0 switches the rate off."""
    private_peer_rate: float = 500.0
    """The same for a private peer."""
    private_networks: tuple[Network, ...] = PRIVATE_NETWORKS
    """Who is a private peer."""


@lru_cache(maxsize=1024)  # a crowd comes from few addresses, and reading one costs as much as accepting it
def parse_peer(text: str) -> IPv4Address | IPv6Address:
    """The address of a peer; an IPv4-mapped one is unwrapped, a zone is dropped."""
    address = ip_address(text.partition("%")[0])
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def is_private(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    """Is the address in one of these networks?"""
    return any(address in network for network in networks)
