"""dns-account-01, dns-persist-01 and CAA from the order to the certificate, with a real resolver (acme.md part 8)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest

from acme_peer import BASE, BASES, Client, Peer, change_acme, joined, make_peer
from dayfly.adapters.validators import make_validators
from dayfly.adapters.validators.caa import CaaClimber
from dayfly.adapters.validators.dnsaccount01 import record_name
from dayfly.adapters.validators.dnsclient import NameServer
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.authority import caa
from dayfly.core.acme.caa import CaaRecord
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import public_key_of
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.claims import make_claims
from dns_peer import Zone, dns_server
from factories import NAME
from replies import Reply

WILD = Rule("wild", RuleKind.DNS, "*.internal.example", "platform-team", wildcards=True)
CA_NAME = "ca.internal.example"
ALL = ("http-01", "dns-01", "dns-account-01", "dns-persist-01")
Scenario = Callable[[Peer, "Records"], Coroutine[Any, Any, None]]


class Records(Zone):
    """A zone that a test writes while the server answers from it; it may fail as a whole."""

    def __init__(self) -> None:
        """Empty."""
        self.table: dict[str, list[str]] = {}
        super().__init__(self.table, ttls={"TXT": 60})
        self.fails = False

    def reply(self, query: dns.message.Message) -> dns.message.Message:
        """The honest answer, or SERVFAIL."""
        answer = super().reply(query)
        if self.fails:
            answer.set_rcode(dns.rcode.SERVFAIL)
        return answer


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against a CA that asks a real name server; `changes` are of its ACME provisioner."""

    def run(scenario: Scenario, **changes: Any) -> None:
        zone = Records()

        async def body(port: int) -> None:
            peer = await make_peer(tmp_path)
            resolver = Resolver([NameServer("127.0.0.1", port)])
            reach = Reach(resolver=resolver, hosts={}, allow=(), own_listeners=frozenset(), own_ports=frozenset())
            made = dict(make_validators(reach, resolver, http_port=80, tls_port=443))
            peer = peer.with_authority(
                validators={**made, "http-01": peer.validator},
                caa=CaaClimber(resolver),
                base_urls=BASES,
                dns_names=(CA_NAME,),
            )
            await change_acme(peer, WILD, **changes)
            async with aclosing(peer):
                await scenario(peer, zone)

        with dns_server(zone) as port:
            asyncio.run(body(port))

    return run


Play = Callable[..., None]


async def challenges(client: Client, order: Reply) -> dict[str, dict[str, Any]]:
    """The challenges of the order's one authorization, by type."""
    found = (await client.post(order.json["authorizations"][0])).json
    return {one["type"]: one for one in found["challenges"]}


async def settled(client: Client, order: Reply, kind: str = "http-01") -> dict[str, Any]:
    """The order after its challenge of this type was answered and has settled."""
    await client.post((await challenges(client, order))[kind]["url"], {})
    for _ in range(400):  # real sockets: turns of the loop with a moment between them
        if not client.peer.validations.waiting:
            break
        await asyncio.sleep(0.01)
    return (await client.post(order.headers["location"])).json


# --- dns-account-01 and dns-persist-01 --------------------------------------------------------------------------------


def test_drafts_are_offered_only_where_the_provisioner_names_them__acme_8(play: Play) -> None:
    """Off by default."""

    async def scenario(peer: Peer, _zone: Records) -> None:
        client = await joined(peer)
        assert set(await challenges(client, await client.order())) == {"http-01", "dns-01", "tls-alpn-01"}

    play(scenario)


def test_certificate_by_the_accounts_own_label__acme_8(play: Play) -> None:
    """dns-account-01: the label is made of the URL that the client knows."""

    async def scenario(peer: Peer, zone: Records) -> None:
        client = await joined(peer)
        order = await client.order()
        token = (await challenges(client, order))["dns-account-01"]["token"]
        text = f"{token}.{public_key_of(client.key.public_key()).thumbprint}"
        digest = b64u_encode(hashlib.sha256(text.encode()).digest())
        zone.table[f"{record_name(str(client.kid), NAME)} TXT"] = [f'"{digest}"']
        assert (await settled(client, order, "dns-account-01"))["status"] == "ready"
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario, challenges=ALL)


@pytest.mark.parametrize("name", [NAME, "*.internal.example"])
def test_certificate_by_a_record_that_stays__acme_8(play: Play, name: str) -> None:
    """dns-persist-01: no token, the CA's names and the account's URL in the challenge; a wildcard needs its policy."""

    async def scenario(peer: Peer, zone: Records) -> None:
        client = await joined(peer)
        order = await client.order(name)
        offered = (await challenges(client, order))["dns-persist-01"]
        assert offered["issuer-domain-names"] == [CA_NAME]
        assert offered["accounturi"] == client.kid
        assert "token" not in offered
        base = name.removeprefix("*.")
        policy = "; policy=wildcard" if name.startswith("*.") else ""
        record = f'"{CA_NAME}; accounturi={client.kid}{policy}"'
        zone.table[f"_validation-persist.{base} TXT"] = [record]
        assert (await settled(client, order, "dns-persist-01"))["status"] == "ready"
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario, challenges=ALL)


