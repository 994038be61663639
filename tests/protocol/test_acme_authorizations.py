"""Authorizations that serve further orders: newAuthz and reuse (acme.md parts 1 and 6; RFC 8555 7.4.1, 7.5.2)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_peer import BASE, Client, Peer, Play, ScriptedValidator, change_acme, joined, playing, refused_connection
from dayfly.authority.context import Caps
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.policy.profiles import PROFILES
from dayfly.ports.changes import Changes, Receipt
from factories import NAME, csr_der
from replies import Reply

OTHER = "b.internal.example"
HOUR = timedelta(hours=1)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def test_name_that_was_proved_in_another_way_serves_no_profile_that_forbids_it__acme_6(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile that takes dns-01 alone is not served by what http-01 proved beforehand; others are."""
    strict = replace(PROFILES["ephemeral"], challenges=("dns-01",))
    monkeypatch.setattr("dayfly.core.policy.grant.PROFILES", {**PROFILES, "ephemeral": strict})

    async def scenario(peer: Peer) -> None:
        validators = {"http-01": peer.validator, "dns-01": ScriptedValidator(kind="dns-01")}
        both = peer.with_authority(validators=validators)
        await change_acme(both, pre_authorization=True)
        client = await joined(both)
        await pre_authorized(client)
        assert (await client.order(NAME, profile="ephemeral")).json["status"] == "pending"
        assert (await client.order(NAME)).json["status"] == "ready"

    play(scenario)


async def pre_authorized(client: Client, name: str = NAME) -> Reply:
    """NewAuthz, and its challenge answered."""
    asked = await new_authorization(client, name)
    assert asked.status == 201, asked.body
    await prove(client, asked.headers["location"])
    return asked


async def new_authorization(client: Client, value: str = NAME, kind: str = "dns") -> Reply:
    """POST newAuthz."""
    return await client.post(f"{BASE}/acme/acme/new-authz", {"identifier": {"type": kind, "value": value}})


async def prove(client: Client, url: str) -> None:
    """Answer the authorization's challenge, and wait for the outcome."""
    authorization = (await client.post(url)).json
    await client.post(authorization["challenges"][0]["url"], {})
    await client.peer.settle()


def test_new_authz_is_there_only_where_it_is_on__acme_d1(play: Play) -> None:
    """Neither in the directory nor behind its URL; with the switch it is both (RFC 8555 7.4.1)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        assert "newAuthz" not in (await peer.send("GET", "/acme/acme/directory")).json
        refused = await new_authorization(client)
        assert (refused.status, refused.problem) == (404, "malformed")
        await change_acme(peer, pre_authorization=True)
        assert (await peer.send("GET", "/acme/acme/directory")).json["newAuthz"] == f"{BASE}/acme/acme/new-authz"
        assert (await new_authorization(client)).status == 201

    play(scenario)


def test_pre_authorized_name_serves_later_orders__rfc8555_7_4_1(play: Play) -> None:
    """201, Location, pending; once proved an order for it is ready at once, and its certificate comes of it."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await joined(peer)
        asked = await new_authorization(client, "API.internal.example")
        assert (asked.status, asked.json["status"]) == (201, "pending")
        assert asked.json["identifier"] == {"type": "dns", "value": NAME}
        assert "wildcard" not in asked.json  # RFC 8555 7.1.4
        url = asked.headers["location"]
        assert (await client.post(url)).json == asked.json
        again = await new_authorization(client)
        assert (again.status, again.headers["location"]) == (200, url)
        await prove(client, url)
        assert (await client.post(url)).json["status"] == "valid"
        order = await client.order(NAME)
        assert (order.status, order.json["status"], order.json["authorizations"]) == (201, "ready", [url])
        assert (await client.finalize(order)).json["status"] == "valid"
        assert peer.validator.looks == 1
        mixed = await client.order(NAME, OTHER)
        assert mixed.json["status"] == "pending"
        assert mixed.json["authorizations"][0] == url
        await prove(client, mixed.json["authorizations"][1])
        assert (await client.finalize(mixed)).json["status"] == "valid"

    play(scenario)


def test_pre_authorization_is_the_accounts_own__rfc8555_10_5(play: Play) -> None:
    """Another account neither sees it nor is served by it; nor does one of another provisioner's orders."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client, other = await joined(peer), await joined(peer)
        url = (await pre_authorized(client)).headers["location"]
        challenge = (await client.post(url)).json["challenges"][0]["url"]
        for target, payload in ((url, None), (url, {"status": "deactivated"}), (challenge, {}), (challenge, None)):
            assert (await other.post(target, payload)).status == 404
        assert (await other.order()).json["status"] == "pending"
        assert (await client.post(f"{url}-0")).status == 404
        assert (await client.post(url.replace(url[-3:], "fff"))).status == 404
        assert (await client.post(challenge.replace("http-01", "dns-01"), {})).status == 404

    play(scenario)


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        ("*.internal.example", "dns", "malformed"),
        ("a b", "dns", "malformed"),
        ("a@b.example", "email", "unsupportedIdentifier"),
        ("shop.corp.example.net", "dns", "rejectedIdentifier"),
    ],
)
def test_name_that_may_not_be_pre_authorized_is_refused__rfc8555_7_4_1(
    play: Play, value: str, kind: str, problem: str
) -> None:
    """A wildcard, a malformed name, another type, a name that no rule gives, which leaves with an id."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        reply = await new_authorization(await joined(peer), value, kind)
        assert (reply.status, reply.problem) == (400, problem)
        assert bool(reply.json.get("denial")) is (problem == "rejectedIdentifier")

    play(scenario)


