"""The certificate that an order gives, at the edges of its issuer's life (acme.md part 10; rows F24 to F26)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from acme_peer import Client, Peer, Play, joined, playing
from dayfly.core.ids import serial_row_id
from factories import NAME, NOW

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
END = NOW + timedelta(days=3650)  # of the peer's issuing certificate


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def issue(client: Client, *names: str) -> x509.Certificate:
    """A certificate by ACME."""
    done = await client.finalize(await client.ready(*names))
    chain = await client.post(done.json["certificate"])
    return x509.load_pem_x509_certificate(chain.body)


def test_certificate_ends_with_its_issuer_at_the_latest__acme_f24(play: Play) -> None:
    """An issuer that ends in two hours gives two hours, to its last second and not one more."""

    async def scenario(peer: Peer) -> None:
        peer.clock.moment = END - 2 * HOUR
        leaf = await issue(await joined(peer))
        assert leaf.not_valid_after_utc == END
        assert leaf.not_valid_before_utc == END - 2 * HOUR - MINUTE

    play(scenario)


def test_issuer_that_ends_too_soon_is_503_and_the_order_stays_ready__acme_f24(play: Play) -> None:
    """Below the shortest lifetime nothing is issued: 503 with Retry-After, for new orders too."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.clock.moment = END - 30 * MINUTE
        order = await client.ready()
        peer.clock.moment = END - 3 * MINUTE
        for refused in (await client.finalize(order), await client.order("b.internal.example")):
            assert (refused.status, refused.problem) == (503, "serverInternal")
            assert int(refused.headers["retry-after"]) > 0
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        assert await peer.store.certificates.certificates(after=0, limit=10) == ()

    play(scenario)


def test_serial_has_at_least_80_random_bits__acme_f26_s4(play: Play) -> None:
    """The row id above 96 bits that never come again; 20 octets at most, positive."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        serials = [(await issue(client, f"n{at}.internal.example")).serial_number for at in range(8)]
        rows = await peer.store.certificates.certificates(after=0, limit=10)
        assert [serial_row_id(one) for one in serials] == [one.id for one in rows]
        tails = {one % (1 << 96) for one in serials}
        assert len(tails) == 8
        assert all(0 < one < 1 << 159 for one in serials)
        assert max(one.bit_length() for one in tails) > 80

    play(scenario)


def test_certificate_is_backdated_by_a_tenth_of_life_at_most__acme_f26(play: Play) -> None:
    """A minute for a day; and what was asked for ends to the second, the start of a short one six seconds back."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        leaf = await issue(client)
        assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (
            NOW - MINUTE,
            NOW - MINUTE + 24 * HOUR - SECOND,
        )
        order = await client.order(NAME, notAfter=f"{NOW + 5 * MINUTE:%Y-%m-%dT%H:%M:%SZ}")
        await client.prove(order)
        done = await client.finalize(order)
        short = x509.load_pem_x509_certificate((await client.post(done.json["certificate"])).body)
        assert short.not_valid_after_utc == NOW + 5 * MINUTE
        assert short.not_valid_before_utc == NOW - timedelta(seconds=30)

    play(scenario)
