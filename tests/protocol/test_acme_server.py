"""The ACME server through its front door, without sockets: what each clause of RFC 8555 asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from acme_peer import BASE, Client, Peer, Play, joined, make_peer, playing, refused_connection
from dayfly.adapters.system import SystemClock
from dayfly.authority.context import Caps
from dayfly.authority.log import verify_log
from dayfly.authority.settings import change_settings
from dayfly.core.acme.objects import AccountStatus
from dayfly.core.frozen import replace
from dayfly.core.ids import parse_id
from dayfly.core.jose.jwk import KeyAlgorithm
from dayfly.core.jose.jws import sign_flattened
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.x509.lint import LintRefused
from dayfly.errors import Conflict, Unavailable
from dayfly.ports.changes import Changes, Receipt
from factories import NAME, csr_der
from replies import Reply


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def certificates(peer: Peer) -> int:
    """How many certificates are stored."""
    return len(await peer.store.certificates.certificates(after=0, limit=1000))


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_whole_issuance__rfc8555_7_4(play: Play) -> None:
    """Order, authorization, challenge, finalize, download: the chain has the CSR's key and the order's names."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        done = await client.finalize(order)
        assert (done.status, done.json["status"]) == (200, "valid")
        chain = await client.post(done.json["certificate"])
        assert chain.headers["content-type"] == "application/pem-certificate-chain"
        leaf, issuer = x509.load_pem_x509_certificates(chain.body)
        leaf.verify_directly_issued_by(issuer)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [NAME]

    play(scenario)


def test_directory_has_absolute_urls_and_nothing_that_is_not_there__rfc8555_7_1_1(play: Play) -> None:
    """The directory names four resources and one key that no client knows; Host is never reflected."""

    async def scenario(peer: Peer) -> None:
        directory = await peer.send("GET", "/acme/acme/directory", headers=[(b"host", b"evil.example")])
        found = directory.json
        keys = ("newNonce", "newAccount", "newOrder", "renewalInfo", "keyChange", "revokeCert")
        known = {key: found[key] for key in keys}
        assert known == {
            "newNonce": f"{BASE}/acme/acme/new-nonce",
            "newAccount": f"{BASE}/acme/acme/new-account",
            "newOrder": f"{BASE}/acme/acme/new-order",
            "renewalInfo": f"{BASE}/acme/acme/renewal-info",
            "keyChange": f"{BASE}/acme/acme/key-change",
            "revokeCert": f"{BASE}/acme/acme/revoke-cert",
        }
        assert list(found["meta"]) == ["profiles"]
        assert len(found) == 8
        assert "evil" not in directory.body.decode()
        assert (await peer.send("GET", "/acme/nobody/directory")).status == 404
        assert (await peer.send("GET", "/acme/platform-team/directory")).status == 404  # a JWK provisioner

    play(scenario)


def test_urls_are_those_of_the_base_that_was_asked_for(play: Play) -> None:
    """A second configured base URL is answered under itself."""

    async def scenario(peer: Peer) -> None:
        scope_host = [(b"host", b"10.0.0.1:9000")]
        directory = await peer.send("GET", "/acme/acme/directory", headers=scope_host)
        assert directory.json["newNonce"].startswith(BASE)  # the first Host counts

    play(scenario)


