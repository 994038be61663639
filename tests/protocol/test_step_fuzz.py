"""Whatever is sent to the step API, it is answered in its shape and never with a 500 (security.md 15, S37, S38)."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme_peer import Peer
from dayfly.authority.limits import Limits
from dayfly.core.jose.jwk import KeyAlgorithm
from dayfly.core.jose.jws import sign_compact
from factories import csr_der
from replies import Reply
from step_peer import KEY, Leaf, StepClient, csr_pem, make_step_peer

# The library warns of some odd octets and reads them all the same; in a server that is a line of its log at most.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

EXAMPLES = 12
FAST = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(
        ["", "0", "-1", "24h", "2026-11-24T12:00:00Z", "*.internal.example", "10.0.0.1", "\0", "a" * 300]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
CLAIMS = ("aud", "exp", "iat", "iss", "jti", "nbf", "sans", "sub", "cnf", "sha", "step", "user")
CHANGES = st.lists(st.tuples(st.sampled_from(CLAIMS), JSON), min_size=1, max_size=3)
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["csr", "ott", "notBefore", "notAfter", "templateData", "serial", "reasonCode", "reason", "passive"]
    ),
    JSON,
    max_size=5,
)
OCTETS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4)


def stage(scenario: Callable[[StepClient, Leaf], Any]) -> None:
    """Run against a fresh CA without rates."""

    async def body(where: Path) -> None:
        peer = await make_step_peer(where, KEY)
        peer.authority.limits = Limits(enabled=False)
        client = StepClient(peer, KEY)
        async with aclosing(peer):
            await scenario(client, await client.issued())

    with tempfile.TemporaryDirectory() as where:
        asyncio.run(body(Path(where)))


def told(reply: Reply) -> None:
    """An answer in the shape of the step API; `send` has refused a 500 already."""
    assert reply.status in {200, 201, 400, 401, 403, 404, 405, 413, 429, 501}, (reply.status, reply.body)
    document = reply.json
    assert isinstance(document, dict)
    if reply.status >= 400:
        assert document["status"] == reply.status
        assert document["message"]


def changed(octets: bytes, changes: list[tuple[int, int]]) -> bytes:
    """The octets with some of them changed."""
    made = bytearray(octets)
    for place, value in changes:
        made[place % len(made)] = value
    return bytes(made)


@FAST
@given(st.lists(st.tuples(CHANGES, st.sampled_from(["/sign", "/revoke", "/renew"])), min_size=1, max_size=12))
def test_well_signed_tokens_with_any_claims(cases: list[tuple[list[tuple[str, Any]], str]]) -> None:
    """The signature holds, the claims are anything: read, or refused."""

    async def scenario(client: StepClient, leaf: Leaf) -> None:
        for changes, path in cases:
            if path == "/renew":
                told(await leaf.renew_by_token(leaf.token(**dict(changes))))
                continue
            audience = {"aud": f"https://ca.internal.example:9000/1.0{path}"}
            token = client.token(**{**audience, **dict(changes)})
            body = {"csr": csr_pem(csr_der()), "ott": token, "serial": str(leaf.serial), "passive": True}
            told(await client.peer.send("POST", path, json.dumps(body).encode()))

    stage(scenario)


@FAST
@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=8), JSON, max_size=4), JSON), min_size=1, max_size=12))
def test_well_signed_tokens_with_any_header(cases: list[tuple[dict[str, Any], Any]]) -> None:
    """Any header that signs at all, any payload, as a one-time token and as a bearer token."""

    async def scenario(client: StepClient, leaf: Leaf) -> None:
        for header, payload in cases:
            ours = {name: value for name, value in header.items() if name not in {"alg", "crit", "b64"}}
            token = sign_compact(msgspec.json.encode(payload), key=KEY, alg=KeyAlgorithm.ES256, header=ours)
            told(await client.sign(token))
            told(await leaf.renew_by_token(token))

    stage(scenario)


@FAST
@given(st.lists(st.tuples(st.sampled_from(["/sign", "/rekey", "/revoke"]), MEMBERS), min_size=1, max_size=20))
def test_bodies_of_any_members(cases: list[tuple[str, dict[str, Any]]]) -> None:
    """Good requests with members of any kind in place of theirs."""

    async def scenario(client: StepClient, leaf: Leaf) -> None:
        for path, members in cases:
            good = {"csr": csr_pem(csr_der()), "ott": client.token(), "serial": "7", "passive": True}
            body = json.dumps({**good, **members}).encode()
            told(await client.peer.send("POST", path, body, certificate=leaf.der))

    stage(scenario)


@FAST
@given(st.lists(OCTETS, min_size=1, max_size=20))
def test_requests_certificates_and_chains_of_any_octets(cases: list[list[tuple[int, int]]]) -> None:
    """A CSR, a client certificate, a chain in a token, with octets changed: as if nobody had sent them, or refused."""

    async def scenario(client: StepClient, leaf: Leaf) -> None:
        for changes in cases:
            csr = changed(csr_der(), changes)
            told(await client.sign(None, csr))
            told(await leaf.rekey(csr))
            shown = Leaf(leaf.peer, changed(leaf.der, changes), leaf.key, leaf.chain)
            told(await shown.renew())
            told(await _revoke(client.peer, shown.der, leaf.serial))
            told(await leaf.renew_by_token(Leaf(leaf.peer, leaf.der, leaf.key, (shown.der,)).token()))

    stage(scenario)


async def _revoke(peer: Peer, der: bytes, serial: int) -> Reply:
    body = json.dumps({"serial": str(serial ^ 1), "passive": True}).encode()
    return await peer.send("POST", "/revoke", body, certificate=der)


@FAST
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["/sign", "/renew", "/rekey", "/revoke", "/provisioners", "/provisioners/x/encrypted-key"]),
            st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
            st.binary(max_size=200),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
            st.binary(max_size=60),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_anything_at_all(cases: list[tuple[str, str, bytes, str, bytes]]) -> None:
    """Any method, body, query and Authorization header."""

    async def scenario(client: StepClient, leaf: Leaf) -> None:
        del leaf
        for path, method, body, query, header in cases:
            address = f"{path}?{query.replace('?', '')}"
            told(await client.peer.send(method, address, body, headers=[(b"authorization", header)]))

    stage(scenario)
