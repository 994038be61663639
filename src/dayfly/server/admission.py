"""Who may connect: counts and rates per peer, before a handshake costs anything (security.md 15, H6 to H9).

Rules: pure bookkeeping, the time is an argument; memory is bounded, because a peer without connections is forgotten as
soon as its rate allows.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from dayfly.server.limits import FrontLimits, is_private, parse_peer
from dayfly.server.shedding import Shed

_MANY_PEERS = 4096
"""Rates kept before those that have run out are swept."""


def peer_key(address: IPv4Address | IPv6Address) -> int:
    """What counts as one peer: the IPv4 address, or the /64 of an IPv6 address."""
    return int(address) if isinstance(address, IPv4Address) else (int(address) >> 64) | 1 << 64


class Admission:
    """The places of one listener; `open` is how many are taken."""

    def __init__(self, limits: FrontLimits) -> None:
        """All places free."""
        self._limits = limits
        self._taken: dict[int, int] = {}
        self._allowed_at: dict[int, float] = {}
        self.open = 0

    @property
    def is_full(self) -> bool:
        """Are all places taken, whoever asks?"""
        return self.open >= self._limits.connections

    def admit(self, peer: str, now: float, make_room: Callable[[], None] = lambda: None) -> int | Shed:
        """Take a place for this address at `now` (seconds, monotonic): its key for `release`, or why not.

        Where all places are taken `make_room` is called, and only for a peer that its own share and rate allow: who is
        refused anyway pushes nobody out, and who is not pays for the try with its rate.
        """
        address = parse_peer(peer)
        key = peer_key(address)
        limits = self._limits
        private = is_private(address, limits.private_networks)
        share = limits.private_peer_connections if private else limits.peer_connections
        taken = self._taken.get(key, 0)
        if taken >= share:
            return Shed.SHARE
        if not self._within_rate(key, limits.private_peer_rate if private else limits.peer_rate, now):
            return Shed.RATE
        if self.is_full:
            make_room()
        if self.is_full:
            return Shed.FULL
        self._taken[key] = taken + 1
        self.open += 1
        return key

    def release(self, key: int) -> None:
        """Give the place back."""
        self.open -= 1
        left = self._taken[key] - 1
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]

    def _within_rate(self, key: int, rate: float, now: float) -> bool:
        """Theoretical arrival time: one second's worth may come at once."""
        if rate <= 0:
            return True
        allowed_at = max(self._allowed_at.get(key, now), now)
        if allowed_at - now >= 1.0:
            return False
        if len(self._allowed_at) >= _MANY_PEERS:
            self._allowed_at = {known: when for known, when in self._allowed_at.items() if when > now}
        self._allowed_at[key] = allowed_at + 1.0 / rate
        return True
