"""ACME's revokeCert through the front door (RFC 8555 7.6; acme.md RV1 to RV12)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from acme_peer import BASE, Client, Peer
from dayfly.authority.log import verify_log
from dayfly.core.acme.objects import AccountStatus, Certificate
from dayfly.core.acme.renewal_info import render_certificate_id
from dayfly.core.events import AccountRevoked, CertificateRevoked
from dayfly.core.frozen import replace
from dayfly.core.ids import parse_id
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.transparency.entries import parse_entry
from dayfly.core.x509.leaf import authority_key_id
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import Conflict
from dayfly.ports.changes import Changes, Receipt
from factories import NAME, NOW, csr_der, ec_key
from replies import Reply
from step_peer import OWNER, Leaf, Play, StepClient

URL = f"{BASE}/acme/acme/revoke-cert"
OTHER = "other." + NAME


async def joined(peer: Peer, **changes: Any) -> Client:
    """A client with an account."""
    client = Client(peer, **changes)
    assert (await client.register()).status == 201
    return client


async def issued(client: Client, *names: str, key: ec.EllipticCurvePrivateKey | None = None) -> Leaf:
    """A certificate that the account was given, and its key."""
    made = key or ec_key()
    done = await client.finalize(await client.ready(*names), csr_der(*names, key=made))
    assert done.status == 200, done.body
    chain = parse_pem_certificates((await client.post(done.json["certificate"])).body.decode())
    return Leaf(client.peer, chain[0], made, tuple(chain[1:]))


async def revoke(client: Client, der: bytes, **members: Any) -> Reply:
    """RevokeCert, signed by the account."""
    return await client.post(URL, {"certificate": b64u_encode(der), **members})


async def revoke_with_key(peer: Peer, key: ec.EllipticCurvePrivateKey, der: bytes, **members: Any) -> Reply:
    """RevokeCert, signed by a key that is in the request."""
    return await Client(peer, key=key).post(URL, {"certificate": b64u_encode(der), **members}, jwk=True)


async def entries(peer: Peer) -> list[Any]:
    """What the log says of revocations."""
    found = [parse_entry(one.body) for one in await peer.store.log.entries(0, limit=999)]
    return [one for one in found if isinstance(one, CertificateRevoked | AccountRevoked)]


async def row(peer: Peer, serial: int) -> Certificate:
    """The stored certificate."""
    return await peer.store.certificates.certificate(serial >> 96)


def refused(reply: Reply, status: int, problem: str, *words: str) -> None:
    """It was refused like this, with a fresh nonce."""
    assert (reply.status, reply.problem) == (status, problem), reply.body
    assert reply.headers["replay-nonce"]
    assert all(word in reply.json["detail"] for word in words), reply.body


def forged(leaf: Leaf, *, issuer: x509.Name, serial: int) -> bytes:
    """A certificate for the leaf's key that a stranger has signed."""
    builder = x509.CertificateBuilder(issuer, x509.Name([]), leaf.key.public_key(), serial)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(ec_key(), SHA256()).public_bytes(Encoding.DER)


