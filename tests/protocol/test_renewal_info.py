"""Renewal information and `replaces` through the front door (RFC 9773; rows I of acme.md part 16)."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acme_peer import BASE, Client, Clock, Peer, Play, joined, make_peer, playing
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import SystemClock
from dayfly.authority.context import Caps
from dayfly.authority.settings import change_settings
from dayfly.core.acme.objects import Certificate
from dayfly.core.acme.renewal_info import parse_certificate_id, render_certificate_id
from dayfly.core.events import CertificateIssued, CertificateRevoked, IssueKind
from dayfly.core.frozen import replace
from dayfly.core.ids import parse_id
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.reissue_changes import plan_reissue
from dayfly.core.settings.reissues import Reissue
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.transparency.entries import parse_entry
from dayfly.core.x509.leaf import authority_key_id
from dayfly.ports.changes import Changes
from factories import NAME
from replies import Reply

INFO = "/acme/acme/renewal-info/"
HOUR = timedelta(hours=1)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def issued(peer: Peer, client: Client, *names: str) -> Certificate:
    """A certificate of this client's."""
    done = await client.finalize(await client.ready(*names))
    return await row_of(peer, done)


async def row_of(peer: Peer, done: Reply) -> Certificate:
    """The row of the certificate in a finished order."""
    row_id = parse_id(done.json["certificate"].rpartition("/")[2])
    assert row_id is not None
    return await peer.store.certificates.certificate(row_id)


def named(certificate: Certificate) -> str:
    """What RFC 9773 4.1 calls it."""
    return render_certificate_id(authority_key_id(certificate.der), certificate.serial)


async def info(peer: Peer, certificate: Certificate) -> Reply:
    """Its renewal information."""
    return await peer.send("GET", INFO + named(certificate))


def window(reply: Reply) -> tuple[datetime, datetime]:
    """Start and end of what was suggested."""
    assert reply.status == 200, reply.body
    found = reply.json["suggestedWindow"]
    start, end = (datetime.fromisoformat(found[one]) for one in ("start", "end"))
    assert start < end
    return start, end


async def revoke(peer: Peer, certificate: Certificate) -> None:
    """Revoke it now."""
    now = peer.clock.now()
    event = CertificateRevoked(now, certificate.id, certificate.serial, 4, "a test")
    revoked = replace(certificate, revoked_at=now, revocation_reason=4)
    await peer.store.commit(Changes(update=(revoked,), events=(event,)))


# --- renewalInfo ------------------------------------------------------------------------------------------------------


def test_renewal_info_suggests_half_to_two_thirds__acme_i1(play: Play) -> None:
    """200 without any authentication, start before end, Retry-After about every half hour; the poll is remembered."""

    async def scenario(peer: Peer) -> None:
        certificate = await issued(peer, await joined(peer))
        peer.clock.moment += timedelta(minutes=3)
        reply = await info(peer, certificate)
        assert reply.headers["content-type"] == "application/json"
        start, end = window(reply)
        assert start == certificate.not_before + 12 * HOUR
        assert end == certificate.not_before + 16 * HOUR
        assert 0.8 * 86400 / 50 <= int(reply.headers["retry-after"]) <= 86400 / 50
        assert "explanationURL" not in reply.json
        assert "replay-nonce" not in reply.headers
        assert reply.headers["link"] == f'<{BASE}/acme/acme/directory>;rel="index"'
        assert peer.authority.renewal_infos.last_poll(certificate.id) == peer.clock.now()
        assert (await peer.send("HEAD", INFO + named(certificate))).status == 200
        assert (await peer.send("POST", INFO + named(certificate))).status == 405

    play(scenario)


def test_serial_with_its_high_bit_set_has_its_leading_00__acme_i2(tmp_path: Path) -> None:
    """The content octets of the INTEGER are what is encoded; without the 00 it would be another number."""

    class HighIds:
        """Ids whose serials have as many bits as octets have."""

        last = 0xFF << 48

        def new(self) -> int:
            self.last += 1
            return self.last

    async def body() -> None:
        first = await make_peer(tmp_path)
        peer = first.with_authority(ids=HighIds())
        try:
            certificate = await issued(peer, await joined(peer))
            assert certificate.serial.bit_length() == 152
            octets = certificate.serial.to_bytes(19)
            key_id = b64u_encode(authority_key_id(certificate.der))
            assert named(certificate) == f"{key_id}.{b64u_encode(bytes(1) + octets)}"
            window(await info(peer, certificate))
            assert (await peer.send("GET", f"{INFO}{key_id}.{b64u_encode(octets)}")).problem == "malformed"
        finally:
            await peer.store.close()

    asyncio.run(body())


