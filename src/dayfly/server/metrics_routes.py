"""The metrics port: `/metrics`, `/livez` and `/readyz`, and nothing else (observability.md 7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from dayfly.server.exchange import Dialect, Request, Response, Route


@dataclass(frozen=True, slots=True)
class MetricsRoutes:
    """`registry` holds our collectors; `checks` gives the checks of readiness by name, and is asked before a scrape.

    `is_live` is asked where this process answers for others.
    """

    registry: CollectorRegistry
    checks: Callable[[], Awaitable[dict[str, bool]]]
    is_live: Callable[[], bool] = lambda: True

    def routes(self) -> tuple[Route, ...]:
        """The table of routes."""
        return (
            Route("GET", "/metrics", self.metrics, dialect=Dialect.STEP, name="metrics"),
            Route("GET", "/livez", self.livez, dialect=Dialect.STEP, name="livez"),
            Route("GET", "/readyz", self.readyz, dialect=Dialect.STEP, name="readyz"),
        )

    async def metrics(self, request: Request) -> Response:
        """All metrics, as text or OpenMetrics."""
        await self.checks()
        accept = (request.header(b"accept") or b"").decode("latin-1")
        encoder, content_type = choose_encoder(accept)
        return Response(200, encoder(self.registry), media_type=content_type.encode())

    async def livez(self, request: Request) -> Response:
        """The process lives; where there are several workers, one of them at least does."""
        del request
        if not self.is_live():
            return Response(503, b'{"status":"no worker has said a word for a while"}\n')
        return Response(200, b'{"status":"ok"}\n')

    async def readyz(self, request: Request) -> Response:
        """The checks by name; 503 when one fails."""
        del request
        checks = await self.checks()
        body = msgspec.json.encode({"ready": all(checks.values()), "checks": checks}) + b"\n"
        return Response(200 if all(checks.values()) else 503, body)
