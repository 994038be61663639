"""Limits through the front door (acme.md part 13; security.md section 7)."""

from __future__ import annotations

import logging
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from acme_peer import BASE, Client, Peer, Play, change_acme, joined, playing, refused_connection
from dayfly.authority.account_scopes import change_account_scope
from dayfly.authority.context import Caps
from dayfly.authority.limits import rate_of, source_key
from dayfly.config.reading import parse_config
from dayfly.core.frozen import replace
from dayfly.core.policy.limits import DEFAULT_FIGURES, UNPAUSED_FOR, pause_digest
from dayfly.core.policy.scopes import Scope
from dayfly.core.settings.claims import Claims
from dayfly.ports.changes import Changes, Claim
from dayfly.wiring.reload import apply_change
from factories import CA_TOML, NAME, csr_der, ec_key
from replies import Reply

OTHER = "b.internal.example"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


def limited(reply: Reply, limit: str, *words: str) -> int:
    """The answer is a 429 that names the limit; the seconds to wait."""
    assert (reply.status, reply.problem) == (429, "rateLimited"), reply.body
    for word in (f"({limit})", *words):
        assert word in reply.json["detail"]
    return int(reply.headers["retry-after"])


def throttled(peer: Peer, family: str = "dayfly_ca_throttled") -> dict[str, float]:
    """What the metric says, by limit."""
    (found,) = [one for one in peer.metrics.collect() if one.name == family]
    return {one.labels["limit"]: one.value for one in found.samples}


def account_of(client: Client) -> int:
    """The row id of a client's account."""
    assert client.kid is not None
    return int(client.kid.rpartition("/")[2], 16)


def use_orders(peer: Peer, client: Client, times: int) -> None:
    """So many orders were made already."""
    account = account_of(client)
    for _ in range(times):
        peer.authority.limits.orders.use(account, DEFAULT_FIGURES.new_orders, peer.clock.now())


def use_certificates(peer: Peer, client: Client, times: int, *names: str) -> None:
    """So many certificates were issued for these names already."""
    key = (account_of(client), *sorted(names or (NAME,)))
    for _ in range(times):
        peer.authority.limits.certificates.use(key, DEFAULT_FIGURES.certificates, peer.clock.now())


def test_orders_of_an_account_are_limited_with_the_exact_wait__acme_13(play: Play) -> None:
    """The 3,001st in three hours is told when; another account is not held up; after that it passes."""

    async def scenario(peer: Peer) -> None:
        client, neighbour = await joined(peer), await joined(peer)
        use_orders(peer, client, 2_999)
        assert (await client.order(NAME)).status == 201
        wait = limited(await client.order(OTHER), "new-orders")
        assert wait == 4  # 3.6 s for each
        assert (await client.order(NAME)).status == 200  # the same order again is none more
        assert (await neighbour.order(OTHER)).status == 201
        assert throttled(peer) == {"new-orders": 1.0}
        peer.clock.moment += timedelta(seconds=wait)
        assert (await client.order(OTHER)).status == 201

    play(scenario)


def test_an_order_that_is_not_made_is_not_counted__acme_13(play: Play) -> None:
    """A denied name, a malformed one: the last of the limit is still there."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        use_orders(peer, client, 2_999)
        for name, problem in (("a.outside.example", "rejectedIdentifier"), ("a..b", "malformed")):
            assert (await client.order(name)).problem == problem
        assert (await client.order(NAME)).status == 201

    play(scenario)


def test_orders_that_policy_refuses_are_limited__security_7(play: Play) -> None:
    """The 301st in an hour is not judged any more, by newAuthz neither; nor what is granted, for the exact wait."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client, neighbour = await joined(peer), await joined(peer)
        for number in range(150):
            assert (await client.order(f"n{number}.outside.example")).problem == "rejectedIdentifier"
            assert (await beforehand(client, f"n{number}.outside.example")).problem == "rejectedIdentifier"
        for reply in (
            await client.order("a.outside.example"),
            await beforehand(client, NAME),
            await client.order(NAME),
        ):
            assert limited(reply, "refused-orders", "policy refused too many") == 12
        assert throttled(peer) == {"refused-orders": 3.0}
        assert (await neighbour.order("a.outside.example")).problem == "rejectedIdentifier"
        peer.clock.moment += timedelta(seconds=12)
        assert (await client.order(NAME)).status == 201
        assert (await client.order("a.outside.example")).problem == "rejectedIdentifier"
        limited(await client.order("b.outside.example"), "refused-orders")

    play(scenario)