def test_garbage_is_malformed_and_unknown_is_404__acme_i3(play: Play) -> None:
    """400 for what names nothing; 404, which may be kept for a minute, for another issuer or serial."""

    async def scenario(peer: Peer) -> None:
        certificate = await issued(peer, await joined(peer))
        good = named(certificate)
        key_id, serial = good.split(".")
        for text in (f"{good}=", f"{key_id}=.{serial}", key_id, f"{good}.AA", f"{key_id}.{'A' * 10_240}"):
            reply = await peer.send("GET", INFO + text)
            assert (reply.status, reply.problem) == (400, "malformed"), text
        other = render_certificate_id(bytes(20), certificate.serial)
        for text in (other, *(render_certificate_id(authority_key_id(certificate.der), number) for number in (
            1, certificate.serial ^ 1, certificate.serial ^ 1 << 97, certificate.serial | 1 << 158,
        ))):  # fmt: skip
            reply = await peer.send("GET", INFO + text)
            assert (reply.status, reply.problem) == (404, "malformed"), text
            assert reply.headers["cache-control"] == "public, max-age=60"
        assert (await peer.send("GET", f"/acme/nobody/renewal-info/{good}")).status == 404
        assert len(peer.authority.renewal_infos) == 0

    play(scenario)


def test_window_of_a_revoked_certificate_has_passed__acme_i4(play: Play) -> None:
    """At once, though the answer was kept; the next question comes soon, and the reason is named where configured."""

    async def scenario(peer: Peer) -> None:
        certificate = await issued(peer, await joined(peer))
        assert window(await info(peer, certificate))[0] > peer.clock.now()
        peer.authority.explanation_url = "https://pki.internal.example/why"
        peer.clock.moment += HOUR
        await revoke(peer, certificate)
        reply = await info(peer, certificate)
        assert window(reply)[1] <= peer.clock.now()
        assert int(reply.headers["retry-after"]) <= 60
        assert reply.json["explanationURL"] == "https://pki.internal.example/why"

    play(scenario)


def test_revocation_by_another_process_is_seen_at_once__acme_i4(tmp_path: Path) -> None:
    """What one process keeps in memory is forgotten when another one revokes, and when it changes the settings."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        other = await open_store("sqlite:dayfly.db", home=tmp_path)
        twin = peer.with_authority(store=other)
        try:
            certificate = await issued(peer, await joined(peer))
            usual = window(await info(twin, certificate))
            await issued(peer, await joined(peer))  # what changes nothing leaves the answer
            assert len(twin.authority.renewal_infos) == 1
            assert window(await info(twin, certificate)) == usual
            await revoke(peer, certificate)
            assert window(await info(twin, certificate))[1] <= peer.clock.now()
        finally:
            await other.close()
            await peer.store.close()

    asyncio.run(body())


@pytest.mark.parametrize("later", [timedelta(), 23 * HOUR, 25 * HOUR], ids=["fresh", "near its end", "expired"])
def test_window_never_ends_after_the_certificate__acme_i5(play: Play, later: timedelta) -> None:
    """Near the end and past it: the window stays where it was, so a late client is late and knows it."""

    async def scenario(peer: Peer) -> None:
        certificate = await issued(peer, await joined(peer))
        peer.clock.moment += later
        assert window(await info(peer, certificate))[1] <= certificate.not_after

    play(scenario)


def test_reissue_moves_windows_in_every_process_at_once__acme_i6(tmp_path: Path) -> None:
    """The word of an operator reaches those who ask any worker, with its page; successors are as ever."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        other = await open_store("sqlite:dayfly.db", home=tmp_path)
        clock = Clock(SystemClock().now())  # row ids are of this time, and the word reaches what was issued before it
        peer, twin = (one.with_authority(clock=clock) for one in (peer, peer.with_authority(store=other)))
        try:
            client = await joined(peer)
            certificate = await issued(peer, client)
            usual = window(await info(twin, certificate))
            clock.moment += timedelta(minutes=1)
            word = Reissue("i1", clock.now(), HOUR, clock.now() + 24 * HOUR, explanation_url="https://wiki.example/1")
            await change_settings(peer.store, clock, lambda now: plan_reissue(now, word)[1])
            reply = await info(twin, certificate)
            start, end = window(reply)
            assert clock.now().replace(microsecond=0) <= start < end <= clock.now() + HOUR < usual[0]
            assert reply.json["explanationURL"] == "https://wiki.example/1"
            clock.moment = start
            order = await client.order(NAME, replaces=named(certificate))
            row_id = parse_id(order.headers["location"].rpartition("/")[2])
            assert row_id is not None
            assert (await peer.store.orders.order(row_id)).is_renewal
        finally:
            await other.close()
            await peer.store.close()

    asyncio.run(body())