def test_record_of_another_account_makes_no_order_ready__acme_8(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is compared whole; after the tries the order is invalid, and says which step failed."""
    monkeypatch.setattr("dayfly.core.acme.challenges.TRIES", 1)

    async def scenario(peer: Peer, zone: Records) -> None:
        client, other = await joined(peer), await joined(peer)
        zone.table[f"_validation-persist.{NAME} TXT"] = [f'"{CA_NAME}; accounturi={other.kid}"']
        order = await client.order()
        found = await settled(client, order, "dns-persist-01")
        assert found["status"] == "invalid"
        assert found["error"]["type"].endswith(":unauthorized")
        assert "names another account" in found["error"]["subproblems"][0]["detail"]

    play(scenario, challenges=ALL)


def test_lasting_proof_serves_others_no_longer_than_its_ttl__acme_8(play: Play) -> None:
    """With reuse for an hour and a TTL of a minute: ready at once within the minute, pending behind it."""

    async def scenario(peer: Peer, zone: Records) -> None:
        client = await joined(peer)
        zone.table[f"_validation-persist.{NAME} TXT"] = [f'"{CA_NAME}; accounturi={client.kid}"']
        first = await client.order()
        assert (await settled(client, first, "dns-persist-01"))["status"] == "ready"
        assert (await client.finalize(first)).json["status"] == "valid"
        peer.clock.moment += timedelta(seconds=50)
        second = await client.order()
        assert second.json["status"] == "ready"
        assert (await client.finalize(second)).json["status"] == "valid"
        peer.clock.moment += timedelta(seconds=10)
        assert (await client.order()).json["status"] == "pending"

    play(scenario, challenges=ALL, authorization_reuse=timedelta(hours=1))


def test_other_proofs_serve_for_the_whole_time__acme_6(play: Play) -> None:
    """The TTL binds what lasts in DNS, and nothing else."""

    async def scenario(peer: Peer, _zone: Records) -> None:
        client = await joined(peer)
        first = await client.order()
        assert (await settled(client, first))["status"] == "ready"
        assert (await client.finalize(first)).json["status"] == "valid"
        peer.clock.moment += timedelta(minutes=30)
        assert (await client.order()).json["status"] == "ready"

    play(scenario, challenges=ALL, authorization_reuse=timedelta(hours=1))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_chaos_uses_authorizations_again_as_often_as_it_is_told__acme_15(play: Play, share: float) -> None:
    """Never or always; a client can rely on neither, and gets its order in both cases."""

    async def scenario(peer: Peer, _zone: Records) -> None:
        peer = peer.with_authority(reuse_share=share)
        client = await joined(peer)
        first = await client.order()
        assert (await settled(client, first))["status"] == "ready"
        assert (await client.finalize(first)).json["status"] == "valid"
        assert (await client.order()).json["status"] == ("ready" if share else "pending")

    play(scenario, authorization_reuse=timedelta(hours=1))


# --- CAA --------------------------------------------------------------------------------------------------------------


def test_caa_that_names_another_ca_fails_the_challenge__rfc8659_acme_8(play: Play) -> None:
    """`caa`, 403, at once: it is no fault that mends itself."""

    async def scenario(peer: Peer, zone: Records) -> None:
        zone.table["internal.example CAA"] = ['0 issue "other.example"']
        client = await joined(peer)
        order = await client.order()
        found = await settled(client, order)
        assert found["status"] == "invalid"
        assert found["error"]["type"].endswith(":caa")
        assert found["error"]["status"] == 403
        assert (await challenges(client, order))["http-01"]["error"]["type"].endswith(":caa")
        assert peer.validator.looks == 1

    play(scenario, caa=True)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [f'0 issue "{CA_NAME}"'],
        [f'0 issue "{CA_NAME}; validationmethods=http-01"'],
        ['0 iodef "mailto:pki@internal.example"'],
    ],
)
def test_caa_that_allows_lets_the_certificate_pass__rfc8659(play: Play, records: list[str]) -> None:
    """No records, or one that names this CA and the way in which the name was proved."""

    async def scenario(peer: Peer, zone: Records) -> None:
        zone.table["internal.example CAA"] = records
        client = await joined(peer)
        order = await client.order()
        assert (await settled(client, order))["status"] == "ready"
        asked = len(zone.asked)
        assert (await client.finalize(order)).json["status"] == "valid"
        assert len(zone.asked) == asked  # the check was fresh

    play(scenario, caa=True)


def test_caa_account_is_the_one_that_asks__rfc8657_3(play: Play) -> None:
    """Any URL of the account is the account, under whichever name of the CA it is known."""

    async def scenario(peer: Peer, zone: Records) -> None:
        client, other = await joined(peer), await joined(peer)
        url = str(client.kid).replace(BASE, BASES[1])
        zone.table["internal.example CAA"] = [f'0 issue "{CA_NAME}; accounturi={url}"']
        assert (await settled(client, await client.order()))["status"] == "ready"
        refused = await settled(other, await other.order())
        assert refused["error"]["type"].endswith(":caa")

    play(scenario, caa=True)


def test_old_check_is_made_again_before_signing__acme_8(play: Play) -> None:
    """Where certificates live five minutes, a check of six minutes ago is old: 403 caa, and the order stays ready."""

    async def scenario(peer: Peer, zone: Records) -> None:
        client = await joined(peer)
        order = await client.order()
        assert (await settled(client, order))["status"] == "ready"
        zone.table["internal.example CAA"] = ['0 issue ";"']
        peer.clock.moment += timedelta(minutes=6)
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (403, "caa")
        assert refused.json["subproblems"][0]["identifier"]["value"] == NAME
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        zone.fails = True
        away = await client.finalize(order)
        assert (away.status, away.problem, away.headers["retry-after"]) == (503, "serverInternal", "5")
        zone.fails = False
        zone.table["internal.example CAA"] = [f'0 issue "{CA_NAME}"']
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario, caa=True, claims=make_claims(default=timedelta(minutes=5)))


def test_check_that_was_never_made_is_made_before_signing__acme_8(play: Play) -> None:
    """The switch was turned on between the challenge and finalize."""

    async def scenario(peer: Peer, zone: Records) -> None:
        client = await joined(peer)
        order = await client.order()
        assert (await settled(client, order))["status"] == "ready"
        assert not [one for one in zone.asked if one.endswith("CAA")]
        zone.table["internal.example CAA"] = ['0 issue "other.example"']
        await change_acme(peer, caa=True)
        refused = await client.finalize(order)
        assert (refused.status, refused.problem) == (403, "caa")

    play(scenario)


class Asked:
    """CAA records that come when a test lets them; how many names were asked about at a time."""

    def __init__(self) -> None:
        """Nobody asked, and nobody is answered."""
        self.answers = asyncio.Event()
        self.now = self.most = 0

    async def relevant(self, _name: str) -> tuple[CaaRecord, ...]:
        """None, in time."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.answers.wait()
        finally:
            self.now -= 1
        return ()


def test_names_of_an_order_are_asked_about_a_few_at_a_time__security_h7(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many names with slow servers hold a connection for a bounded time, and leave nobody asking."""
    monkeypatch.setattr(caa, "WITHIN", 0.2)

    async def scenario(peer: Peer, _zone: Records) -> None:
        client, reader = await joined(peer), Asked()
        order = await client.ready(*(f"n{number}.internal.example" for number in range(20)))
        await change_acme(peer, caa=True)
        peer.authority.caa = reader
        late = await client.finalize(order)
        assert (late.status, late.problem, late.headers["retry-after"]) == (503, "serverInternal", "5")
        assert "20 names" in late.json["detail"]
        assert (reader.now, reader.most) == (0, caa.AT_ONCE)
        reader.answers.set()
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_server_that_is_silent_about_caa_is_tried_again__rfc8659(play: Play) -> None:
    """A failure of DNS is no permission, and may mend itself."""

    async def scenario(peer: Peer, zone: Records) -> None:
        zone.fails = True

        async def sleep(_: float) -> None:
            zone.fails = False

        peer.authority.sleep = sleep
        client = await joined(peer)
        assert (await settled(client, await client.order()))["status"] == "ready"
        assert peer.validator.looks == 2

    play(scenario, caa=True)


def test_directory_names_the_ca_where_caa_is_on__rfc8555_9_7_6(play: Play) -> None:
    """Its own names, or those that the provisioner has; nothing while the switch is off."""

    async def scenario(peer: Peer, _zone: Records) -> None:
        async def meta() -> dict[str, Any]:
            found: dict[str, Any] = (await peer.send("GET", "/acme/acme/directory")).json.get("meta", {})
            return found

        assert "caaIdentities" not in await meta()
        await change_acme(peer, caa=True)
        assert (await meta())["caaIdentities"] == [CA_NAME]
        await change_acme(peer, caa=True, caa_identities=("pki.example",))
        assert (await meta())["caaIdentities"] == ["pki.example"]

    play(scenario)
