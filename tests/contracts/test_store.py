"""The contract of ports.Store, held by every engine: memory, and SQLite on a real file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dayfly.adapters.stores import open_store
from dayfly.core.acme.objects import (
    AccountStatus,
    AuthorizationStatus,
    Certificate,
    Order,
    OrderStatus,
    SharedAuthorization,
)
from dayfly.core.events import AccountCreated, CertificateIssued, Event, IssueKind, OrderCreated
from dayfly.core.frozen import replace
from dayfly.core.ids import make_id
from dayfly.core.policy.denials import MOST_GONE, KeptDenial
from dayfly.core.policy.scopes import Scope, render_scope
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.transparency.merkle import parse_frontier, root_hash, tree_head
from dayfly.errors import Claimed, ConfigError, Conflict, NotFound
from dayfly.ports.changes import Changes, Claim
from dayfly.ports.crls import CRLHead, StoredCRL
from dayfly.ports.reads import KeyBar
from dayfly.ports.store import Store
from external_accounts import external_key
from factories import NOW, account, certificate, denial, dns, order, shared_authorization

Scenario = Callable[[Store, list[Event]], Coroutine[Any, Any, None]]


@pytest.fixture(params=["memory:", "sqlite:test.db"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario on a fresh store of each engine; it gets the store, and the events that were told."""

    def run(scenario: Scenario) -> None:
        async def body() -> None:
            heard: list[Event] = []
            store = await open_store(request.param, home=tmp_path, notify=heard.extend)
            try:
                await scenario(store, heard)
            finally:
                await store.close()

        asyncio.run(body())

    return run


Play = Callable[[Scenario], None]


def created(number: int) -> AccountCreated:
    """A logged event."""
    return AccountCreated(NOW, number, "acme", f"thumbprint-{number}")


def numbered(number: int, **changes: Any) -> Order:
    """An order with its own id."""
    return replace(order(id=number), **changes)


def test_what_was_committed_is_read_back(play: Play) -> None:
    """Accounts, orders and certificates come back as they went in."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(account(), order(), certificate())))
        assert await store.accounts.account(7) == (
            await store.accounts.account_by_key("acme", (await store.accounts.account(7)).thumbprint)
        )
        assert await store.orders.order(order().id) == order()
        assert await store.certificates.certificate(certificate().id) == certificate()
        held = account(id=8, scope=render_scope(Scope("team", ("**.a.b",), max_lifetime=timedelta(hours=8))))
        await store.commit(Changes(insert=(held,)))
        assert await store.accounts.account(8) == held
        await store.commit(Changes(update=(replace(held, scope=b""),)))
        assert await store.accounts.account_by_key("acme", held.thumbprint) == replace(held, scope=b"", version=1)
        await store.commit(Changes(insert=(certificate(id=1, parent_id=certificate().id),)))
        assert (await store.certificates.certificate(1)).parent_id == certificate().id

    play(scenario)


def test_newest_id_is_the_highest_of_all_rows(play: Play) -> None:
    """Whichever table it is in; 0 in an empty store."""

    async def scenario(store: Store, _: list[Event]) -> None:
        assert await store.newest_id() == 0
        await store.commit(Changes(insert=(account(id=70), numbered(50))))
        assert await store.newest_id() == 70
        await store.commit(Changes(insert=(certificate(id=90),)))
        assert await store.newest_id() == 90
        await store.commit(Changes(insert=(numbered(91),)))
        assert await store.newest_id() == 91
        await store.commit(Changes(insert=(shared_authorization(id=92),)))
        assert await store.newest_id() == 92

    play(scenario)


def test_missing_row_is_not_found(play: Play) -> None:
    """A missing row is NotFound; a missing key is None."""

    async def scenario(store: Store, _: list[Event]) -> None:
        for read in (
            store.accounts.account,
            store.orders.order,
            store.certificates.certificate,
            store.authorizations.authorization,
        ):
            with pytest.raises(NotFound):
                await read(1)
        assert await store.accounts.account_by_key("acme", "nobody") is None

    play(scenario)


def test_update_counts_the_version_up_and_an_old_version_conflicts(play: Play) -> None:
    """An update is conditional on the version read; the loser changes nothing."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(order(),)))
        ready = replace(order(), status=OrderStatus.READY)
        await store.commit(Changes(update=(ready,)))
        assert (await store.orders.order(order().id)).version == 1
        with pytest.raises(Conflict):
            await store.commit(Changes(update=(replace(order(), status=OrderStatus.INVALID),), events=(created(1),)))
        assert (await store.orders.order(order().id)).status is OrderStatus.READY
        assert (await store.log.head()).size == 0
        with pytest.raises(Conflict):
            await store.commit(Changes(update=(numbered(99),)))

    play(scenario)


