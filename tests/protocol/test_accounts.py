"""Accounts through the front door: contacts, terms, deactivation, and the list of orders (RFC 8555 7.3, acme.md A)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme_peer import BASE, Client, Peer, Play, change_acme, joined, make_peer, playing
from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.stores import open_store
from dayfly.adapters.system import TimeOrderedIds
from dayfly.authority import accounts
from dayfly.authority.context import Caps
from dayfly.core.ids import parse_id
from dayfly.ports.changes import Changes, Receipt

NEW_ACCOUNT = f"{BASE}/acme/acme/new-account"
TERMS = "https://ca.internal.example/terms"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def test_client_is_kept_with_what_it_orders__acme_15(play: Play) -> None:
    """Cleaned; the account's note is an hour old before another takes its place, in the commit of that one's order."""

    async def scenario(peer: Peer) -> None:
        client, new = Client(peer), f"{BASE}/acme/acme/new-order"
        said = [(b"user-agent", b"uacme/1.7.4 \x1b[31m")]
        made = await client.post(NEW_ACCOUNT, {}, jwk=True, headers=said)
        client.kid = made.headers["location"]
        account_id = parse_id(client.kid.rpartition("/")[2]) or 0

        async def order(name: str, user_agent: bytes) -> tuple[str, str, int]:
            """What the order says, and what the account and its version are after it."""
            payload = {"identifiers": [{"type": "dns", "value": name}]}
            reply = await client.post(new, payload, headers=[(b"user-agent", user_agent)])
            assert reply.status == 201
            placed = await peer.store.orders.order(parse_id(reply.headers["location"].rpartition("/")[2]) or 0)
            mine = await peer.store.accounts.account(account_id)
            return placed.user_agent, mine.user_agent, mine.version

        first = (await peer.store.accounts.account(account_id)).user_agent
        assert first == "uacme/1.7.4 ?[31m"
        assert await order("a.internal.example", b"uacme/1.7.4 (x)") == ("uacme/1.7.4 (x)", first, 0)
        assert await order("b.internal.example", b"uacme/1.7.6") == ("uacme/1.7.6", first, 0)
        peer.clock.moment += timedelta(hours=1)
        assert await order("c.internal.example", b"") == ("", first, 0)
        assert await order("d.internal.example", b"uacme/1.7.6") == ("uacme/1.7.6", "uacme/1.7.6", 1)
        ready = await client.ready("e.internal.example")
        assert (await client.finalize(ready)).json["status"] == "valid"

    play(scenario)


def test_account_is_made_once__acme_a1(play: Play) -> None:
    """201 with Location, status and the list of orders; the same key with other contacts gets 200 and no change."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        first = await client.register(contact=["mailto:a@internal.example"])
        assert first.status == 201
        assert first.headers["location"].startswith(f"{BASE}/acme/acme/account/")
        assert first.json == {
            "status": "valid",
            "orders": first.headers["location"] + "/orders",
            "contact": ["mailto:a@internal.example"],
        }
        again = await client.register(contact=["mailto:b@internal.example"])
        assert (again.status, again.headers["location"]) == (200, first.headers["location"])
        assert again.json == first.json

    play(scenario)


def test_only_return_existing_makes_no_account__acme_a3(play: Play) -> None:
    """An unknown key is accountDoesNotExist, and stays unknown; a known one is found."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        for _ in range(2):
            refused = await client.register(onlyReturnExisting=True)
            assert (refused.status, refused.problem) == (400, "accountDoesNotExist")
        made = await client.register()
        found = await client.register(onlyReturnExisting=True)
        assert (found.status, found.headers["location"]) == (200, made.headers["location"])

    play(scenario)


def test_64_new_accounts_over_two_workers_give_one__acme_a5(tmp_path: Path) -> None:
    """Two processes on one database, 64 requests with one key: one is 201, and all name one account."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        store = await open_store("sqlite:dayfly.db", home=tmp_path)
        twin = peer.with_authority(store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=1))
        client = Client(peer)
        second = Client(twin, client.key)
        racing = [one.post(NEW_ACCOUNT, {}, jwk=True) for _ in range(32) for one in (client, second)]
        replies = await asyncio.gather(*racing)
        assert sorted(reply.status for reply in replies) == [200] * 63 + [201]
        assert len({reply.headers["location"] for reply in replies}) == 1
        await store.close()
        await peer.store.close()

    asyncio.run(body())


