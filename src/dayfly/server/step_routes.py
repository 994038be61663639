"""The step API's public reads (step-compat.md part 2): health, version, and the certificates to trust.

Rules: every route stands at `/` and under `/1.0`; the odd 201 codes are step-ca's and are kept; every error carries
step's body; nothing here needs a credential or shows anything private.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from dayfly import __version__
from dayfly.core.problems import NoSuchResource, ServiceUnavailable
from dayfly.core.x509.pem import render_pem
from dayfly.server.exchange import Dialect, Handler, Request, Response, Route

PEM = b"application/x-pem-file"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StepRoutes:
    """`roots` and `intermediates` are DER, the issuer first; `check` raises where database or signer cannot be used."""

    roots: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    check: Callable[[], Awaitable[bool]]

    def routes(self) -> tuple[Route, ...]:
        """The table of routes, each mounted twice."""
        table: tuple[tuple[str, Handler, str], ...] = (
            ("/health", self.health, "health"),
            ("/version", self.version, "version"),
            ("/root/{fingerprint}", self.root, "root"),
            ("/roots", self.all_roots, "roots"),
            ("/federation", self.all_roots, "roots"),
            ("/roots.pem", self.roots_pem, "roots"),
            ("/intermediates", self.all_intermediates, "intermediates"),
            ("/intermediates.pem", self.intermediates_pem, "intermediates"),
        )
        return tuple(
            Route("GET", prefix + path, handler, dialect=Dialect.STEP, name=name)
            for prefix in ("", "/1.0")
            for path, handler, name in table
        )

    async def health(self, request: Request) -> Response:
        """`{"status":"ok"}`, or 503 when database or signer cannot be used; no detail."""
        del request
        if not await self.check():
            raise ServiceUnavailable("the certificate authority cannot issue at the moment", retry_after=5)
        return _json({"status": "ok"})

    async def version(self, request: Request) -> Response:
        """The version, as stock clients ask for it."""
        del request
        return _json({"version": __version__})

    async def root(self, request: Request) -> Response:
        """The root certificate with this SHA-256, dashes and case aside."""
        wanted = request.params["fingerprint"].replace("-", "").lower()
        if _FINGERPRINT.fullmatch(wanted):
            for der in self.roots:
                if hashlib.sha256(der).hexdigest() == wanted:
                    return _json({"ca": render_pem(der)})
        raise NoSuchResource("no root certificate has this fingerprint")

    async def all_roots(self, request: Request) -> Response:
        """The roots to trust; of the federation too, which has no other member here."""
        del request
        return _json({"crts": [render_pem(der) for der in self.roots]}, status=201)

    async def roots_pem(self, request: Request) -> Response:
        """The roots as one PEM bundle."""
        del request
        return Response(200, "".join(map(render_pem, self.roots)).encode(), media_type=PEM)

    async def all_intermediates(self, request: Request) -> Response:
        """The intermediates, the issuer first."""
        del request
        return _json({"crts": [render_pem(der) for der in self.intermediates]}, status=201)

    async def intermediates_pem(self, request: Request) -> Response:
        """The intermediates as one PEM bundle."""
        del request
        return Response(200, "".join(map(render_pem, self.intermediates)).encode(), media_type=PEM)


def _json(document: object, *, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(document) + b"\n")