def test_account_revokes_what_it_was_given__acme_rv1(play: Play) -> None:
    """200 without a body; row and entry say when, why and who, and no other process sees it otherwise."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)
        reply = await revoke(acme, leaf.der, reason=4)
        assert (reply.status, reply.body) == (200, b"")
        (event,) = await entries(client.peer)
        account = str(acme.kid).rpartition("/")[2]
        assert (event.serial, event.reason, event.by) == (leaf.serial, 4, f"account {account}")
        twin = client.peer.with_authority()
        found = await row(twin, leaf.serial)
        assert (found.revoked_at, found.revocation_reason) == (event.at, 4)
        assert (await leaf.renew()).status == 401

    play(scenario)


def test_account_authorized_for_all_names_revokes__acme_rv2(play: Play) -> None:
    """Whoever proves all names now may revoke, though somebody else was given the certificate, by whatever way."""

    async def scenario(client: StepClient) -> None:
        first, second = await joined(client.peer), await joined(client.peer)
        leaf, by_token = await issued(first, NAME, OTHER), await client.issued()
        await second.ready(NAME)
        await second.ready(OTHER)
        assert (await revoke(second, leaf.der)).status == 200
        assert (await revoke(second, by_token.der)).status == 200
        assert {one.by for one in await entries(client.peer)} == {f"account {str(second.kid).rpartition('/')[2]}"}

    play(scenario)


def test_account_that_lacks_one_name_does_not_revoke__acme_rv3(play: Play) -> None:
    """403 names what is lacking; an authorization that ended, or was given up, is none."""

    async def scenario(client: StepClient) -> None:
        first, second = await joined(client.peer), await joined(client.peer)
        leaf = await issued(first, NAME, OTHER)
        ready = await second.ready(NAME)
        refused(await revoke(second, leaf.der), 403, "unauthorized", f"authorization for {OTHER}")
        pending = await second.order(OTHER)
        refused(await revoke(second, leaf.der), 403, "unauthorized", f"authorization for {OTHER}")
        await second.prove(pending)
        await second.post(ready.json["authorizations"][0], {"status": "deactivated"})
        refused(await revoke(second, leaf.der), 403, "unauthorized", f"authorization for {NAME}")
        await second.ready(NAME)
        client.peer.clock.moment += timedelta(hours=1, seconds=1)
        refused(await revoke(second, leaf.der), 403, "unauthorized", NAME, OTHER)
        assert await entries(client.peer) == []

    play(scenario)


def test_authorization_given_up_meanwhile_revokes_nothing__acme_rv3(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit holds on the orders that the account was judged by."""

    async def scenario(client: StepClient) -> None:
        first, second = await joined(client.peer), await joined(client.peer)
        leaf, ready = await issued(first), await second.ready(NAME)
        store = client.peer.store
        commit, left = store.commit, [True]

        async def late(changes: Changes) -> Receipt:
            if left and any(isinstance(one, Certificate) for one in changes.update):
                left.pop()
                await second.post(ready.json["authorizations"][0], {"status": "deactivated"})
            return await commit(changes)

        monkeypatch.setattr(store, "commit", late)
        refused(await revoke(second, leaf.der), 403, "unauthorized", NAME)
        assert not left
        assert await entries(client.peer) == []

    play(scenario)


def test_authorizations_are_found_among_many_orders__acme_rv2(play: Play) -> None:
    """Beyond the first page of the account's orders."""

    async def scenario(client: StepClient) -> None:
        first, second = await joined(client.peer), await joined(client.peer)
        leaf = await issued(first)
        ready = await second.ready(NAME)
        found = await client.peer.store.orders.order(parse_id(ready.headers["location"].rpartition("/")[2]) or 0)
        others = [replace(found, id=client.peer.authority.ids.new(), authorizations=()) for _ in range(150)]
        await client.peer.store.commit(Changes(insert=tuple(others)))
        assert (await revoke(second, leaf.der)).status == 200

    play(scenario)


def test_certificate_key_revokes_without_an_account__acme_rv4(play: Play) -> None:
    """Whatever way it was issued on; the log says that it was its own key."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        for leaf in (await issued(acme), await client.issued()):
            assert (await revoke_with_key(client.peer, leaf.key, leaf.der)).status == 200
            assert (await leaf.renew()).status == 401
        assert {one.by for one in await entries(client.peer)} == {"its own key"}

    play(scenario)


def test_another_key_does_not_revoke__acme_rv5(play: Play) -> None:
    """A stranger's key, that of another certificate, and an account's key as `jwk`."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf, other = await issued(acme), await issued(acme, OTHER)
        for key in (ec_key(), other.key, acme.key):
            refused(await revoke_with_key(client.peer, key, leaf.der), 403, "unauthorized", "another key")
        assert await entries(client.peer) == []

    play(scenario)


def test_revoked_is_revoked__acme_rv6(play: Play) -> None:
    """A second time is 400 alreadyRevoked, by whomever, and for whatever reason an account gives."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)
        assert (await revoke(acme, leaf.der)).status == 200
        refused(await revoke(acme, leaf.der), 400, "alreadyRevoked")
        refused(await revoke(acme, leaf.der, reason=1), 400, "alreadyRevoked")
        refused(await revoke_with_key(client.peer, leaf.key, leaf.der, reason=4), 400, "alreadyRevoked")
        assert (await client.revoke(leaf.serial)).status == 400
        assert len(await entries(client.peer)) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        (6, "badRevocationReason"), (7, "badRevocationReason"), (8, "badRevocationReason"),
        (11, "badRevocationReason"), (-1, "badRevocationReason"), ("1", "malformed"), (1.0, "malformed"),
        (True, "malformed"), ([1], "malformed"), (msgspec.Raw(b"1180591620717411303424"), "malformed"),
    ],
)  # fmt: skip
def test_reason_that_is_none__acme_rv7(play: Play, reason: object, problem: str) -> None:
    """Codes that no revocation here has, and what is no integer."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)
        refused(await revoke(acme, leaf.der, reason=reason), 400, problem)
        assert await entries(client.peer) == []
        assert (await revoke(acme, leaf.der, reason=None)).status == 200  # as good as absent

    play(scenario)