@pytest.mark.parametrize("payload", [{}, {"termsOfServiceAgreed": False}], ids=["absent", "false"])
def test_terms_must_be_agreed_to__acme_a6(play: Play, payload: dict[str, Any]) -> None:
    """Where there are terms, an account is made with a word of agreement only; the refusal links to them."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, terms_of_service=TERMS)
        client = Client(peer)
        refused = await client.register(**payload)
        assert (refused.status, refused.problem) == (403, "userActionRequired")
        assert f'<{TERMS}>;rel="terms-of-service"' in refused.headers["link"]
        assert refused.json["instance"] == TERMS  # RFC 8555 7.3.3
        assert (await client.register(termsOfServiceAgreed="true")).problem == "malformed"
        agreed = await client.register(termsOfServiceAgreed=True)
        assert (agreed.status, agreed.json["termsOfServiceAgreed"]) == (201, True)
        assert (await client.register()).status == 200  # a known account is found without another word

    play(scenario)


def test_directory_says_what_is_configured_and_no_more__rfc8555_7_1_1(play: Play) -> None:
    """`meta` has terms, website and CAA identities as the provisioner has them; without any it has profiles alone."""

    async def scenario(peer: Peer) -> None:
        path = "/acme/acme/directory"
        plain = (await peer.send("GET", path)).json["meta"]
        assert list(plain) == ["profiles"]
        await change_acme(peer, terms_of_service=TERMS, website="https://ca.internal.example")
        meta = {"termsOfService": TERMS, "website": "https://ca.internal.example", **plain}
        assert (await peer.send("GET", path)).json["meta"] == meta
        await change_acme(peer, caa_identities=("ca.internal.example",))
        assert (await peer.send("GET", path)).json["meta"] == {**meta, "caaIdentities": ["ca.internal.example"]}

    play(scenario)


@pytest.mark.parametrize(
    ("contact", "problem"),
    [
        (["tel:+1"], "unsupportedContact"),
        (["MAILTO:a@b.example"], "unsupportedContact"),
        ([""], "unsupportedContact"),
        (["mailto:"], "invalidContact"),
        (["mailto:a@b.example,c@d.example"], "invalidContact"),
        (["mailto:a@b.example?subject=x"], "invalidContact"),
        (["mailto:a@b.example%0ABcc:x"], "invalidContact"),
        (["mailto:a@b.example\r\nBcc: x"], "invalidContact"),
        (["mailto:a@b.example"] * 500, "invalidContact"),
    ],
)
def test_contact_is_one_plain_address__acme_a7(play: Play, contact: list[str], problem: str) -> None:
    """Neither a new account nor an update takes another one; at most ten."""

    async def scenario(peer: Peer) -> None:
        refused = await Client(peer).register(contact=contact)
        assert (refused.status, refused.problem) == (400, problem)
        client = await joined(peer)
        await client.post(str(client.kid), {"contact": ["mailto:a@b.example"] * 10})
        assert (await client.post(str(client.kid), {"contact": contact})).problem == problem
        assert len((await client.post(str(client.kid))).json["contact"]) == 10

    play(scenario)


def test_members_that_are_the_servers_are_ignored__acme_a8(play: Play) -> None:
    """Status, orders, createdAt and members that nobody knows change nothing, in newAccount and in an update."""

    async def scenario(peer: Peer) -> None:
        mine = {"orders": "https://evil.example", "createdAt": "2020-01-01T00:00:00Z", "x": [1]}
        client = Client(peer)
        made = await client.register(**mine, status="revoked")
        assert (made.status, made.json["status"]) == (201, "valid")
        assert made.json["orders"] == f"{client.kid}/orders"
        updated = await client.post(str(client.kid), {**mine, "status": "valid"})  # as certbot sends it back
        assert (updated.status, updated.json) == (200, made.json)

    play(scenario)


@pytest.mark.parametrize("status", ["revoked", "5", 5, "pending", ""])
def test_status_can_only_become_deactivated__acme_a10(play: Play, status: object) -> None:
    """Any other one is malformed, and the account stays as it was."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        refused = await client.post(str(client.kid), {"status": status})
        assert (refused.status, refused.problem) == (400, "malformed")
        assert (await client.post(str(client.kid))).json["status"] == "valid"

    play(scenario)