def test_a_row_that_the_plan_relied_on_is_a_condition_and_is_not_written(play: Play) -> None:
    """`unchanged`: as it was read, or Conflict and nothing happened; its version stays."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(certificate(),)))
        for number in (1, 2):
            await store.commit(Changes(insert=(certificate(id=number),), unchanged=(certificate(),)))
        revoked = replace(certificate(), revoked_at=NOW, revocation_reason=1)
        await store.commit(Changes(update=(revoked,)))
        with pytest.raises(Conflict):
            await store.commit(Changes(insert=(certificate(id=3),), unchanged=(certificate(),), events=(created(1),)))
        with pytest.raises(NotFound):
            await store.certificates.certificate(3)
        assert (await store.log.head()).size == 0
        assert (await store.certificates.certificate(certificate().id)).version == 1

    play(scenario)


def test_twenty_updates_of_one_version_have_one_winner(play: Play) -> None:
    """Whatever races, one change set per version is written."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(order(),)))
        ready = Changes(update=(replace(order(), status=OrderStatus.READY),), events=(created(1),))
        found = await asyncio.gather(*(store.commit(ready) for _ in range(20)), return_exceptions=True)
        assert sum(not isinstance(one, Exception) for one in found) == 1
        assert sum(isinstance(one, Conflict) for one in found) == 19
        assert (await store.log.head()).size == 1

    play(scenario)


def test_fifty_accounts_with_one_key_are_one(play: Play) -> None:
    """A key has one account per provisioner; another provisioner's is its own."""

    async def scenario(store: Store, _: list[Event]) -> None:
        one = account()
        racing = (store.commit(Changes(insert=(replace(one, id=number),))) for number in range(100, 150))
        found = await asyncio.gather(*racing, return_exceptions=True)
        assert sum(isinstance(one, Conflict) for one in found) == 49
        assert await store.accounts.account_by_key("acme", one.thumbprint) is not None
        await store.commit(Changes(insert=(replace(one, id=200, provisioner="other"),)))

    play(scenario)


def test_an_account_does_not_get_the_key_of_another(play: Play) -> None:
    """A change to a key that is in use is a conflict; to one that is not, the account is found by it."""

    async def scenario(store: Store, _: list[Event]) -> None:
        mine, other, elsewhere = account(), account(id=8), account(id=9, provisioner="other")
        await store.commit(Changes(insert=(mine, other, elsewhere)))
        taken = replace(mine, thumbprint=other.thumbprint, jwk=other.jwk)
        with pytest.raises(Conflict):
            await store.commit(Changes(update=(taken,), events=(created(1),)))
        assert (await store.log.head()).size == 0
        free = replace(mine, thumbprint=elsewhere.thumbprint, jwk=elsewhere.jwk)
        await store.commit(Changes(update=(free,)))
        assert await store.accounts.account_by_key("acme", mine.thumbprint) is None
        found = await store.accounts.account_by_key("acme", elsewhere.thumbprint)
        assert found == replace(free, version=1)

    play(scenario)


def test_same_row_id_twice_conflicts_and_harms_nobody_else(play: Play) -> None:
    """A clash that no condition foresaw hits its own set only."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(certificate(),)))
        sets = [Changes(insert=(numbered(number),)) for number in range(1, 6)]
        sets.insert(2, Changes(insert=(certificate(),), events=(created(1),)))
        found = await asyncio.gather(*map(store.commit, sets), return_exceptions=True)
        assert [isinstance(one, Conflict) for one in found] == [False, False, True, False, False, False]
        assert (await store.log.head()).size == 0

    play(scenario)


def test_a_conflict_harms_nobody_else_in_its_group(play: Play) -> None:
    """Sets that are written together fail or succeed each by itself."""

    async def scenario(store: Store, heard: list[Event]) -> None:
        bad = Changes(update=(numbered(1, version=5),), events=(created(0),))
        sets = [Changes(insert=(numbered(number),), events=(created(number),)) for number in range(1, 30)]
        found = await asyncio.gather(*map(store.commit, [*sets[:10], bad, *sets[10:]]), return_exceptions=True)
        assert sum(isinstance(one, Conflict) for one in found) == 1
        assert (await store.log.head()).size == 29
        assert created(0) not in heard

    play(scenario)


def test_settings_change_under_one_revision(play: Play) -> None:
    """Each change raises the revision; one planned on an older one conflicts, and so does a plan that relied on it."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(settings=SettingsChange(0, put=(Owner("a"),))))
        assert (await store.settings.settings()).owners == (Owner("a"),)
        for late in (Changes(settings=SettingsChange(0, put=(Owner("b"),))), Changes(settings_revision=0)):
            with pytest.raises(Conflict):
                await store.commit(late)
        await store.commit(Changes(settings=SettingsChange(1, remove=(("owner", "a"),)), settings_revision=1))
        found = await store.settings.settings()
        assert (found.revision, found.owners) == (2, ())

    play(scenario)


def test_open_orders_are_the_accounts_pending_and_ready_ones_newest_first(play: Play) -> None:
    """Ended orders and other accounts' do not count; the page is bounded."""

    async def scenario(store: Store, _: list[Event]) -> None:
        rows = (
            numbered(1), numbered(2, status=OrderStatus.READY), numbered(3, status=OrderStatus.VALID),
            numbered(4, account_id=8), numbered(5),
        )  # fmt: skip
        await store.commit(Changes(insert=rows))
        assert [one.id for one in await store.orders.open_orders(7, limit=9)] == [5, 2, 1]
        assert [one.id for one in await store.orders.open_orders(7, limit=2)] == [5, 2]
        assert await store.orders.count_open_orders(7, since=0) == 3
        assert await store.orders.count_open_orders(7, since=2) == 2
        each = len(rows[0].authorizations)
        assert await store.orders.count_open_authorizations(7, since=2) == 2 * each > 0
        assert await store.orders.count_open_authorizations(9, since=0) == 0
        assert await store.orders.order_counts() == {"pending": 3, "ready": 1, "valid": 1}

    play(scenario)


