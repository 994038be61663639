"""What the answers of the server are counted as: labels are names of this CA, whatever stood in a path."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from acme_peer import BASES, Client, Peer, make_peer
from dayfly.adapters.observers.fleet import Fleet
from dayfly.adapters.observers.outcomes import OTHER
from dayfly.adapters.observers.prometheus import MOST_PROVISIONERS, Metrics
from dayfly.core.frozen import replace
from dayfly.server.acme_gate import Bases
from dayfly.server.acme_routes import AcmeRoutes
from dayfly.server.app import Application
from dayfly.wiring.building import _handled
from dayfly.wiring.health import Health


async def counted_peer(where: Path) -> tuple[Peer, Health]:
    """A CA that counts as a serving process does, and its health."""
    peer = await make_peer(where)
    own: Any = SimpleNamespace(not_after=None)
    health = Health(peer.store, peer.authority.signer, own, peer.clock, where)
    await health.checks()
    routes = AcmeRoutes(peer.authority, peer.validations, Bases(BASES)).routes()
    app = Application(routes, new_request_id=lambda: "r", on_handled=_handled(peer.metrics, health))
    return replace(peer, app=app), health


def labels(metrics: Metrics) -> set[str]:
    """The provisioners that requests are counted under."""
    (family,) = (one for one in metrics.collect() if one.name == "dayfly_ca_requests")
    return {sample.labels["provisioner"] for sample in family.samples}


def test_a_path_that_names_no_provisioner_is_counted_as_other(tmp_path: Path) -> None:
    """However it is refused: nobody makes labels by asking."""

    async def body() -> None:
        peer, health = await counted_peer(tmp_path)
        client = Client(peer)
        await client.register()
        for number in range(3):
            path = f"/acme/{number}{'x' * 7000}/new-order"
            assert (await peer.send("POST", path, b"{}", media_type="text/plain")).status == 415
            assert (await peer.send("POST", path, b"{}")).status == 400
        assert labels(peer.metrics) == {"acme", OTHER}
        await peer.send("POST", "/acme/acme/new-order", b"{}", media_type="text/plain")
        health.provisioners = ()  # as before the check that finds a provisioner that was just added
        assert (await client.order()).status == 201
        (family,) = (one for one in peer.metrics.collect() if one.name == "dayfly_ca_requests")
        rows = {(one.labels["op"], one.labels["outcome"]): one.labels["provisioner"] for one in family.samples}
        assert rows["acme_new_order", "ok"] == "acme"
        await peer.aclose()

    asyncio.run(body())


def test_refusal_of_a_known_provisioner_keeps_its_name(tmp_path: Path) -> None:
    """Also where it came before anything was authenticated."""

    async def body() -> None:
        peer, _ = await counted_peer(tmp_path)
        assert (await peer.send("POST", "/acme/acme/new-order", b"{}", media_type="text/plain")).status == 415
        assert labels(peer.metrics) == {"acme"}
        await peer.aclose()

    asyncio.run(body())


def test_labels_are_bounded_whoever_hands_them_over() -> None:
    """A thousand names since the start, then OTHER; those that are known go on being counted."""
    metrics = Metrics(Fleet(), "Test CA")
    for number in range(MOST_PROVISIONERS + 10):
        metrics.handled("sign", f"p{number}", status=201, problem=None, seconds=0.1)
    metrics.handled("sign", "p0", status=201, problem=None, seconds=0.1)
    assert len(labels(metrics)) == MOST_PROVISIONERS + 1
    assert metrics._requests["sign", "p0", "ok", "ok"] == 2
