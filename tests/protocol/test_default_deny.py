"""The default-deny matrix (step-compat.md part 13; security.md T7 to T13, S16, S17).

Rules: what may succeed is written down here, cell by cell; every other cell is refused, writes no row and issues no
certificate. A route that is not in the table below fails the build, and so does a type of provisioner.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme_peer import BASE, BASES, Peer, can_issue, make_peer
from dayfly.authority.challenges import Validations
from dayfly.authority.limits import Limits
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_decode
from dayfly.core.jose.jwk import thumbprint_of
from dayfly.core.settings.documents import parse_document
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.errors import ConfigError
from dayfly.server.acme_gate import Bases
from dayfly.server.acme_routes import AcmeRoutes
from dayfly.server.step_certificates import StepCertificates
from dayfly.server.step_routes import StepRoutes
from factories import csr_der, ec_key
from replies import Reply
from step_peer import (
    KEY,
    OWNER,
    Leaf,
    StepClient,
    acme_leaf,
    certificates,
    csr_pem,
    leaf_der,
    make_step_peer,
    named_csr,
    provisioner_of,
    put,
    send_revoke,
)
from token_faults import GoodToken, faults

Scenario = Callable[[Peer], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture
def peer(tmp_path: Path) -> Run:
    """Run a scenario against a fresh CA without rates, since it is refused more often than anybody may be."""

    def run(scenario: Scenario) -> None:
        async def body() -> None:
            async with aclosing(await make_step_peer(tmp_path, KEY)) as one:
                one.authority.limits = Limits(enabled=False)
                await scenario(one)

        asyncio.run(body())

    return run


# --- the routes -------------------------------------------------------------------------------------------------------

PUBLIC = frozenset(
    {
        "/health", "/version", "/root/{fingerprint}", "/roots", "/roots.pem", "/intermediates", "/intermediates.pem",
        "/federation", "/provisioners", "/provisioners/{kid}/encrypted-key",
    }
)  # fmt: skip
TAKES_TOKEN = {"/sign": "sign", "/revoke": "revoke"}
TAKES_CERTIFICATE = frozenset({"/renew", "/re-sign", "/rekey", "/revoke"})
TAKES_RENEWAL_TOKEN = frozenset({"/renew", "/re-sign"})
ACME = frozenset(
    {
        "key-change", "account/{account}/orders", "account/{account}/orders/{before}",
        "directory", "new-nonce", "new-account", "account/{account}", "new-order", "order/{order}",
        "order/{order}/finalize", "authz/{authorization}", "new-authz", "challenge/{authorization}/{type}",
        "certificate/{certificate}", "certificate/{certificate}/{alternate}", "renewal-info/{certificate}",
        "revoke-cert",
    }
)  # fmt: skip
NOT_THERE = (
    "/ssh/sign", "/ssh/roots", "/ssh/config", "/sign-ssh", "/scep/x/pkiclient.exe", "/admin/admins",
    "/admin/provisioners", "/admin/policy", "/crl", "/.git/config",
)  # fmt: skip


def test_every_route_is_in_the_table__step_13(tmp_path: Path) -> None:
    """A new route must say whether it takes a credential, and which, before it is served."""

    async def body() -> None:
        peer = await make_peer(tmp_path)
        step = {
            *StepRoutes((b"",), (b"",), can_issue).routes(),
            *StepCertificates(peer.authority, BASES).routes(),
        }
        acme = AcmeRoutes(peer.authority, Validations(peer.authority), Bases(BASES)).routes()
        known = PUBLIC | TAKES_CERTIFICATE | TAKES_TOKEN.keys()
        assert {one.pattern for one in step} == {prefix + path for prefix in ("", "/1.0") for path in known}
        assert {one.pattern.partition("{provisioner}/")[2] for one in acme} == ACME
        for one in step:
            assert (one.method == "GET") is (one.pattern.removeprefix("/1.0") in PUBLIC)
        await peer.store.close()

    asyncio.run(body())


@pytest.mark.parametrize("path", NOT_THERE)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_what_is_not_served_is_not_found__p5(peer: Run, method: str, path: str) -> None:
    """SSH, SCEP, the admin API: 404 in step's shape, with and without a prefix."""

    async def scenario(one: Peer) -> None:
        for prefix in ("", "/1.0"):
            reply = await one.send(method, prefix + path, b"{}")
            assert (reply.status, reply.json["status"]) == (404, 404)

    peer(scenario)


# --- types and states -------------------------------------------------------------------------------------------------

# Every type that step-ca knows by number (part 9), one of our own to come, and one that nobody knows.
TYPES = (
    "JWK", "OIDC", "GCP", "AWS", "Azure", "ACME", "X5C", "K8sSA", "SSHPOP", "SCEP", "Nebula", "Dayfly", "Unknown",
)  # fmt: skip
STATES = ("enabled", "disabled", "removed", "uninitialized")
CELLS = ("sign", "renew mTLS", "renew token", "rekey mTLS", "revoke token", "revoke mTLS", "acme")

