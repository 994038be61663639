"""What an order may ask for and what it is told, row by row (acme.md part 16, O; RFC 8555 7.1.3, 7.4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from acme_peer import (
    BASE,
    Client,
    Peer,
    Play,
    ScriptedValidator,
    joined,
    make_peer,
    playing,
    refused_connection,
)
from dayfly.adapters.system import SystemClock
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.settings import change_settings
from dayfly.authority.upkeep import KEEP_ENDED_ORDERS, Upkeep
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.revisions import SettingsChange
from factories import NAME, dns
from replies import Reply


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def asked(client: Client, identifiers: object, **members: Any) -> Reply:
    """NewOrder with whatever stands for the identifiers."""
    return await client.post(f"{BASE}/acme/acme/new-order", {"identifiers": identifiers, **members})


def names(*values: str, kind: str = "dns") -> list[dict[str, str]]:
    """Identifiers of one type."""
    return [{"type": kind, "value": value} for value in values]


def test_order_for_two_names_has_all_its_members__acme_o1(play: Play) -> None:
    """201, Location, pending, expires, finalize, and an authorization for each name (RFC 8555 7.4)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(NAME, "b.internal.example")
        assert (order.status, order.json["status"]) == (201, "pending")
        assert order.headers["location"].startswith(f"{BASE}/acme/acme/order/")
        assert order.json["expires"] == "2026-11-24T13:00:00Z"
        assert order.json["finalize"] == order.headers["location"] + "/finalize"
        assert order.json["identifiers"] == names(NAME, "b.internal.example")
        assert len(set(order.json["authorizations"])) == 2
        assert (await client.post(order.headers["location"])).json == order.json
        assert not {"error", "certificate", "notBefore", "notAfter", "profile"} & set(order.json)

    play(scenario)


PAYLOADS: dict[str, dict[str, Any]] = {
    "empty": {"identifiers": []},
    "missing": {},
    "object": {"identifiers": {"type": "dns", "value": NAME}},
    "null": {"identifiers": None},
    "strings": {"identifiers": [NAME]},
    "101": {"identifiers": names(*(f"n{number}.internal.example" for number in range(101)))},
    "25 KB": {"identifiers": names(*(f"{'a' * 60}.{number}." + "b" * 200 for number in range(99)))},
    "type 5": {"identifiers": [{"type": 5, "value": NAME}]},
    "value 5": {"identifiers": [{"type": "dns", "value": 5}]},
    "no value": {"identifiers": [{"type": "dns"}]},
}


def test_identifiers_that_are_no_list_of_a_bounded_size_are_malformed__acme_o2_o3_o10(play: Play) -> None:
    """And no order is made."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for name, payload in PAYLOADS.items():
            reply = await client.post(f"{BASE}/acme/acme/new-order", payload)
            assert (reply.status, reply.problem) == (400, "malformed"), name
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_other_identifier_types_are_unsupported__acme_o3(play: Play) -> None:
    """The type is compared as it stands (RFC 8555 9.7.7)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for kind in ("email", "DNS", "uri", ""):
            reply = await asked(client, names(NAME, kind=kind))
            assert (reply.status, reply.problem) == (400, "unsupportedIdentifier"), kind
            assert reply.json["subproblems"][0]["identifier"] == {"type": kind, "value": NAME}

    play(scenario)


DEFECTS = {
    "10.0.0.1": "is an address",
    "0x7f.1": "is an address",
    "2130706433": "is an address",
    "[::1]": "is an address",
    "a\x00.internal.example": "control character",
    "a\r\n.internal.example": "control character",
    "a b.internal.example": "a space",
    "bücher.internal.example": "beyond ASCII",
    "xn--0.internal.example": "no valid A-label",
    "ab--cd.internal.example": "no valid A-label",
    "-a.internal.example": "begins or ends with a hyphen",
    "a-.internal.example": "begins or ends with a hyphen",
    "a..internal.example": "an empty label",
    "api.internal.example.": "ends with a dot",
    f"{'a' * 64}.internal.example": "a label longer than 63",
    f"{'a.' * 120}internal.example": "longer than 253",
    "ａｐｉ.internal.example": "beyond ASCII",
    "\u212aey.internal.example": "beyond ASCII",
    "a_b.internal.example": "an underscore",
    "": "is empty",
    "*.*.internal.example": "one `*.` at the left",
    "a.*.internal.example": "one `*.` at the left",
    "*": "one `*.` at the left",
    "*a.internal.example": "one `*.` at the left",
}