def test_pending_pre_authorizations_are_capped(play: Play) -> None:
    """One too many is 429 with Retry-After; what was proved does not count."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await joined(peer)
        first = await new_authorization(client)
        await new_authorization(client, OTHER)
        refused = await new_authorization(client, "c.internal.example")
        assert (refused.status, refused.problem) == (429, "rateLimited")
        assert int(refused.headers["retry-after"]) > 0
        await prove(client, first.headers["location"])
        assert (await new_authorization(client, "c.internal.example")).status == 201

    play(scenario, caps=Caps(open_orders=2))


def test_switch_that_is_off_uses_nothing(play: Play) -> None:
    """What was proved beforehand serves nobody once the operator says so."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await joined(peer)
        await pre_authorized(client)
        await change_acme(peer, pre_authorization=False)
        assert (await client.order()).json["status"] == "pending"

    play(scenario)


def test_failed_pre_authorization_says_why_and_serves_nobody(play: Play) -> None:
    """Invalid with the challenge's error; the next newAuthz is a new one."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=False)]
        url = (await pre_authorized(client)).headers["location"]
        found = (await client.post(url)).json
        assert found["status"] == "invalid"
        assert found["challenges"][0]["error"]["type"].endswith(":connection")
        assert (await client.post(found["challenges"][0]["url"], {})).json["status"] == "invalid"  # and no new try
        assert peer.validator.looks == 1
        assert (await client.order()).json["status"] == "pending"
        assert (await new_authorization(client)).status == 201

    play(scenario)


# --- reuse ------------------------------------------------------------------------------------------------------------


def test_valid_authorization_is_used_again_for_its_time__acme_6(play: Play) -> None:
    """By the same account, for the same name; later, for another name, or by another account it is proved anew."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        first = await client.ready()
        assert (await client.finalize(first)).json["status"] == "valid"
        second = await client.order()
        assert (second.status, second.json["status"]) == (201, "ready")
        assert second.json["authorizations"] == first.json["authorizations"]
        assert second.headers["location"] != first.headers["location"]
        assert (await client.finalize(second)).json["status"] == "valid"
        assert peer.validator.looks == 1
        assert (await client.order(OTHER)).json["status"] == "pending"
        assert (await (await joined(peer)).order()).json["status"] == "pending"
        peer.clock.moment += HOUR
        assert (await client.order()).json["status"] == "pending"

    play(scenario)


def test_nothing_is_used_again_by_default__acme_6(play: Play) -> None:
    """The order's authorization is its own, and no row is made for it."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        await client.finalize(await client.ready())
        again = await client.order()
        assert again.json["status"] == "pending"
        assert again.json["authorizations"][0].endswith("-0")

    play(scenario)


def test_authorization_that_expires_between_ready_and_finalize__acme_o18(play: Play) -> None:
    """403 orderNotReady with the name, nothing issued, though the order itself would live on."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        await client.finalize(await client.ready())
        peer.clock.moment += timedelta(minutes=50)
        order = await client.order()
        assert order.json["status"] == "ready"
        peer.clock.moment += timedelta(minutes=10)
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (403, "orderNotReady")
        assert f"the authorization for {NAME} expired" in refused.json["detail"]
        assert (await client.post(order.headers["location"])).json["status"] == "invalid"
        assert len(await peer.store.certificates.certificates(after=0, limit=9)) == 1

    play(scenario)


