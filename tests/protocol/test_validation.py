"""Challenges and what becomes of their orders: the tables of acme.md part 7, row by row, and V1 to V23 of part 16."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from acme_peer import Client, Peer, Play, ScriptedValidator, joined, playing, refused_connection
from dayfly.authority import attempts, challenges
from dayfly.authority.context import Caps
from dayfly.authority.settings import change_settings
from dayfly.core.acme.objects import Account, AuthorizationRef
from dayfly.core.identifiers import IdentifierType
from dayfly.core.ids import parse_id
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.problems import ServiceUnavailable
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.x509.lint import LintedCertificate
from dayfly.errors import Conflict, SignerError, Unavailable
from dayfly.ports.changes import Changes, Receipt
from dayfly.ports.signing import Signer
from dayfly.ports.store import Store
from dayfly.ports.validation import Location, Validated, ValidationTarget, ValidatorSpec
from factories import NAME

B = "b.internal.example"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def account_of(client: Client) -> Account:
    """The client's account as it is stored."""
    account_id = parse_id(str(client.kid).rpartition("/")[2])
    assert account_id is not None
    return await client.peer.store.accounts.account(account_id)


async def challenge_urls(client: Client, authorization: str) -> dict[str, str]:
    """The challenges of an authorization, by type."""
    return {one["type"]: one["url"] for one in (await client.post(authorization)).json["challenges"]}


# --- one validation, and how it ends ----------------------------------------------------------------------------------


def test_between_tries_the_challenge_is_processing_with_its_last_error__acme_7(play: Play) -> None:
    """`processing`, `error` of the last try, Retry-After; authorization and order are pending (8.2)."""

    async def scenario(peer: Peer) -> None:
        paused, go_on = asyncio.Event(), asyncio.Event()

        async def sleep(_: float) -> None:
            paused.set()
            await go_on.wait()

        peer = peer.with_authority(sleep=sleep)
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=True)]
        order = await client.order()
        url = order.json["authorizations"][0]
        await client.post((await challenge_urls(client, url))["http-01"], {})
        await paused.wait()
        authorization = await client.post(url)
        (challenge,) = authorization.json["challenges"]
        assert authorization.json["status"] == "pending"
        assert authorization.headers["retry-after"] == "2"
        assert challenge["status"] == "processing"
        assert challenge["error"]["type"].endswith(":connection")
        assert (await client.post(order.headers["location"])).json["status"] == "pending"
        go_on.set()
        await peer.settle()
        (challenge,) = (await client.post(url)).json["challenges"]
        assert (challenge["status"], "error" in challenge) == ("valid", False)
        assert challenge["validated"]

    play(scenario)


def test_question_waits_a_moment_for_the_outcome__rfc8555_7_5_1(play: Play) -> None:
    """Who asks while a validation is about to end is told how it ended, and need not ask again."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.gate = asyncio.Event()
        order = await client.order()
        url = order.json["authorizations"][0]
        await client.post((await challenge_urls(client, url))["http-01"], {})
        asking = asyncio.ensure_future(client.post(url))
        for _ in range(50):  # turns of the loop, in which both get to where they wait
            await asyncio.sleep(0)
        peer.validator.gate.set()
        assert (await asking).json["status"] == "valid"

    play(scenario)


def test_question_waits_no_longer_than_a_moment__rfc8555_7_5_1(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation that takes its time holds nobody up: the answer is `processing`, and when to ask again."""
    monkeypatch.setattr(challenges, "HOLD", 0.01)

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.gate = asyncio.Event()
        order = await client.order()
        url = order.json["authorizations"][0]
        await client.post((await challenge_urls(client, url))["http-01"], {})
        asked = await client.post(url)
        assert asked.json["challenges"][0]["status"] == "processing"
        assert asked.headers["retry-after"] == "2"

    play(scenario)