def test_each_defect_of_a_dns_name_has_its_own_text__acme_o4_o5_o6(play: Play) -> None:
    """All of them in one order are told at once, each with identifier, type and detail (RFC 8555 6.7.1)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for name, words in DEFECTS.items():
            reply = await client.order(name)
            assert (reply.status, reply.problem) == (400, "malformed"), name
            assert words in reply.json["detail"], (name, reply.json["detail"])
            assert reply.json["detail"].isprintable()
        together = await client.order(*DEFECTS, NAME)
        told = together.json["subproblems"]
        assert [one["identifier"]["value"] for one in told] == list(DEFECTS)
        for one, words in zip(told, DEFECTS.values(), strict=True):
            assert set(one) == {"type", "detail", "identifier"}
            assert one["type"] == "urn:ietf:params:acme:error:malformed"
            assert words in one["detail"]

    play(scenario)


def test_kinds_of_bad_names_are_told_apart_in_one_problem__rfc8555_6_7_1(play: Play) -> None:
    """A malformed name and an unsupported type in one order: malformed, and a subproblem of each kind."""

    async def scenario(peer: Peer) -> None:
        reply = await asked(await joined(peer), [*names("-"), *names("a@b.example", kind="email")])
        assert reply.problem == "malformed"
        kinds = [one["type"].rpartition(":")[2] for one in reply.json["subproblems"]]
        assert kinds == ["malformed", "unsupportedIdentifier"]

    play(scenario)


def test_names_are_lower_cased_once_and_duplicates_are_one__acme_o5_o8(play: Play) -> None:
    """Names that differ in case only have one authorization."""

    async def scenario(peer: Peer) -> None:
        order = await (await joined(peer)).order("API.internal.example", NAME, "Api.Internal.EXAMPLE")
        assert order.json["identifiers"] == names(NAME)
        assert len(order.json["authorizations"]) == 1

    play(scenario)


def test_address_that_is_not_canonical_is_malformed__acme_o7(play: Play) -> None:
    """No zone, no IPv4-mapped form, the spelling of RFC 5952 (RFC 8738 3)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for value in ("10.0.0.01", "010.0.0.1", "::FFFF", "fe80::1%eth0", "::ffff:10.0.0.1", "10.1", "x"):
            reply = await asked(client, names(value, kind="ip"))
            assert (reply.status, reply.problem) == (400, "malformed"), value
        good = await asked(client, names("10.0.0.1", kind="ip"))
        assert (good.status, good.json["identifiers"]) == (201, names("10.0.0.1", kind="ip"))

    play(scenario)


TIMES: tuple[dict[str, object], ...] = (
    {"notAfter": "2026-11-24T11:59:59Z"},
    {"notBefore": "2026-11-23T12:00:00Z"},
    {"notBefore": "2026-11-24T13:00:00Z", "notAfter": "2026-11-24T12:30:00Z"},
    {"notAfter": "2026-12-24T12:00:00Z"},
    {"notBefore": "2027-11-24T12:00:00Z"},
    {"notAfter": "2026-11-24T12:00:30Z"},
    {"notAfter": "tomorrow"},
    {"notAfter": "2026-11-24T13:00:00"},
    {"notBefore": "9999-12-31T23:59:59-10:00"},
    {"notAfter": 1},
)


