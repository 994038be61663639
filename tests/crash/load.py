"""Clients that issue without a pause, and keep a ledger of what they were given: `python -m crash.load`.

Rules: an order whose outcome is unknown is asked for until it is known, with the same key and CSR; a client believes
nothing that it has not checked; every client has an account and a ledger of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from crash.ledger import Ledger
from crash.signing import Signing, signer_of
from dayfly.cli.provisioning import Signer
from dayfly.client.acme import ACMEClient, ACMEProblem, Placed
from dayfly.client.solving import StandaloneSolver
from dayfly.client.transport import Transport, trusting
from dayfly.core.x509.pem import parse_pem_certificates
from dayfly.errors import ClientError
from factories import csr_der

PAUSE = 0.2  # seconds, after an error
SHARE_OF_WAITS = 0.2  # the client's polls are made for people; a load has no patience
TIMEOUT = 5.0  # seconds, for one answer
BY_TOKEN = 4  # one client of so many gets its certificates by one-time tokens
FINAL = frozenset({"rejectedIdentifier", "malformed", "accountDoesNotExist", "incorrectResponse"})
"""Problems that asking again does not end; none of them may come at all."""

Result = TypeVar("Result")


class Job(msgspec.Struct, frozen=True):
    """What to load: the argument of the process, as JSON."""

    directory: str
    root: str
    http_port: int
    names: list[str]
    ledgers: str
    clients: int
    base_url: str
    home: str


class LastingSolver(StandaloneSolver):
    """Answers that stay: a CA that lost its client in the middle may look when the client has not come back yet."""

    def cleanup(self, token: str) -> None:
        """Keep it."""


@dataclass(slots=True)
class Worker:
    """One client: issues until `stop`."""

    number: int
    job: Job
    solver: StandaloneSolver
    stop: threading.Event
    signer: Signer | None = None

    def run(self) -> None:
        """Get certificates one after the other: by ACME, or by tokens where there is a signer."""
        ledger = Ledger(Path(self.job.ledgers) / f"client-{self.number:02d}.ledger")
        client, transport = self.connect()
        with transport:
            signing = None
            if self.signer is not None:
                signing = Signing(self.job.base_url, self.signer, transport, ledger, self.stop)
            for count in itertools.count():
                if self.stop.is_set():
                    return
                request_id, name = f"{self.number}-{count}", self.job.names[(self.number + count) % len(self.job.names)]
                if signing is not None:
                    signing.run(request_id, name)
                else:
                    Issuance(request_id, name, client, ledger, self.solver, self.stop).run()

    def connect(self) -> tuple[ACMEClient, Transport]:
        """A client with a new account key."""
        transport = Transport(self.job.directory, trusting(Path(self.job.root)), timeout=TIMEOUT)
        key = ec.generate_private_key(ec.SECP256R1())
        client = ACMEClient(
            transport, self.job.directory, key, sleep=lambda seconds: time.sleep(seconds * SHARE_OF_WAITS), deadline=20
        )
        return client, transport


@dataclass(slots=True)
class Issuance:
    """One certificate, from the account to the file; every acknowledgement goes to the ledger."""

    id: str
    name: str
    client: ACMEClient
    ledger: Ledger
    solver: StandaloneSolver
    stop: threading.Event

    def run(self) -> None:
        """Each step until it is answered; an order that was made is carried to its end."""
        key = ec.generate_private_key(ec.SECP256R1())
        csr = csr_der(self.name, key=key)
        if self._until_answered(self._account) is None:
            return
        placed = self._until_answered(lambda: self.client.new_order([("dns", self.name)]))
        if placed is None:
            return
        self.ledger.add(self.id, "order", url=placed.url)
        chain = self._until_answered(lambda: self._carry(placed.url, csr))
        if chain is not None:
            self._keep(chain, key)

    def _account(self) -> str:
        known = self.client.account_url
        url = self.client.ensure_account()
        if known is None:
            self.ledger.add(self.id, "account", url=url)
        return url

    def _carry(self, url: str, csr: bytes) -> str:
        """From whatever state the order is in to its certificate."""
        placed = self.client.resume(url)
        if placed.order.status == "pending":
            self.client.authorize(placed, self.solver)
            placed = self.client.wait_ready(placed)
        if placed.order.status == "ready":
            self.ledger.add(self.id, "ready", url=url)
        done: Placed = self.client.finalize(placed, csr)
        self.ledger.add(self.id, "valid", url=done.order.certificate or "")
        return self.client.download(done)

    def _keep(self, chain: str, key: ec.EllipticCurvePrivateKey) -> None:
        leaf = x509.load_der_x509_certificate(parse_pem_certificates(chain)[0])
        if leaf.public_key() != key.public_key():
            self.ledger.add(self.id, "error", error="the certificate has another key than its request")
            return
        digest = hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()
        self.ledger.add(self.id, "certificate", serial=f"{leaf.serial_number:x}", digest=digest)

    def _until_answered(self, step: Callable[[], Result]) -> Result | None:
        """What the step gives; after an error again, until there is an answer or the end."""
        while not self.stop.is_set():
            try:
                return step()
            except ClientError as error:
                kind, status = (error.kind, error.status) if isinstance(error, ACMEProblem) else ("connection", 0)
                self.ledger.add(self.id, "error", error=f"{kind} {status}: {error}")
                if kind in FINAL or status == 500:
                    return None
            self.stop.wait(PAUSE)
        return None


def main() -> None:
    """Run the clients of the job in argv[1] until SIGTERM."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with LastingSolver("127.0.0.1", job.http_port) as solver:
        with Transport(job.base_url, trusting(Path(job.root))) as transport:
            signer = signer_of(transport, job.base_url, job.home)
        workers = [
            Worker(number, job, solver, stop, signer if number % BY_TOKEN == 1 else None)
            for number in range(job.clients)
        ]
        threads = [threading.Thread(target=one.run, name=f"client-{one.number}") for one in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a join without end would hold the signal back
                thread.join(0.2)


if __name__ == "__main__":
    main()
