"""A provisioner that gives certificates to some kinds of keys only: ACME, /sign, /renew, /rekey (security.md 4)."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from acme_peer import Client
from dayfly.core.frozen import replace
from dayfly.core.policy.keys import KeyType
from factories import NAME, csr_der, ec_key
from step_peer import OWNER, Play, StepClient, put, refused


async def allow_only(client: StepClient, provisioner: str, *kinds: KeyType) -> None:
    """The provisioner gives certificates to keys of these kinds."""
    found = (await client.peer.store.settings.settings()).find_provisioner(provisioner)
    assert found is not None
    await put(client.peer, replace(found, key_types=kinds))


def test_a_kind_of_key_that_is_not_allowed_gets_nothing_on_any_way__security_4(play: Play) -> None:
    """One rule for every door, told with what is allowed; and today's rule at the renewal."""

    async def scenario(client: StepClient) -> None:
        held = await client.issued()
        await allow_only(client, OWNER, KeyType.P384)
        told = ("takes no keys of type P-256", "use one of P-384")
        refused(await client.sign(client.token(), csr_der()), 403, *told)
        refused(await held.renew(), 403, *told)
        refused(await held.rekey(csr_der(key=ec_key())), 403, *told)
        wide: Any = ec.generate_private_key(ec.SECP384R1())
        assert (await client.sign(client.token(), csr_der(key=wide))).status == 201
        assert (await held.rekey(csr_der(key=wide))).status == 201
        await allow_only(client, "acme", KeyType.P384)
        acme = Client(client.peer)
        await acme.register()
        order = await acme.ready(NAME)
        reply = await acme.finalize(order)
        assert (reply.status, reply.problem) == (400, "badCSR")
        assert told[0] in reply.json["detail"]
        assert (await acme.finalize(order, csr_der(key=wide))).json["status"] == "valid"

    play(scenario)
