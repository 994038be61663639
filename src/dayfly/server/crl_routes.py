"""CRLs over HTTP, on a plain listener of their own and beside the API (RFC 5280 4.2.1.13, RFC 9110 8.8, 13).

Rules: nothing but CRLs is served in the plain; a reader that has the newest list gets 304; a cache may keep one for a
minute, so that a revocation is known soon after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from dayfly.authority.context import Authority
from dayfly.authority.crls import current_crl
from dayfly.core.problems import NoSuchResource
from dayfly.core.x509.partitions import parse_partition
from dayfly.ports.crls import CRLHead
from dayfly.server.exchange import Dialect, Header, Request, Response, Route

CRL = b"application/pkix-crl"
SUFFIX = ".crl"
_CACHE: Header = (b"cache-control", b"public, max-age=60")


@dataclass(frozen=True, slots=True)
class CRLRoutes:
    """The handler of all partitions of one CA."""

    authority: Authority

    def routes(self) -> tuple[Route, ...]:
        """The table of routes."""
        return (Route("GET", "/crl/{name}", self.crl, dialect=Dialect.STEP, name="crl"),)

    async def crl(self, request: Request) -> Response:
        """GET /crl/20261224.crl: the newest list of a day's partition, DER."""
        name = request.params["name"]
        partition = parse_partition(name.removesuffix(SUFFIX)) if name.endswith(SUFFIX) else None
        if partition is None:
            raise NoSuchResource("there is no such CRL here")
        crl = await current_crl(self.authority, partition)
        headers = _headers(crl.head)
        if _is_known(request, dict(headers)):
            return Response(304, b"", headers=headers)
        return Response(200, crl.der, media_type=CRL, headers=headers)


def _headers(head: CRLHead) -> tuple[Header, ...]:
    return (
        (b"etag", f'"{head.partition}-{head.number:x}"'.encode()),
        (b"last-modified", _date(head.this_update)),
        (b"expires", _date(head.next_update)),
        _CACHE,
    )


def _is_known(request: Request, headers: dict[bytes, bytes]) -> bool:
    """Has the reader this one already? An entity tag decides alone where one is sent (RFC 9110 13.2.2)."""
    tags = request.header(b"if-none-match")
    if tags is not None:
        return headers[b"etag"] in {tag.strip().removeprefix(b"W/") for tag in tags.split(b",")}
    return request.header(b"if-modified-since") == headers[b"last-modified"]


def _date(moment: datetime) -> bytes:
    return format_datetime(moment, usegmt=True).encode()
