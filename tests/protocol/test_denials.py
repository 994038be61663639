"""Denials through the ACME server: each has an id, equal ones one row, and what cannot be kept is told all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme_peer import BASE, Client, Peer, Play, joined, make_peer, playing
from dayfly.authority.denials import flush_denials, note_denials
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.settings import change_settings
from dayfly.authority.upkeep import Upkeep
from dayfly.core.frozen import replace
from dayfly.core.policy.denials import KEPT, Asker, KeptDenial, share_of, smallest_rule_for
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.names import check_names
from dayfly.core.problems import RejectedIdentifier
from dayfly.core.settings.revisions import SettingsChange
from dayfly.errors import Conflict, Unavailable
from factories import denial, dns
from protocol.test_acme_server import replace_store

OUTSIDE = "shop.corp.example.net"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario against a fresh CA."""
    return playing(tmp_path)


async def newest(peer: Peer) -> tuple[KeptDenial, ...]:
    """All denials that are kept."""
    return await peer.store.denials.newest(limit=KEPT)


def test_a_denial_is_kept_and_its_smallest_rule_lets_the_next_try_pass__o9(play: Play) -> None:
    """The id in the answer finds who asked for what; with the smallest rule the same order is 201."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        id_ = (await client.order(OUTSIDE)).json["denial"]
        found = await peer.store.denials.denial(id_)
        assert (found.identifier, found.provisioner, found.source) == (dns(OUTSIDE), "acme", "10.1.2.3/32")
        assert found.requester == f"account {str(client.kid).rpartition('/')[2]}"
        rule = smallest_rule_for(found, compile_rules(()), rule_id="r9", owner="platform-team")
        await change_settings(peer.store, peer.clock, lambda now: SettingsChange(now.revision, put=(rule,)))
        assert (await client.order(OUTSIDE)).status == 201
        assert (await client.order(f"x.{OUTSIDE}")).problem == "rejectedIdentifier"

    play(scenario)


def test_each_denied_name_of_an_order_has_its_own_id__rfc8555_6_7_1(play: Play) -> None:
    """Subproblems carry the ids, and the text names them, since clients print nothing else."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        reply = await client.order("a.corp.example.net", "api.internal.example", "b.corp.example.net")
        ids = [one["denial"] for one in reply.json["subproblems"]]
        assert len(set(ids)) == 2
        assert "denial" not in reply.json
        assert reply.json["detail"].endswith(f"(denial {', '.join(ids)})")
        assert {one.id for one in await newest(peer)} == set(ids)

    play(scenario)


def test_finalize_keeps_what_a_tightened_rule_denies(play: Play) -> None:
    """A name that was allowed when it was ordered is denied at finalize, with an id."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        order = await client.ready()
        removal = (("rule", "r1"), ("rule", "r2"))
        await change_settings(peer.store, peer.clock, lambda now: SettingsChange(now.revision, remove=removal))
        refused = await client.finalize(order)
        assert [one.id for one in await newest(peer)] == [refused.json["denial"]]

    play(scenario)


def test_a_looping_client_makes_one_row_and_one_write_a_minute(play: Play) -> None:
    """A hundred tries with an account each have one id; the count catches up after a minute, and at the end."""

    async def scenario(peer: Peer) -> None:
        spy = WriteCounter(peer.store.denials)
        peer = with_denials(peer, spy)
        ids = set()
        for _ in range(10):
            client = await joined(peer)
            ids |= {(await client.order(OUTSIDE)).json["denial"] for _ in range(10)}
        assert (len(ids), spy.writes) == (1, 1)
        assert [one.count for one in await newest(peer)] == [1]
        peer.clock.moment += timedelta(minutes=1)
        last = await joined(peer)
        assert {(await last.order(OUTSIDE)).json["denial"]} == ids
        (found,) = await newest(peer)
        assert (found.count, found.requester) == (101, f"account {str(last.kid).rpartition('/')[2]}")
        await last.order(OUTSIDE)
        await flush_denials(peer.authority, peer.clock.now())
        await flush_denials(peer.authority, peer.clock.now())
        assert [one.count for one in await newest(peer)] == [102]
        assert spy.writes == 3

    play(scenario)


def test_a_denial_that_was_forgotten_meanwhile_is_written_anew(play: Play) -> None:
    """An id that is told always stands in the table, also when others pushed the row out just now."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        first = (await client.order(OUTSIDE)).json["denial"]
        others = [denial(f"n{number}.corp", id=f"N{number}", last_at=peer.clock.now()) for number in range(3)]
        peer.clock.moment += timedelta(seconds=1)
        await peer.store.denials.note([replace(one, last_at=peer.clock.now()) for one in others], keep=3)
        second = (await client.order(OUTSIDE)).json["denial"]
        assert (await peer.store.denials.denial(second)).identifier == dns(OUTSIDE)
        assert first != second

    play(scenario)