def test_deactivated_account_does_nothing_any_more__acme_a9(play: Play) -> None:
    """200, then every request is 401; newAccount with its key too, whatever it asks for."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        done = await client.post(str(client.kid), {"status": "deactivated"})
        assert (done.status, done.json["status"]) == (200, "deactivated")
        urls = (str(client.kid), f"{client.kid}/orders", order.headers["location"], order.json["authorizations"][0])
        replies = [await client.post(url) for url in urls]
        replies += [await client.order(), await client.finalize(order)]
        replies += [await client.post(NEW_ACCOUNT, payload, jwk=True) for payload in ({}, {"onlyReturnExisting": True})]
        assert [(one.status, one.problem) for one in replies] == [(401, "unauthorized")] * len(replies)

    play(scenario)


def test_orders_of_a_deactivated_account_are_invalid_for_good__acme_a14(play: Play) -> None:
    """A pending and a ready one; a validation that was running cannot make them valid."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        ready = await client.ready("a.internal.example")
        peer.validator.gate = asyncio.Event()
        pending = await client.order("b.internal.example")
        authorization = (await client.post(pending.json["authorizations"][0])).json
        await client.post(authorization["challenges"][0]["url"], {})
        await client.post(str(client.kid), {"status": "deactivated"})
        peer.validator.gate.set()
        await peer.settle()
        for one in (ready, pending):
            row = await peer.store.orders.order(parse_id(one.headers["location"].rpartition("/")[2]) or 0)
            assert row.status == "invalid"
            assert row.error is not None
            assert "deactivated" in row.error.detail

    play(scenario)


def test_account_of_another_is_not_there__acme_a12(play: Play) -> None:
    """Its URL and its orders answer as one that never was."""

    async def scenario(peer: Peer) -> None:
        mine, other = await joined(peer), await joined(peer)
        nobody = str(mine.kid)[:-16] + "0" * 16
        for ending in ("", "/orders"):
            replies = [await mine.post(f"{url}{ending}") for url in (str(other.kid), nobody)]
            assert [(one.status, one.problem) for one in replies] == [(404, "malformed")] * 2
            assert replies[0].json == replies[1].json
        assert (await mine.post(f"{mine.kid}/orders/garbage")).status == 404

    play(scenario)


def test_orders_come_in_pages__acme_a13(play: Play) -> None:
    """Newest first, own ones, none invalid: `Link rel="next"` leads through them all, and the last page has none."""

    async def scenario(peer: Peer) -> None:
        peer = peer.with_authority(caps=Caps(orders_page=3))
        client, other = await joined(peer), await joined(peer)
        mine = []
        for number in range(7):
            mine.append((await client.order(f"n{number}.internal.example")).headers["location"])
            await other.order(f"n{number}.internal.example")
        gone = await client.order("gone.internal.example")
        await client.post(gone.json["authorizations"][0], {"status": "deactivated"})
        assert (await client.post(gone.headers["location"])).json["status"] == "invalid"
        done = await client.ready("done.internal.example")
        await client.finalize(done)
        pages, url = [], f"{client.kid}/orders"
        while url:
            page = await client.post(url)
            assert page.status == 200
            pages.append(page.json["orders"])
            links = [one for one in page.headers["link"].split(", ") if one.endswith('rel="next"')]
            url = links[0].partition(">")[0][1:] if links else ""
        assert [order for page in pages for order in page] == [done.headers["location"], *reversed(mine)]
        assert [len(page) for page in pages[:2]] == [3, 3]
        assert (await client.post(f"{client.kid}/orders", {})).problem == "malformed"
        peer.clock.moment += timedelta(hours=2)  # what has expired is invalid, though its row says pending
        assert (await client.post(f"{client.kid}/orders")).json["orders"] == [done.headers["location"]]

    play(scenario)


def test_account_that_the_operator_ended_is_401__rfc8555_7_1_2(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the running server, from the next request on; a change that comes in between is taken into it."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        account_id = parse_id(str(client.kid).rpartition("/")[2]) or 0
        commit, overtaken = peer.store.commit, list[int]()

        async def overtake(changes: Changes) -> Receipt:
            if not overtaken:
                overtaken.append(1)
                await commit(Changes(update=(await peer.store.accounts.account(account_id),)))
            return await commit(changes)

        monkeypatch.setattr(peer.store, "commit", overtake)
        ended, orders = await accounts.end_account(peer.store, peer.clock, account_id)
        assert (ended.status, orders, overtaken) == ("revoked", 1, [1])
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (401, "unauthorized")
        assert (await client.post(NEW_ACCOUNT, {}, jwk=True)).status == 401
        assert (await accounts.end_account(peer.store, peer.clock, account_id))[1] == 0

    play(scenario)