@pytest.mark.parametrize("by", ["key", "issuing account", "authorized account"])
def test_key_compromise_bars_a_key_that_was_shown__acme_rv8(play: Play, by: str) -> None:
    """Proved by the key it bars the key; the issuing account's word is kept and bars nothing; a third one's is 400."""

    async def scenario(client: StepClient) -> None:
        acme, third = await joined(client.peer), await joined(client.peer)
        leaf = await issued(acme)
        await third.ready(NAME)
        if by == "key":
            assert (await revoke_with_key(client.peer, leaf.key, leaf.der, reason=1)).status == 200
        elif by == "issuing account":
            assert (await revoke(acme, leaf.der, reason=1)).status == 200
            assert (await row(client.peer, leaf.serial)).revocation_reason == 1
        else:
            refused(await revoke(third, leaf.der, reason=1), 400, "badRevocationReason", "sign the request with")
        again = await acme.finalize(await acme.ready(), csr_der(key=leaf.key))
        if by == "key":
            refused(again, 400, "badCSR", "compromised")
        else:
            assert again.status == 200, again.body

    play(scenario)


def test_compromised_key_is_no_account_key__acme_rv8(play: Play) -> None:
    """Accounts that have it are revoked with their orders, on every provisioner; none can be made with it."""

    async def scenario(client: StepClient) -> None:
        peer, key = client.peer, ec_key()
        leaf = await client.issued(key=key)
        victim, bystander = await joined(peer, key=key), await joined(peer)
        order, other = await victim.ready(), await bystander.ready()
        assert (await revoke_with_key(peer, key, leaf.der, reason=1)).status == 200
        refused(await victim.post(order.headers["location"]), 401, "unauthorized", "revoked")
        refused(await victim.register(), 400, "badPublicKey", "compromised")
        refused(await Client(peer, key=key).register(onlyReturnExisting=True), 400, "badPublicKey")
        assert (await bystander.finalize(other)).status == 200
        revocation, ended = await entries(peer)
        assert ended.by == f"revocation of {revocation.serial:x}"
        stored = await peer.store.accounts.account(ended.account_id)
        assert stored.status is AccountStatus.REVOKED
        assert await peer.store.orders.count_open_orders(stored.id, since=0) == 0

    play(scenario)


def test_account_made_while_its_key_is_reported__acme_rv8(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit of the account holds on the key being sound."""

    async def scenario(client: StepClient) -> None:
        peer, key = client.peer, ec_key()
        leaf, store = await client.issued(key=key), client.peer.store
        commit, left = store.commit, [True]

        async def late(changes: Changes) -> Receipt:
            if left and changes.sound_keys:
                left.pop()
                await revoke_with_key(peer, key, leaf.der, reason=1)
            return await commit(changes)

        monkeypatch.setattr(store, "commit", late)
        refused(await Client(peer, key=key).register(), 400, "badPublicKey", "compromised")
        assert not left

    play(scenario)


def test_compromised_key_still_revokes_its_other_certificates__acme_rv8(play: Play) -> None:
    """What else has the key can be revoked with it."""

    async def scenario(client: StepClient) -> None:
        key = ec_key()
        one, other = await client.issued(key=key), await client.issued(key=key)
        for leaf in (one, other):
            assert (await revoke_with_key(client.peer, key, leaf.der, reason=1)).status == 200

    play(scenario)


def test_reason_becomes_key_compromise_by_the_key_alone__acme_rv9(play: Play) -> None:
    """200, the key is barred, when it was revoked stands; and the log, which has both entries, verifies."""

    async def scenario(client: StepClient) -> None:
        peer, acme = client.peer, await joined(client.peer)
        leaf = await issued(acme)
        assert (await revoke(acme, leaf.der, reason=4)).status == 200
        client.peer.clock.moment += timedelta(minutes=5)
        assert (await revoke_with_key(peer, leaf.key, leaf.der, reason=1)).status == 200
        stored = await row(peer, leaf.serial)
        assert (stored.revoked_at, stored.revocation_reason) == (NOW, 1)
        refused(await revoke_with_key(peer, leaf.key, leaf.der, reason=1), 400, "alreadyRevoked")
        refused(await acme.finalize(await acme.ready(), csr_der(key=leaf.key)), 400, "badCSR", "compromised")
        assert [one.reason for one in await entries(peer)] == [4, 1]
        report = await verify_log(peer.store, peer.key)
        assert report.ok, report.findings

    play(scenario)


def test_certificate_of_another_ca_is_not_found__acme_rv10(play: Play) -> None:
    """404: of no serial of ours, and of one of ours under another issuer."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another CA")])
        for serial in (77, leaf.serial ^ 1, leaf.serial):
            foreign = forged(leaf, issuer=issuer, serial=serial)
            refused(await revoke(acme, foreign), 404, "malformed", "not issued")
            refused(await revoke_with_key(client.peer, leaf.key, foreign), 404, "malformed")
        assert await entries(client.peer) == []

    play(scenario)