def test_windows_shrink_to_the_lifetime__security_7(play: Play) -> None:
    """With certificates of a minute it is 3,000 orders a minute, so that short lives are not throttled."""

    async def scenario(peer: Peer) -> None:
        await short_lives(peer)
        client = await joined(peer)
        account, rate = account_of(client), DEFAULT_FIGURES.new_orders.within(timedelta(minutes=1))
        for _ in range(3_000):
            peer.authority.limits.orders.use(account, rate, peer.clock.now())
        assert limited(await client.order(), "new-orders") == 1
        peer.clock.moment += timedelta(minutes=1)
        for number in range(5):
            assert (await client.order(f"n{number}.internal.example")).status == 201

    play(scenario)


async def short_lives(peer: Peer) -> None:
    """The provisioner gives certificates of a minute."""
    minute = timedelta(minutes=1)
    await change_acme(peer, claims=Claims(min_lifetime=minute, default_lifetime=minute))


def test_name_set_limit_leaves_the_order_ready__acme_f23(play: Play) -> None:
    """429 at finalize, and the wait; other sets are not held up; later the same order gives its certificate."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        use_certificates(peer, client, 1_000)
        wait = limited(await client.finalize(order), "certificates")
        assert wait == 87  # 86.4 s for each
        assert (await client.post(order.headers["location"])).json["status"] == "ready"
        both = await client.ready(OTHER, NAME)
        assert (await client.finalize(both)).json["status"] == "valid"
        peer.clock.moment += timedelta(seconds=wait)
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_a_lifetime_of_ones_own_forgets_no_certificates__acme_f23(play: Play) -> None:
    """Who used up the day's certificates and asks for a short life has that window's; the day's stay used."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        use_certificates(peer, client, 1_000)
        short = await client.order(NAME, notAfter=f"{peer.clock.now() + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}")
        await client.prove(short)
        assert (await client.finalize(short)).json["status"] == "valid"
        limited(await client.finalize(await client.ready()), "certificates")

    play(scenario)


def test_a_key_in_use_elsewhere_is_by_policy_and_counted__acme_f22(play: Play) -> None:
    """Another account's certificate may have the same key; each certificate is counted for the account that got it."""

    async def scenario(peer: Peer) -> None:
        first, second = await joined(peer), await joined(peer)
        csr = csr_der()
        assert (await first.finalize(await first.ready(), csr)).json["status"] == "valid"
        order = await second.ready()
        use_certificates(peer, second, 999)
        assert (await second.finalize(order, csr)).json["status"] == "valid"
        peer.clock.moment += timedelta(seconds=1)
        limited(await second.finalize(await second.ready(), csr_der(key=ec_key())), "certificates")

    play(scenario)


def test_a_certificate_that_is_not_issued_is_not_counted__acme_13(play: Play) -> None:
    """A CSR that is refused, as often as it likes: the last of the limit is still there."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        use_certificates(peer, client, 999)
        for _ in range(3):
            assert (await client.finalize(order, csr_der(OTHER))).problem == "badCSR"
        assert (await client.finalize(order)).json["status"] == "valid"

    play(scenario)


def test_the_operator_hears_at_a_fifth_of_the_name_set_limit__acme_13(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a day, with account, names and owner: a client that renews in a loop is found long before it is refused."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        use_certificates(peer, client, 198)
        caplog.set_level(logging.WARNING, "dayfly.authority")
        for _ in range(3):
            assert (await client.finalize(await client.ready())).json["status"] == "valid"
        (record,) = [one for one in caplog.records if "a fifth" in one.message]
        assert vars(record)["names"] == NAME
        assert vars(record)["owner"]
        assert throttled(peer, "dayfly_ca_near_limit") == {"certificates": 1.0}
        assert throttled(peer) == {}

    play(scenario)


def test_failed_validations_are_limited_by_account_and_name__security_7(play: Play) -> None:
    """After ten in an hour the account asks for this name later; other names, and other accounts, go on."""

    async def scenario(peer: Peer) -> None:
        client, neighbour = await joined(peer), await joined(peer)
        await fail(peer, client, 10)
        assert limited(await client.order(NAME, OTHER), "failed-validations", NAME) == 360
        assert (await client.order(OTHER)).status == 201
        assert (await neighbour.order(NAME)).status == 201
        peer.clock.moment += timedelta(seconds=360)
        assert (await client.order(NAME)).status == 201

    play(scenario)


def test_failures_of_an_account_with_short_lives_are_limited__security_7(play: Play) -> None:
    """A scope with a short `max_lifetime` shrinks the window, for what is counted and for what is asked."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        ten_minutes = Scope(max_lifetime=timedelta(minutes=10))
        await change_account_scope(peer.store, peer.clock, account_of(client), lambda _: ten_minutes)
        await fail(peer, client, 10)
        assert limited(await client.order(NAME), "failed-validations", NAME) == 60

    play(scenario)


