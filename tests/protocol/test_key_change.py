"""Another key for an account, through the front door (RFC 8555 7.3.5, acme.md K)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from acme_peer import BASE, Client, Peer, Play, joined, make_peer, playing
from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import TimeOrderedIds
from dayfly.core.jose.jwk import KeyAlgorithm, public_key_of
from dayfly.core.jose.jws import sign_flattened
from dayfly.core.jose.signatures import PrivateKey
from dayfly.core.policy.keys import spki_hash
from dayfly.errors import Unavailable
from dayfly.ports.changes import Changes, Receipt
from factories import ec_key
from replies import Reply

URL = f"{BASE}/acme/acme/key-change"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def jwk_of(key: PrivateKey) -> Any:
    """The public JWK of a key."""
    return json.loads(public_key_of(key.public_key()).jwk)


async def change(client: Client, new: PrivateKey, **changes: Any) -> Reply:
    """A key change; `changes` replace what the inner request says."""
    payload = {
        "account": changes.get("account", client.kid),
        "oldKey": changes.get("old", jwk_of(client.key)),
    }
    inner = sign_flattened(
        json.dumps(payload).encode(),
        key=changes.get("signer", new),
        alg=changes.get("alg", KeyAlgorithm.ES256),
        url=changes.get("url", URL),
        nonce=changes.get("nonce"),
        kid=changes.get("kid"),
        jwk="kid" not in changes,
    )
    members = json.loads(inner)
    if "jwk" in changes:  # a key in the header that has not signed
        members = json.loads(
            sign_flattened(json.dumps(payload).encode(), key=new, alg=KeyAlgorithm.ES256, url=URL, nonce=None, jwk=True)
        )
        members["signature"] = json.loads(inner)["signature"]
    return await client.post(URL, members)


async def works(client: Client, key: ec.EllipticCurvePrivateKey) -> bool:
    """Does this key sign for the account?"""
    return (await client.post(str(client.kid), key=key)).status == 200


def test_key_is_changed_and_the_old_one_refused__acme_k1(play: Play) -> None:
    """200; the new key signs from now on, the old one is refused, the account and its orders go on."""

    async def scenario(peer: Peer) -> None:
        client, new = await joined(peer), ec_key()
        order = await client.ready()
        reply = await change(client, new)
        assert (reply.status, reply.json["status"], reply.headers["location"]) == (200, "valid", client.kid)
        refused = await client.post(str(client.kid))
        assert (refused.status, refused.problem) == (400, "malformed")
        again = Client(peer, new, client.kid)
        assert (await again.finalize(order)).json["status"] == "valid"
        assert (await again.register()).headers["location"] == client.kid
        assert (await Client(peer, client.key).register()).status == 201  # the old key is free for another account

    play(scenario)


def test_old_key_is_refused_at_once_by_another_worker__acme_k1(tmp_path: Path) -> None:
    """A worker that has served the account, and so keeps its parsed key, refuses it right after the change."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        store = await open_store("sqlite:dayfly.db", home=tmp_path)
        twin = peer.with_authority(store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=1))
        client, new = await joined(peer), ec_key()
        there = Client(twin, client.key, client.kid)
        assert await works(there, client.key)
        assert (await change(client, new)).status == 200
        assert not await works(there, client.key)
        assert await works(there, new)
        await store.close()
        await peer.store.close()

    asyncio.run(body())


def test_key_of_another_account_is_a_conflict__acme_k2(play: Play) -> None:
    """409 with the URL of the account that has it; both keep their keys."""

    async def scenario(peer: Peer) -> None:
        client, other = await joined(peer), await joined(peer)
        refused = await change(client, other.key)
        assert (refused.status, refused.problem) == (409, "conflict")
        assert refused.headers["location"] == other.kid
        assert await works(client, client.key)
        assert await works(other, other.key)

    play(scenario)