def test_asked_times_outside_the_bounds_are_malformed__acme_o11(play: Play) -> None:
    """Past, inverted, too long, too short, no time at all: never changed silently; no order is made."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for times in TIMES:
            reply = await client.order(**times)
            assert (reply.status, reply.problem) == (400, "malformed"), times
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_asked_times_within_the_bounds_are_exact_to_the_second__acme_o11(play: Play) -> None:
    """The order shows what it was asked for, and the certificate has it."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(notBefore="2026-11-24T12:10:07Z", notAfter="2026-11-24T14:30:11.75+01:00")
        assert order.json["notBefore"] == "2026-11-24T12:10:07Z"
        assert order.json["notAfter"] == "2026-11-24T13:30:11Z"
        await client.prove(order)
        peer.clock.moment += timedelta(minutes=3)
        done = await client.finalize(order)
        assert done.json["notAfter"] == order.json["notAfter"]
        leaf = x509.load_pem_x509_certificate((await client.post(done.json["certificate"])).body)
        assert leaf.not_valid_before_utc.isoformat() == "2026-11-24T12:10:07+00:00"
        assert leaf.not_valid_after_utc.isoformat() == "2026-11-24T13:30:11+00:00"

    play(scenario)


def test_times_that_were_not_asked_for_do_not_show__acme_o11(play: Play) -> None:
    """Null and Go's zero time are "not asked", and such an order is the one without them."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        plain = await client.order()
        for nothing in (None, "0001-01-01T00:00:00Z", ""):
            order = await client.order(notBefore=nothing, notAfter=nothing)
            assert (order.status, order.headers["location"]) == (200, plain.headers["location"]), nothing
            assert not {"notBefore", "notAfter"} & set(order.json)

    play(scenario)


def test_same_order_again_is_the_open_one_of_this_account__acme_o13(play: Play) -> None:
    """Pending or ready; other names, other times, an ended one, or another account make a new one."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        first = await client.order(NAME, "b.internal.example")
        again = await client.order("B.internal.example", NAME)
        assert (again.status, again.json) == (200, first.json)
        assert (await client.order()).status == 201
        assert (await client.order(NAME, "b.internal.example", notAfter="2026-11-24T20:00:00Z")).status == 201
        await client.prove(first)
        ready = await client.order(NAME, "b.internal.example")
        assert (ready.status, ready.json["status"]) == (200, "ready")
        assert ready.headers["location"] == first.headers["location"]
        await client.finalize(first)
        assert (await client.order(NAME, "b.internal.example")).status == 201
        assert (await (await joined(peer)).order()).status == 201

    play(scenario)


def test_another_accounts_objects_are_404__acme_o14(play: Play) -> None:
    """Order, authorization, challenge and finalize answer as if they were not there, word for word (10.5)."""

    async def scenario(peer: Peer) -> None:
        owner, other = await joined(peer), await joined(peer)
        order = await owner.order()
        url = order.json["authorizations"][0]
        challenge = (await owner.post(url)).json["challenges"][0]["url"]
        mine = order.headers["location"].rpartition("/")[2]
        for target, payload in (
            (order.headers["location"], None),
            (url, None),
            (url, {"status": "deactivated"}),
            (challenge, None),
            (challenge, {}),
            (order.json["finalize"], {"csr": "AAAA"}),
        ):
            theirs = await other.post(target, payload)
            missing = await other.post(target.replace(mine, "0000000000000001"), payload)
            assert (theirs.status, theirs.problem) == (404, "malformed"), target
            assert theirs.json == missing.json
        assert (await owner.post(order.headers["location"])).json["status"] == "pending"

    play(scenario)