# The only cells that may succeed.
ALLOWED = {
    ("JWK", "enabled"): {"sign", "renew mTLS", "renew token", "rekey mTLS", "revoke token", "revoke mTLS"},
    ("ACME", "enabled"): {"renew mTLS", "renew token", "rekey mTLS", "revoke mTLS", "acme"},
    # A holder may always give its certificate up, whatever became of its provisioner.
    ("JWK", "disabled"): {"revoke mTLS"},
    ("JWK", "removed"): {"revoke mTLS"},
    ("ACME", "disabled"): {"revoke mTLS"},
    ("ACME", "removed"): {"revoke mTLS"},
    # Its key is gone, so no token is good; what it issued is as good as before.
    ("JWK", "uninitialized"): {"renew mTLS", "renew token", "rekey mTLS", "revoke mTLS"},
    # An ACME provisioner has nothing to initialize: it is as if enabled.
    ("ACME", "uninitialized"): {"renew mTLS", "renew token", "rekey mTLS", "revoke mTLS", "acme"},
}
_SECOND = timedelta(seconds=1)
SERVED = {one.value for one in ProvisionerType}


@pytest.mark.parametrize("kind", [one for one in TYPES if one not in SERVED])
def test_a_type_that_is_not_served_cannot_be_set_up__step_13(kind: str) -> None:
    """The settings take no such provisioner, so no token can lead to one."""
    assert kind not in SERVED
    with pytest.raises(ConfigError):
        parse_document("provisioner", json.dumps({"name": "p", "type": kind}).encode())


def test_every_type_that_is_served_is_in_the_matrix__step_13() -> None:
    """A new type must take its row."""
    assert set(TYPES) >= SERVED
    assert {kind for kind, _ in ALLOWED} == SERVED


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", TYPES)
def test_only_the_listed_cells_succeed__t12_s16(peer: Run, kind: str, state: str) -> None:
    """Each type in each state, with a credential that has no other fault: the listed cells pass, no other does."""

    async def scenario(one: Peer) -> None:
        client = StepClient(one, KEY)
        issue = {"JWK": client.issued, "ACME": lambda: acme_leaf(one)}.get(kind)
        leaf = await issue() if issue is not None else None
        name = "acme" if kind == "ACME" else OWNER
        if kind not in SERVED:
            await put(one, remove=(("provisioner", OWNER),))
        elif state == "disabled":
            await put(one, replace(_document(kind), enabled=False))
        elif state == "removed":
            await put(one, remove=(("provisioner", name),))
        elif state == "uninitialized":
            await put(one, replace(_document(kind), key="", encrypted_key=""))
        allowed = ALLOWED.get((kind, state), set())
        for cell in CELLS:
            before, rows = await one.store.log.head(), await certificates(one)
            reply = await _try(client, cell, name, kind, leaf)
            if reply is None:
                continue
            if cell in allowed:
                assert reply.status in {200, 201}, (cell, reply.body)
            else:
                assert reply.status == (404 if cell == "acme" else 401), (cell, reply.body)
                assert (await one.store.log.head(), await certificates(one)) == (before, rows), cell

    peer(scenario)


def _document(kind: str) -> Provisioner:
    return Provisioner("acme", ProvisionerType.ACME) if kind == "ACME" else provisioner_of(KEY)


async def _try(client: StepClient, cell: str, name: str, kind: str, leaf: Leaf | None) -> Reply | None:
    """The cell's request with a credential that has no fault; None where there can be no such credential."""
    header = {"kid": client.kid, "typ": "JWT"}
    fragment = "" if kind in {"JWK", "ACME"} else f"#{kind.lower()}/{name}"
    if cell == "sign":
        return await client.sign(client.token(header, iss=name, aud=f"{BASE}/1.0/sign{fragment}"), named_csr())
    if cell == "revoke token":
        serial = leaf.serial if leaf else 7
        token = client.token(header, iss=name, aud=f"{BASE}/1.0/revoke{fragment}", sub=str(serial))
        reply = await client.revoke(serial, token)
        if reply.status == 200 and leaf is not None:  # the cells after it want one that is not revoked
            leaf.der = (await client.issued()).der
        return reply
    if cell == "acme":
        return await client.peer.send("GET", f"/acme/{name}/directory")
    if leaf is None:
        return None
    leaf.peer.clock.moment += _SECOND
    tries: dict[str, Callable[[], Awaitable[Reply]]] = {
        "renew mTLS": leaf.renew,
        "renew token": leaf.renew_by_token,
        "rekey mTLS": leaf.rekey,
        "revoke mTLS": leaf.revoke,
    }
    return await tries[cell]()


# --- faults -----------------------------------------------------------------------------------------------------------


def sign_token(client: StepClient, endpoint: str, **claims: Any) -> GoodToken:
    """What makes a good one-time token for /sign or /revoke."""
    elsewhere = {"sign": "revoke", "revoke": "sign"}[endpoint]
    return GoodToken(
        {"alg": "ES256", "kid": client.kid, "typ": "JWT"},
        client.claims(aud=f"{BASE}/1.0/{endpoint}", **claims),
        KEY,
        {"iss": "second", "aud": f"{BASE}/1.0/{elsewhere}", "key": SECOND, "kid": thumbprint_of(SECOND.public_key())},
    )


