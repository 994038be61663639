"""What a client hears of a challenge that failed, and for how long (acme.md V14, V23)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from acme_peer import Client, Peer, make_peer
from dayfly.core.problems import Caa, Connection, Dns, IncorrectResponse, Refused, Tls, Unauthorized
from dayfly.ports.validation import ValidationFailed

KINDS: dict[type[Refused], int] = {
    Caa: 403, Connection: 400, Dns: 400, IncorrectResponse: 403, Tls: 400, Unauthorized: 403,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_challenge_error_has_its_kind_and_is_short_and_stays__acme_v14_v23(tmp_path: Path, kind: type[Refused]) -> None:
    """Type, status, at most 300 printable characters; order and authorization agree; a later answer changes nothing."""

    async def scenario(peer: Peer) -> None:
        client = Client(peer)
        await client.register()
        peer.validator.outcomes = [
            ValidationFailed(kind("at the beginning, " + "x" * 2000 + ", the end"), transient=False)
        ]
        order = await client.ready()
        url = (await client.post(order.json["authorizations"][0])).json["challenges"][0]["url"]
        first = (await client.post(url, {})).json
        again = (await client.post(url, {})).json
        await peer.settle()
        error = first["error"]
        assert (error["type"], error["status"]) == (f"urn:ietf:params:acme:error:{kind.type}", KINDS[kind])
        assert len(error["detail"]) <= 300
        assert error["detail"].isprintable()
        assert error["detail"].startswith("at the beginning")
        assert error["detail"].endswith("the end")
        assert again == first
        assert first["status"] == "invalid"
        assert peer.validator.looks == 1
        found = (await client.post(order.headers["location"])).json
        assert found["status"] == "invalid"
        assert found["error"]["type"] == error["type"]
        assert found["error"]["subproblems"][0]["detail"] == error["detail"]

    async def body() -> None:
        async with aclosing(await make_peer(tmp_path)) as peer:
            await scenario(peer)

    asyncio.run(body())


def test_answer_with_an_empty_payload_starts_nothing__acme_v2(tmp_path: Path) -> None:
    """POST-as-GET is a look, 200, before the answer, and after it."""

    async def body() -> None:
        async with aclosing(await make_peer(tmp_path)) as peer:
            client = Client(peer)
            await client.register()
            order = await client.order()
            url = (await client.post(order.json["authorizations"][0])).json["challenges"][0]["url"]
            for _ in range(3):
                reply = await client.post(url)
                assert (reply.status, reply.json["status"], peer.validator.looks) == (200, "pending", 0)
            await client.post(url, {})
            await peer.settle()
            for _ in range(3):
                reply = await client.post(url)
                assert (reply.status, reply.json["status"], peer.validator.looks) == (200, "valid", 1)

    asyncio.run(body())
