"""External account binding through the front door (RFC 8555 7.3.4, acme.md E)."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme_peer import BASE, Client, Peer, Play, change_acme, joined, make_peer, playing
from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import TimeOrderedIds
from dayfly.authority.external_accounts import find_binding_key, revoke_external_key
from dayfly.authority.limits import Limits
from dayfly.authority.settings import change_settings
from dayfly.core.acme.external_accounts import UNLIMITED, parse_binding
from dayfly.core.events import AccountBound, ExternalKeyMade, ExternalKeyRevoked, NamesPreauthorized
from dayfly.core.frozen import replace
from dayfly.core.ids import parse_id
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import public_key_of
from dayfly.core.problems import Unauthorized
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.transparency.entries import parse_entry
from dayfly.errors import ConfigError
from external_accounts import (
    HERE,
    NEW_ACCOUNT,
    binding,
    bound,
    external_key,
    from_elsewhere,
    register,
    require_binding,
    with_key,
)
from factories import NAME, dns, ec_key
from replies import Reply

KID = external_key().kid
ELSEWHERE = "192.168.0.0/16"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def entries(peer: Peer, kind: type[Any]) -> list[Any]:
    """What the log says of one kind."""
    found = [parse_entry(one.body) for one in await peer.store.log.entries(0, limit=1000)]
    return [one for one in found if isinstance(one, kind)]


async def revoke(peer: Peer) -> None:
    """The operator takes the key back."""
    await revoke_external_key(peer.store, peer.clock, provisioner="acme", kid=KID)


# --- binding ----------------------------------------------------------------------------------------------------------


def test_account_without_the_required_binding_is_refused__acme_e1(play: Play) -> None:
    """403 externalAccountRequired, which the directory told before; a known account is still found."""

    async def scenario(peer: Peer) -> None:
        before = await joined(peer)
        await require_binding(peer)
        assert (await peer.send("GET", "/acme/acme/directory")).json["meta"]["externalAccountRequired"] is True
        for payload in ({}, {"externalAccountBinding": None}):
            refused = await Client(peer).register(**payload)
            assert (refused.status, refused.problem) == (403, "externalAccountRequired")
        assert (await before.register()).status == 200

    play(scenario)


def test_new_account_shows_the_binding_that_made_it__rfc8555_7_3_4(play: Play) -> None:
    """The 201 has `externalAccountBinding` as it was sent; what finds the account again has none: nobody read it."""

    async def scenario(peer: Peer) -> None:
        await with_key(peer)
        client = Client(peer)
        sent = binding(client)
        made = await client.register(externalAccountBinding=sent)
        assert (made.status, made.json["externalAccountBinding"]) == (201, sent)
        again = await client.register(externalAccountBinding=sent)
        assert (again.status, "externalAccountBinding" in again.json) == (200, False)

    play(scenario)


def test_account_is_bound_and_the_use_counted__acme_e2(play: Play) -> None:
    """201; key and account know of each other, the log tells of it, and a used-up key has no secret any more."""

    async def scenario(peer: Peer) -> None:
        await require_binding(peer)
        client = await bound(peer, owner="platform-team", reference="web")
        key = await peer.store.external_keys.external_key(KID)
        assert (key.used, key.bound_at, key.state(peer.clock.now()), key.secret) == (1, peer.clock.now(), "used", b"")
        account_id = parse_id(str(client.kid).rpartition("/")[2])
        assert (await peer.store.accounts.account(account_id or 0)).external_key == KID
        assert [(one.account_id, one.kid) for one in await entries(peer, AccountBound)] == [(account_id, KID)]
        (made,) = await entries(peer, ExternalKeyMade)
        assert (made.kid, made.provisioner, made.owner, made.preauthorized) == (KID, "acme", "platform-team", False)
        assert (await client.finalize(await client.ready())).json["status"] == "valid"

    play(scenario)


@pytest.mark.parametrize(
    "changes",
    [
        {"header": {"alg": "none"}},
        {"header": {"alg": "ES256"}},
        {"header": {"alg": "HS512"}},
        {"header": {"alg": None}},
        {"header": {"nonce": "bm9uY2U"}},
        {"header": {"url": NEW_ACCOUNT + "/"}},
        {"header": {"url": None}},
        {"header": {"kid": None}},
        {"header": {"kid": 5}},
        {"header": {"jwk": {}}},
        {"header": {"crit": []}},
        {"header": {"b64": False}},
        {"parts": {"signature": "A A"}},
        {"parts": {"signature": 5}},
        {"parts": {"header": {}}},
        {"parts": {"protected": "A" * 20_000}},
        {"parts": {"protected": b64u_encode(b"[]")}},
    ],
    ids=str,
)
def test_binding_that_is_no_binding_is_malformed__acme_e3(play: Play, changes: dict[str, Any]) -> None:
    """Another algorithm, a nonce, another url, no kid, extensions, another form: 400, and the key is not used."""

    async def scenario(peer: Peer) -> None:
        await with_key(peer)
        refused = await register(Client(peer), **changes)
        assert (refused.status, refused.problem) == (400, "malformed"), refused.body
        assert (await Client(peer).register(externalAccountBinding="text")).problem == "malformed"
        assert (await peer.store.external_keys.external_key(KID)).used == 0

    play(scenario)


@pytest.mark.parametrize(
    "changes",
    [{"bound": ec_key()}, {"payload": b""}, {"payload": b"{}"}, {"payload": b'{"kty":"oct","k":"AAAA"}'}],
    ids=["another key", "nothing", "no key", "a secret"],
)
def test_binding_of_another_key_is_malformed__acme_e4(play: Play, changes: dict[str, Any]) -> None:
    """The payload is the account's key, whatever order its members have."""

    async def scenario(peer: Peer) -> None:
        await with_key(peer)
        client = Client(peer)
        refused = await register(client, **changes)
        assert (refused.status, refused.problem) == (400, "malformed"), refused.body
        jwk = json.loads(b"{}") | json.loads(binding_payload(client))
        reordered = json.dumps(dict(reversed(jwk.items())) | {"use": "sig"}, indent=2).encode()
        assert (await register(client, payload=reordered)).status == 201

    play(scenario)