def test_owner_gives_up_a_shared_authorization_and_every_order_with_it__acme_o17(play: Play) -> None:
    """All open orders that rely on it are invalid, in their rows too; a finished one is not touched (7.5.2)."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        done = await client.finalize(first := await client.ready())
        one, two = await client.order(), await client.order(NAME, OTHER)
        assert one.json["status"] == "ready"
        url = one.json["authorizations"][0]
        given_up = await client.post(url, {"status": "deactivated"})
        assert (given_up.status, given_up.json["status"]) == (200, "deactivated")
        for order in (one, two):
            found = (await client.post(order.headers["location"])).json
            assert (found["status"], "deactivated" in found["error"]["detail"]) == ("invalid", True)
        assert (await peer.store.orders.order_counts()) == {"valid": 1, "invalid": 2}
        assert (await client.finalize(one)).problem == "orderNotReady"
        assert (await client.post(first.headers["location"])).json["status"] == "valid"
        assert (await client.post(done.json["certificate"])).status == 200
        assert (await client.post(url, {"status": "deactivated"})).problem == "malformed"
        assert (await client.order()).json["status"] == "pending"

    play(scenario)


@pytest.mark.parametrize("step", ["new_order", "finalize"])
def test_authorization_that_is_given_up_meanwhile_gives_no_certificate__rfc8555_7_5_2(
    play: Play, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The commit of an order, and of a certificate, is held to the rows that were read."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        await client.finalize(await client.ready())
        order = await client.order()
        url = order.json["authorizations"][0]
        commit, left = peer.store.commit, [url]

        async def late(changes: Changes) -> Receipt:
            if changes.insert and left:
                row = await peer.store.authorizations.authorization(int(left.pop()[-16:], 16))
                dead = replace(row.authorization, status=type(row.authorization.status)("deactivated"))
                await commit(Changes(update=(replace(row, authorization=dead),)))
            return await commit(changes)

        monkeypatch.setattr(peer.store, "commit", late)
        if step == "new_order":
            found = await client.order(NAME, OTHER)
            assert (found.status, found.json["status"]) == (201, "pending")
            assert url not in found.json["authorizations"]
        else:
            refused = await client.finalize(order)
            assert (refused.status, refused.problem) == (403, "orderNotReady")
            assert len(await peer.store.certificates.certificates(after=0, limit=9)) == 1

    play(scenario)


def test_order_that_a_race_left_behind_is_what_its_rows_say(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the order's own row heard nothing of it, reading and finalizing it do."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        order = await client.order()

        async def none(*_: object, **__: object) -> tuple[()]:
            return ()

        with monkeypatch.context() as patch:
            patch.setattr(type(peer.store.orders), "open_orders", none)
            await prove(client, order.json["authorizations"][0])
        assert (await peer.store.orders.order_counts()) == {"pending": 1}
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        again = await client.order()
        assert (again.status, again.json["status"]) == (200, "ready")
        assert (await client.finalize(order, csr_der())).json["status"] == "valid"

    play(scenario)


def test_failed_shared_authorization_ends_its_order_with_the_cause(play: Play) -> None:
    """As one that is the order's own: invalid, the cause, a subproblem for each name."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=False)]
        order = await client.order(NAME, OTHER)
        await client.prove(order)
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert [one["identifier"]["value"] for one in found["error"]["subproblems"]] == [NAME]
        assert (await peer.store.orders.order_counts()) == {"invalid": 1}
        assert (await client.order(OTHER)).json["status"] == "ready"  # what was proved in it stands

    play(scenario)


def test_parallel_validations_of_shared_authorizations_are_one_each(play: Play) -> None:
    """Repeated answers give one fetch, and processing shows until it ends."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        order = await client.order(NAME, OTHER)
        urls = [(await client.post(url)).json["challenges"][0]["url"] for url in order.json["authorizations"]]
        peer.validator.gate = asyncio.Event()
        replies = await asyncio.gather(*(client.post(url, {}) for url in urls * 3))
        assert {one.json["status"] for one in replies} == {"processing"}
        shown = await client.post(order.json["authorizations"][0])
        assert shown.json["challenges"][0]["status"] == "processing"
        peer.validator.gate.set()
        await peer.settle()
        assert peer.validator.looks == 2
        assert (await client.post(order.headers["location"])).json["status"] == "ready"

    play(scenario)


def test_account_that_goes_takes_its_shared_authorizations_along__rfc8555_7_3_6(play: Play) -> None:
    """Its orders end, and nothing of it is to be read any more."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, authorization_reuse=HOUR)
        client = await joined(peer)
        order = await client.ready()
        await client.post(str(client.kid), {"status": "deactivated"})
        assert (await client.post(order.json["authorizations"][0])).status == 401
        assert (await peer.store.orders.order_counts()) == {"invalid": 1}

    play(scenario)


def test_shared_authorization_gives_the_right_to_revoke__rfc8555_7_6(play: Play) -> None:
    """One that was made beforehand does; once it is given up it does not, though an order still shows a copy."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        owner, other = await joined(peer), await joined(peer)
        ders = []
        for _ in range(2):
            done = await owner.finalize(await owner.ready())
            leaf = x509.load_pem_x509_certificate((await owner.post(done.json["certificate"])).body)
            ders.append(b64u_encode(leaf.public_bytes(Encoding.DER)))
        url = (await pre_authorized(other)).headers["location"]
        assert (await other.finalize(await other.order())).json["status"] == "valid"
        revoke = f"{BASE}/acme/acme/revoke-cert"
        assert (await other.post(revoke, {"certificate": ders[0]})).status == 200
        await other.post(url, {"status": "deactivated"})
        refused = await other.post(revoke, {"certificate": ders[1]})
        assert (refused.status, refused.problem) == (403, "unauthorized")

    play(scenario)