# --- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False], ids=["one CSR", "twenty CSRs"])
def test_20_parallel_finalizes_give_one_certificate__f4(play: Play, same: bool) -> None:
    """Twenty finalizes of one order at once: one certificate; the same CSR gets the order, others are told no."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        one = csr_der()
        replies = await asyncio.gather(*(client.finalize(order, one if same else csr_der()) for _ in range(20)))
        statuses = sorted(reply.status for reply in replies)
        assert statuses == ([200] * 20 if same else [200] + [403] * 19)
        assert all(reply.problem == "orderNotReady" for reply in replies if reply.status == 403)
        assert await certificates(peer) == 1

    play(scenario)


def test_20_parallel_finalizes_over_two_processes_give_one_certificate__f4(tmp_path: Path) -> None:
    """Two servers on one database race for one order: the commit decides, and the loser's signature is never seen."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        other_store = await __import__("dayfly.adapters.stores", fromlist=["open_store"]).open_store(
            "sqlite:dayfly.db", home=tmp_path
        )
        twin = replace_store(peer, other_store)
        client = await joined(peer)
        order = await client.ready()
        second = Client(twin, client.key, client.kid)
        racing: list[Awaitable[Reply]] = []
        for _ in range(10):
            racing += [client.finalize(order, csr_der()), second.finalize(order, csr_der())]
        replies = await asyncio.gather(*racing)
        assert sorted(reply.status for reply in replies) == [200] + [403] * 19
        assert await certificates(peer) == 1
        assert (await verify_log(peer.store, peer.key)).findings == ()
        await other_store.close()
        await peer.store.close()

    asyncio.run(body())


def replace_store(peer: Peer, store: Any) -> Peer:
    """The same CA as another process sees it: its own store, nonces and locks."""
    from dayfly.adapters.nonces import RingNonces
    from dayfly.adapters.system import TimeOrderedIds
    from dayfly.authority.challenges import Validations
    from dayfly.authority.context import SingleFlight
    from dayfly.server.acme_gate import Bases
    from dayfly.server.acme_routes import AcmeRoutes
    from dayfly.server.app import Application

    authority = replace(
        peer.authority, store=store, nonces=RingNonces(), ids=TimeOrderedIds(worker=1), finalizing=SingleFlight()
    )
    validations = Validations(authority)
    routes = AcmeRoutes(authority, validations, Bases((BASE,))).routes()
    app = Application(routes, new_request_id=lambda: "request-of-the-twin")
    return Peer(authority, app, peer.validator, peer.clock, validations, peer.key, peer.metrics, peer.root_key)


def test_one_nonce_50_times_in_parallel_succeeds_once__d10(play: Play) -> None:
    """A nonce is good for one request, whatever races."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        nonce = await peer.nonce()
        replies = await asyncio.gather(*(client.post(str(client.kid), nonce=nonce) for _ in range(50)))
        assert sorted(reply.status for reply in replies) == [200] + [400] * 49
        assert {reply.problem for reply in replies if reply.status == 400} == {"badNonce"}

    play(scenario)


def test_50_new_accounts_with_one_key_give_one_account__a5(play: Play) -> None:
    """Parallel newAccount calls with one key: one 201, one id."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        replies = await asyncio.gather(*(client.post(f"{BASE}/acme/acme/new-account", {}, jwk=True) for _ in range(50)))
        assert sorted(reply.status for reply in replies) == [200] * 49 + [201]
        assert len({reply.headers["location"] for reply in replies}) == 1

    play(scenario)


def test_challenge_answered_twice_is_validated_once__v1(play: Play) -> None:
    """Parallel and repeated answers give one fetch."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        url = (await client.post(order.json["authorizations"][0])).json["challenges"][0]["url"]
        peer.validator.gate = asyncio.Event()
        replies = await asyncio.gather(*(client.post(url, {}) for _ in range(5)))
        assert {reply.json["status"] for reply in replies} == {"processing"}
        assert all(reply.headers["retry-after"] == "2" for reply in replies)
        peer.validator.gate.set()
        await peer.settle()
        assert (await client.post(url, {})).json["status"] == "valid"
        assert peer.validator.looks == 1

    play(scenario)


# --- the envelope -----------------------------------------------------------------------------------------------------


def test_every_answer_to_a_post_carries_a_fresh_nonce__d8(play: Play) -> None:
    """Good and refused answers alike, and no nonce twice."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        replies = [
            await client.order(),
            await client.order("shop.elsewhere.test"),
            await client.post(str(client.kid), nonce="AAAA"),
            await client.post(str(client.kid), signed_url=f"{BASE}/elsewhere"),
            await client.post(str(client.kid), media_type="application/json"),
            await client.post(f"{BASE}/acme/acme/order/0000000000000001"),
        ]
        nonces = [reply.headers["replay-nonce"] for reply in replies]
        assert len(set(nonces)) == len(replies)
        assert all(f'<{BASE}/acme/acme/directory>;rel="index"' in reply.headers["link"] for reply in replies)

    play(scenario)


