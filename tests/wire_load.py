"""Clients that fetch certificates side by side until they are told to stop, and keep what they were given."""

from __future__ import annotations

import contextlib
import http.client
import threading
from typing import Self

from ca_world import CA
from dayfly.client.solving import StandaloneSolver
from wire_client import Client, Wire


class Load:
    """So many threads, each with an account and a name of its own (`h0.internal.example` and on)."""

    def __init__(self, ca: CA, solver: StandaloneSolver, threads: int) -> None:
        self.ca, self.solver = ca, solver
        self.urls: list[str] = []
        self.failures = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        client = Client(self.ca)
        while not self._stop.is_set():
            try:
                wire = Wire(self.ca)
                with contextlib.closing(wire.connection):
                    if client.kid is None:
                        client.register(wire)
                    while not self._stop.is_set():
                        self._one(client, wire, f"h{number}.internal.example")
            except (OSError, http.client.HTTPException, KeyError, StopIteration, ValueError):
                self.failures += 1  # a connection that broke, or what came of it
                self._stop.wait(0.05)

    def _one(self, client: Client, wire: Wire, name: str) -> None:
        order = client.order(wire, name)
        challenge = client.challenge(wire, order)
        self.solver.present(challenge["token"], client.proof(challenge["token"]))
        client.post(wire, challenge["url"], {})
        client.poll(wire, order.headers["location"], lambda found: found["status"] in {"ready", "valid"})
        done = client.post(wire, order.json["finalize"], client.finalize_payload(order))
        self.urls.append(done.json["certificate"])