def test_accounts_come_in_pages(play: Play) -> None:
    """By id, of whatever provisioner and status."""

    async def scenario(store: Store, _: list[Event]) -> None:
        accounts = tuple(account(id=number) for number in (5, 6, 9))
        await store.commit(Changes(insert=accounts))
        assert await store.accounts.accounts(after=0, limit=2) == accounts[:2]
        assert await store.accounts.accounts(after=6, limit=2) == accounts[2:]
        assert await store.accounts.accounts(after=9, limit=2) == ()

    play(scenario)


def test_orders_of_an_account_come_in_slices_newest_first(play: Play) -> None:
    """Own ones that are not invalid, below an id; where a slice is full, it says from where to go on."""

    async def scenario(store: Store, _: list[Event]) -> None:
        states = list(OrderStatus)
        orders = [numbered(1000 + at, status=states[at % len(states)]) for at in range(10)]
        await store.commit(Changes(insert=(*orders, numbered(2000, account_id=8))))
        mine = [one.id for one in reversed(orders) if one.status is not OrderStatus.INVALID]
        found: list[int] = []
        following: int | None = None
        for _look in range(10):
            page = await store.orders.orders_of(7, before=following, limit=3)
            assert len(page.orders) <= 3
            found += [one.id for one in page.orders]
            following = page.following
            if following is None:
                break
        assert found == mine
        assert (await store.orders.orders_of(7, before=1000, limit=3)).orders == ()

    play(scenario)


def test_orders_of_an_account_come_in_pages_whatever_their_status(play: Play) -> None:
    """Newest first, from one id on and below another; other accounts' do not count."""

    async def scenario(store: Store, _: list[Event]) -> None:
        rows = (
            numbered(1), numbered(2, status=OrderStatus.INVALID), numbered(3, status=OrderStatus.VALID),
            numbered(4, account_id=8), numbered(5),
        )  # fmt: skip
        await store.commit(Changes(insert=rows))

        async def page(**bounds: int) -> list[int]:
            return [one.id for one in await store.orders.account_orders(7, **{"limit": 9, **bounds})]

        assert await page(since=0, below=9) == [5, 3, 2, 1]
        assert await page(since=2, below=5) == [3, 2]
        assert await page(since=0, below=9, limit=2) == [5, 3]

    play(scenario)


def test_accounts_of_a_key_are_those_of_all_provisioners(play: Play) -> None:
    """In whatever status; a key that has none gives none."""

    async def scenario(store: Store, _: list[Event]) -> None:
        mine = account(id=7)
        same = replace(mine, id=8, provisioner="other", status=AccountStatus.DEACTIVATED)
        await store.commit(Changes(insert=(mine, same, account(id=9))))
        assert set(await store.accounts.accounts_of_key(mine.thumbprint)) == {mine, same}
        assert await store.accounts.accounts_of_key("nobody's") == ()

    play(scenario)


def test_bar_of_a_key_is_that_it_is_compromised_or_an_accounts(play: Play) -> None:
    """By its hash, or by the thumbprint of an account of any provisioner; a key with no bar is free."""

    async def scenario(store: Store, _: list[Event]) -> None:
        mine, bad = account(id=7, provisioner="other"), "ab" * 32
        await store.commit(Changes(insert=(mine,), compromised_keys=(bad,)))
        bar = store.certificates.key_bar
        assert await bar(bad, "nobody's") is KeyBar.COMPROMISED
        assert await bar("cd" * 32, mine.thumbprint) is KeyBar.ACCOUNT
        assert await bar("cd" * 32, "nobody's") is None
        assert await bar("cd" * 32, "") is None

    play(scenario)


def test_all_orders_come_in_pages_newest_first(play: Play) -> None:
    """Of every account, in whatever state."""

    async def scenario(store: Store, _: list[Event]) -> None:
        rows = [numbered(number, account_id=number % 2, status=OrderStatus.INVALID) for number in range(1, 6)]
        await store.commit(Changes(insert=tuple(rows)))
        first = await store.orders.orders(before=None, limit=3)
        assert first == (rows[4], rows[3], rows[2])
        assert await store.orders.orders(before=first[-1].id, limit=3) == (rows[1], rows[0])

    play(scenario)


