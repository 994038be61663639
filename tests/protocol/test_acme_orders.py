"""What an order may ask for and what it is told, row by row (acme.md part 16, O; RFC 8555 7.1.3, 7.4)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from acme_peer import BASE, Client, Peer, Play, Reply, joined, playing, refused_connection
from dayfly.adapters.system import SystemClock
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.upkeep import KEEP_ENDED_ORDERS, Upkeep
from dayfly.core.acme.ordering import ORDER_LIFE
from factories import NAME, dns


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


@pytest.mark.parametrize(
    "payload",
    [
        {"identifiers": []},
        {},
        {"identifiers": {"type": "dns", "value": NAME}},
        {"identifiers": None},
        {"identifiers": [NAME]},
        {"identifiers": names(*(f"n{number}.internal.example" for number in range(101)))},
        {"identifiers": names(*(f"{'a' * 60}.{number}." + "b" * 200 for number in range(99)))},
        {"identifiers": [{"type": 5, "value": NAME}]},
        {"identifiers": [{"type": "dns", "value": 5}]},
        {"identifiers": [{"type": "dns"}]},
    ],
    ids=["empty", "missing", "object", "null", "strings", "101", "25 KB", "type 5", "value 5", "no value"],
)
def test_identifiers_that_are_no_list_of_a_bounded_size_are_malformed__acme_o2_o3_o10(
    play: Play, payload: dict[str, Any]
) -> None:
    """And no order is made."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        reply = await client.post(f"{BASE}/acme/acme/new-order", payload)
        assert (reply.status, reply.problem) == (400, "malformed")
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


@pytest.mark.parametrize("kind", ["email", "DNS", "uri", ""])
def test_other_identifier_types_are_unsupported__acme_o3(play: Play, kind: str) -> None:
    """The type is compared as it stands (RFC 8555 9.7.7)."""

    async def scenario(peer: Peer) -> None:
        reply = await asked(await joined(peer), names(NAME, kind=kind))
        assert (reply.status, reply.problem) == (400, "unsupportedIdentifier")
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


@pytest.mark.parametrize("value", ["10.0.0.01", "010.0.0.1", "::FFFF", "fe80::1%eth0", "::ffff:10.0.0.1", "10.1", "x"])
def test_address_that_is_not_canonical_is_malformed__acme_o7(play: Play, value: str) -> None:
    """No zone, no IPv4-mapped form, the spelling of RFC 5952 (RFC 8738 3)."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        reply = await asked(client, names(value, kind="ip"))
        assert (reply.status, reply.problem) == (400, "malformed")
        good = await asked(client, names("10.0.0.1", kind="ip"))
        assert (good.status, good.json["identifiers"]) == (201, names("10.0.0.1", kind="ip"))

    play(scenario)


@pytest.mark.parametrize(
    "times",
    [
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
    ],
    ids=["past", "past start", "inverted", "beyond", "far start", "too short", "garbage", "no zone", "year", "number"],
)
def test_asked_times_outside_the_bounds_are_malformed__acme_o11(play: Play, times: dict[str, object]) -> None:
    """Never changed silently; no order is made."""

    async def scenario(peer: Peer) -> None:
        reply = await (await joined(peer)).order(**times)
        assert (reply.status, reply.problem) == (400, "malformed")
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


@pytest.mark.parametrize("nothing", [None, "0001-01-01T00:00:00Z", ""])
def test_times_that_were_not_asked_for_do_not_show__acme_o11(play: Play, nothing: str | None) -> None:
    """Null and Go's zero time are "not asked", and such an order is the one without them."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(notBefore=nothing, notAfter=nothing)
        assert order.status == 201
        assert not {"notBefore", "notAfter"} & set(order.json)
        assert (await client.order()).headers["location"] == order.headers["location"]

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