def binding_payload(client: Client) -> bytes:
    """The public key of a client."""
    return public_key_of(client.key.public_key()).jwk


WRONG: dict[str, dict[str, Any]] = {
    "wrong MAC": {},
    "unknown": {},
    "revoked": {},
    "expired": {"expires_in": timedelta(hours=1)},
    "used": {},
    "other provisioner": {"provisioner": "other"},
    "other network": {"sources": (ELSEWHERE,)},
}


async def wrong(peer: Peer, why: str) -> Reply:
    """A request whose binding does not hold for this reason."""
    client = Client(peer)
    key = await peer.store.external_keys.external_key(KID)
    if why == "revoked":
        await revoke(peer)
    if why == "used":
        await register(Client(peer))
    if why == "expired":
        peer.clock.moment += timedelta(hours=2)
    if why == "unknown":
        return await register(client, "0000000000000000")
    return await register(client, KID, b"another secret" if why == "wrong MAC" else key.secret)


@pytest.mark.parametrize("why", WRONG)
def test_bindings_that_do_not_hold_have_one_text__acme_e5(play: Play, why: str) -> None:
    """Unknown, wrong, revoked, expired, used up, of another provisioner or network: 403, and the same words (E7 to E9).

    So it is where no binding is required, too.
    """

    async def scenario(peer: Peer) -> None:
        other = Provisioner("other", ProvisionerType.ACME)
        await change_settings(peer.store, peer.clock, lambda now: SettingsChange(now.revision, put=(other,)))
        changes = dict(WRONG[why])
        if "expires_in" in changes:
            changes["expires"] = peer.clock.now() + changes.pop("expires_in")
        await with_key(peer, **changes)
        refused = await wrong(peer, why)
        assert (refused.status, refused.problem) == (403, "unauthorized")
        text = "the external account binding is not valid: its key is not one that binds accounts here"
        assert refused.json == {"type": "urn:ietf:params:acme:error:unauthorized", "detail": text, "status": 403}

    play(scenario)