def test_live_authorizations_are_found_by_account_and_name_newest_first(play: Play) -> None:
    """Pending and valid ones that have not ended; of one name at most eight; other accounts' are not among them."""

    async def scenario(store: Store, _: list[Event]) -> None:
        def row(number: int, name: str, **changes: Any) -> SharedAuthorization:
            made = shared_authorization(name, id=number)
            return replace(made, authorization=replace(made.authorization, **changes))

        dead = [
            row(50 + place, "b.example", status=AuthorizationStatus(one))
            for place, one in enumerate(("invalid", "deactivated"))
        ]
        rows = [row(number, "a.example") for number in range(1, 11)]
        await store.commit(Changes(insert=(*rows, row(20, "b.example", status=AuthorizationStatus.VALID), *dead)))
        await store.commit(
            Changes(insert=(replace(row(21, "b.example"), account_id=8), row(22, "b.example", expires=NOW)))
        )
        found = await store.authorizations.live_authorizations(7, (dns("b.example"), dns("a.example")), now=NOW)
        assert [one.id for one in found] == [20, 10, 9, 8, 7, 6, 5, 4, 3]
        assert found[0] == row(20, "b.example", status=AuthorizationStatus.VALID)
        assert await store.authorizations.count_pending(7, now=NOW) == 10
        assert await store.authorizations.count_pending(7, now=NOW + timedelta(hours=2)) == 0
        valid = replace(rows[9], authorization=replace(rows[9].authorization, status=AuthorizationStatus.VALID))
        await store.commit(Changes(update=(valid,)))
        assert await store.authorizations.authorization(10) == replace(valid, version=1)
        assert await store.authorizations.count_pending(7, now=NOW) == 9
        with pytest.raises(Conflict):
            await store.commit(Changes(insert=(numbered(99),), unchanged=(rows[9],)))

    play(scenario)


def test_external_account_keys_are_found_by_kid_and_counted(play: Play) -> None:
    """They come back whole, secret and scope too; a kid is there once; an old version conflicts; revoked ones stay."""

    async def scenario(store: Store, _: list[Event]) -> None:
        scope = Scope("team", ("**.a.b",), ("c.a.b",), wildcards=True, sources=("10.0.0.0/8",))
        scope = replace(scope, profiles=("service",), max_lifetime=timedelta(hours=8))
        key = external_key(scope=scope, reference="web", expires=NOW + timedelta(hours=1), preauthorized=True)
        with pytest.raises(NotFound):
            await store.external_keys.external_key(key.kid)
        await store.commit(Changes(insert=(key, external_key(id=0x78, kid="other"))))
        assert await store.external_keys.external_key(key.kid) == key
        page = await store.external_keys.external_keys(after=0, limit=1)
        assert page == (key,)
        assert [one.kid for one in await store.external_keys.external_keys(after=page[-1].id, limit=5)] == ["other"]
        with pytest.raises(Conflict):
            await store.commit(Changes(insert=(external_key(id=0x79),), events=(created(1),)))
        used = replace(key, used=1, bound_at=NOW, secret=b"")
        await store.commit(Changes(insert=(account(external_key=key.kid),), update=(used,)))
        assert await store.external_keys.external_key(key.kid) == replace(used, version=1)
        assert (await store.accounts.account(7)).external_key == key.kid
        for late in (Changes(update=(used,)), Changes(insert=(order(),), unchanged=(key,))):
            with pytest.raises(Conflict):
                await store.commit(late)
        assert (await store.log.head()).size == 0

    play(scenario)


def test_certificates_come_in_pages_and_live_ones_alone_if_asked(play: Play) -> None:
    """Pages by id; expired and revoked ones are not live."""

    async def scenario(store: Store, _: list[Event]) -> None:
        base = make_id(int(NOW.timestamp() * 1000), 0, 0)
        rows = tuple(certificate(id=base + number) for number in range(5))
        dead = certificate(id=base + 5, not_after=NOW - timedelta(hours=1))
        revoked = certificate(id=base + 6, revoked_at=NOW, revocation_reason=1)
        await store.commit(Changes(insert=(*rows, dead, revoked)))
        first = await store.certificates.certificates(after=0, limit=4)
        rest = await store.certificates.certificates(after=first[-1].id, limit=4)
        assert [one.id - base for one in (*first, *rest)] == [0, 1, 2, 3, 4, 5, 6]
        assert rest[-1] == revoked
        live = await store.certificates.live_certificates(NOW, after=0, limit=10)
        assert [one.id - base for one in live] == [0, 1, 2, 3, 4]

    play(scenario)


def test_issuances_are_what_accounts_were_given_newest_first(play: Play) -> None:
    """Of the newest certificates, without what is revoked and what no account has; equal sets of names are equal."""

    async def scenario(store: Store, _: list[Event]) -> None:
        names = (dns("b.internal.example"), dns("a.internal.example"))
        rows = (
            certificate(id=1),
            certificate(id=2, names=names, not_before=NOW + timedelta(hours=1)),
            certificate(id=3, account_id=8, names=names[::-1]),
            certificate(id=4, account_id=None),
            certificate(id=5, revoked_at=NOW, revocation_reason=1),
        )
        await store.commit(Changes(insert=rows))
        third, second, first = await store.certificates.issuances(limit=5)
        assert [one.account_id for one in (third, second, first)] == [8, 7, 7]
        assert third.names == second.names == {"a.internal.example", "b.internal.example"}
        assert (second.not_before, second.not_after) == (NOW + timedelta(hours=1), rows[1].not_after)
        assert await store.certificates.issuances(limit=3) == (third,)

    play(scenario)


