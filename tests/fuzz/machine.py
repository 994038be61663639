"""ACME's state machine as a model that drives the real routes (acme.md part 7; RFC 8555 7.1.6).

Rules: the model says which answers are right for each step; what a client sees of an order, an authorization or a
challenge moves along the table only; an order has one certificate at most; no answer is a 500.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acme_peer import Client, Peer, joined, make_peer, refused_connection
from dayfly.authority.settings import change_settings
from dayfly.core.frozen import replace
from dayfly.core.ids import parse_id
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from dayfly.core.settings.revisions import Settings, SettingsChange
from factories import csr_der, ec_key
from replies import Reply

NAMES = tuple(f"{one}.internal.example" for one in "abc")
MINUTE = timedelta(minutes=1)
Value = TypeVar("Value")

# acme.md part 7, as a client may see it: steps that follow each other between two looks count as one.
ORDER_MOVES = {
    ("pending", "ready"), ("pending", "invalid"), ("ready", "invalid"), ("ready", "valid"), ("ready", "processing"),
    ("processing", "valid"), ("processing", "invalid"), ("processing", "ready"), ("pending", "valid"),
}  # fmt: skip
AUTHORIZATION_MOVES = {
    ("pending", "valid"), ("pending", "invalid"), ("pending", "deactivated"), ("pending", "expired"),
    ("valid", "deactivated"), ("valid", "expired"), ("valid", "revoked"),
}  # fmt: skip
CHALLENGE_MOVES = {
    ("pending", "processing"), ("pending", "valid"), ("pending", "invalid"), ("processing", "valid"),
    ("processing", "invalid"), ("processing", "pending"),
}  # fmt: skip


@dataclass
class Seen:
    """What was last seen of an order and of what belongs to it, by URL."""

    url: str
    finalize: str
    names: tuple[str, ...]
    account: int
    status: str = "pending"
    certificate: str = ""
    csr: bytes = b""
    parts: dict[str, str] = field(default_factory=dict)


class AcmeMachine(RuleBasedStateMachine):
    """Two accounts and their orders against one CA, with a clock that the machine moves."""

    def __init__(self) -> None:
        """Nothing is there yet."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.where = Path(tempfile.mkdtemp(prefix="dayfly-fuzz-"))
        self.orders: list[Seen] = []
        self.gone: set[int] = set()
        self.denied = False
        self.age = timedelta()

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Do it now."""
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        """A CA and two accounts."""
        self.peer: Peer = self.run(make_peer(self.where))
        self.peer.authority.limits = self.peer.authority.limits.switched(enabled=False)
        self.clients: list[Client] = [self.run(joined(self.peer)) for _ in range(2)]

    # --- what a client does -------------------------------------------------------------------------------------------

    @rule(account=st.integers(0, 1), names=st.sets(st.sampled_from(NAMES), min_size=1))
    def new_order(self, account: int, names: set[str]) -> None:
        """A new one, or an open one for the same names again."""
        reply = self.run(self.clients[account].order(*sorted(names)))
        if account in self.gone:
            assert reply.status == 401, reply.body
            return
        if self.denied and NAMES[0] in names and reply.status != 200:
            assert (reply.status, reply.problem) == (400, "rejectedIdentifier"), reply.body
            return
        assert reply.status in {200, 201}, reply.body
        url = reply.headers["location"]
        known = next((one for one in self.orders if one.url == url), None)
        assert (known is not None) is (reply.status == 200), "the same order is told as such"
        if known is None:
            known = Seen(url, reply.json["finalize"], tuple(sorted(names)), account, reply.json["status"])
            assert known.status in {"pending", "ready"}
            self.orders.append(known)
        assert set(known.names) == names
        assert known.account == account
        self.look(known, reply)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99), which=st.integers(0, 2), works=st.booleans(), again=st.booleans())
    def answer(self, pick: int, which: int, works: bool, again: bool) -> None:
        """Answer a challenge, perhaps twice; its validation ends before the next step."""
        self.answer_one(self.orders[pick % len(self.orders)], which, works=works, again=again)

    def answer_one(self, order: Seen, which: int, *, works: bool, again: bool = False) -> None:
        """Answer one challenge of an order, and look what becomes of it."""
        client = self.clients[order.account]
        document = self.read(order)
        if document is None:
            return
        url = document["authorizations"][which % len(document["authorizations"])]
        authorization = self.run(client.post(url)).json
        before = authorization["status"]
        self.peer.validator.outcomes = [] if works else [refused_connection(transient=False)]
        for _ in range(1 + again):
            reply = self.run(client.post(authorization["challenges"][0]["url"], {}))
            assert reply.status in {200, 400}, reply.body
        self.run(self.peer.settle())
        self.peer.validator.outcomes = []
        after = self.run(client.post(url)).json["status"]
        if before != "pending" or document["status"] != "pending":
            assert after == before, "only what is pending is proved or disproved"
        elif reply.status == 200 and not self.is_old(document):
            assert after == ("valid" if works else "invalid"), (after, works)
        self.read(order)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 2), more=st.integers(0, 2))
    def go_the_whole_way(self, pick: int, more: int) -> None:
        """Prove what is not proved yet, as a client does, and go on to the certificate, or to ask for two."""
        order = self.orders[-1 - pick % len(self.orders)]
        document = self.read(order)
        for which in range(0 if document is None else len(document["authorizations"])):
            self.answer_one(order, which, works=True)
        for _ in range(more):
            self.finalize_order(order, "right")

    @precondition(lambda self: self.orders)
    @rule(
        pick=st.integers(0, 99), csr=st.sampled_from(["right", "again", "other names", "fewer", "junk", "account key"])
    )
    def finalize(self, pick: int, csr: str) -> None:
        """With a good request, the same again, or a bad one."""
        self.finalize_order(self.orders[pick % len(self.orders)], csr)

    def finalize_order(self, order: Seen, csr: str) -> None:
        """Finalize it, and look whether the answer is right."""
        client = self.clients[order.account]
        document = self.read(order)
        if document is None:
            return
        request = self.request_for(order, client, csr)
        reply = self.run(client.post(order.finalize, {"csr": b64u_encode(request)}))
        self.check_finalized(order, document["status"], csr, request, reply)
        self.read(order)

    def request_for(self, order: Seen, client: Client, csr: str) -> bytes:
        """The request (DER) of this kind."""
        if csr == "again" and order.csr:
            return order.csr
        if csr == "other names":
            return csr_der("x.internal.example")
        if csr == "fewer":
            return csr_der(*order.names, "y.internal.example")
        if csr == "junk":
            return b"\x30\x03\x02\x01\x00"
        return csr_der(*order.names, key=client.key if csr == "account key" else ec_key())

    def check_finalized(self, order: Seen, before: str, csr: str, request: bytes, reply: Reply) -> None:
        """The answer is right for the order as it was."""
        if order.account in self.gone:
            assert reply.status == 401, reply.body
        elif before in {"processing", "valid"}:
            assert (reply.status == 200) is (request == order.csr), reply.body
        elif before != "ready":
            assert (reply.status, reply.problem) == (403, "orderNotReady"), reply.body
        elif csr in {"other names", "fewer", "junk", "account key"}:
            assert (reply.status, reply.problem) == (400, "badCSR"), reply.body
        elif self.denied and NAMES[0] in order.names:
            assert (reply.status, reply.problem) == (400, "rejectedIdentifier"), reply.body
        else:
            assert (reply.status, reply.json["status"]) == (200, "valid"), reply.body
            order.csr = request

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99), count=st.integers(2, 6))
    def finalize_at_once(self, pick: int, count: int) -> None:
        """Several requests at one time: at most one of them makes a certificate."""
        order = self.orders[pick % len(self.orders)]
        client = self.clients[order.account]
        document = self.read(order)
        if document is None or document["status"] != "ready":
            return
        requests = [csr_der(*order.names) for _ in range(count)]

        async def all_of_them() -> list[Reply]:
            return await asyncio.gather(*(client.post(order.finalize, {"csr": b64u_encode(one)}) for one in requests))

        replies = self.run(all_of_them())
        won = [at for at, reply in enumerate(replies) if reply.status == 200]
        allowed = not (self.denied and NAMES[0] in order.names)
        assert len(won) == int(allowed), [one.body for one in replies]
        if won:
            order.csr = requests[won[0]]
        self.read(order)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99), which=st.integers(0, 2))
    def give_up(self, pick: int, which: int) -> None:
        """Deactivate an authorization."""
        order = self.orders[pick % len(self.orders)]
        document = self.read(order)
        if document is None:
            return
        url = document["authorizations"][which % len(document["authorizations"])]
        reply = self.run(self.clients[order.account].post(url, {"status": "deactivated"}))
        assert reply.status in {200, 400}, reply.body
        after = self.read(order)
        if reply.status == 200 and document["status"] in {"pending", "ready"}:
            assert after is not None
            assert after["status"] == "invalid", after

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99))
    def pry(self, pick: int) -> None:
        """Another account's order, certificate and challenge are as if they were not there (RFC 8555 10.5)."""
        order = self.orders[pick % len(self.orders)]
        if 1 - order.account in self.gone:
            return
        for url in filter(None, (order.url, order.finalize, order.certificate, *order.parts)):
            payload = {"csr": b64u_encode(csr_der(*order.names))} if url == order.finalize else None
            reply = self.run(self.clients[1 - order.account].post(url, payload))
            assert reply.status == 404, (url, reply.body)

    @rule(account=st.integers(0, 1))
    def close_account(self, account: int) -> None:
        """Deactivate it; one account stays."""
        if account in self.gone or len(self.gone) == len(self.clients) - 1:
            return
        for order in self.orders:
            self.read(order)
        client = self.clients[account]
        assert client.kid is not None
        assert self.run(client.post(client.kid, {"status": "deactivated"})).json["status"] == "deactivated"
        self.gone.add(account)

    # --- what happens to it -------------------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 20, 61]))
    def wait(self, minutes: int) -> None:
        """Time goes by."""
        self.peer.clock.moment += minutes * MINUTE

    @rule()
    def change_policy(self) -> None:
        """A rule comes that denies a name, or goes."""
        deny = Rule("d9", RuleKind.DNS, NAMES[0], "platform-team", RuleAction.DENY)

        def plan(current: Settings) -> SettingsChange:
            owner = current.owners[0].name
            if self.denied:
                return SettingsChange(current.revision, remove=(("rule", "d9"),))
            return SettingsChange(current.revision, put=(replace(deny, owner=owner),))

        self.run(change_settings(self.peer.store, self.peer.clock, plan))
        self.denied = not self.denied

    # --- looking ------------------------------------------------------------------------------------------------------

    def is_old(self, document: dict[str, Any]) -> bool:
        """Has it expired, by its own words?"""
        return bool(document["expires"] <= f"{self.peer.clock.now():%Y-%m-%dT%H:%M:%SZ}")

    def read(self, order: Seen) -> dict[str, Any] | None:
        """The order now, after its moves were checked; None where its account is gone."""
        reply = self.run(self.clients[order.account].post(order.url))
        if order.account in self.gone:
            assert reply.status == 401, reply.body
            return None
        assert reply.status == 200, reply.body
        self.look(order, reply)
        return reply.json

    def look(self, order: Seen, reply: Reply) -> None:
        """Every move since the last look is in the table."""
        document = reply.json
        self.moved(ORDER_MOVES, order.status, document["status"])
        order.status = document["status"]
        found = document.get("certificate", "")
        assert bool(found) is (order.status == "valid")
        assert order.certificate in {"", found}, "an order has one certificate at most"
        order.certificate = found
        for url in document["authorizations"]:
            authorization = self.run(self.clients[order.account].post(url)).json
            self.moved(AUTHORIZATION_MOVES, order.parts.get(url, authorization["status"]), authorization["status"])
            order.parts[url] = authorization["status"]
            for challenge in authorization["challenges"]:
                self.moved(CHALLENGE_MOVES, order.parts.get(challenge["url"], challenge["status"]), challenge["status"])
                order.parts[challenge["url"]] = challenge["status"]
            if order.status in {"ready", "valid"} and not self.is_old(document):
                assert order.status == "valid" or authorization["status"] == "valid", (order.status, authorization)

    @staticmethod
    def moved(table: set[tuple[str, str]], before: str, after: str) -> None:
        """From one state to the other, or not at all."""
        assert before == after or (before, after) in table, f"{before} became {after}"

    @invariant()
    def certificates_are_those_of_orders(self) -> None:
        """Each in the store belongs to one order, and no order has two."""
        if not hasattr(self, "peer"):
            return
        rows = self.run(self.peer.store.certificates.certificates(after=0, limit=1000))
        of = [row.order_id for row in rows]
        assert len(of) == len(set(of))
        urls = {one.url.rpartition("/")[2] for one in self.orders}
        assert {parse_id(text) for text in urls} >= set(of)

    def teardown(self) -> None:
        """The log verifies, whatever happened; nothing stays behind."""
        try:
            if hasattr(self, "peer"):
                self.run(self.end())
        finally:
            self.runner.close()
            shutil.rmtree(self.where, ignore_errors=True)

    async def end(self) -> None:
        """Check the log, close the store."""
        async with aclosing(self.peer):
            await self.peer.check_log()