def test_bindings_that_do_not_hold_take_one_time__acme_e5(play: Play) -> None:
    """In 2,000 of each, mixed, the quicker ones take as much of the processor, unknown key or wrong MAC.

    A quarter of what is done behind the request's own signature is allowed to the machine, in one round of five; a way
    that is shorter is so in all.
    """

    async def scenario(peer: Peer) -> None:
        peer.authority.limits = Limits(enabled=False)
        await with_key(peer)
        apart = [await _apart(peer) for _ in range(5)]
        assert min(apart) < 0.25, apart

    play(scenario)


async def _apart(peer: Peer) -> float:
    """How far the tenth percentiles of 400 are apart, as a share of the longer."""
    client = Client(peer)
    key = public_key_of(client.key.public_key())
    signed = [binding(client, kid, b"another secret") for kid in (KID, "0000000000000000")]
    read = [parse_binding(one, url=NEW_ACCOUNT, key=key) for one in signed]
    taken: tuple[list[float], list[float]] = ([], [])
    for at in range(800):
        which = (at ^ at >> 1) & 1  # each comes first as often
        begin = time.process_time()
        with pytest.raises(Unauthorized):
            await find_binding_key(peer.authority, "acme", read[which], source=None)
        taken[which].append(time.process_time() - begin)
    one, other = (statistics.quantiles(times, n=10)[0] for times in taken)
    return abs(one - other) / max(one, other)


@pytest.mark.parametrize(("where", "most"), [(from_elsewhere, 30), (lambda peer: peer, 300)], ids=["public", "private"])
def test_wrong_bindings_of_one_source_are_limited__acme_13(
    play: Play, where: Callable[[Peer], Peer], most: int
) -> None:
    """After thirty in a minute the address is told to wait, good key or not; a minute later it is heard again.

    A private address has ten times as many, as with the other limits of a source.
    """

    async def scenario(inside: Peer) -> None:
        peer = where(inside)
        await with_key(peer)
        for _ in range(most):
            assert (await register(Client(peer), KID, b"another secret")).status == 403
        refused = await register(Client(peer))
        assert (refused.status, refused.problem) == (429, "rateLimited")
        assert int(refused.headers["retry-after"]) > 0
        assert (await Client(peer).register()).status == 201  # who brings no binding is not concerned
        peer.clock.moment += timedelta(minutes=1)
        assert (await register(Client(peer))).status == 201

    play(scenario)


# --- uses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uses", "made"), [(1, 1), (3, 3), (UNLIMITED, 50)])
def test_key_binds_as_many_accounts_as_it_has_uses__acme_e6(tmp_path: Path, uses: int, made: int) -> None:
    """Fifty accounts at once over two workers: exactly so many are 201, all others are refused."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        store = await open_store("sqlite:dayfly.db", home=tmp_path)
        limits = Limits(enabled=False)
        twin = peer.with_authority(store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=1), limits=limits)
        peer.authority.limits = limits
        await with_key(peer, uses=uses)
        replies = await asyncio.gather(*(register(Client(twin if at % 2 else peer)) for at in range(50)))
        assert sorted(reply.status for reply in replies) == [201] * made + [403] * (50 - made)
        assert (await peer.store.external_keys.external_key(KID)).used == made
        await store.close()
        await peer.store.close()

    asyncio.run(body())


@pytest.mark.parametrize("why", ["used", "revoked", "expired"])
def test_known_account_registers_again_with_a_key_that_is_over__acme_e6(play: Play, why: str) -> None:
    """A client that registers on every run gets its account, 200, and goes on to renew."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, uses=1 if why == "used" else 2, expires=peer.clock.now() + timedelta(hours=1))
        if why == "revoked":
            await revoke(peer)
        if why == "expired":
            peer.clock.moment += timedelta(hours=2)
        location = client.kid
        again = await register(client)
        assert (again.status, again.headers["location"]) == (200, location)
        assert (await client.finalize(await client.ready())).json["status"] == "valid"

    play(scenario)