def test_authorizations_beforehand_are_limited_as_orders__security_7(play: Play) -> None:
    """NewAuthz is no way around failed-validations, a pause, or new-orders; other names are not held up."""

    async def scenario(peer: Peer) -> None:
        await change_acme(peer, pre_authorization=True)
        client = await joined(peer)
        await fail(peer, client, 10)
        limited(await beforehand(client, NAME), "failed-validations", NAME)
        for _ in range(DEFAULT_FIGURES.paused):
            peer.authority.limits.in_a_row.add((account_of(client), NAME))
        limited(await beforehand(client, NAME), "paused", NAME)
        assert (await beforehand(client, OTHER)).status == 201
        use_orders(peer, client, 2_988)  # beside the ten that failed, and the one just now
        assert (await beforehand(client, OTHER)).status == 200  # what is there already is none more
        assert (await beforehand(client, "c.internal.example")).status == 201
        limited(await beforehand(client, "d.internal.example"), "new-orders")

    play(scenario)


async def beforehand(client: Client, name: str) -> Reply:
    """NewAuthz."""
    return await client.post(f"{BASE}/acme/acme/new-authz", {"identifier": {"type": "dns", "value": name}})


def test_a_success_makes_up_for_the_failures_before_it__acme_13(play: Play) -> None:
    """Nine failures, a success, nine failures: nothing is limited."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for _ in range(2):
            await fail(peer, client, 9)
            assert (await client.finalize(await client.ready())).json["status"] == "valid"

    play(scenario)


async def fail(peer: Peer, client: Client, times: int) -> None:
    """So many orders of this client whose validation fails for good."""
    for _ in range(times):
        peer.validator.outcomes = [refused_connection(transient=False)]
        await client.ready()
        peer.validator.outcomes = []
        peer.clock.moment += timedelta(milliseconds=1)


def test_pending_authorizations_are_capped__security_7(play: Play) -> None:
    """An account whose open orders have too many of them is told to finish some."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        assert (await client.order("a.internal.example", "b.internal.example", "c.internal.example")).status == 201
        assert (await client.order("d.internal.example")).status == 201
        limited(await client.order("e.internal.example"), "pending-authorizations")

    play(scenario, caps=Caps(pending_authorizations=4))