def test_change_to_the_same_key_is_malformed__acme_k3(play: Play) -> None:
    """It would change nothing, and hide a mistake."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        refused = await change(client, client.key)
        assert (refused.status, refused.problem) == (400, "malformed")
        assert await works(client, client.key)

    play(scenario)


OTHER = ec_key()


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": f"{BASE}/acme/acme/account/0000000000000001"},
        {"nonce": "bm9uY2U"},
        {"url": f"{BASE}/acme/acme/new-account"},
        {"url": URL.replace("https", "http")},
        {"account": f"{BASE}/acme/acme/account/0000000000000001"},
        {"account": 5},
        {"old": jwk_of(OTHER)},
        {"old": "a key"},
        {"signer": OTHER, "jwk": True},
    ],
    ids=",".join,
)
def test_inner_request_that_does_not_fit_is_malformed__acme_k4(play: Play, changes: dict[str, Any]) -> None:
    """A kid, a nonce, another url, account or oldKey, a signature of somebody else: nothing changes."""

    async def scenario(peer: Peer) -> None:
        client, new = await joined(peer), ec_key()
        refused = await change(client, new, **changes)
        assert (refused.status, refused.problem) == (400, "malformed"), refused.body
        assert await works(client, client.key)
        assert not await works(client, new)

    play(scenario)


def test_inner_request_signed_by_the_old_key_is_malformed__acme_k7(play: Play) -> None:
    """Whoever holds the old key alone cannot put a key of somebody else in its place."""

    async def scenario(peer: Peer) -> None:
        client, new = await joined(peer), ec_key()
        refused = await change(client, new, signer=client.key, jwk=True)
        assert (refused.status, refused.problem) == (400, "malformed")
        for garbage in ({}, {"protected": "", "payload": "", "signature": ""}):
            assert (await client.post(URL, garbage)).problem == "malformed"
        assert (await client.post(URL)).problem == "malformed"

    play(scenario)


def test_weak_or_blocked_key_is_refused__acme_k5(play: Play) -> None:
    """badPublicKey: a size that is not accepted, a curve that is not, a key that was reported as compromised."""

    async def scenario(peer: Peer) -> None:
        client, blocked = await joined(peer), ec_key()
        public = public_key_of(blocked.public_key())
        await peer.store.commit(Changes(compromised_keys=(spki_hash(public.spki),)))
        odd = rsa.generate_private_key(65537, 2056)
        for key, alg in ((odd, KeyAlgorithm.RS256), (blocked, KeyAlgorithm.ES256)):
            refused = await change(client, key, alg=alg)
            assert (refused.status, refused.problem) == (400, "badPublicKey")
        assert await works(client, client.key)

    play(scenario)


def test_two_racing_key_changes_have_one_winner__acme_k6(tmp_path: Path) -> None:
    """Over two workers, twenty at once: one is 200, exactly one key works."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        store = await open_store("sqlite:dayfly.db", home=tmp_path)
        twin = peer.with_authority(store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=1))
        client = await joined(peer)
        there = Client(twin, client.key, client.kid)
        keys = [ec_key() for _ in range(20)]
        racing = [change(client if at % 2 else there, key) for at, key in enumerate(keys)]
        replies = await asyncio.gather(*racing)
        assert sorted(one.status for one in replies) == [200] + [400] * 19
        assert [await works(client, key) for key in keys] == [one.status == 200 for one in replies]
        assert not await works(client, client.key)
        await store.close()
        await peer.store.close()

    asyncio.run(body())


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
def test_death_during_a_key_change_leaves_exactly_one_key__acme_k6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The server goes away around the commit, and a new process serves the database: one of the two keys works."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        client, new = await joined(peer), ec_key()
        commit = peer.store.commit

        async def dies(changes: Changes) -> Receipt:
            if after:
                await commit(changes)
            raise Unavailable("the process is gone")

        with monkeypatch.context() as patch:
            patch.setattr(peer.store, "commit", dies)
            assert (await change(client, new)).status == 503
        await peer.store.close()
        store = await open_store("sqlite:dayfly.db", home=tmp_path)
        successor = peer.with_authority(store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=2))
        there = Client(successor, client.key, client.kid)
        assert [await works(there, key) for key in (client.key, new)] == [not after, after]
        await store.close()

    asyncio.run(body())


def test_key_change_that_is_overtaken_again_and_again_is_503(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others change the account all the time: the client is told to come back, and its key stays."""

    async def scenario(peer: Peer) -> None:
        client, commit = await joined(peer), peer.store.commit

        async def overtaken(changes: Changes) -> Receipt:
            account = await peer.store.accounts.account(changes.update[0].id)
            await commit(Changes(update=(account,)))
            return await commit(changes)

        with monkeypatch.context() as patch:
            patch.setattr(peer.store, "commit", overtaken)
            refused = await change(client, ec_key())
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert await works(client, client.key)

    play(scenario)