def test_key_is_made_for_a_provisioner_and_owner_that_there_are(play: Play) -> None:
    """An ACME provisioner, a known owner; a key that is removed twice is removed, and one of nobody is an error."""

    async def scenario(peer: Peer) -> None:
        for changes, what in (
            ({"provisioner": "nobody"}, "no ACME provisioner named nobody"),
            ({"provisioner": "platform-team"}, "no ACME provisioner named platform-team"),
            ({"owner": "nobody"}, "nobody knows the owner nobody"),
            ({"allow": ("*.*",)}, "no pattern"),
        ):
            with pytest.raises(ConfigError, match=what):
                await with_key(peer, **changes)
        await with_key(peer)
        await revoke(peer)
        await revoke(peer)
        assert len(await entries(peer, ExternalKeyRevoked)) == 1
        for provisioner, kid in (("acme", "0"), ("other", KID)):
            with pytest.raises(ConfigError, match="has no external account key"):
                await revoke_external_key(peer.store, peer.clock, provisioner=provisioner, kid=kid)

    play(scenario)


# --- scopes -----------------------------------------------------------------------------------------------------------


def test_scope_binds_every_order_of_the_account__acme_5(play: Play) -> None:
    """Names, network and lifetime, at the order, long after the key is revoked; the denial names the key."""

    async def scenario(peer: Peer) -> None:
        lifetime = timedelta(hours=1)
        client = await bound(
            peer, owner="platform-team", allow=("a.internal.example",), sources=(HERE,), max_lifetime=lifetime
        )
        await revoke(peer)
        refused = await client.order("b.internal.example")
        assert (refused.status, refused.problem) == (400, "rejectedIdentifier")
        assert (refused.json["rule"], refused.json["owner"]) == (f"eab:{KID}", "platform-team")
        assert refused.json["nearest"] == "a.internal.example"
        outside = await client.order("a.elsewhere.example")
        assert outside.json["rule"] == "default-deny"  # no scope widens what the rules give
        done = await client.finalize(await client.ready("a.internal.example"))
        certificate = await peer.store.certificates.certificate(
            parse_id(done.json["certificate"].rpartition("/")[2]) or 0
        )
        assert certificate.not_after - certificate.not_before < lifetime
        assert (await (await joined(peer)).order("b.internal.example")).status == 201  # a plain account is not held

    play(scenario)


def test_scope_binds_at_finalize_too__acme_5(play: Play) -> None:
    """An order that was made within the scope is not issued to another network."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, sources=("10.1.2.3/32",))
        order = await client.ready()
        moved = replace(client, peer=from_elsewhere(peer))
        refused = await moved.finalize(order)
        assert (refused.status, refused.problem, refused.json["rule"]) == (400, "rejectedIdentifier", f"eab:{KID}")
        again = await moved.order(NAME)
        assert (again.status, again.problem) == (400, "rejectedIdentifier")
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_scope_binds_names_that_are_authorized_beforehand__acme_5(play: Play) -> None:
    """NewAuthz gives no name that an order would not get."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await bound(peer, allow=("a.internal.example",))
        asked = [
            await client.post(f"{BASE}/acme/acme/new-authz", {"identifier": {"type": "dns", "value": name}})
            for name in ("a.internal.example", "b.internal.example")
        ]
        assert [one.status for one in asked] == [201, 400]
        assert (asked[1].problem, asked[1].json["rule"]) == ("rejectedIdentifier", f"eab:{KID}")

    play(scenario)