def test_log_is_what_the_arithmetic_says(play: Play) -> None:
    """Entries, marks and head agree with RFC 6962 over the leaf hashes; unlogged events are no entries."""

    async def scenario(store: Store, heard: list[Event]) -> None:
        for number in range(1, 8):
            receipt = await store.commit(Changes(events=(created(number), OrderCreated(NOW, "acme", 1))))
            assert receipt.log_size == number
        await asyncio.gather(*(store.commit(Changes(events=(created(number),))) for number in range(8, 40)))
        entries, head = await store.log.entries(0, limit=1000), await store.log.head()
        leaves = [one.leaf_hash for one in entries]
        assert [one.index for one in entries] == list(range(39))
        assert (head.size, head.root) == (39, tree_head(leaves))
        assert root_hash(parse_frontier(head.frontier)) == head.root
        for group in await store.log.groups(0, limit=1000):
            assert group.root == tree_head(leaves[: group.size])
        assert [one.index for one in await store.log.entries(5, limit=3)] == [5, 6, 7]
        assert len(heard) == 7 * 2 + 32

    play(scenario)


def test_checkpoints_are_kept_by_size(play: Play) -> None:
    """A second one of a size replaces the first; pages go up."""

    async def scenario(store: Store, _: list[Event]) -> None:
        for size, note in ((3, "three"), (1, "one"), (3, "THREE")):
            await store.log.add_checkpoint(size, note)
        assert await store.log.checkpoints(0, limit=9) == ("one", "THREE")
        assert await store.log.checkpoints(1, limit=9) == ("THREE",)
        assert await store.log.checkpoints(0, limit=1) == ("one",)

    play(scenario)


def test_prune_takes_old_orders_in_slices_and_nothing_else(play: Play) -> None:
    """Orders that expired before the moment go, oldest first; certificates and newer orders stay."""

    async def scenario(store: Store, _: list[Event]) -> None:
        old, new = (make_id(int(moment.timestamp() * 1000), 0, 0) for moment in (NOW - timedelta(days=3), NOW))
        rows = [numbered(old + number) for number in range(5)]
        await store.commit(Changes(insert=(*rows, numbered(new), certificate(id=old))))
        claims = [Claim(bytes([number]), NOW + timedelta(seconds=number)) for number in range(4)]
        await store.commit(Changes(claims=tuple(claims)))
        moments = {"orders_before": NOW - timedelta(days=1), "claims_before": NOW + timedelta(seconds=2)}
        assert [await store.prune(**moments, limit=3) for _ in range(3)] == [5, 2, 0]
        assert [await store.claims.is_claimed(one.digest) for one in claims] == [False, False, True, True]
        assert (await store.orders.order(new)).id == new
        assert (await store.certificates.certificate(old)).id == old

    play(scenario)


def test_prune_takes_ended_authorizations_in_slices(play: Play) -> None:
    """By their end, whenever they were made; those that end later stay."""

    async def scenario(store: Store, _: list[Event]) -> None:
        rows = [shared_authorization(id=number) for number in range(1, 6)]
        late = shared_authorization(id=9)
        late = replace(late, authorization=replace(late.authorization, expires=NOW + timedelta(days=7)))
        await store.commit(Changes(insert=(*rows, late)))
        edge = NOW + timedelta(hours=2)
        gone = [await store.prune(orders_before=edge, claims_before=NOW, limit=3) for _ in range(3)]
        assert gone == [3, 2, 0]
        assert await store.authorizations.authorization(9) == late
        with pytest.raises(NotFound):
            await store.authorizations.authorization(1)

    play(scenario)


def test_what_may_be_used_once_is_used_once(play: Play) -> None:
    """Of fifty sets that claim one thing, one is written; the others hear `Claimed`, and nothing of them happens."""

    async def scenario(store: Store, _: list[Event]) -> None:
        claim = Claim(b"token", NOW + timedelta(hours=1))
        assert not await store.claims.is_claimed(b"token")
        racing = (store.commit(Changes(claims=(claim,), events=(created(number),))) for number in range(50))
        found = await asyncio.gather(*racing, return_exceptions=True)
        assert sum(isinstance(one, Claimed) for one in found) == 49
        assert await store.claims.is_claimed(b"token")
        with pytest.raises(Claimed):
            await store.commit(Changes(insert=(order(),), claims=(claim,)))
        with pytest.raises(NotFound):
            await store.orders.order(order().id)
        assert (await store.log.head()).size == 1

    play(scenario)


def issued_event(row: Certificate, spki_hash: str) -> CertificateIssued:
    """The event for a row, with the key's hash."""
    return CertificateIssued(
        at=NOW,
        certificate_id=row.id,
        serial=row.serial,
        fingerprint="00" * 32,
        names=row.names,
        not_before=row.not_before,
        not_after=row.not_after,
        provisioner=row.provisioner,
        owner=row.owner,
        rule=row.rule,
        profile=row.profile,
        profile_hash=row.profile_hash,
        account_id=row.account_id,
        order_id=row.order_id,
        kind=IssueKind.NEW,
        spki_hash=spki_hash,
    )