def test_order_names_every_identifier_that_failed__acme_7(play: Play) -> None:
    """Two of three names fail: the order is invalid, with a subproblem for each of them; no authorization is left."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=False) for _ in range(2)]
        order = await client.order(NAME, B, "c.internal.example")
        await client.prove(order)
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        named = {one["identifier"]["value"] for one in found["error"]["subproblems"]}
        assert named == {NAME, B}
        assert all(one["type"].endswith(":connection") for one in found["error"]["subproblems"])
        states = Counter([(await client.post(url)).json["status"] for url in order.json["authorizations"]])
        assert states == {"invalid": 2, "valid": 1}

    play(scenario)


def test_other_challenge_of_an_invalid_authorization_is_malformed__acme_7_v4(play: Play) -> None:
    """A failed authorization has no second chance: a new order starts afresh, and it is another one."""

    async def scenario(peer: Peer) -> None:
        peer = peer.with_authority(validators={"http-01": peer.validator, "dns-01": ScriptedValidator(kind="dns-01")})
        client = await joined(peer)
        peer.validator.outcomes = [refused_connection(transient=False)]
        order = await client.order()
        urls = await challenge_urls(client, order.json["authorizations"][0])
        await client.post(urls["http-01"], {})
        await peer.settle()
        refused = await client.post(urls["dns-01"], {})
        assert (refused.status, refused.problem) == (400, "malformed")
        assert "make a new order" in refused.json["detail"]
        assert (await client.post(urls["http-01"], {})).json["status"] == "invalid"  # V23: the error stays, no retry
        assert peer.validator.looks == 1
        again = await client.order()
        assert again.status == 201
        assert again.headers["location"] != order.headers["location"]

    play(scenario)


def test_other_challenge_of_a_valid_authorization_starts_nothing__v2(play: Play) -> None:
    """A client that answers all challenges hears no error, and nobody looks a second time."""

    async def scenario(peer: Peer) -> None:
        other = ScriptedValidator(kind="dns-01")
        peer = peer.with_authority(validators={"http-01": peer.validator, "dns-01": other})
        client = await joined(peer)
        order = await client.order()
        urls = await challenge_urls(client, order.json["authorizations"][0])
        await client.post(urls["http-01"], {})
        assert (await client.post(urls["dns-01"], {})).json["status"] == "pending"  # one validation at a time
        await peer.settle()
        reply = await client.post(urls["dns-01"], {})
        assert (reply.status, reply.json["status"]) == (200, "pending")
        assert (peer.validator.looks, other.looks) == (1, 0)

    play(scenario)


def test_reading_a_challenge_starts_nothing__v2(play: Play) -> None:
    """POST-as-GET is not an answer."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        urls = await challenge_urls(client, order.json["authorizations"][0])
        reply = await client.post(urls["http-01"])
        assert (reply.status, reply.json["status"]) == (200, "pending")
        assert (peer.validations.waiting, peer.validator.looks) == (0, 0)

    play(scenario)


def test_challenge_of_a_dead_order_is_malformed__v4(play: Play) -> None:
    """A sibling was given up, so the order is invalid, and its other challenges prove nothing any more."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order(NAME, B)
        first, second = order.json["authorizations"]
        await client.post(first, {"status": "deactivated"})
        for url in (first, second):
            refused = await client.post((await challenge_urls(client, url))["http-01"], {})
            assert (refused.status, refused.problem) == (400, "malformed")
        assert peer.validator.looks == 0

    play(scenario)


def test_restart_leaves_the_challenge_pending_and_the_next_answer_starts_it_anew__acme_7(play: Play) -> None:
    """The mark is not durable: what a stopped server was looking at is looked at again when asked for."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        url = (await challenge_urls(client, order.json["authorizations"][0]))["http-01"]
        peer.validator.gate = asyncio.Event()
        assert (await client.post(url, {})).json["status"] == "processing"
        await peer.validations.close()
        peer.validator.gate = None
        client.peer = twin = peer.with_authority()
        assert (await client.post(url)).json["status"] == "pending"
        assert (await client.post(url, {})).json["status"] == "processing"
        await twin.settle()
        assert (await client.post(order.headers["location"])).json["status"] == "ready"

    play(scenario)


