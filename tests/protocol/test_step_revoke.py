"""POST /revoke through the front door (step-compat.md part 6; security.md X)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acme_peer import BASE, Client
from dayfly.authority.settings import change_settings
from dayfly.core.events import CertificateRevoked
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.transparency.entries import parse_entry
from dayfly.errors import Conflict
from dayfly.ports.changes import Changes, Receipt
from factories import ec_key
from step_peer import OWNER, Play, StepClient, refused, send_revoke


async def revocations(client: StepClient) -> list[CertificateRevoked]:
    """The entries of revocations in the log."""
    entries = [parse_entry(one.body) for one in await client.peer.store.log.entries(0, limit=999)]
    return [one for one in entries if isinstance(one, CertificateRevoked)]


def test_a_token_for_the_serial_revokes__x1(play: Play) -> None:
    """200 with the status; row and entry agree, and name who did it."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        reply = await client.revoke(leaf.serial, reasonCode=4, reason="superseded")
        assert (reply.status, reply.json) == (200, {"status": "ok"})
        (event,) = await revocations(client)
        assert (event.serial, event.reason, event.by) == (leaf.serial, 4, f"provisioner {OWNER}")
        (row,) = await client.peer.store.certificates.certificates(after=0, limit=9)
        assert (row.revoked_at, row.revocation_reason) == (event.at, 4)

    play(scenario)


@pytest.mark.parametrize("path", ["/revoke", "/1.0/revoke"])
def test_hex_and_decimal_are_one_serial__x4(play: Play, path: str) -> None:
    """The token says it in decimal, the body in either."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        token = client.token(aud=f"{BASE}{path}", sub=str(leaf.serial), sans=...)
        reply = await send_revoke(client.peer, {"serial": hex(leaf.serial), "ott": token})
        assert reply.status == 200, reply.body

    play(scenario)


def test_a_token_is_for_one_serial_and_one_endpoint__x2_x3(play: Play) -> None:
    """Another subject 403, minted for /sign 401, used before 401; nothing is revoked."""

    async def scenario(client: StepClient) -> None:
        one, other = await client.issued(), await client.issued()
        good = client.token(aud=f"{BASE}/1.0/revoke", sub=str(one.serial))
        refused(await client.revoke(other.serial, good), 403, "subject")
        for subject in (hex(other.serial), "", f"{other.serial} ", str(other.serial)[:-1]):
            reply = await client.revoke(other.serial, client.token(aud=f"{BASE}/1.0/revoke", sub=subject))
            assert reply.status in {401, 403}, reply.body
        refused(await client.revoke(one.serial, client.token(sub=str(one.serial))), 401, "aud")
        refused(await client.sign(good), 401, "aud")
        assert (await client.revoke(one.serial, good)).status == 200
        refused(await client.revoke(one.serial, good), 401, "token already used")
        assert [event.serial for event in await revocations(client)] == [one.serial]

    play(scenario)


def test_a_certificate_revokes_itself_only__x1_x3(play: Play) -> None:
    """Over mTLS: its own serial 200, another 403; then it speaks for nobody any more."""

    async def scenario(client: StepClient) -> None:
        one, other = await client.issued(), await client.issued()
        refused(await one.revoke(other.serial), 403, "itself only")
        assert (await one.revoke()).status == 200
        refused(await one.revoke(), 401, "revoked")
        (event,) = await revocations(client)
        assert (event.serial, event.by) == (one.serial, "its own key")

    play(scenario)


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"serial": " 7"}, 400), ({"serial": "-7"}, 400), ({"serial": "0x"}, 400), ({"serial": "9" * 10_000}, 400),
        ({"serial": ...}, 400), ({"serial": 7}, 400), ({"reasonCode": 7}, 400), ({"reasonCode": 11}, 400),
        ({"reasonCode": -1}, 400), ({"reasonCode": "x"}, 400), ({"reasonCode": 6}, 400), ({"passive": False}, 501),
        ({"passive": ...}, 501), ({"ott": 7}, 400), ({"ott": ""}, 400), ({"ott": "a.b.c"}, 401),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_carried_out__x4_to_x7(play: Play, members: dict[str, Any], status: int) -> None:
    """Serials that are none, reasons that are none, not passive, no credential: nothing is revoked."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        token = client.token(aud=f"{BASE}/1.0/revoke", sub=str(leaf.serial))
        refused(await send_revoke(client.peer, {"serial": str(leaf.serial), "ott": token, **members}), status)
        assert await revocations(client) == []

    play(scenario)