def test_a_line_is_good_while_nothing_of_it_is_revoked(play: Play) -> None:
    """A revocation is seen from everything that came of it, and from nothing else; a commit that relied on it loses."""

    async def scenario(store: Store, _: list[Event]) -> None:
        parents = [None, *range(1, 49)]
        rows = [certificate(id=at + 1, parent_id=one, order_id=None) for at, one in enumerate(parents)]
        await store.commit(Changes(insert=tuple(rows)))
        await store.commit(Changes(unrevoked=(49, 1)))
        revoked = NOW + timedelta(hours=1)
        await store.commit(Changes(update=(replace(rows[1], revoked_at=revoked),)))
        assert [await store.certificates.line_revoked_at(one) for one in (1, 2, 3, 49, 99)] == [
            None, revoked, revoked, revoked, None,
        ]  # fmt: skip
        for one in (2, 49):
            with pytest.raises(Conflict):
                await store.commit(Changes(insert=(order(),), unrevoked=(one,)))
        with pytest.raises(NotFound):
            await store.orders.order(order().id)
        await store.commit(Changes(unrevoked=(1,)))
        superseded = replace(rows[1], version=1, revoked_at=revoked, revocation_reason=4)
        await store.commit(Changes(update=(superseded,)))
        assert [await store.certificates.line_revoked_at(one) for one in (2, 3, 49)] == [revoked, None, None]
        await store.commit(Changes(unrevoked=(49,)))

    play(scenario)


def test_what_an_order_gave_begins_a_line__rfc9773_5(play: Play) -> None:
    """It replaces its predecessor and owes nothing to its key, so that one's revocation does not reach it."""

    async def scenario(store: Store, _: list[Event]) -> None:
        rows = [
            certificate(id=1, revoked_at=NOW, revocation_reason=1),
            certificate(id=2, parent_id=1),
            certificate(id=3, parent_id=2, order_id=None),
            certificate(id=4, parent_id=1, order_id=None),
        ]
        await store.commit(Changes(insert=tuple(rows)))
        assert [await store.certificates.line_revoked_at(one) for one in (1, 2, 3, 4)] == [NOW, None, None, NOW]

    play(scenario)


def test_replaced_is_what_an_order_replaced__rfc9773_5(play: Play) -> None:
    """A renewal over mTLS has a parent too, and replaces nothing that an order could not replace again."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(certificate(id=1), certificate(id=2, parent_id=1, order_id=None))))
        assert not await store.renewals.is_replaced(1)
        await store.commit(Changes(insert=(certificate(id=3, parent_id=1),)))
        assert await store.renewals.is_replaced(1)
        assert not await store.renewals.is_replaced(3)

    play(scenario)


def test_changes_of_certificates_are_counted(play: Play) -> None:
    """A new row is no change, a revocation is one; a set that lost changed nothing."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.commit(Changes(insert=(certificate(id=1), certificate(id=2), order())))
        before = await store.renewals.changes()
        await store.commit(Changes(insert=(certificate(id=3),), update=(order(),)))
        assert await store.renewals.changes() == before
        await store.commit(Changes(update=(certificate(id=1, revoked_at=NOW), certificate(id=2, revoked_at=NOW))))
        assert await store.renewals.changes() == before + 2
        with pytest.raises(Conflict):
            await store.commit(Changes(update=(certificate(id=1, revoked_at=NOW), certificate(id=3, revoked_at=NOW))))
        assert await store.renewals.changes() == before + 2

    play(scenario)


def test_a_compromised_key_gets_no_certificate(play: Play) -> None:
    """From the commit that says so; to say it again harms nobody, and other keys are as before."""

    async def scenario(store: Store, _: list[Event]) -> None:
        row, bad, good = certificate(), "ab" * 32, "cd" * 32
        assert not await store.certificates.is_compromised(bad)
        for _again in range(2):
            await store.commit(Changes(compromised_keys=(bad,)))
        assert await store.certificates.is_compromised(bad)
        assert not await store.certificates.is_compromised(good)
        with pytest.raises(Conflict):
            await store.commit(Changes(insert=(row,), events=(issued_event(row, bad),)))
        with pytest.raises(NotFound):
            await store.certificates.certificate(row.id)
        with pytest.raises(Conflict):
            await store.commit(Changes(insert=(account(),), sound_keys=(good, bad)))
        await store.commit(Changes(insert=(row,), sound_keys=(good,), events=(issued_event(row, good),)))

    play(scenario)


def long_lived(number: int, **changes: Any) -> Certificate:
    """A certificate of 30 days with its own id."""
    return replace(certificate(id=number, serial=number << 96 | 1, not_after=NOW + timedelta(days=30)), **changes)


