"""One client beside a test: it issues in a thread, and is told when to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ca_world import CA
from crash.killing import names
from crash.ledger import Ledger
from crash.load import Issuance, Job, LastingSolver, Worker
from dayfly.client.solving import StandaloneSolver


@dataclass(slots=True)
class Client:
    """Issues certificates one after the other; `ledgers` is where its acknowledgements are."""

    ca: CA
    ledgers: Path
    solver: StandaloneSolver
    stop: threading.Event = field(default_factory=threading.Event)
    _count: int = 0

    def begin(self) -> threading.Thread:
        """One issuance by a fresh account, in a thread that ends when it has its certificate or is stopped."""
        self._count += 1
        thread = threading.Thread(target=self._issue, args=(self._count,))
        thread.start()
        return thread

    def issue(self) -> None:
        """One issuance, to its end."""
        thread = self.begin()
        thread.join(30)
        assert not thread.is_alive()

    def _issue(self, number: int) -> None:
        job = Job(
            self.ca.directory, str(self.ca.root), self.ca.http_port, names(), str(self.ledgers), 1, self.ca.url, ""
        )
        client, transport = Worker(0, job, self.solver, self.stop).connect()
        ledger = Ledger(self.ledgers / f"one-{number:03d}.ledger")
        with transport:
            Issuance(f"one-{number}", names()[number % 50], client, ledger, self.solver, self.stop).run()


@contextmanager
def one_client(ca: CA, ledgers: Path) -> Iterator[Client]:
    """A client for this CA, with its challenge server."""
    ledgers.mkdir()
    with LastingSolver("127.0.0.1", ca.http_port) as solver:
        client = Client(ca, ledgers, solver)
        try:
            yield client
        finally:
            client.stop.set()