def test_proof_after_the_account_was_deactivated_makes_no_order_ready__v22_a14(play: Play) -> None:
    """Deactivation ends the account's open orders for good, also those that are being validated."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        pending, ready = await client.order(), await client.ready(B)
        url = (await challenge_urls(client, pending.json["authorizations"][0]))["http-01"]
        peer.validator.gate = asyncio.Event()
        await client.post(url, {})
        assert (await client.post(str(client.kid), {"status": "deactivated"})).status == 200
        peer.validator.gate.set()
        await peer.settle()
        for order in (pending, ready):
            order_id = parse_id(order.headers["location"].rpartition("/")[2])
            assert order_id is not None
            stored = await peer.store.orders.order(order_id)
            assert stored.status == "invalid"
            assert stored.error is not None
            assert "deactivated" in stored.error.detail
        assert (await client.post(pending.headers["location"])).status == 401

    play(scenario)


def test_error_of_ours_in_a_validator_settles_too__acme_7(play: Play) -> None:
    """A bug is no reason to let a client wait: after the tries the order is invalid, and the text tells nothing."""

    class Broken(ScriptedValidator):
        async def validate(self, target: ValidationTarget, location: Location) -> Validated:
            self.looks += 1
            raise RuntimeError("secret thoughts")

    async def scenario(peer: Peer) -> None:
        broken = Broken()
        peer = peer.with_authority(validators={"http-01": broken})
        client = await joined(peer)
        order = await client.ready()
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert found["error"]["type"].endswith(":serverInternal")
        assert "secret" not in str(found)
        assert broken.looks == 5

    play(scenario)


@dataclass
class Slow(ScriptedValidator):
    """Each look takes a while on the CA's clock, and fails."""

    peer: Peer | None = None
    seconds: float = 0.0

    async def validate(self, target: ValidationTarget, location: Location) -> Validated:
        assert self.peer is not None
        self.peer.clock.moment += timedelta(seconds=self.seconds)
        self.looks += 1
        raise refused_connection(transient=True)


@pytest.mark.parametrize(("seconds", "looks"), [(0.0, 5), (5.0, 4), (10.0, 3), (44.0, 1)])
def test_slow_failures_end_with_the_time_for_all__acme_7(play: Play, seconds: float, looks: int) -> None:
    """Whatever the tries take, a client knows its fate in 45 s; and nothing is tried that could not end in them."""

    async def scenario(peer: Peer) -> None:
        async def sleep(pause: float) -> None:
            peer.clock.moment += timedelta(seconds=pause)

        slow = Slow(peer=peer, seconds=seconds)
        began = peer.clock.now()
        twin = peer.with_authority(validators={"http-01": slow}, sleep=sleep)
        client = await joined(twin)
        order = await client.ready()
        assert (await client.post(order.headers["location"])).json["status"] == "invalid"
        assert slow.looks in {looks, looks + 1}  # the spacing has jitter
        assert peer.clock.now() - began <= timedelta(seconds=45 + seconds)

    play(scenario)


