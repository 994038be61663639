"""ACME under steps and octets that nobody chose: no 500, no state out of the table (security.md S32, S37, S38).

`make test` takes a few examples of each; `make fuzz` as many as fit in the time (DAYFLY_FUZZ_EXAMPLES).
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from acme_peer import BASE, Client, Peer, joined, make_peer
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import KeyAlgorithm
from dayfly.core.jose.signatures import sign
from factories import csr_der
from fuzz.machine import AcmeMachine
from replies import Reply

# The library warns of some odd octets and reads them all the same; in a server that is a line of its log at most.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

EXAMPLES = int(os.environ.get("DAYFLY_FUZZ_EXAMPLES", "0"))
SLOW = [HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large, HealthCheck.filter_too_much]
QUICK = settings(max_examples=EXAMPLES or 6, deadline=None, suppress_health_check=SLOW)
STEPS = settings(
    max_examples=EXAMPLES or 3, stateful_step_count=30 if EXAMPLES else 15, deadline=None, suppress_health_check=SLOW
)
PATHS = (
    "new-account", "new-order", "revoke-cert", "key-change", "order/0000000000000000",
    "order/0000000000000000/finalize",
    "authz/0000000000000000-0", "challenge/0000000000000000-0/http-01", "certificate/0000000000000000", "directory",
    "account/0000000000000000", "account/0000000000000000/orders", "renewal-info/AAAA.AAAA", "new-authz",
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(
        ["", "valid", "deactivated", "2026-11-24T12:00:00Z", "a.internal.example", "dns", "\0", "a" * 300]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = (
    "identifiers", "type", "value", "notBefore", "notAfter", "profile", "replaces", "csr", "status", "contact",
    "termsOfServiceAgreed", "onlyReturnExisting", "externalAccountBinding", "certificate", "reason", "keyAuthorization",
    "account", "oldKey", "protected", "payload", "signature",
)  # fmt: skip
PAYLOADS = st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=5) | JSON
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "jwk", "nonce", "url", "crit", "b64", "jku", "x5u", "x5c", "typ"]), JSON, max_size=3
)
OCTETS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6)


def stage(scenario: Callable[[Peer, Client], Coroutine[Any, Any, None]]) -> None:
    """Run against a fresh CA without rates, whose account is there."""

    async def body(where: Path) -> None:
        peer = await make_peer(where)
        peer.authority.limits = peer.authority.limits.switched(enabled=False)
        async with aclosing(peer):
            await scenario(peer, await joined(peer))

    with tempfile.TemporaryDirectory() as where:
        asyncio.run(body(Path(where)))


def sound(reply: Reply) -> None:
    """An answer of the protocol, and a problem document where it is a refusal; a 500 fails in the peer already."""
    assert reply.status < 500 or reply.status in {501, 503}, reply.body
    if reply.status >= 400:
        assert reply.json["type"].startswith("urn:ietf:params:acme:error:"), reply.body


def test_steps_in_any_order_stay_in_the_table__acme_7() -> None:
    """Two accounts, several orders, time that goes by, a policy that changes: the model of part 7 holds."""
    run_state_machine_as_test(AcmeMachine, settings=STEPS)


@QUICK
@given(st.lists(st.tuples(st.sampled_from(PATHS), PAYLOADS), min_size=1, max_size=6))
def test_any_payload_is_answered__security_s38(requests: list[tuple[str, Any]]) -> None:
    """Signed well, and saying whatever it says."""

    async def scenario(_: Peer, client: Client) -> None:
        for path, payload in requests:
            sound(await client.post(f"{BASE}/acme/acme/{path}", payload, jwk=path == "new-account"))

    stage(scenario)


@QUICK
@given(st.lists(st.tuples(st.sampled_from(PATHS), HEADERS, st.booleans()), min_size=1, max_size=6))
def test_any_protected_header_is_answered__security_s21(requests: list[tuple[str, dict[str, Any], bool]]) -> None:
    """Signed well over a header with members of any kind; never with another account's rights."""

    async def scenario(peer: Peer, client: Client) -> None:
        for path, changes, by_key in requests:
            url = f"{BASE}/acme/acme/{path}"
            header: dict[str, Any] = {"alg": "ES256", "nonce": await peer.nonce(), "url": url}
            header |= {"jwk": {"kty": "EC"}} if by_key else {"kid": client.kid}
            body = signed_over(json.dumps({**header, **changes}).encode(), b"{}", client)
            sound(await peer.send("POST", f"/acme/acme/{path}", body))

    stage(scenario)


def signed_over(protected: bytes, payload: bytes, client: Client) -> bytes:
    """The flattened JSON of these octets, signed by the client's key."""
    head, middle = b64u_encode(protected), b64u_encode(payload)
    signature = b64u_encode(sign(f"{head}.{middle}".encode(), key=client.key, alg=KeyAlgorithm.ES256))
    return json.dumps({"protected": head, "payload": middle, "signature": signature}).encode()


@QUICK
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.binary(max_size=300), OCTETS), min_size=1, max_size=6))
def test_any_body_is_answered__security_s37(requests: list[tuple[str, bytes, list[tuple[int, int]]]]) -> None:
    """Octets of any kind, and a good request with some octets changed."""

    async def scenario(peer: Peer, client: Client) -> None:
        for path, junk, flips in requests:
            header = {"alg": "ES256", "nonce": await peer.nonce(), "url": f"{BASE}/acme/acme/{path}", "kid": client.kid}
            good = signed_over(json.dumps(header).encode(), b"{}", client)
            for body in (junk, flipped(good, flips)):
                sound(await peer.send("POST", f"/acme/acme/{path}", body))

    stage(scenario)


def flipped(octets: bytes, flips: list[tuple[int, int]]) -> bytes:
    """With these octets put in their places."""
    changed = bytearray(octets)
    for place, value in flips:
        changed[place % len(changed)] = value
    return bytes(changed)


@QUICK
@given(st.lists(OCTETS, min_size=1, max_size=8))
def test_any_csr_is_answered_and_makes_one_certificate_at_most__security_s38(
    requests: list[list[tuple[int, int]]],
) -> None:
    """A good request with some octets changed: 400, 403 once the order is done, or a certificate."""

    async def scenario(peer: Peer, client: Client) -> None:
        order = await client.ready()
        for flips in requests:
            sound(await client.finalize(order, flipped(csr_der(), flips)))
        assert len(await peer.store.certificates.certificates(after=0, limit=9)) <= 1

    stage(scenario)