def renewal_token(leaf: Leaf, other: Leaf) -> GoodToken:
    """What makes a good renewal token."""
    text = leaf.token()
    header, claims = (json.loads(b64u_decode(part)) for part in text.split(".")[:2])
    foreign = {"iss": OWNER, "aud": f"{BASE}/1.0/sign", "key": other.key, "kid": "other"}
    return GoodToken(header, claims, leaf.key, foreign)


SECOND = ec_key()


async def two_provisioners(one: Peer) -> StepClient:
    """A client of the first of two JWK provisioners."""
    await put(one, Owner("second"), replace(provisioner_of(SECOND), name="second"))
    return StepClient(one, KEY)


@pytest.mark.parametrize("path", ["/sign", "/1.0/sign"])
def test_every_fault_is_refused_by_sign__t7_to_t13(peer: Run, path: str) -> None:
    """401 for each, no certificate, no entry; the good token in between and at the end passes."""

    async def scenario(one: Peer) -> None:
        client = await two_provisioners(one)
        good = sign_token(client, "sign")
        csr = csr_pem(csr_der())
        rows, head = await certificates(one), await one.store.log.head()
        seen = 0
        for name, token in faults(good):
            reply = await one.send("POST", path, json.dumps({"csr": csr, "ott": token}).encode())
            assert (reply.status, reply.json["status"]) == (401, 401), (name, reply.body)
            seen += 1
        assert seen > 80
        assert (await certificates(one), await one.store.log.head()) == (rows, head)
        body = json.dumps({"csr": csr, "ott": good.text()}).encode()
        assert (await one.send("POST", path, body)).status == 201
        assert (await one.send("POST", path, body)).status == 401  # reused

    peer(scenario)


@pytest.mark.parametrize("path", ["/revoke", "/1.0/revoke"])
def test_every_fault_is_refused_by_revoke__t7_to_t13(peer: Run, path: str) -> None:
    """401 for each, nothing is revoked; the good token passes at the end."""

    async def scenario(one: Peer) -> None:
        client = await two_provisioners(one)
        leaf = await client.issued()
        good = sign_token(client, "revoke", sub=str(leaf.serial), sans=...)
        head = await one.store.log.head()
        for name, token in faults(good):
            body = {"serial": str(leaf.serial), "ott": token, "passive": True}
            reply = await one.send("POST", path, json.dumps(body).encode())
            assert reply.status == 401, (name, reply.body)
        assert await one.store.log.head() == head
        assert (await send_revoke(one, {"serial": str(leaf.serial), "ott": good.text()})).status == 200

    peer(scenario)


@pytest.mark.parametrize("path", ["/renew", "/re-sign", "/1.0/renew", "/1.0/re-sign"])
def test_every_fault_is_refused_by_renew__t7_to_t13(peer: Run, path: str) -> None:
    """401 for each, no certificate; the good token passes at the end."""

    async def scenario(one: Peer) -> None:
        client = await two_provisioners(one)
        leaf, other = await client.issued(), await client.issued()
        good = renewal_token(leaf, other)
        rows, head = await certificates(one), await one.store.log.head()
        for name, token in faults(good):
            if name.startswith("kid "):
                continue  # its kid is made up by the client, and nobody looks at it
            reply = await one.send("POST", path, headers=[(b"authorization", f"Bearer {token}".encode())])
            assert reply.status == 401, (name, reply.body)
        assert (await certificates(one), await one.store.log.head()) == (rows, head)
        reply = await one.send("POST", path, headers=[(b"authorization", f"Bearer {good.text()}".encode())])
        assert reply.status == 201, reply.body
        assert leaf_der(reply) != leaf.der

    peer(scenario)


def test_no_token_is_good_for_rekey__step_5(peer: Run) -> None:
    """There is no token flow: 400, whatever token it is."""

    async def scenario(one: Peer) -> None:
        client = await two_provisioners(one)
        leaf = await client.issued()
        body = json.dumps({"csr": csr_pem(named_csr())}).encode()
        for token in (leaf.token(), leaf.token(aud=f"{BASE}/1.0/rekey"), client.token()):
            for path in ("/rekey", "/1.0/rekey"):
                bearer = (b"authorization", f"Bearer {token}".encode())
                assert (await one.send("POST", path, body, headers=[bearer])).status == 400
        assert await certificates(one) == 1

    peer(scenario)


def test_a_certificate_of_one_face_is_no_credential_of_another__s17(peer: Run) -> None:
    """MTLS signs nothing new: /sign without a token is 400, with a bad one 401, whoever the connection is."""

    async def scenario(one: Peer) -> None:
        leaf = await StepClient(one, KEY).issued()
        for ott, status in (("", 400), ("a.b.c", 401)):
            body = json.dumps({"csr": csr_pem(csr_der()), "ott": ott}).encode()
            assert (await one.send("POST", "/sign", body, certificate=leaf.der)).status == status
        assert await certificates(one) == 1

    peer(scenario)
