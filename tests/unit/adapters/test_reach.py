"""The way out: an address is judged once, and by whatever is asked of it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from dayfly.adapters.validators.reach import JUDGED, Reach
from dayfly.core.identifiers import parse_ip
from dayfly.ports.validation import ValidationFailed


def reach(**changes: Any) -> Reach:
    """A way out that resolves nothing."""
    plain: dict[str, Any] = {"hosts": {}, "allow": (), "own_listeners": frozenset(), "own_ports": frozenset()}
    resolver: Any = None
    return Reach(resolver=resolver, **(plain | changes))


def test_refused_address_stays_refused() -> None:
    """However often it is asked for; and one that a setting opens stays open."""
    closed, opened = reach(), reach(allow=(ip_network("127.0.0.0/8"),))
    for _ in range(3):
        with pytest.raises(ValidationFailed, match="may not dial"):
            asyncio.run(closed.locate(parse_ip("127.0.0.1"), 80))
        assert len(asyncio.run(opened.locate(parse_ip("127.0.0.1"), 80)).addresses) == 1


def test_own_listener_is_never_dialled_though_its_address_was_judged() -> None:
    """The verdict is about the address; whose port it is, is asked each time."""
    address = parse_ip("192.0.2.1")
    way = reach(allow=(ip_network("192.0.2.0/24"),), own_listeners=frozenset({(ip_network(address.value)[0], 9000)}))
    asyncio.run(way.locate(address, 80))
    with pytest.raises(ValidationFailed, match="listener of the CA itself"):
        asyncio.run(way.locate(address, 9000))


def test_verdicts_kept_are_bounded() -> None:
    """However many addresses are asked for."""
    way = reach()

    async def ask() -> None:
        for number in range(JUDGED + 10):
            await way.locate(parse_ip(f"8.8.{number >> 8}.{number & 255}"), 80)

    asyncio.run(ask())
    assert len(way._verdicts) <= JUDGED
