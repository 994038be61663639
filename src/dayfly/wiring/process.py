"""One serving process of a CA, whether it is alone or one of several workers, run to its end.

Rules: nothing here knows how many processes there are; at the end requests under way are finished and a last checkpoint
is signed; a failed sync ends the process, and no peer may hold that up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority
from dayfly.authority.own_certificate import OwnCertificate
from dayfly.authority.upkeep import Upkeep
from dayfly.core.events import ConnectionsShed
from dayfly.errors import Unavailable
from dayfly.server.app import Application
from dayfly.server.crl_routes import CRLRoutes
from dayfly.server.limits import FrontLimits
from dayfly.server.run import Share, serve
from dayfly.server.shedding import Shed
from dayfly.server.tls import SwappableContext
from dayfly.wiring.health import Health

_LOG = logging.getLogger("dayfly.server")
CRL_LIMITS = FrontLimits(connections=512, half_open=64, peer_connections=16, private_peer_connections=256)
FATAL_GRACE = 0.5  # seconds, for refusals that are on their way


class Fatal:
    """A failed sync: what is on disk is unknown, so the process ends and its supervisor starts it anew.

    No peer may hold it up: what was not answered within FATAL_GRACE is not answered (reliability.md R3).
    """

    def __init__(self, stop: asyncio.Event) -> None:
        """Nothing has failed; `stop` ends the server."""
        self._stop = stop
        self._error: Exception | None = None

    def happened(self, error: Exception) -> None:
        """Stop the server."""
        _LOG.error("the database failed; this process ends", extra={"detail": str(error)})
        self._error = error
        self._stop.set()
        asyncio.get_running_loop().call_later(FATAL_GRACE, os._exit, 1)

    def raise_if_happened(self) -> None:
        """Unavailable, so that the process ends with an error."""
        if self._error is not None:
            raise Unavailable(f"the database failed: {self._error}", hint="look at the disk, then start the CA again")


@dataclass(slots=True)
class Tls:
    """The listener's context: made with the first certificate, swapped with each later one."""

    client_roots: tuple[bytes, ...]
    context: SwappableContext | None = None

    def install(self, chain_pem: bytes, key: EllipticCurvePrivateKey) -> None:
        """Present this pair from the next handshake on."""
        if self.context is None:
            self.context = SwappableContext(chain_pem, key, self.client_roots)
        else:
            self.context.swap(chain_pem, key)


@dataclass(slots=True)
class Process:
    """A process that is built and takes no connection yet."""

    authority: Authority
    own: OwnCertificate
    upkeep: Upkeep
    validations: Validations
    health: Health
    app: Application
    tls: Tls
    new_request_id: Callable[[], str]
    stop: asyncio.Event
    share: Share | None = None

    async def run(
        self, listener: socket.socket, on_ready: Callable[[], None], *, crl: socket.socket | None = None
    ) -> None:
        """Serve until the stop, CRLs on a socket of their own; then finish what is under way, and sign a checkpoint."""
        keeping = asyncio.create_task(self.upkeep.run())
        beside = None if crl is None else asyncio.create_task(self._serve_crls(crl))
        try:
            await serve(
                self.app,
                context=self.tls.context,
                sockets=[listener],
                new_request_id=self.new_request_id,
                stop=self.stop,
                signals=(),
                on_ready=on_ready,
                share=self.share,
                on_shed=self._tell_shed,
            )
        finally:
            if beside is not None:
                await beside
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self.validations.close()
            await self.upkeep.finish()

    def _tell_shed(self, counts: Mapping[Shed, int]) -> None:
        now = self.authority.clock.now()
        self.authority.observer.notify([ConnectionsShed(now, reason.value, count) for reason, count in counts.items()])

    async def _serve_crls(self, listener: socket.socket) -> None:
        await serve(
            Application(CRLRoutes(self.authority).routes(), new_request_id=self.new_request_id),
            context=None,
            sockets=[listener],
            new_request_id=self.new_request_id,
            limits=CRL_LIMITS,
            stop=self.stop,
            signals=(),
        )


def authorities_of(process: Process) -> list[tuple[str, datetime, datetime]]:
    """Role, begin and end of the CA's own certificates, for the metrics."""
    issuer, own = process.authority.signer.issuer, process.own
    rows = [("intermediate", issuer.not_before, issuer.not_after)]
    if own.not_before is not None and own.not_after is not None:
        rows.append(("tls", own.not_before, own.not_after))
    return rows