# --- names that need no proof -----------------------------------------------------------------------------------------


PREAUTHORIZED: dict[str, Any] = {"allow": ("*.internal.example",), "sources": (HERE,), "preauthorized": True}


def test_order_of_a_preauthorized_key_is_ready_at_once__acme_e10(play: Play) -> None:
    """No challenge, no validation; the authorization says whose word it is, and so does the log."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, **PREAUTHORIZED)
        order = await client.order()
        assert (order.status, order.json["status"]) == (201, "ready")
        authorization = (await client.post(order.json["authorizations"][0])).json
        assert (authorization["status"], authorization["challenges"]) == ("valid", [])
        row = await peer.store.orders.order(parse_id(order.headers["location"].rpartition("/")[2]) or 0)
        assert [one.validated_by for one in row.authorizations] == [f"eab:{KID}"]
        (entry,) = await entries(peer, NamesPreauthorized)
        assert (entry.order_id, entry.kid, entry.names) == (row.id, KID, (dns(),))
        assert (await client.finalize(order)).json["status"] == "valid"
        assert peer.validator.looks == 0

    play(scenario)


def test_word_of_a_revoked_key_revokes_no_certificate__rfc8555_7_6(play: Play) -> None:
    """Another account's certificate may be revoked by whom a key vouched for, until the key is taken back."""

    async def scenario(peer: Peer) -> None:
        neighbour, client = await joined(peer), await bound(peer, **PREAUTHORIZED)
        names = ("a.internal.example", "b.internal.example")
        assert [(await client.order(name)).json["status"] for name in names] == ["ready", "ready"]
        for name in names:
            done = await neighbour.finalize(await neighbour.ready(name))
            row = await peer.store.certificates.certificate(parse_id(done.json["certificate"].rpartition("/")[2]) or 0)
            asked = {"certificate": b64u_encode(row.der)}
            reply = await client.post(f"{BASE}/acme/acme/revoke-cert", asked)
            assert reply.status == (200 if name.startswith("a") else 403)
            if reply.status == 200:
                await revoke(peer)

    play(scenario)


def test_preauthorized_key_gives_its_names_to_its_networks_only__acme_e10(play: Play) -> None:
    """Another name and another network are 400 rejectedIdentifier, each."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, **PREAUTHORIZED)
        other = await client.order("a.b.internal.example")
        elsewhere = await replace(client, peer=from_elsewhere(peer)).order("c.internal.example")
        for refused in (other, elsewhere):
            assert (refused.status, refused.problem) == (400, "rejectedIdentifier")
            assert refused.json["rule"] == f"eab:{KID}"
        assert await entries(peer, NamesPreauthorized) == []

    play(scenario)


@pytest.mark.parametrize("lacking", ["sources", "allow"])
def test_preauthorized_key_without_names_or_networks_is_refused__acme_e10(play: Play, lacking: str) -> None:
    """It is not made at all."""

    async def scenario(peer: Peer) -> None:
        with pytest.raises(ConfigError, match="needs names and networks"):
            await with_key(peer, **(PREAUTHORIZED | {lacking: ()}))

    play(scenario)


def test_revoked_key_vouches_no_more__acme_e10(play: Play) -> None:
    """New orders must be proved again, and one that was ready on its word is not issued."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, **PREAUTHORIZED)
        ready = await client.order()
        await revoke(peer)
        refused = await client.finalize(ready)
        assert (refused.status, refused.problem) == (403, "orderNotReady")
        assert (await client.order("b.internal.example")).json["status"] == "pending"

    play(scenario)


def test_plain_key_vouches_for_nothing__acme_e10(play: Play) -> None:
    """With names and networks, and without the word, its names must be proved."""

    async def scenario(peer: Peer) -> None:
        client = await bound(peer, **(PREAUTHORIZED | {"preauthorized": False}))
        assert (await client.order()).json["status"] == "pending"

    play(scenario)
