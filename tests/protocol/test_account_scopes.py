"""An account with a scope of its own, through the front door (acme.md part 5)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from acme_peer import BASE, Client, Peer, Play, change_acme, joined, make_peer, playing
from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import TimeOrderedIds
from dayfly.authority.account_scopes import change_account_scope
from dayfly.authority.accounts import end_account
from dayfly.authority.holders import holder_of_connection
from dayfly.authority.limits import Limits
from dayfly.authority.renewals import renew
from dayfly.core.acme.objects import Account
from dayfly.core.events import AccountScopeChanged
from dayfly.core.frozen import replace
from dayfly.core.ids import parse_id
from dayfly.core.policy.scopes import Scope
from dayfly.core.problems import RejectedIdentifier
from dayfly.core.transparency.entries import parse_entry
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import ConfigError, Conflict, NotFound, Unavailable
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from external_accounts import bound, from_elsewhere
from factories import NAME, csr_der, ec_key
from replies import Reply
from step_peer import Leaf, leaf_of, refused

OTHER = "b.internal.example"
HOUR = timedelta(hours=1)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def id_of(client: Client) -> int:
    """The id of its account."""
    return parse_id(str(client.kid).rpartition("/")[2]) or 0


def name_of(client: Client) -> str:
    """What its scope is called in denials."""
    return f"account:{id_of(client):016x}"


async def hold(peer: Peer, client: Client, store: Store | None = None, **parts: Any) -> tuple[Account, bool]:
    """The operator holds the account to these, and nothing of before."""
    return await change_account_scope(store or peer.store, peer.clock, id_of(client), lambda _: Scope(**parts))


async def told(peer: Peer) -> list[AccountScopeChanged]:
    """The changes of scopes that the log tells of."""
    found = [parse_entry(one.body) for one in await peer.store.log.entries(0, limit=1000)]
    return [one for one in found if isinstance(one, AccountScopeChanged)]


def denied(reply: Reply, client: Client) -> bool:
    """Is it a denial by the account's scope?"""
    return (reply.status, reply.problem, reply.json.get("rule")) == (400, "rejectedIdentifier", name_of(client))


async def leaf_from(client: Client) -> Leaf:
    """A certificate that its account got, with the key."""
    key = ec_key()
    done = await client.finalize(await client.ready(), csr_der(NAME, key=key))
    leaf, *chain = parse_pem_certificates((await client.post(done.json["certificate"])).body.decode())
    return Leaf(client.peer, leaf, key, tuple(chain))


def test_scope_of_an_account_binds_its_next_order__acme_5(play: Play) -> None:
    """Names, network and lifetime; the denial names the account, its owner and what is near; others are not held."""

    async def scenario(peer: Peer) -> None:
        client, other = await joined(peer), await joined(peer)
        assert (await client.order(OTHER)).status == 201
        await hold(peer, client, owner="platform-team", allow=(NAME,), sources=("10.0.0.0/8",), max_lifetime=HOUR)
        assert denied(await client.order(OTHER), client)  # though the order is there
        reply = await client.order("d.internal.example")
        assert denied(reply, client), reply.body
        assert (reply.json["owner"], reply.json["nearest"]) == ("platform-team", NAME)
        assert (await client.order("a.elsewhere.example")).json["rule"] == "default-deny"  # no scope widens
        assert denied(await replace(client, peer=from_elsewhere(peer)).order(NAME), client)
        leaf = (await leaf_from(client)).certificate
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < HOUR
        assert (await other.order(OTHER)).status == 201
        await hold(peer, client)
        assert (await client.order("d.internal.example")).status == 201

    play(scenario)


def test_scope_that_tightens_binds_orders_that_are_ready__acme_5(play: Play) -> None:
    """What was ordered and proved before is not issued; it is once the scope lets it pass again."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        await hold(peer, client, deny=(NAME,))
        assert denied(await client.finalize(order), client)
        await hold(peer, client)
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_scope_of_an_account_narrows_that_of_its_key__acme_5(play: Play) -> None:
    """A name needs both; each denial names the scope that denied; the owner is that of the account's."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, allow=(NAME, OTHER), max_lifetime=3 * HOUR)
        await hold(peer, client, allow=(NAME, "c.internal.example"), owner="platform-team", max_lifetime=HOUR)
        assert denied(await client.order(OTHER), client)
        assert (await client.order("c.internal.example")).json["rule"] == "eab:7hQ2bX0mT4kVw9Zc"
        done = await client.finalize(await client.ready())
        row = await peer.store.certificates.certificate(parse_id(done.json["certificate"].rpartition("/")[2]) or 0)
        assert (row.owner, row.not_after - row.not_before < HOUR) == ("platform-team", True)

    play(scenario)