def test_an_account_that_floods_leaves_the_others_denials__o9(play: Play) -> None:
    """Twelve orders of a hundred outside names push out the account's own denials, and no more than its share stays."""

    async def scenario(peer: Peer) -> None:
        victim, flood = await joined(peer), await joined(peer)
        told = (await victim.order(OUTSIDE)).json["denial"]
        for number in range(12):
            peer.clock.moment += timedelta(seconds=1)
            reply = await flood.order(*(f"n{number}-{at}.corp.example.net" for at in range(100)))
            assert len({one["denial"] for one in reply.json["subproblems"] if one["denial"]}) in {0, 100}
        assert (await peer.store.denials.denial(told)).identifier == dns(OUTSIDE)
        assert len(await newest(peer)) == 1 + share_of(KEPT)

    play(scenario)


def test_of_a_request_with_too_many_names_the_first_have_ids(tmp_path: Path) -> None:
    """As many as one asker may have; the others are refused as well, without an id."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        most = share_of(KEPT)
        names = [dns(f"n{number}.corp.example.net") for number in range(most + 5)]
        with pytest.raises(RejectedIdentifier) as caught:
            check_names(compile_rules(()), names, provisioner="acme", source=None)
        await note_denials(peer.authority, caught.value, Asker("acme", "one-time token", None))
        told = [one.denial is not None and bool(one.denial.id) for one in caught.value.subproblems]
        assert told == [True] * most + [False] * 5
        await peer.store.close()

    asyncio.run(body())


def test_two_processes_tell_one_id(tmp_path: Path) -> None:
    """Workers on one file that refuse the same name at once make one row."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        other = await __import__("dayfly.adapters.stores", fromlist=["open_store"]).open_store(
            "sqlite:dayfly.db", home=tmp_path
        )
        twin = replace_store(peer, other)
        twin = replace(twin, authority=replace(twin.authority, denials=type(peer.authority.denials)()))
        client = await joined(peer)
        second = Client(twin, client.key, client.kid)
        replies = await asyncio.gather(*(one.order(OUTSIDE) for one in (client, second) * 5))
        ids = {reply.json["denial"] for reply in replies}
        assert len(ids) == 1
        assert {one.id for one in await other.denials.newest(limit=9)} == ids
        for store in (other, peer.store):
            await store.close()

    asyncio.run(body())


def test_a_stranger_makes_no_denial(play: Play) -> None:
    """Who has no account, or another's, writes nothing whatever he asks for."""

    async def scenario(peer: Peer) -> None:
        stranger = Client(peer, kid=f"{BASE}/acme/acme/account/0000000000000001")
        assert (await stranger.order(OUTSIDE)).problem == "accountDoesNotExist"
        forger = Client(peer, kid=(await joined(peer)).kid)
        assert (await forger.order(OUTSIDE)).status in {400, 401, 403}
        assert await newest(peer) == ()

    play(scenario)