# --- replaces ---------------------------------------------------------------------------------------------------------


def test_replaces_is_shown_kept_and_committed_with_the_certificate__acme_i7(play: Play) -> None:
    """201, shown on the order whenever it is read; the successor's row names its predecessor, and the log says so."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        first = await issued(peer, client)
        order = await client.order(NAME, replaces=named(first))
        assert (order.status, order.json["replaces"]) == (201, named(first))
        again = await client.order(NAME, replaces=named(first))
        assert (again.status, again.headers["location"]) == (200, order.headers["location"])
        plain = await client.order(NAME)
        assert plain.headers["location"] != order.headers["location"]
        assert "replaces" not in plain.json
        await client.prove(order)
        done = await client.finalize(order)
        assert done.json["replaces"] == named(first)
        assert (await client.post(order.headers["location"])).json["replaces"] == named(first)
        second = await row_of(peer, done)
        assert second.parent_id == first.id
        entries = [parse_entry(one.body) for one in await peer.store.log.entries(0, limit=100)]
        kinds = [one.kind for one in entries if isinstance(one, CertificateIssued)]
        assert kinds == [IssueKind.NEW, IssueKind.REPLACE]

    play(scenario)


def test_certificate_is_replaced_by_a_finalized_order_only__acme_i7(play: Play) -> None:
    """An open order replaces nothing yet; after the first that was finalized a further one is 409 alreadyReplaced."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        first = await issued(peer, client, "a.internal.example", "b.internal.example")
        orders = [
            await client.order(name, replaces=named(first)) for name in ("a.internal.example", "b.internal.example")
        ]
        assert [one.status for one in orders] == [201, 201]
        for one in orders:
            await client.prove(one)
        assert (await client.finalize(orders[0])).status == 200
        late = await client.order("a.internal.example", replaces=named(first))
        assert (late.status, late.problem) == (409, "alreadyReplaced")
        assert (await client.finalize(orders[1])).status == 200  # it was accepted, and is not to fail for a race
        assert (await client.order("a.internal.example")).status == 201

    play(scenario)


def test_only_one_of_those_that_replace_a_certificate_is_not_counted__acme_13(play: Play) -> None:
    """Two due orders replace it: the first certificate counts nowhere, the second one does; each could be replaced."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        first = await issued(peer, client, "a.internal.example", "b.internal.example")
        peer.clock.moment = window(await info(peer, first))[0]
        names = ("a.internal.example", "b.internal.example")
        orders = [await client.order(one, replaces=named(first)) for one in names]
        limits, rate = peer.authority.limits, peer.authority.limits.figures.certificates
        used = []
        for name, order in zip(names, orders, strict=True):
            await client.prove(order)
            successor = await row_of(peer, await client.finalize(order))
            used.append(bool(limits.certificates.used((first.account_id, name), rate, peer.clock.now())))
            assert successor.parent_id == first.id
        assert used == [False, True]

    play(scenario)


def test_replaces_must_be_ones_own_and_share_a_name__acme_i8(play: Play) -> None:
    """Another account's: 403 unauthorized; no name in common, garbage, padding, not a string: 400 malformed."""

    async def scenario(peer: Peer) -> None:
        client, other = await joined(peer), await joined(peer)
        first = await issued(peer, client)
        refused = await other.order(NAME, replaces=named(first))
        assert (refused.status, refused.problem) == (403, "unauthorized")
        for members in (
            {"replaces": named(first)}, {"replaces": ""}, {"replaces": f"{named(first)}="}, {"replaces": "garbage"},
            {"replaces": 7}, {"replaces": [named(first)]},
        ):  # fmt: skip
            reply = await client.order("other.internal.example", **members)
            assert (reply.status, reply.problem) == (400, "malformed"), members
        assert (await client.order(NAME, "other.internal.example", replaces=named(first))).status == 201
        assert (await client.order(NAME, replaces=None)).status == 201

    play(scenario)