def test_scope_of_an_account_binds_names_that_are_authorized_beforehand__acme_5(play: Play) -> None:
    """NewAuthz gives no name that an order would not get."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await joined(peer)
        await hold(peer, client, allow=(NAME,))
        url = f"{BASE}/acme/acme/new-authz"
        assert (await client.post(url, {"identifier": {"type": "dns", "value": NAME}})).status == 201
        assert denied(await client.post(url, {"identifier": {"type": "dns", "value": OTHER}}), client)

    play(scenario)


def test_scope_of_an_account_binds_renewals_of_its_certificates__acme_5(play: Play) -> None:
    """A certificate of before renews within today's scope: no longer, and not at all where its name is denied."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        leaf = await leaf_from(client)
        await hold(peer, client, max_lifetime=HOUR)
        renewed = leaf_of(await leaf.renew())
        assert renewed.not_valid_after_utc - renewed.not_valid_before_utc < HOUR
        await hold(peer, client, allow=(OTHER,))
        refused(await leaf.renew(), 403, name_of(client))

    play(scenario)


@pytest.mark.parametrize("ended_by", ["owner", "operator"])
def test_certificate_of_an_account_that_has_ended_renews_no_more__rfc8555_7_3_6(play: Play, ended_by: str) -> None:
    """Deactivated by its owner or ended by the operator: what it got lives to its end, and has no successor."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        leaf = await leaf_from(client)
        leaf_of(await leaf.renew())
        if ended_by == "owner":
            assert client.kid is not None
            assert (await client.post(client.kid, {"status": "deactivated"})).status == 200
        else:
            await end_account(peer.store, peer.clock, id_of(client))
        refused(await leaf.renew(), 401, "the account that the certificate was issued to is")

    play(scenario)


def test_renewal_that_began_before_the_scope_is_judged_by_it__acme_5(play: Play) -> None:
    """Between plan and commit the operator tightens: the signature is dropped, and the second look refuses."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        leaf = await leaf_from(client)
        before = len(await peer.store.certificates.certificates(after=0, limit=9))

        authority = replace(peer.authority, store=tightening(peer, client))
        holder = await holder_of_connection(authority, leaf.certificate.public_bytes(Encoding.DER))
        with pytest.raises(RejectedIdentifier, match=name_of(client)):
            await renew(authority, holder, source=IPv4Address("10.0.0.1"))
        assert len(await peer.store.certificates.certificates(after=0, limit=9)) == before

    play(scenario)


def test_request_that_began_before_the_scope_is_judged_by_it__acme_5(play: Play) -> None:
    """Between plan and commit the operator tightens: finalize and newOrder look again, and refuse."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        late = replace(client, peer=peer.with_authority(store=tightening(peer, client)))
        assert denied(await late.finalize(order), client)
        await hold(peer, client)
        assert denied(await late.order(NAME, OTHER), client)
        assert await peer.store.certificates.certificates(after=0, limit=9) == ()

    play(scenario)


class _Through:
    """A store that lets all through."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def tightening(peer: Peer, client: Client) -> Any:
    """The peer's store, where the operator takes the account its name whenever a request is about to be written."""

    class Late(_Through):
        async def commit(self, changes: Changes) -> None:
            await hold(peer, client, self.store, deny=(NAME,))
            await self.store.commit(changes)

    return Late(peer.store)


def test_another_worker_holds_the_account_at_once__acme_5(tmp_path: Path) -> None:
    """It has the account among its recent rows, and is told by nobody; so it is when the scope goes again."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        store = await open_store("sqlite:dayfly.db", home=tmp_path)
        limits = Limits(enabled=False)
        twin = peer.with_authority(store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=1), limits=limits)
        client = await joined(peer)
        there = replace(client, peer=twin)
        order = await there.ready()
        assert (await there.order(OTHER)).status == 201
        await hold(peer, client, allow=(OTHER,))
        assert denied(await there.finalize(order), client)
        assert denied(await there.order(NAME), client)
        await hold(peer, client)
        assert (await there.finalize(order)).json["status"] == "valid"
        await store.close()
        await peer.store.close()

    asyncio.run(body())


def test_change_is_one_version_and_one_entry__acme_5(play: Play) -> None:
    """Who did it stands there; the same again writes nothing; an update by the client keeps the scope."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        held, is_other = await hold(peer, client, allow=(NAME,))
        assert (held.version, is_other) == (1, True)
        assert await hold(peer, client, allow=(NAME,)) == (held, False)
        (entry,) = await told(peer)
        assert (entry.account_id, entry.by, len(entry.scope)) == (id_of(client), "the CA's operator", 64)
        assert (await client.post(str(client.kid), {"contact": ["mailto:a@b.example"]})).status == 200
        assert denied(await client.order(OTHER), client)

    play(scenario)


def test_scope_that_cannot_be_is_refused_and_nothing_written(play: Play) -> None:
    """An owner whom nobody knows, a pattern that is none, an account that is not there, one that changes for ever."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        with pytest.raises(ConfigError, match="nobody knows the owner nobody"):
            await hold(peer, client, owner="nobody")
        with pytest.raises(ConfigError, match="no pattern"):
            await hold(peer, client, allow=("*.*",))
        with pytest.raises(NotFound):
            await change_account_scope(peer.store, peer.clock, 0x99, lambda scope: scope)

        class Busy(_Through):
            async def commit(self, _: Changes) -> None:
                raise Conflict("another was first")

        busy: Any = Busy(peer.store)
        with pytest.raises(Unavailable, match="kept changing"):
            await change_account_scope(busy, peer.clock, id_of(client), lambda _: Scope(deny=(NAME,)))
        assert await told(peer) == []

    play(scenario)