def test_bad_signatures_are_limited_by_source__security_7(play: Play) -> None:
    """Ten times thirty a minute for a private address; then nothing more of it is verified, and another address is."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        stranger = Client(peer, kid=client.kid)
        for _ in range(300):
            assert (await stranger.post(f"{BASE}/acme/acme/new-order", {})).status == 400
        assert limited(await stranger.post(f"{BASE}/acme/acme/new-order", {}), "bad-credentials") == 1
        limited(await client.order(), "bad-credentials")
        assert throttled(peer) == {"bad-credentials": 2.0}
        peer.clock.moment += timedelta(seconds=1)
        assert (await client.order()).status == 201

    play(scenario)


def test_requests_that_anybody_may_make_are_limited_by_source__security_7(play: Play) -> None:
    """Directory, newNonce and renewal information together, 500 a second for a private address."""

    async def scenario(peer: Peer) -> None:
        for number in range(500):
            path = ("new-nonce", "directory", "renewal-info/AAAA.AAAA")[number % 3]
            assert (await peer.send("GET", f"/acme/acme/{path}")).status in {200, 204, 400}
        for path in ("new-nonce", "directory", "renewal-info/AAAA.AAAA"):
            assert limited(await peer.send("GET", f"/acme/acme/{path}"), "requests") == 1

    play(scenario)


def test_limits_switched_off_limit_nothing__security_7(play: Play) -> None:
    """`[limits] enabled = false`: nothing is counted, so nothing is refused."""

    async def scenario(peer: Peer) -> None:
        peer.authority.limits = peer.authority.limits.switched(enabled=False)
        client = await joined(peer)
        use_orders(peer, client, 3_000)
        use_certificates(peer, client, 1_000)
        await fail(peer, client, 11)
        for _ in range(501):
            assert (await peer.send("GET", "/acme/acme/new-nonce")).status == 204
        assert (await client.finalize(await client.ready())).json["status"] == "valid"

    play(scenario)


def test_figures_of_the_configuration_bite_and_a_reload_changes_them__acme_13(play: Play, tmp_path: Path) -> None:
    """Two orders an hour; at three the wait is shorter, for what was counted stays; counts and pauses as well."""

    def configure(peer: Peer, table: str) -> None:
        config = parse_config(CA_TOML + f"[limits]\n{table}\n".encode(), home=tmp_path)
        apply_change(peer.authority, replace(config, explanation_url=peer.authority.explanation_url))

    async def scenario(peer: Peer) -> None:
        validators = peer.authority.validators
        client = await joined(peer)
        configure(peer, 'new_orders = "2/1h"')
        names = [f"n{number}.internal.example" for number in range(6)]
        assert [(await client.order(name)).status for name in names[:2]] == [201, 201]
        assert limited(await client.order(names[2]), "new-orders") == 1800
        configure(peer, 'new_orders = "3/1h"')
        assert limited(await client.order(names[2]), "new-orders") == 1200
        peer.clock.moment += timedelta(seconds=1200)
        assert (await client.order(names[2])).status == 201
        configure(peer, "open_orders = 3")
        limited(await client.order(names[4]), "open-orders", "3 orders")
        configure(peer, "paused = 1")
        peer.authority.validators, peer.authority.caa = validators, None
        await fail(peer, client, 1)
        limited(await client.order(NAME), "paused", "1 validations")

    play(scenario)


def test_many_failures_in_a_row_pause_the_name_until_somebody_looks__acme_13(play: Play) -> None:
    """The hundredth pauses account and name; the refusal says how to unpause; other names and accounts go on."""

    async def scenario(peer: Peer) -> None:
        client, neighbour = await joined(peer), await joined(peer)
        key = (account_of(client), NAME)
        for _ in range(DEFAULT_FIGURES.paused - 1):
            peer.authority.limits.in_a_row.add(key)
        await fail(peer, client, 1)
        refused = await client.order(NAME)
        assert client.kid is not None
        account = client.kid.rpartition("/")[2]
        assert limited(refused, "paused", f"dayfly ca limits unpause {account} {NAME}") == 3600
        assert (await client.order(OTHER)).status == (await neighbour.order(NAME)).status == 201
        digest = pause_digest(account_of(client), NAME)
        await peer.store.commit(Changes(claims=(Claim(digest, peer.clock.now() + UNPAUSED_FOR),)))
        assert (await client.order(NAME)).status == 201
        for _ in range(DEFAULT_FIGURES.paused):
            peer.authority.limits.in_a_row.add(key)
        assert (await client.order(NAME)).status == 200  # for a week nothing pauses it again

    play(scenario)


def test_any_success_begins_the_count_of_failures_anew__acme_13(play: Play) -> None:
    """99 failures, a success, one failure: nothing is paused."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for _ in range(DEFAULT_FIGURES.paused - 1):
            peer.authority.limits.in_a_row.add((account_of(client), NAME))
        assert (await client.finalize(await client.ready())).json["status"] == "valid"
        await fail(peer, client, 1)
        assert (await client.order(NAME)).status == 201
        assert peer.authority.limits.in_a_row.count((account_of(client), NAME)) == 1

    play(scenario)


def test_new_accounts_are_limited_by_source_and_known_ones_are_not__security_7(play: Play) -> None:
    """Six hundred an hour of a private address; a key that has its account gets it all the same."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        source = ip_address("10.1.2.3")
        rate = rate_of(DEFAULT_FIGURES.new_accounts, source)
        for _ in range(rate.count - 1):
            peer.authority.limits.accounts.use(source_key(source), rate, peer.clock.now())
        assert limited(await Client(peer).register(), "new-accounts") == 6
        assert (await client.register()).status == 200
        peer.clock.moment += timedelta(seconds=6)
        assert (await Client(peer).register()).status == 201

    play(scenario)