def test_failed_names_of_an_order_are_its_subproblems__acme_o1(play: Play) -> None:
    """The order tells the first cause, and each failed name with its own problem; good ones are not among them."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(NAME, "b.internal.example", "c.internal.example")
        peer.validator.outcomes = [refused_connection(transient=False), refused_connection(transient=False)]
        await client.prove(order)
        error = (await client.post(order.headers["location"])).json["error"]
        failed = [one["identifier"]["value"] for one in error["subproblems"]]
        assert failed == [NAME, "b.internal.example"]
        assert all(one["type"].endswith(":connection") and one["detail"] for one in error["subproblems"])
        assert error["type"].endswith(":connection")
        assert NAME in error["detail"]

    play(scenario)


def test_expired_order_is_invalid_and_says_so__acme_o15(play: Play) -> None:
    """Read as of now, without any timer; its challenges start nothing any more; the same request makes a new one."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        url = order.json["authorizations"][0]
        challenge = (await client.post(url)).json["challenges"][0]["url"]
        peer.clock.moment += timedelta(hours=1)
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert "expired" in found["error"]["detail"]
        assert "subproblems" not in found["error"]
        assert (await client.post(url)).json["status"] == "expired"
        assert (await client.post(challenge, {})).problem == "malformed"
        assert peer.validator.looks == 0
        assert (await client.order()).status == 201

    play(scenario)


def test_owner_gives_an_authorization_up__acme_o17(play: Play) -> None:
    """200 deactivated, the order is invalid with the reason, finalize says so; a second time is malformed (7.5.2)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        url = order.json["authorizations"][0]
        given_up = await client.post(url, {"status": "deactivated"})
        assert (given_up.status, given_up.json["status"]) == (200, "deactivated")
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert "deactivated" in found["error"]["detail"]
        assert (await client.finalize(order)).problem == "orderNotReady"
        assert (await client.post(url, {"status": "deactivated"})).problem == "malformed"

    play(scenario)


def test_ended_orders_stay_readable_for_a_while_and_then_go__acme_o15(play: Play) -> None:
    """With their error; a day later the row is gone, and the answer is 404."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=False)]
        order = await client.ready()
        own = OwnCertificate(peer.authority, (dns("ca.internal.example"),), lambda _, __: None)
        upkeep = Upkeep(peer.authority, own)
        made = SystemClock().now()  # ids carry the real time, and an order lives for an hour
        peer.clock.moment = made + KEEP_ENDED_ORDERS
        await upkeep.tick()
        assert (await client.post(order.headers["location"])).json["error"]["detail"]
        peer.clock.moment = made + KEEP_ENDED_ORDERS + ORDER_LIFE + timedelta(minutes=1)
        await upkeep.tick()
        assert (await client.post(order.headers["location"])).status == 404
        assert (await client.post(order.json["authorizations"][0])).status == 404

    play(scenario)


def test_wildcard_is_one_leftmost_label_with_a_grant_and_a_dns_challenge__acme_o6(tmp_path: Path) -> None:
    """Without a rule that gives wildcards it is rejected; with one its authorization is the base, marked wildcard."""

    async def body() -> None:
        made = await make_peer(tmp_path)
        dns01 = ScriptedValidator(kind="dns-01", wildcards=True)
        peer = made.with_authority(validators={"http-01": made.validator, "dns-01": dns01})
        client = await joined(peer)
        refused = await client.order("*.web.internal.example")
        assert (refused.status, refused.problem) == (400, "rejectedIdentifier")
        assert "gives no wildcards" in refused.json["detail"]
        rule = Rule("w1", RuleKind.DNS, "**.internal.example", "platform-team", wildcards=True)
        put = SettingsChange((await peer.store.settings.settings()).revision, put=(rule,))
        await change_settings(peer.store, peer.clock, lambda _: put)
        order = await client.order("*.web.internal.example", "web.internal.example")
        assert order.status == 201, order.body
        assert [one["value"] for one in order.json["identifiers"]] == ["*.web.internal.example", "web.internal.example"]
        wild, plain = [(await client.post(url)).json for url in order.json["authorizations"]]
        assert wild["identifier"] == plain["identifier"] == {"type": "dns", "value": "web.internal.example"}
        assert (wild["wildcard"], "wildcard" in plain) == (True, False)
        assert [one["type"] for one in wild["challenges"]] == ["dns-01"]
        assert {one["type"] for one in plain["challenges"]} == {"http-01", "dns-01"}
        await client.prove(order)
        assert (await client.finalize(order)).json["status"] == "valid"
        await peer.store.close()

    asyncio.run(body())