def test_forged_certificate_is_unauthorized__acme_rv11(play: Play) -> None:
    """403 for our issuer and serial on other octets; what is no DER certificate is malformed."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)
        twin = forged(leaf, issuer=x509.load_der_x509_certificate(leaf.der).issuer, serial=leaf.serial)
        refused(await revoke(acme, twin), 403, "unauthorized", "is not that one")
        refused(await revoke_with_key(client.peer, leaf.key, twin), 403, "unauthorized")
        for garbage in (b"", b"\x30\x03\x02\x01\x01", leaf.der + b"\0", leaf.der[:-1], csr_der()):
            refused(await revoke(acme, garbage), 400, "malformed")
        pem = x509.load_der_x509_certificate(leaf.der).public_bytes(Encoding.PEM).decode()
        for text in (pem, b64u_encode(leaf.der) + "=", 7, None):
            refused(await acme.post(URL, {"certificate": text}), 400, "malformed")
        refused(await acme.post(URL, {}), 400, "malformed")
        refused(await acme.post(URL), 400, "malformed")
        assert await entries(client.peer) == []

    play(scenario)


@pytest.mark.parametrize("by", ["account", "key"])
def test_twenty_at_once_are_one__acme_rv12(play: Play, by: str) -> None:
    """One 200, nineteen alreadyRevoked, one entry."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)
        replies = await asyncio.gather(
            *(
                revoke(acme, leaf.der, reason=1)
                if by == "account"
                else revoke_with_key(client.peer, leaf.key, leaf.der, reason=1)
                for _ in range(20)
            )
        )
        assert sorted(one.status for one in replies) == [200] + [400] * 19
        assert {one.problem for one in replies if one.status == 400} == {"alreadyRevoked"}
        assert len(await entries(client.peer)) == 1

    play(scenario)


@pytest.mark.parametrize("by", ["account", "key"])
def test_races_that_are_lost_again_and_again_are_503__acme_rv12(
    play: Play, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """With Retry-After; nothing is revoked."""

    async def scenario(client: StepClient) -> None:
        acme = await joined(client.peer)
        leaf = await issued(acme)

        async def lose(_: Changes) -> Receipt:
            raise Conflict("somebody else was first")

        monkeypatch.setattr(client.peer.store, "commit", lose)
        reply = await (revoke(acme, leaf.der) if by == "account" else revoke_with_key(client.peer, leaf.key, leaf.der))
        refused(reply, 503, "serverInternal", "being changed")
        assert reply.headers["retry-after"] == "1"
        assert await entries(client.peer) == []

    play(scenario)


def test_revocation_moves_the_renewal_window_into_the_past__acme_11(play: Play) -> None:
    """At once, in this process and another: a client that looks renews, with a new key where its own is barred."""

    async def scenario(client: StepClient) -> None:
        peer, acme = client.peer, await joined(client.peer)
        leaf = await issued(acme)
        name = render_certificate_id(authority_key_id(leaf.der), leaf.serial)
        path, twin = f"/acme/acme/renewal-info/{name}", peer.with_authority()
        for one in (peer, twin):
            before = (await one.send("GET", path)).json["suggestedWindow"]
            assert before["start"] > f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
        assert (await revoke_with_key(peer, leaf.key, leaf.der, reason=1)).status == 200
        for one in (peer, twin):
            after = (await one.send("GET", path)).json["suggestedWindow"]
            assert after["end"] <= f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
        order = await acme.order(NAME, replaces=name)
        await acme.prove(order)
        refused(await acme.finalize(order, csr_der(key=leaf.key)), 400, "badCSR", "compromised")
        assert (await acme.finalize(order)).status == 200

    play(scenario)


def test_directory_names_the_resource_and_it_is_posted_to__rfc8555_7_1_1(play: Play) -> None:
    """`revokeCert` is in the directory; GET is 405; a provisioner that is not there is 404."""

    async def scenario(client: StepClient) -> None:
        directory = await client.peer.send("GET", "/acme/acme/directory")
        assert directory.json["revokeCert"] == URL
        reply = await client.peer.send("GET", "/acme/acme/revoke-cert")
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
        leaf = await client.issued()
        nowhere = f"{BASE}/acme/{OWNER}/revoke-cert"
        stranger = Client(client.peer, key=leaf.key)
        refused(await stranger.post(nowhere, {"certificate": b64u_encode(leaf.der)}, jwk=True), 404, "malformed")
        assert await entries(client.peer) == []

    play(scenario)