def test_unknown_predecessor_is_accepted_without_credit__acme_i9(play: Play) -> None:
    """A lost record, or another CA's certificate, must not block an urgent renewal; it frees from no limit either."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        first = await issued(peer, client)
        certificate_id = parse_certificate_id(named(first))
        for unknown in (
            render_certificate_id(certificate_id.key_id, certificate_id.serial ^ 1),
            render_certificate_id(bytes(20), certificate_id.serial),
        ):
            order = await client.order(NAME, replaces=unknown)
            assert (order.status, order.json["replaces"]) == (201, unknown)
            row_id = parse_id(order.headers["location"].rpartition("/")[2])
            assert row_id is not None
            stored = await peer.store.orders.order(row_id)
            assert (stored.predecessor_id, stored.is_renewal) == (None, False)
        await client.prove(order)
        assert (await row_of(peer, await client.finalize(order))).parent_id is None

    play(scenario)


def test_renewal_in_its_window_is_not_counted__rfc9773_5(play: Play) -> None:
    """Before its window an order that replaces counts like any other, from its start on it does not; within bounds."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        names = [f"{at}.internal.example" for at in range(12)]
        first = await issued(peer, client, *names)
        assert (await client.order("full.internal.example")).status == 201  # the one that is allowed
        early = await client.order(*names, replaces=named(first))
        assert (early.status, early.problem) == (429, "rateLimited")
        peer.clock.moment = first.not_before + 12 * HOUR
        answers = [(await client.order(name, replaces=named(first))).status for name in names]
        assert answers == [201] * 10 + [429] * 2  # ten in an hour for one certificate

    play(scenario, caps=Caps(open_orders=1))


def test_settings_change_forgets_what_was_told(play: Play) -> None:
    """A window that an operator moves must be seen at once."""

    async def scenario(peer: Peer) -> None:
        certificate = await issued(peer, await joined(peer))
        await info(peer, certificate)
        assert len(peer.authority.renewal_infos) == 1
        owner = Owner("web-team")
        await change_settings(peer.store, peer.clock, lambda now: SettingsChange(now.revision, put=(owner,)))
        unknown = render_certificate_id(bytes(20), certificate.serial)
        assert (await peer.send("GET", INFO + unknown)).status == 404
        assert len(peer.authority.renewal_infos) == 0

    play(scenario)


def test_many_polls_do_not_touch_the_database__acme_i10(play: Play) -> None:
    """After the first answer no read reaches SQLite, whatever the number of polls; each takes well under 5 ms."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        rows = [await issued(peer, client, f"{at}.internal.example") for at in range(5)]
        paths = [INFO + named(one) for one in rows]
        peer.authority.limits = peer.authority.limits.switched(enabled=False)
        for path in paths:
            await peer.send("GET", path)
        statements: list[str] = []
        reader: Any = getattr(peer.store, "_reader")  # noqa: B009 - what SQLite is asked is seen nowhere else
        for connection in (reader.connection, reader._idle()):
            connection.set_trace_callback(statements.append)
        began = time.perf_counter()
        for _ in range(400):
            for path in paths:
                assert (await peer.send("GET", path)).status == 200
        took = time.perf_counter() - began
        assert statements == []
        assert took < 10  # 2,000 polls, half a second mostly

    play(scenario)