def test_look_is_cut_off_when_the_time_for_all_is_over__acme_7(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A last try that hangs ends with the time for all tries, not with its own."""
    monkeypatch.setattr(attempts, "VALIDATION_SPAN", timedelta(seconds=0.1))
    monkeypatch.setattr(attempts, "SHORTEST_LOOK", timedelta(seconds=0.05))

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer.validator.gate = asyncio.Event()
        order = await client.ready()
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert "no answer within the last" in found["error"]["detail"]

    play(scenario)


@dataclass
class Ailing:
    """A store whose commits fail for a while; the rest is the real one's."""

    store: Store
    failures: int = 0

    async def commit(self, changes: Changes) -> Receipt:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the disk is full")
        return await self.store.commit(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@pytest.mark.parametrize(("failures", "status"), [(3, "valid"), (9, "pending")])
def test_outcome_outlives_a_store_that_fails_for_a_while(play: Play, failures: int, status: str) -> None:
    """The outcome is committed when the store is back; where it stays away, the next answer starts anew."""

    async def scenario(peer: Peer) -> None:
        ailing = Ailing(peer.store)
        peer = peer.with_authority(store=ailing)
        client = await joined(peer)
        order = await client.order()
        url = (await challenge_urls(client, order.json["authorizations"][0]))["http-01"]
        peer.validator.gate = asyncio.Event()
        await client.post(url, {})
        ailing.failures = failures
        peer.validator.gate.set()
        await peer.settle()
        ailing.failures = 0
        assert (await client.post(url)).json["status"] == status
        assert (await client.post(url, {})).status == 200
        await peer.settle()
        assert (await client.post(order.headers["location"])).json["status"] == "ready"

    play(scenario)


@dataclass
class Contested:
    """A store that counts the commits that lost a race; the rest is the real one's."""

    store: Store
    lost: int = 0

    async def commit(self, changes: Changes) -> Receipt:
        try:
            return await self.store.commit(changes)
        except Conflict:
            self.lost += 1
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_names_of_one_order_settle_in_turn(play: Play) -> None:
    """Many proofs at once are commits one after the other, none of which is made in vain."""

    async def scenario(peer: Peer) -> None:
        contested = Contested(peer.store)
        peer = peer.with_authority(store=contested)
        client = await joined(peer)
        order = await client.order(*(f"{letter}.internal.example" for letter in "abcdefghijklmnop"))
        await client.prove(order)
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        assert contested.lost == 0

    play(scenario)


def test_finalize_before_the_order_is_ready_is_refused__f1(play: Play) -> None:
    """Pending, and while a challenge is looked at: 403 orderNotReady, and the order is none the worse."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.order()
        url = (await challenge_urls(client, order.json["authorizations"][0]))["http-01"]
        for _ in range(2):
            refused = await client.finalize(order)
            assert (refused.status, refused.problem) == (403, "orderNotReady")
            peer.validator.gate = peer.validator.gate or asyncio.Event()
            await client.post(url, {})
        assert peer.validator.gate is not None
        peer.validator.gate.set()
        await peer.settle()
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


@dataclass
class Silent:
    """A signer that cannot sign for a while; the rest is the real one's."""

    signer: Signer
    is_away: bool = True

    async def sign_certificate(self, linted: LintedCertificate) -> bytes:
        if self.is_away:
            raise SignerError("the key store does not answer")
        return await self.signer.sign_certificate(linted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.signer, name)


def test_signer_that_is_away_is_503_and_the_order_stays_ready__acme_7_f24(play: Play) -> None:
    """503 with Retry-After and no inner word; when the signer is back the same order gives its certificate."""

    async def scenario(peer: Peer) -> None:
        silent = Silent(peer.authority.signer)
        peer = peer.with_authority(signer=silent)
        client = await joined(peer)
        order = await client.ready()
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (503, "serverInternal")
        assert int(refused.headers["retry-after"]) > 0
        assert "key store" not in refused.json["detail"]
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        silent.is_away = False
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


# --- what is offered --------------------------------------------------------------------------------------------------


def test_wildcard_is_offered_dns_challenges_only__v17(play: Play) -> None:
    """The value has no `*.`, `wildcard` is true, and nothing else than dns-01 may prove it."""

    async def scenario(peer: Peer) -> None:
        rule = Rule("wild", RuleKind.DNS, "*.internal.example", "platform-team", wildcards=True)
        plan = lambda current: SettingsChange(current.revision, put=(rule,))  # noqa: E731 - one line of a scenario
        await change_settings(peer.store, peer.clock, plan)
        dns = ScriptedValidator(kind="dns-01", wildcards=True)
        peer = peer.with_authority(validators={"http-01": peer.validator, "dns-01": dns})
        client = await joined(peer)
        order = await client.order("*.internal.example")
        assert order.status == 201, order.body
        url = order.json["authorizations"][0]
        found = (await client.post(url)).json
        assert found["identifier"] == {"type": "dns", "value": "internal.example"}
        assert found["wildcard"] is True
        assert [one["type"] for one in found["challenges"]] == ["dns-01"]
        await client.prove(order)
        assert (await client.finalize(order)).json["status"] == "valid"
        assert peer.validator.looks == 0

    play(scenario)


def test_tokens_are_long_plain_and_never_twice__v20(play: Play) -> None:
    """10^5 tokens: at least 128 bits, base64url without padding, no repeat (RFC 8555 8, 11.3)."""

    async def scenario(peer: Peer) -> None:
        tokens = [peer.authority.token() for _ in range(100_000)]
        assert len(set(tokens)) == len(tokens)
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", token) for token in tokens)
        client = await joined(peer)
        peer = peer.with_authority(validators={"http-01": peer.validator, "dns-01": ScriptedValidator(kind="dns-01")})
        client.peer = peer
        order = await client.order(NAME, B)
        seen = [
            one["token"] for url in order.json["authorizations"] for one in (await client.post(url)).json["challenges"]
        ]
        assert len(set(seen)) == 4

    play(scenario)


# --- caps and turns ---------------------------------------------------------------------------------------------------


@dataclass
class Crowd:
    """A validator that holds all but `fast` names; `dead` ones share an address, each other has one of its own."""

    hold: asyncio.Event = field(default_factory=asyncio.Event)
    at: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    done: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    spec = ValidatorSpec("http-01", frozenset({IdentifierType.DNS}), wildcards=False)

    async def locate(self, target: ValidationTarget) -> Location:
        name = target.identifier.value
        number = 1 if "dead" in name else self.numbers.setdefault(name, 2 + len(self.numbers))
        return Location((IPv4Address("10.0.0.0") + number,))

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        address = str(location.addresses[0])
        for key in (address, "all"):
            self.at[key] += 1
            self.most[key] = max(self.most[key], self.at[key])
        try:
            if "fast" not in target.identifier.value:
                await self.hold.wait()
        finally:
            self.at[address] -= 1
            self.at["all"] -= 1
        self.done.append(target.identifier.value)
        return Validated(address)


async def answer_all(client: Client, *names: str) -> None:
    """An order for these names, all of whose challenges are answered."""
    order = await client.order(*names)
    assert order.status == 201, order.body
    account, order_id = await account_of(client), parse_id(order.headers["location"].rpartition("/")[2])
    assert order_id is not None
    for index in range(len(names)):
        await client.peer.validations.answer(account, AuthorizationRef(order_id, index), "http-01")


async def until(what: Callable[[], object]) -> None:
    """Give the validations turns until it is so."""
    for _ in range(2000):
        if what():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


def test_thousand_challenges_to_a_dead_host_starve_nobody__v21(play: Play) -> None:
    """Four at the address and eight of the account wait; what others have elsewhere passes meanwhile."""

    async def scenario(peer: Peer) -> None:
        crowd = Crowd()
        peer = peer.with_authority(validators={"http-01": crowd})
        flood, other, third = [await joined(peer) for _ in range(3)]
        numbers = itertools.count()
        for _ in range(10):
            await answer_all(flood, *(f"a{next(numbers)}.dead.internal.example" for _ in range(100)))
        assert peer.validations.waiting == 1000
        await until(lambda: crowd.at["10.0.0.1"] == 4)
        await answer_all(other, "fast.internal.example")
        await until(lambda: "fast.internal.example" in crowd.done)
        await answer_all(third, "b.dead.internal.example", "fast2.internal.example")
        await until(lambda: "fast2.internal.example" in crowd.done)
        assert crowd.most["10.0.0.1"] == 4
        crowd.hold.set()
        await until(lambda: not peer.validations.waiting)
        assert (crowd.most["10.0.0.1"], len(crowd.done)) == (4, 1003)

    play(scenario)


@dataclass
class Fronted(Crowd):
    """Each name has an address of its own, and behind it the victim's, which is dialled when the first is silent."""

    async def locate(self, target: ValidationTarget) -> Location:
        own = await super().locate(target)
        return Location((*own.addresses, IPv4Address("10.0.0.1")))

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        return await super().validate(target, Location(location.addresses[-1:]))


@dataclass
class Redirecting(Crowd):
    """Each name has an address of its own, and whoever looks there is sent on to the victim's."""

    async def validate(self, target: ValidationTarget, location: Location) -> Validated | Location:
        if location.addresses != (IPv4Address("10.0.0.1"),):
            return Location((IPv4Address("10.0.0.1"),))
        return await super().validate(target, location)


@pytest.mark.parametrize("kind", [Fronted, Redirecting])
def test_victim_behind_others_gets_four_at_once__v21(play: Play, kind: type[Crowd]) -> None:
    """The turn is at every address that may be dialled, and a hop waits for its turn where it leads."""

    async def scenario(peer: Peer) -> None:
        crowd = kind()
        peer = peer.with_authority(validators={"http-01": crowd})
        for number in range(3):
            await answer_all(await joined(peer), *(f"x{number}{letter}.internal.example" for letter in "abcdefgh"))
        await until(lambda: crowd.at["10.0.0.1"] == 4)
        await asyncio.sleep(0.02)
        assert crowd.most["10.0.0.1"] == 4
        crowd.hold.set()
        await until(lambda: not peer.validations.waiting)
        assert (crowd.most["10.0.0.1"], len(crowd.done)) == (4, 24)

    play(scenario)


def test_account_has_eight_at_once_and_all_have_64__acme_8(play: Play) -> None:
    """Whatever waits, no more are looked at, and each account gets its share of the places."""

    async def scenario(peer: Peer) -> None:
        crowd = Crowd()
        peer = peer.with_authority(validators={"http-01": crowd})
        one = await joined(peer)
        await answer_all(one, *(f"{letter}.internal.example" for letter in "abcdefghijklmnop"))
        await until(lambda: crowd.at["all"] == 8)
        await asyncio.sleep(0.02)
        assert crowd.at["all"] == 8
        for number in range(9):
            await answer_all(await joined(peer), *(f"x{number}{letter}.internal.example" for letter in "abcdefghij"))
        await until(lambda: crowd.at["all"] == 64)
        await asyncio.sleep(0.02)
        assert crowd.most["all"] == 64
        crowd.hold.set()
        await until(lambda: not peer.validations.waiting)
        assert len(crowd.done) == 16 + 90

    play(scenario)


def test_waiting_is_bounded_for_each_account_and_for_all__acme_8(play: Play) -> None:
    """One too many is 503 with Retry-After; the account that filled its share takes nothing from others."""

    async def scenario(peer: Peer) -> None:
        crowd = Crowd()
        peer = peer.with_authority(validators={"http-01": crowd})
        first, second, third = [await joined(peer) for _ in range(3)]
        with pytest.raises(ServiceUnavailable, match="3 validations of this account are waiting") as caught:
            await answer_all(first, *(f"a{number}.internal.example" for number in range(4)))
        assert caught.value.retry_after == 5
        await answer_all(second, "b0.internal.example", "b1.internal.example")
        order = await third.order()
        url = (await challenge_urls(third, order.json["authorizations"][0]))["http-01"]
        refused = await third.post(url, {})
        assert (refused.status, refused.problem) == (503, "serverInternal")
        assert refused.headers["retry-after"] == "5"
        assert (await third.post(url)).json["status"] == "pending"
        crowd.hold.set()
        await until(lambda: not peer.validations.waiting)
        assert (await third.post(url, {})).json["status"] == "processing"

    play(scenario, caps=Caps(waiting_validations=5, waiting_per_account=3))