def test_revoked_leaves_of_a_day_are_those_that_live_long(play: Play) -> None:
    """Revoked, above seven days, and ending in the span; whole seconds, a missing reason is none."""

    async def scenario(store: Store, _: list[Event]) -> None:
        end = NOW + timedelta(days=30)
        week = timedelta(days=7)
        rows = (
            long_lived(1, revoked_at=NOW, revocation_reason=1), long_lived(2), long_lived(3, revoked_at=NOW),
            long_lived(4, revoked_at=NOW, not_after=end + timedelta(days=1)),
            long_lived(5, revoked_at=NOW, not_before=end - week + timedelta(seconds=1)),
            long_lived(6, revoked_at=NOW, not_before=end - week),
        )  # fmt: skip
        await store.commit(Changes(insert=rows))
        found = await store.crls.revoked(end, end + timedelta(days=1))
        assert {(one.serial >> 96, one.reason) for one in found} == {(1, 1), (3, 0), (6, 0)}
        assert {one.revoked_at for one in found} == {NOW}
        assert await store.crls.revoked(end + timedelta(seconds=1), end + timedelta(days=1)) == ()

    play(scenario)


def test_newest_crl_of_a_partition_takes_the_place_of_the_one_it_was_made_after(play: Play) -> None:
    """Or of none; whoever was late gets a Conflict."""

    async def scenario(store: Store, _: list[Event]) -> None:
        first = StoredCRL(CRLHead(20_000, 7, NOW, NOW + timedelta(hours=1), 0, b"d" * 32), b"first")
        second = StoredCRL(replace(first.head, number=8, entries=1), b"second")
        other = StoredCRL(replace(first.head, partition=20_001), b"other")
        assert await store.crls.crl(20_000) is None
        with pytest.raises(Conflict):
            await store.crls.keep(second, after=7)
        await store.crls.keep(first, after=0)
        with pytest.raises(Conflict):
            await store.crls.keep(second, after=0)
        await store.crls.keep(second, after=7)
        await store.crls.keep(other, after=0)
        assert await store.crls.crl(20_000) == second
        assert await store.crls.heads() == (second.head, other.head)
        assert await store.crls.drop(20_000) == 0
        assert await store.crls.drop(20_001) == 1
        assert await store.crls.heads() == (other.head,)

    play(scenario)


def test_live_certificates_are_found_however_long_they_live(play: Play) -> None:
    """Old ones of long life before young ones, in pages, each once."""

    async def scenario(store: Store, _: list[Event]) -> None:
        then, now = make_id(int(NOW.timestamp() * 1000), 0, 0), NOW + timedelta(days=20)
        young = make_id(int((now - timedelta(hours=1)).timestamp() * 1000), 0, 0)
        rows = (
            long_lived(then), long_lived(then + 1), certificate(id=then + 2), long_lived(then + 3, revoked_at=NOW),
            certificate(id=young, not_before=now, not_after=now + timedelta(hours=1)), long_lived(young + 1),
        )  # fmt: skip
        await store.commit(Changes(insert=rows))
        wanted = [then, then + 1, young, young + 1]
        for size in (1, 2, 3, 9):
            found: list[int] = []
            while True:
                page = await store.certificates.live_certificates(now, after=found[-1] if found else 0, limit=size)
                found += [one.id for one in page]
                if len(page) < size:
                    break
            assert found == wanted, size

    play(scenario)


def test_equal_denials_share_a_row(play: Play) -> None:
    """The second one is counted up under the id of the first, and says by whom; also within one set, also in a race."""

    async def scenario(store: Store, _: list[Event]) -> None:
        later = NOW + timedelta(seconds=5)
        assert await store.denials.note([denial()], keep=9) == ("4F2A",)
        again = denial(id="7KQ3", requester="account 8", source="10.9.9.9/32", last_at=later, first_at=later)
        assert await store.denials.note([again, denial("b.corp", id="BBBB"), again], keep=9) == ("4F2A", "BBBB", "4F2A")
        found = await store.denials.denial("4F2A")
        assert found == replace(again, id="4F2A", first_at=NOW, count=3)
        racing = (store.denials.note([denial("c.corp", id=f"C{number}")], keep=9) for number in range(20, 40))
        assert len({ids for (ids,) in await asyncio.gather(*racing)}) == 1
        assert [(one.identifier.value, one.count) for one in await store.denials.newest(limit=2)] == [
            ("shop.corp", 3),
            ("b.corp", 1),
        ]
        assert (await store.log.head()).size == 0

    play(scenario)


def test_denials_are_bounded_and_the_oldest_go(play: Play) -> None:
    """Those that were met longest ago go; to be met again keeps one."""

    async def scenario(store: Store, _: list[Event]) -> None:
        for number in range(5):
            at = NOW + timedelta(seconds=number)
            await store.denials.note([denial(f"n{number}.corp", id=f"N{number}", first_at=at, last_at=at)], keep=5)
        await store.denials.note([denial("n0.corp", id="X", last_at=NOW + timedelta(minutes=1))], keep=5)
        await store.denials.note([denial("new.corp", id="NEW", last_at=NOW + timedelta(minutes=2))], keep=3)
        assert [one.id for one in await store.denials.newest(limit=9)] == ["NEW", "N0", "N4"]
        with pytest.raises(NotFound):
            await store.denials.denial("N1")

    play(scenario)


