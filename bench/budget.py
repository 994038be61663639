"""What one ACME certificate costs, piece by piece, in this process: CPU microseconds beside what the design allows.

Rules: each piece is the code that the server runs; CPU time, the quickest of many short rounds, so that a busy machine
shows in the yardstick (one P-256 verification) and hardly in the ratios. TLS, sockets and the loop are not in it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from dayfly.core.frozen import replace

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from uvicorn import Config

from dayfly.adapters.nonces import RingNonces
from dayfly.adapters.stores.sqlite.store import SqliteStore, open_sqlite
from dayfly.adapters.validators.http01 import Http01
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.core.acme.challenges import SettledBy, settle
from dayfly.core.acme.finalizing import issued
from dayfly.core.acme.objects import AuthorizationRef
from dayfly.core.acme.rendering import render_authorization, render_order
from dayfly.core.acme.urls import Urls
from dayfly.core.events import OrderCreated
from dayfly.core.jose.jwk import KeyAlgorithm, public_key_of
from dayfly.core.jose.jws import parse_flattened, sign_flattened
from dayfly.core.jose.signatures import verify
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.x509 import lint, template
from dayfly.core.x509.csr import parse_csr
from dayfly.core.x509.profile import ECDSA_SHA256, SERVICE, IssuerFacts, LeafPlan, build
from dayfly.ports.changes import Changes
from dayfly.ports.validation import ValidationTarget
from dayfly.server.app import Application, Request, Response, Route
from dayfly.server.front import ListenerState, StrictProtocol
from dayfly.server.limits import FrontLimits
from factories import NAME, NOW, certificate, challenge, csr_der, dns, ec_key, order, ready_order, spki_of

ROUNDS = 40
GROUP = 8  # sets that share a commit
YARDSTICK = 44.0  # us for one P-256 verification on the core of the design's figures


@dataclass(frozen=True)
class Item:
    """A piece: how often a certificate needs it, what the design gives all of them, and how to do it once."""

    name: str
    times: int
    budget: float
    once: Callable[[], object]


def quickest(once: Callable[[], object], count: int) -> float:
    """CPU microseconds of one, in the quickest of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(count):
            once()
        best = min(best, time.process_time() - began)
    return best / count * 1e6


def request_item() -> Callable[[], object]:
    """A signed request: envelope, header, signature, nonce."""
    key = ec_key()
    public, nonces = public_key_of(key.public_key()), RingNonces()
    url = "https://ca.internal.example:9000/acme/acme/order/00000b1e5f400000"
    kid = "https://ca.internal.example:9000/acme/acme/account/00000b1e5f400000"
    body = sign_flattened(b"{}", key=key, alg=KeyAlgorithm.ES256, url=url, nonce=nonces.issue(), kid=kid)

    def once() -> None:
        jws = parse_flattened(body)
        verify(jws.signing_input, jws.signature, key=public, alg=jws.header.alg)
        drive(nonces.spend(nonces.issue()))

    return once


def issue_item() -> Callable[[], object]:
    """Build, lint and sign."""
    key, subject = ec_key(), ec.generate_private_key(ec.SECP256R1())
    spki, now = spki_of(subject), NOW.replace(microsecond=0)
    issuer = IssuerFacts(
        subject=template.subject("Bench"),
        key_id=b"k" * 20,
        spki=spki_of(key),
        signature_algorithm=ECDSA_SHA256,
        not_before=now - (one := SERVICE.no_rev_avail_up_to),
        not_after=now + 9 * one,
        fingerprint="",
    )
    validity = Validity(now, now + one / 7)

    def once() -> bytes:
        leaf = LeafPlan(
            profile=SERVICE, issuer=issuer, serial=1 << 140, names=(dns(),), spki=spki, validity=validity,
            common_name=None, provisioner=None,
        )  # fmt: skip
        tbs = lint.check(build(leaf), leaf).take()
        return template.assemble(tbs, ECDSA_SHA256, key.sign(tbs, ec.ECDSA(hashes.SHA256())))

    return once


def http_item() -> Callable[[], object]:
    """Parsing, routing, the application and its answer, to a transport that throws it away."""

    class Nowhere(asyncio.Transport):
        def write(self, data: Any) -> None:  # noqa: ANN401 - the library's signature
            """Throw it away."""

        def is_closing(self) -> bool:
            """Never."""
            return False

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            """There is no buffer."""

        def pause_reading(self) -> None:
            """Nothing comes by itself."""

    async def handler(_: Request) -> Response:
        return Response(200, b"{}")

    app = Application(
        [Route("POST", "/acme/{provisioner}/order/{order}", handler)], new_request_id=lambda: "0123456789abcdef"
    )
    state = ListenerState()
    state.date = b"date: Thu, 26 Nov 2026 12:00:00 GMT\r\n"
    connection = StrictProtocol(
        Config(app.respond, lifespan="off", log_config=None),
        state,
        uvloop.new_event_loop(),
        respond=app.respond,
        limits=FrontLimits(),
        new_request_id=app.new_request_id,
    )
    connection.connection_made(Nowhere())
    request = (
        b"POST /acme/acme/order/00000b1e5f400000 HTTP/1.1\r\nHost: ca:9000\r\nUser-Agent: b\r\n"
        b"Content-Type: application/jose+json\r\nAccept-Encoding: gzip\r\nContent-Length: 400\r\n\r\n" + b"x" * 400
    )
    return lambda: connection.data_received(request)