@pytest.mark.parametrize(
    ("changes", "status", "problem"),
    [
        ({"nonce": None}, 400, "badNonce"),
        ({"nonce": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, 400, "badNonce"),
        ({"nonce": "with="}, 400, "malformed"),
        ({"signed_url": "https://elsewhere.example/acme/acme/new-order"}, 403, "unauthorized"),
        ({"signed_url": f"{BASE}/acme/acme/new-order?x"}, 403, "unauthorized"),
        ({"kid": f"{BASE}/acme/acme/account/0000000000000001"}, 400, "accountDoesNotExist"),
        ({"kid": "https://elsewhere.example/acme/acme/account/1"}, 400, "accountDoesNotExist"),
        ({"kid": f"{BASE}/acme/other/account/0000000000000001"}, 400, "accountDoesNotExist"),
        ({"jwk": True}, 400, "malformed"),
        ({"media_type": "application/json"}, 415, "malformed"),
        ({"media_type": "application/jose+json; charset=utf-8"}, 415, "malformed"),
    ],
)
def test_envelope_fault_is_refused__rfc8555_6(play: Play, changes: dict[str, Any], status: int, problem: str) -> None:
    """Each fault of the envelope has its answer, and nothing is made."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        payload = {"identifiers": [{"type": "dns", "value": NAME}]}
        reply = await client.post(f"{BASE}/acme/acme/new-order", payload, **changes)
        assert (reply.status, reply.problem) == (status, problem)
        assert await peer.store.orders.order_counts() == {}

    play(scenario)


def test_signature_of_a_stranger_is_refused_and_leaves_the_nonce__rfc8555_6_2(play: Play) -> None:
    """A request with a bad signature spends nothing."""

    async def scenario(peer: Peer) -> None:
        client, stranger = await joined(peer), Client(peer)
        nonce = await peer.nonce()
        refused = await client.post(str(client.kid), key=stranger.key, nonce=nonce)
        assert (refused.status, refused.problem) == (400, "malformed")
        assert (await client.post(str(client.kid), nonce=nonce)).status == 200

    play(scenario)


def test_get_on_a_resource_that_is_posted_to_is_405__rfc8555_6_3(play: Play) -> None:
    """Reading is POST-as-GET."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for path in (str(client.kid).removeprefix(BASE), "/acme/acme/new-order"):
            reply = await peer.send("GET", path)
            assert (reply.status, reply.headers["allow"]) == (405, "POST")

    play(scenario)


def test_post_as_get_takes_no_payload__j25(play: Play) -> None:
    """An object where the payload must be empty is malformed."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        reply = await client.post(order.headers["location"], {})
        assert (reply.status, reply.problem) == (400, "malformed")

    play(scenario)


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_known_key_gets_its_account_unchanged__rfc8555_7_3_1(play: Play) -> None:
    """The second newAccount is 200, the same Location, and changes nothing; onlyReturnExisting finds or refuses."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        first = await client.register(contact=["mailto:a@internal.example"])
        again = await client.register(contact=["mailto:b@internal.example"])
        assert (first.status, again.status) == (201, 200)
        assert again.headers["location"] == first.headers["location"]
        assert again.json["contact"] == ["mailto:a@internal.example"]
        assert (await client.register(onlyReturnExisting=True)).status == 200
        assert (await Client(peer).register(onlyReturnExisting=True)).problem == "accountDoesNotExist"

    play(scenario)


@pytest.mark.parametrize(
    ("contact", "problem"),
    [
        (["tel:+1"], "unsupportedContact"),
        (["mailto:"], "invalidContact"),
        (["mailto:a@b.example,c@d.example"], "invalidContact"),
        (["mailto:a@b.example?subject=x"], "invalidContact"),
        (["mailto:a@b.example\r\nBcc: x"], "invalidContact"),
        (["mailto:a@b.example"] * 11, "invalidContact"),
        ("mailto:a@b.example", "malformed"),
    ],
)
def test_contact_that_is_no_plain_address_is_refused__a7(play: Play, contact: object, problem: str) -> None:
    """One plain mailto address each, at most ten."""

    async def scenario(peer: Peer) -> None:
        assert (await Client(peer).register(contact=contact)).problem == problem

    play(scenario)


def test_deactivated_account_is_401_and_its_key_cannot_come_back__rfc8555_7_3_6(play: Play) -> None:
    """After deactivation nothing works with the account, and newAccount with its key neither."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        updated = await client.post(str(client.kid), {"contact": ["mailto:a@internal.example"]})
        assert updated.json["contact"] == ["mailto:a@internal.example"]
        assert (await client.post(str(client.kid), {"status": "valid"})).status == 200
        assert (await client.post(str(client.kid), {"status": "revoked"})).problem == "malformed"
        assert (await client.post(str(client.kid), {"status": "deactivated"})).json["status"] == "deactivated"
        refused = await client.order()
        assert (refused.status, refused.problem) == (401, "unauthorized")
        assert (await client.post(f"{BASE}/acme/acme/new-account", {}, jwk=True)).status == 401

    play(scenario)


def test_another_accounts_objects_are_as_if_they_were_not_there__rfc8555_10_5(play: Play) -> None:
    """Order, authorization, challenge, finalize and certificate of another account are 404, like a missing one."""

    async def scenario(peer: Peer) -> None:
        owner, other = await joined(peer), await joined(peer)
        order = await owner.ready()
        done = await owner.finalize(order)
        authorization = order.json["authorizations"][0]
        challenge = (await owner.post(authorization)).json["challenges"][0]["url"]
        missing = await other.post(f"{BASE}/acme/acme/order/0000000000000001")
        for url in (order.headers["location"], authorization, done.json["certificate"], str(owner.kid)):
            reply = await other.post(url)
            assert (reply.status, reply.problem) == (404, "malformed")
        assert (await other.post(challenge, {})).status == 404
        assert (await other.finalize(order)).status == 404
        assert missing.status == 404

    play(scenario)


# --- orders and authorizations ----------------------------------------------------------------------------------------


def test_denied_name_says_rule_nearest_and_name__o9(play: Play) -> None:
    """The refusal has the fields that people and programs act on."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        reply = await client.order("shop.corp.example.net")
        assert (reply.status, reply.problem) == (400, "rejectedIdentifier")
        assert reply.json["rule"] == "default-deny"
        assert (reply.json["owner"], reply.json["nearest"]) == ("", "shop.internal.example")
        assert reply.json["subproblems"][0]["identifier"] == {"type": "dns", "value": "shop.corp.example.net"}
        assert reply.json["subproblems"][0]["denial"] == reply.json["denial"]
        assert f"(denial {reply.json['denial']})" in reply.json["detail"]
        both = await client.order("a.example.net", "b.example.net")
        members = {"rule", "owner", "nearest", "denial"}
        assert not members & set(both.json)
        assert all(members <= set(one) for one in both.json["subproblems"])
        own = await client.order("ca.internal.example")
        assert own.problem == "rejectedIdentifier"  # the CA's own name is nobody's

    play(scenario)


def test_same_order_again_is_the_same_order__o13(play: Play) -> None:
    """A client that loops gets its open order again, 200, and another account its own."""

    async def scenario(peer: Peer) -> None:
        client, other = await joined(peer), await joined(peer)
        first, again = await client.order(), await client.order()
        assert (first.status, again.status) == (201, 200)
        assert first.headers["location"] == again.headers["location"]
        assert (await other.order()).headers["location"] != first.headers["location"]

    play(scenario)


def test_open_orders_are_capped_with_retry_after__o16(play: Play) -> None:
    """One order too many is 429 with Retry-After."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for number in range(3):
            assert (await client.order(f"n{number}.internal.example")).status == 201
        refused = await client.order("n3.internal.example")
        assert (refused.status, refused.problem) == (429, "rateLimited")
        assert int(refused.headers["retry-after"]) > 0
        peer.clock.moment = SystemClock().now() + timedelta(hours=2)  # ids carry the real time
        assert (await client.order("n3.internal.example")).status == 201

    play(scenario, caps=Caps(open_orders=3))


@pytest.mark.parametrize("bits", [1024, 2050])
def test_account_key_of_an_odd_size_is_refused__j30(play: Play, bits: int) -> None:
    """RSA account keys are of 2048, 3072 or 4096 bits."""

    async def scenario(peer: Peer) -> None:
        key = rsa.generate_private_key(65537, bits)
        signed = sign_flattened(
            b"{}",
            key=key,
            alg=KeyAlgorithm.RS256,
            url=f"{BASE}/acme/acme/new-account",
            nonce=await peer.nonce(),
            jwk=True,
        )
        reply = await peer.send("POST", "/acme/acme/new-account", signed)
        assert (reply.status, reply.problem) == (400, "badPublicKey")

    play(scenario)


def test_final_failure_makes_the_order_invalid_with_its_cause__rfc8555_8_2(play: Play) -> None:
    """Challenge, authorization and order tell why; finalize repeats it; no further look."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=False)]
        order = await client.ready()
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert found["error"]["subproblems"][0]["identifier"]["value"] == NAME
        authorization = (await client.post(order.json["authorizations"][0])).json
        assert authorization["status"] == "invalid"
        assert authorization["challenges"][0]["error"]["type"].endswith(":connection")
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (403, "orderNotReady")
        assert "192.0.2.1" in refused.json["detail"]
        assert peer.validator.looks == 1
        assert (await client.order()).status == 201  # a new order starts afresh

    play(scenario)


def test_transient_failure_is_tried_again__acme_7(play: Play) -> None:
    """Two failures that may mend, then the proof: the order is ready, after three looks."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=True) for _ in range(2)]
        order = await client.ready()
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        assert peer.validator.looks == 3

    play(scenario)


def test_transient_failures_end_after_five_tries__acme_7(play: Play) -> None:
    """Nothing stays pending once its fate is known."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=True) for _ in range(9)]
        order = await client.ready()
        assert (await client.post(order.headers["location"])).json["status"] == "invalid"
        assert peer.validator.looks == 5

    play(scenario)


def test_two_names_are_proved_side_by_side(play: Play) -> None:
    """Two validations of one order that end at once take turns; the order is ready."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(NAME, "b.internal.example")
        urls = [(await client.post(url)).json["challenges"][0]["url"] for url in order.json["authorizations"]]
        peer.validator.gate = asyncio.Event()
        await asyncio.gather(*(client.post(url, {}) for url in urls))
        peer.validator.gate.set()
        await peer.settle()
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_outcome_after_deactivation_changes_nothing__v22(play: Play) -> None:
    """A proof that comes after the owner gave up leaves the order invalid."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        url = order.json["authorizations"][0]
        challenge = (await client.post(url)).json["challenges"][0]["url"]
        peer.validator.gate = asyncio.Event()
        await client.post(challenge, {})
        given_up = await client.post(url, {"status": "deactivated"})
        assert given_up.json["status"] == "deactivated"
        peer.validator.gate.set()
        await peer.settle()
        assert (await client.post(order.headers["location"])).json["status"] == "invalid"
        assert (await client.post(url, {"status": "valid"})).problem == "malformed"

    play(scenario)


def test_expired_order_is_invalid__o15(play: Play) -> None:
    """An hour later a ready order cannot be finalized."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        peer.clock.moment += timedelta(hours=1, seconds=1)
        assert (await client.finalize(order)).problem == "orderNotReady"
        assert (await client.post(order.headers["location"])).json["status"] == "invalid"

    play(scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/acme/acme/order/xyz",
        "/acme/acme/order/00000000000000FF",
        "/acme/acme/authz/0000000000000001-0",
        "/acme/acme/authz/0000000000000001",
        "/acme/acme/certificate/0000000000000001",
        "/acme/acme/certificate/-1",
    ],
)
def test_garbage_id_is_404__c5(play: Play, path: str) -> None:
    """What names nothing is not found."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        reply = await client.post(BASE + path)
        assert (reply.status, reply.problem) == (404, "malformed")

    play(scenario)


def test_challenge_with_a_drafts_member_is_malformed__v4(play: Play) -> None:
    """KeyAuthorization belongs to drafts; unknown members are ignored; an unknown challenge is 404."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        url = (await client.post(order.json["authorizations"][0])).json["challenges"][0]["url"]
        assert (await client.post(url, {"keyAuthorization": "x"})).problem == "malformed"
        assert (await client.post(url.replace("http-01", "dns-01"), {})).status == 404
        assert (await client.post(url.replace("http-01", "dns-01"))).status == 404
        assert (await client.post(url)).json["status"] == "pending"  # a read starts nothing
        assert (await client.post(url, {"colour": "blue"})).status == 200
        await peer.settle()

    play(scenario)


# --- finalize ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("csr", "problem"),
    [
        ("not base64url!", "malformed"),
        ("AAAA", "badCSR"),
        ("-----BEGIN CERTIFICATE REQUEST-----", "malformed"),
    ],
)
def test_unreadable_csr_leaves_the_order_ready__f5(play: Play, csr: str, problem: str) -> None:
    """The client may try again with a good one."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        refused = await client.post(order.json["finalize"], {"csr": csr})
        assert (refused.status, refused.problem) == (400, problem)
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_csr_with_the_account_key_is_refused__rfc8555_11_1(play: Play) -> None:
    """The certificate's key must not be the account's."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        assert (await client.finalize(order, csr_der(key=client.key))).problem == "badCSR"

    play(scenario)


def test_finished_order_with_the_same_csr_is_given_again__f3(play: Play) -> None:
    """A retried finalize is 200 with the same certificate; another CSR is told that the order is valid."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order, csr = await client.ready(), csr_der()
        first, again = await client.finalize(order, csr), await client.finalize(order, csr)
        assert first.json["certificate"] == again.json["certificate"]
        assert (await client.finalize(order, csr_der())).problem == "orderNotReady"
        assert await certificates(peer) == 1

    play(scenario)


def test_lint_refusal_ends_the_order_and_signs_nothing__f24(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """When our own lint refuses, the answer is the order: invalid with a fixed text, and there is no certificate."""

    def refuse(*_: object, **__: object) -> None:
        raise LintRefused("planted")

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        with monkeypatch.context() as patch:
            patch.setattr("dayfly.authority.issuing.lint.check", refuse)
            answer = await client.finalize(order)
        assert (answer.status, answer.json["status"]) == (200, "invalid")
        assert answer.json["error"]["type"].rpartition(":")[2] == "serverInternal"
        assert "planted" not in str(answer.json)
        assert (await client.post(order.headers["location"])).json == answer.json
        assert (await client.finalize(order)).problem == "orderNotReady"
        assert await certificates(peer) == 0

    play(scenario)


def test_store_that_is_away_is_503_and_the_order_stays_ready__f24(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails releases nothing; the next finalize gives the certificate."""

    async def away(*_: object) -> None:
        raise Unavailable("the disk is full")

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        monkeypatch.setattr(type(peer.store), "commit", away)
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (503, "serverInternal")
        assert int(refused.headers["retry-after"]) > 0
        monkeypatch.undo()
        assert await certificates(peer) == 0
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_asked_not_after_is_exact__o11(play: Play) -> None:
    """The certificate ends to the second when the order says, and the order shows it."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(notAfter="2026-11-24T13:30:00Z")
        assert order.json["notAfter"] == "2026-11-24T13:30:00Z"
        await client.prove(order)
        done = await client.finalize(order)
        chain = await client.post(done.json["certificate"])
        leaf = x509.load_pem_x509_certificate(chain.body)
        assert leaf.not_valid_after_utc.isoformat() == "2026-11-24T13:30:00+00:00"

    play(scenario)


def test_settings_that_change_meanwhile_count_at_once(play: Play) -> None:
    """A name that lost its rule between order and finalize is refused at finalize."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        removal = (("rule", "r1"), ("rule", "r2"))
        await change_settings(peer.store, peer.clock, lambda current: SettingsChange(current.revision, remove=removal))
        assert (await client.finalize(order)).problem == "rejectedIdentifier"

    play(scenario)


def between_plan_and_commit(peer: Peer, monkeypatch: pytest.MonkeyPatch, what: Callable[[], Awaitable[object]]) -> None:
    """Have this happen once, right before the next change set with new rows is committed."""
    commit, left = peer.store.commit, [what]

    async def late(changes: Changes) -> Receipt:
        if changes.insert and left:
            await left.pop()()
        return await commit(changes)

    monkeypatch.setattr(peer.store, "commit", late)


@pytest.mark.parametrize("step", ["new_order", "finalize"])
def test_deactivation_that_overtakes_a_request_counts__rfc8555_7_3_6(
    play: Play, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Between the gate and the commit the account went: 401, and no order or certificate comes of it."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        ready = await client.ready()
        account = await peer.store.accounts.account(parse_id(str(client.kid).rpartition("/")[2]) or 0)

        async def deactivate() -> None:
            await peer.store.commit(Changes(update=(replace(account, status=AccountStatus.DEACTIVATED),)))

        between_plan_and_commit(peer, monkeypatch, deactivate)
        refused = await (client.order("other." + NAME) if step == "new_order" else client.finalize(ready))
        assert (refused.status, refused.problem) == (401, "unauthorized")
        assert await certificates(peer) == 0
        assert len(await peer.store.orders.open_orders(account.id, limit=9)) == 1

    play(scenario)


@pytest.mark.parametrize("step", ["new_order", "finalize"])
def test_change_that_overtakes_a_request_is_taken_into_it(
    play: Play, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Other contacts, or a new revision of the settings, cost another try and no error."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        ready = await client.ready()
        account = await peer.store.accounts.account(parse_id(str(client.kid).rpartition("/")[2]) or 0)

        async def change() -> None:
            await peer.store.commit(Changes(update=(replace(account, contacts=("mailto:a@internal.example",)),)))
            put = SettingsChange((await peer.store.settings.settings()).revision, put=(Owner("late"),))
            await change_settings(peer.store, peer.clock, lambda _: put)

        between_plan_and_commit(peer, monkeypatch, change)
        done = await (client.order("other." + NAME) if step == "new_order" else client.finalize(ready))
        assert done.status == (201 if step == "new_order" else 200), done.body

    play(scenario)


@pytest.mark.parametrize("step", ["new_order", "finalize"])
def test_race_that_is_lost_again_and_again_is_503(play: Play, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """With Retry-After, and never a 500: the client comes again."""

    async def lose(_: Changes) -> Receipt:
        raise Conflict("the settings have another revision")

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        ready = await client.ready()
        monkeypatch.setattr(peer.store, "commit", lose)
        refused = await (client.order("other." + NAME) if step == "new_order" else client.finalize(ready))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        fresh = await Client(peer).register()  # where nobody tries again
        assert (fresh.status, fresh.headers["retry-after"]) == (503, "1")
        monkeypatch.undo()

    play(scenario)


# --- restart ----------------------------------------------------------------------------------------------------------


def test_restart_keeps_orders_and_forgets_nonces__d11(tmp_path: Path) -> None:
    """After a restart an old nonce is badNonce, the retry succeeds, and the order is where it was."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        client = await joined(peer)
        order, nonce = await client.ready(), await peer.nonce()
        twin = replace_store(peer, peer.store)
        after = Client(twin, client.key, client.kid)
        refused = await after.post(order.headers["location"], nonce=nonce)
        assert refused.problem == "badNonce"
        again = await after.post(order.headers["location"], nonce=refused.headers["replay-nonce"])
        assert again.json["status"] == "ready"
        assert (await after.finalize(order)).json["status"] == "valid"
        await peer.store.close()

    asyncio.run(body())
