"""Profiles through the front door (ACME profiles draft; acme.md parts 1 and 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from acme_peer import Client, Peer, change_acme, make_peer
from dayfly.authority.context import CRLSettings
from dayfly.authority.issuing import PROFILES as CONTENTS
from dayfly.core.acme.objects import Certificate
from dayfly.core.ids import parse_id
from dayfly.core.policy.profiles import PROFILES
from dayfly.core.x509.profile import profile_hash
from dayfly.errors import ConfigError
from factories import NAME
from replies import Reply

Play = Callable[[Callable[[Peer, Client], Coroutine[Any, Any, None]]], None]
HOUR = timedelta(hours=1)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA with a client that has an account."""

    def run(scenario: Callable[[Peer, Client], Coroutine[Any, Any, None]]) -> None:
        async def body() -> None:
            async with aclosing(await make_peer(tmp_path)) as peer:
                client = Client(peer)
                await client.register()
                await scenario(peer, client)

        asyncio.run(body())

    return run


async def offer(peer: Peer, *profiles: str) -> None:
    """Have the provisioner offer these, and no others."""
    await change_acme(peer, profiles=profiles)


async def stored(peer: Peer, done: Reply) -> Certificate:
    """The row of the certificate in a finished order."""
    assert done.status == 200, done.body
    row_id = parse_id(done.json["certificate"].rpartition("/")[2])
    assert row_id is not None
    return await peer.store.certificates.certificate(row_id)


def ed25519_csr(*names: str) -> bytes:
    """A request for an Ed25519 key."""
    san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(san, critical=False)
    return builder.sign(Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)


def test_directory_tells_the_profiles__draft_profiles_3(play: Play) -> None:
    """Names and what they are for; those that the provisioner offers and no others."""

    async def scenario(peer: Peer, _: Client) -> None:
        meta = (await peer.send("GET", "/acme/acme/directory")).json["meta"]
        assert meta["profiles"] == {name: PROFILES[name].description for name in ("service", "ephemeral")}
        await offer(peer, "ephemeral")
        meta = (await peer.send("GET", "/acme/acme/directory")).json["meta"]
        assert list(meta["profiles"]) == ["ephemeral"]

    play(scenario)


def test_profile_is_stored_shown_and_issued__draft_profiles_4(play: Play) -> None:
    """The order says it whenever it is read; the certificate lives by it, and its row has the profile's hash."""

    async def scenario(peer: Peer, client: Client) -> None:
        order = await client.order(NAME, profile="ephemeral")
        assert (order.status, order.json["profile"]) == (201, "ephemeral")
        await client.prove(order)
        assert (await client.post(order.headers["location"])).json["profile"] == "ephemeral"
        row = await stored(peer, await client.finalize(order, ed25519_csr(NAME)))
        assert (row.profile, row.profile_hash) == ("ephemeral", profile_hash(CONTENTS["ephemeral"]))
        assert row.not_after - row.not_before == HOUR - timedelta(seconds=1)
        plain = await client.ready("b.internal.example")
        assert "profile" not in plain.json
        assert (await stored(peer, await client.finalize(plain))).profile == "service"

    play(scenario)


def test_unknown_profile_is_invalid_profile__o12(play: Play) -> None:
    """400 for one that nobody knows, and for one that this provisioner does not offer; null is none."""

    async def scenario(_: Peer, client: Client) -> None:
        for name in ("tlsserver", "device"):
            refused = await client.order(NAME, profile=name)
            assert (refused.status, refused.problem) == (400, "invalidProfile")
            assert "service, ephemeral" in refused.json["detail"]
        assert (await client.order(NAME, profile=7)).problem == "malformed"
        assert (await client.order(NAME, profile=None)).status == 201

    play(scenario)


def test_profile_that_is_gone_at_finalize_is_invalid_profile__acme_6(play: Play) -> None:
    """The order stays ready, and is finalized once the profile is back."""

    async def scenario(peer: Peer, client: Client) -> None:
        order = await client.order(NAME, profile="ephemeral")
        await client.prove(order)
        await offer(peer, "service")
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (400, "invalidProfile")
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        await offer(peer, "service", "ephemeral")
        assert (await client.finalize(order)).status == 200

    play(scenario)


def test_first_profile_is_the_default(play: Play) -> None:
    """Who asks for none gets the provisioner's first one, and its lifetimes bound what may be asked."""

    async def scenario(peer: Peer, client: Client) -> None:
        await offer(peer, "ephemeral", "service")
        row = await stored(peer, await client.finalize(await client.ready(NAME)))
        assert row.profile == "ephemeral"
        asked = (peer.clock.now() + 2 * HOUR).isoformat().replace("+00:00", "Z")
        assert (await client.order("b.internal.example", notAfter=asked)).problem == "malformed"
        order = await client.order("b.internal.example", notAfter=asked, profile="service")
        await client.prove(order)
        row = await stored(peer, await client.finalize(order))
        assert row.not_after == datetime.fromisoformat(asked)

    play(scenario)


def test_key_and_names_are_by_profile__acme_10(play: Play) -> None:
    """Ed25519 under `service` is badCSR and the order stays ready; eleven names are too many for `ephemeral`."""

    async def scenario(_: Peer, client: Client) -> None:
        order = await client.ready(NAME)
        refused = await client.finalize(order, ed25519_csr(NAME))
        assert (refused.status, refused.problem) == (400, "badCSR")
        assert (await client.finalize(order)).status == 200
        names = [f"n{at}.internal.example" for at in range(11)]
        assert (await client.order(*names, profile="ephemeral")).problem == "rejectedIdentifier"
        assert (await client.order(*names)).status == 201

    play(scenario)


def test_device_is_offered_where_there_are_crls__rfc9608(play: Play) -> None:
    """Without them it is not told, asked for or given by default; with them it lives 30 days and names its CRL."""

    async def scenario(peer: Peer, client: Client) -> None:
        with pytest.raises(ConfigError, match="nobody knows"):
            await offer(peer, "tlsserver")
        await offer(peer, "service", "device")
        assert list((await peer.send("GET", "/acme/acme/directory")).json["meta"]["profiles"]) == ["service"]
        assert (await client.order(NAME, profile="device")).problem == "invalidProfile"
        await offer(peer, "device")
        refused = await client.order(NAME)
        assert (refused.status, refused.problem) == (400, "invalidProfile")
        peer.authority.crl = CRLSettings("http://ca.internal.example:9080")
        assert list((await peer.send("GET", "/acme/acme/directory")).json["meta"]["profiles"]) == ["device"]
        row = await stored(peer, await client.finalize(await client.ready(NAME)))
        assert (row.profile, row.not_after - row.not_before) == ("device", timedelta(days=30) - timedelta(seconds=1))
        leaf = x509.load_der_x509_certificate(row.der)
        (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert [one.value for one in point.full_name or ()] == [
            f"http://ca.internal.example:9080/crl/{row.not_after:%Y%m%d}.crl"
        ]

    play(scenario)