def states_item() -> Callable[[], object]:
    """The state machine of one order and the documents that clients see of it."""
    urls, pending, ready = Urls("https://ca.internal.example:9000/acme/acme"), order(), ready_order()
    ref, kind, now = AuthorizationRef(pending.id, 0), challenge().type, pending.created_at

    def once() -> None:
        render_order(pending, urls)
        render_authorization(pending.authorizations[0], ref, urls)
        settle(pending, 0, SettledBy(kind, None, address="", attempts=1), now=now)
        render_order(issued(ready, certificate_id=1, csr_digest="d"), urls)

    return once


def drive(coroutine: Any) -> None:  # noqa: ANN401 - any coroutine
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits for something")


async def measure_store(where: Path) -> float:
    """CPU of one certificate's rows: newOrder, outcome, certificate with its order, each in a group of eight."""
    store: SqliteStore = open_sqlite("bench.db", home=where, notify=_nobody, on_fatal=_nobody)
    best, number = float("inf"), 1
    try:
        for _ in range(ROUNDS):
            orders = [replace(order(), id=number + step) for step in range(GROUP)]
            number += GROUP
            began = time.process_time()
            await _together(store, [Changes(insert=(one,), events=(_created(one.created_at),)) for one in orders])
            await _together(store, [Changes(update=(one,)) for one in orders])
            await _together(
                store,
                [
                    Changes(
                        insert=(replace(certificate(), id=one.id),), update=(replace(one, version=one.version + 1),)
                    )
                    for one in orders
                ],
            )
            best = min(best, time.process_time() - began)
    finally:
        await store.close()
    return best / GROUP * 1e6


async def _together(store: SqliteStore, sets: list[Changes]) -> None:
    await asyncio.gather(*(store.commit(one) for one in sets))


def _created(at: datetime) -> OrderCreated:
    return OrderCreated(at, "acme", 1)


class _Answer(BaseHTTPRequestHandler):
    """Gives the key authorization, and says nothing."""

    def do_GET(self) -> None:
        """The key authorization."""
        body = b"token.thumb"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def measure_fetch() -> float:
    """CPU of one http-01 validation; who answers is a process of its own."""
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    answering = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    answering.start()
    reach = Reach(
        resolver=Resolver([]),
        hosts={NAME: "127.0.0.1"},
        allow=(ip_network("127.0.0.0/8"),),
        own_listeners=frozenset(),
        own_ports=frozenset(),
    )
    validator = Http01(reach, port=server.server_address[1])
    target = ValidationTarget(dns(), "token", "token.thumb")
    best = float("inf")
    try:
        for _ in range(3 * ROUNDS):
            began = time.process_time()
            await validator.validate(target, await validator.locate(target))
            best = min(best, time.process_time() - began)
    finally:
        answering.terminate()
        answering.join()
        server.server_close()
    return best * 1e6


def _nobody(_: object) -> None:
    """Hear, and do nothing."""


def measure() -> tuple[float, list[tuple[str, float, float]]]:
    """The yardstick (us), and for each item: name, measured, budget."""
    key = ec_key()
    signature = key.sign(b"x" * 300, ec.ECDSA(hashes.SHA256()))
    public, scheme, csr = key.public_key(), ec.ECDSA(hashes.SHA256()), csr_der(NAME)
    yardstick = quickest(lambda: public.verify(signature, b"x" * 300, scheme), 20)
    items = [
        Item("signed requests: JWS and nonce (5)", 5, 245, request_item()),
        Item("CSR: parse, own signature, names", 1, 64, lambda: parse_csr(csr)),
        Item("certificate: build, lint, sign", 1, 56, issue_item()),
        Item("HTTP without TLS and sockets (6)", 6, 150, http_item()),
        Item("states and JSON", 1, 90, states_item()),
    ]
    rows = [(item.name, item.times * quickest(item.once, 20), item.budget) for item in items]
    with tempfile.TemporaryDirectory(prefix="dayfly-bench-") as where:
        rows.append(("store: 4 rows, 3 commits in groups of 8", asyncio.run(measure_store(Path(where))), 40.0))
    rows.append(("http-01 fetch", uvloop.run(measure_fetch()), 90.0))
    return yardstick, rows


def main() -> None:
    """Print the table; the last column is what the yardstick makes of the measured figure."""
    yardstick, rows = measure()
    scale = YARDSTICK / yardstick
    print(f"one P-256 verification: {yardstick:.0f} us here, {YARDSTICK:.0f} in the design's figures")
    print(f"{'item of one certificate':42s} {'us':>7s} {'us scaled':>9s} {'budget':>7s}")
    for name, measured, budget in rows:
        print(f"{name:42s} {measured:7.0f} {measured * scale:9.0f} {budget:7.0f}")
    total = sum(measured for _, measured, _ in rows)
    print(f"{'sum':42s} {total:7.0f} {total * scale:9.0f} {sum(budget for _, _, budget in rows):7.0f}")


if __name__ == "__main__":
    main()