@pytest.mark.parametrize("second", [denial("b.corp"), denial("b.corp", provisioner="other")], ids=["name", "scope"])
def test_an_id_names_one_denial(play: Play, second: KeptDenial) -> None:
    """A new denial with the id of another one is a conflict, and nothing of its set is written."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.denials.note([denial()], keep=9)
        with pytest.raises(Conflict):
            await store.denials.note([denial("c.corp", id="CCCC"), second], keep=9)
        with pytest.raises(Conflict):
            await store.denials.note([denial("c.corp", id="CCCC"), replace(second, id="CCCC")], keep=9)
        assert [one.id for one in await store.denials.newest(limit=9)] == ["4F2A"]

    play(scenario)


def asked(number: int, asker: str, id_: str, **changes: Any) -> KeptDenial:
    """A denial in somebody's share, a second after the one before it."""
    at = NOW + timedelta(seconds=number)
    return replace(denial(f"n{number}.corp", id=id_, first_by=asker, first_at=at, last_at=at), **changes)


def test_nobody_pushes_out_what_others_were_told(play: Play) -> None:
    """An asker has a tenth; his own oldest goes first. Whoever asks again for another's name does not get it."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.denials.note([asked(0, "victim", "VVVV")], keep=20)
        for number in range(1, 40):
            await store.denials.note([asked(number, "flood", f"F{number}")], keep=20)
        assert [one.id for one in await store.denials.newest(limit=99)] == ["F39", "F38", "VVVV"]
        again = replace(asked(0, "flood", "XXXX"), last_at=NOW + timedelta(minutes=1), requester="flood")
        assert await store.denials.note([again], keep=20) == ("VVVV",)
        await store.denials.note([asked(90, "flood", "F90"), asked(91, "flood", "F91")], keep=20)
        found = await store.denials.newest(limit=99)
        assert [(one.id, one.first_by) for one in found] == [("F91", "flood"), ("F90", "flood"), ("VVVV", "victim")]
        for number in range(100, 140):
            await store.denials.note([asked(number, f"asker {number}", f"A{number}")], keep=20)
        assert len(await store.denials.newest(limit=99)) == 20

    play(scenario)


def test_an_id_that_was_told_is_no_other_denials_for_a_day(play: Play) -> None:
    """Its row may go; the same denial may have the id again, another one only when a day is over."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.denials.note([asked(0, "one", "4F2A")], keep=10)
        await store.denials.note([asked(1, "one", "BBBB")], keep=10)
        with pytest.raises(NotFound):
            await store.denials.denial("4F2A")
        for late in (timedelta(seconds=2), timedelta(days=1)):
            with pytest.raises(Conflict):
                await store.denials.note([asked(2, "two", "4F2A", last_at=NOW + late)], keep=10)
        assert await store.denials.note([asked(0, "one", "4F2A", last_at=NOW + timedelta(seconds=3))], keep=10)
        assert (await store.denials.denial("4F2A")).identifier.value == "n0.corp"
        await store.denials.note([asked(4, "one", "CCCC")], keep=10)
        await store.denials.note([asked(5, "two", "DDDD")], keep=10)
        day_after = NOW + timedelta(days=1, seconds=5)
        assert await store.denials.note([asked(6, "two", "4F2A", last_at=day_after)], keep=10) == ("4F2A",)
        assert (await store.denials.denial("4F2A")).identifier.value == "n6.corp"

    play(scenario)


def test_one_asker_does_not_use_up_the_ids(play: Play) -> None:
    """Past a number of gone ones he gets none until a day is over; others do."""

    async def scenario(store: Store, _: list[Event]) -> None:
        last = MOST_GONE + 1
        for start in range(0, last, 143):
            many = [asked(number, "flood", f"F{number}") for number in range(start, min(start + 143, last))]
            await store.denials.note(many, keep=10)
        with pytest.raises(Conflict):
            await store.denials.note([asked(last, "flood", "XXXX")], keep=10)
        assert await store.denials.note([asked(last, "other", "XXXX")], keep=10) == ("XXXX",)
        later = NOW + timedelta(days=1, hours=1)
        assert await store.denials.note([asked(last + 1, "flood", "YYYY", last_at=later)], keep=10) == ("YYYY",)

    play(scenario)


def test_close_finishes_what_is_under_way(play: Play) -> None:
    """Commits that wait when the store is closed are written."""

    async def scenario(store: Store, heard: list[Event]) -> None:
        waiting = [asyncio.ensure_future(store.commit(Changes(events=(created(number),)))) for number in range(9)]
        await asyncio.sleep(0)
        with suppress(Exception):
            await store.close()
        await asyncio.gather(*waiting)
        assert len(heard) == 9

    play(scenario)


def test_check_and_size_of_a_store_that_is_well(play: Play) -> None:
    """Nothing to complain of."""

    async def scenario(store: Store, _: list[Event]) -> None:
        await store.check()
        assert await store.size_bytes() >= 0

    play(scenario)


def test_unknown_scheme_names_the_ones_there_are(tmp_path: Path) -> None:
    """A database URL that no engine reads is an error of the configuration."""
    with pytest.raises(ConfigError, match="sqlite"):
        asyncio.run(open_store("oracle:x", home=tmp_path))