def test_an_unknown_serial_is_not_found__x5(play: Play) -> None:
    """404, nothing stored, and the token is still good; so is a serial of ours with other random bits."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        for serial in (7, leaf.serial ^ 1, 1 << 159):
            refused(await client.revoke(serial), 404, "no certificate")
        assert await revocations(client) == []

    play(scenario)


def test_twice_is_once__x8(play: Play) -> None:
    """The second is 400; of twenty at once one passes, with one entry in the log."""

    async def scenario(client: StepClient) -> None:
        one, other = await client.issued(), await client.issued()
        assert (await client.revoke(one.serial)).status == 200
        refused(await client.revoke(one.serial), 400, "already revoked")
        replies = await asyncio.gather(*(client.revoke(other.serial) for _ in range(20)))
        assert sorted(reply.status for reply in replies) == [200] + [400] * 19
        assert len(await revocations(client)) == 2

    play(scenario)


def test_a_token_may_revoke_what_came_by_acme__step_6(play: Play) -> None:
    """Any certificate of this CA; the log names the provisioner."""

    async def scenario(client: StepClient) -> None:
        acme = Client(client.peer)
        await acme.register()
        await acme.finalize(await acme.ready())
        (row,) = await client.peer.store.certificates.certificates(after=0, limit=9)
        assert (await client.revoke(row.serial)).status == 200

    play(scenario)


def test_a_stranger_revokes_nothing__x2(play: Play) -> None:
    """Signed by another key, or by the ACME provisioner's name."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        stranger = StepClient(client.peer, ec_key())
        for header in ({"kid": client.kid}, {"kid": stranger.kid}):
            token = stranger.token(header, aud=f"{BASE}/1.0/revoke", sub=str(leaf.serial))
            refused(await client.revoke(leaf.serial, token), 401)
        named = client.token(aud=f"{BASE}/1.0/revoke", sub=str(leaf.serial), iss="acme")
        refused(await client.revoke(leaf.serial, named), 401)
        assert await revocations(client) == []

    play(scenario)


def test_the_fleet_forgets_a_revoked_certificate(play: Play) -> None:
    """Counted by reason."""

    async def scenario(client: StepClient) -> None:
        leaf = await client.issued()
        await client.revoke(leaf.serial, reasonCode=1)
        assert client.peer.metrics._revoked == {"1": 1}

    play(scenario)


def test_a_provisioner_that_is_removed_meanwhile_revokes_nothing__x1(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token was good when it came; the commit is under the settings of its own moment."""

    async def scenario(client: StepClient) -> None:
        leaf, store = await client.issued(), client.peer.store
        commit, left = store.commit, [(("provisioner", OWNER),)]

        async def late(changes: Changes) -> Receipt:
            if changes.update and left:
                removal = left.pop()
                plan = SettingsChange((await store.settings.settings()).revision, remove=removal)
                await change_settings(store, client.peer.clock, lambda _: plan)
            return await commit(changes)

        monkeypatch.setattr(store, "commit", late)
        refused(await client.revoke(leaf.serial), 401, "no provisioner")
        assert not left
        assert await revocations(client) == []

    play(scenario)


def test_settings_that_change_meanwhile_do_not_lose_a_revocation__x1(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is judged anew, and good; where that happens again and again the answer is 503."""

    async def scenario(client: StepClient) -> None:
        leaf, store = await client.issued(), client.peer.store
        commit, times = store.commit, [9, 1]

        async def lose(changes: Changes) -> Receipt:
            if changes.update and times[-1]:
                times[-1] -= 1
                raise Conflict("the settings have another revision")
            return await commit(changes)

        monkeypatch.setattr(store, "commit", lose)
        assert (await client.revoke(leaf.serial)).status == 200
        other = await client.issued()
        times.pop()
        refused(await client.revoke(other.serial), 503, "being changed")
        refused(await other.revoke(), 503, "being changed")
        assert [event.serial for event in await revocations(client)] == [leaf.serial]

    play(scenario)