def test_a_refusal_is_told_also_when_it_cannot_be_kept(play: Play) -> None:
    """With a store that takes no writes the client hears the rule and the nearest name, and no id."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        peer = with_denials(peer, Broken(Unavailable("the disk is full")))
        reply = await Client(peer, client.key, client.kid).order(OUTSIDE)
        assert (reply.status, reply.problem) == (400, "rejectedIdentifier")
        assert (reply.json["rule"], reply.json["nearest"]) == ("default-deny", "shop.internal.example")
        assert reply.json["denial"] == ""

    play(scenario)


def test_an_id_that_is_taken_is_drawn_again_and_not_for_ever(play: Play) -> None:
    """A clash costs another draw; endless clashes cost the id, not the answer."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        clashing = Broken(Conflict("another denial has this id"), times=3, then=peer.store.denials)
        reply = await Client(with_denials(peer, clashing), client.key, client.kid).order(OUTSIDE)
        assert (await newest(peer))[0].id == reply.json["denial"]
        endless = Broken(Conflict("another denial has this id"))
        reply = await Client(with_denials(peer, endless), client.key, client.kid).order("other.corp.example.net")
        assert (reply.status, reply.json.get("denial")) == (400, "")

    play(scenario)


# --- stand-ins for a store's denials ----------------------------------------------------------------------------------


class WriteCounter:
    """The real table, with a count of the writes."""

    def __init__(self, table: Any) -> None:
        self._table, self.writes = table, 0

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        self.writes += 1
        ids: tuple[str, ...] = await self._table.note(denials, keep=keep)
        return ids

    async def denial(self, denial_id: str) -> KeptDenial:
        found: KeptDenial = await self._table.denial(denial_id)
        return found

    async def newest(self, *, limit: int) -> tuple[KeptDenial, ...]:
        found: tuple[KeptDenial, ...] = await self._table.newest(limit=limit)
        return found


class Broken(WriteCounter):
    """A table that refuses to be written, `times` times."""

    def __init__(self, error: Exception, times: int = 1_000, then: Any = None) -> None:
        super().__init__(then)
        self._error, self._times = error, times

    async def note(self, denials: Sequence[KeptDenial], *, keep: int) -> tuple[str, ...]:
        if self.writes < self._times:
            self.writes += 1
            raise self._error
        return await super().note(denials, keep=keep)


class _Store:
    """A store with another table of denials."""

    def __init__(self, store: Any, denials: Any) -> None:
        self._store, self.denials = store, denials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def with_denials(peer: Peer, denials: Any) -> Peer:
    """The same CA with another table of denials."""
    store: Any = _Store(peer.store, denials)
    twin = replace_store(peer, store)
    return replace(twin, authority=replace(twin.authority, clock=peer.clock))


@pytest.mark.parametrize("ending", [False, True], ids=["a minute later", "at the end"])
@pytest.mark.parametrize("timed_work", [False, True], ids=["one of several workers", "alone"])
def test_upkeep_writes_what_was_counted_in_memory(play: Play, ending: bool, timed_work: bool) -> None:
    """Each process for itself, once a minute and when it stops."""

    async def scenario(peer: Peer) -> None:
        own = OwnCertificate(peer.authority, (dns("ca.internal.example"),), lambda _chain, _key: None)
        upkeep = Upkeep(peer.authority, own, timed_work=timed_work)
        await upkeep.tick()
        client = await joined(peer)
        for _ in range(3):
            await client.order(OUTSIDE)
        peer.clock.moment += timedelta(seconds=59)
        await upkeep.tick()
        assert [one.count for one in await newest(peer)] == [1]
        peer.clock.moment += timedelta(seconds=0 if ending else 1)
        await (upkeep.finish() if ending else upkeep.tick())
        assert [one.count for one in await newest(peer)] == [3]

    play(scenario)


def test_a_count_that_cannot_be_written_is_no_failure_of_the_next(play: Play) -> None:
    """While the store is away nothing is lost; where the row's id went to another denial, its count is."""

    async def scenario(peer: Peer) -> None:
        client = await joined(peer)
        for _ in range(3):
            await client.order(OUTSIDE)
        away = with_denials(peer, Broken(Unavailable("the disk is full"), then=peer.store.denials))
        with pytest.raises(Unavailable):
            await flush_denials(away.authority, peer.clock.now())
        await flush_denials(peer.authority, peer.clock.now())
        assert [one.count for one in await newest(peer)] == [3]
        await client.order(OUTSIDE)
        taken = with_denials(peer, Broken(Conflict("another denial has the id"), then=peer.store.denials))
        await flush_denials(taken.authority, peer.clock.now())
        assert not peer.authority.denials.pending()

    play(scenario)
