"""ACME's resources (RFC 8555 7.1): each handler authenticates, asks one use case, and renders.

Rules: no rule of ACME lives here; every answer to a POST carries a fresh nonce, also a refused one (6.5); every
answer but the directory links to it (7.1).
"""

from __future__ import annotations

from functools import lru_cache

from dayfly.authority import orders
from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority
from dayfly.core.acme.challenges import POLL_AFTER
from dayfly.core.acme.directory import directory_meta
from dayfly.core.acme.objects import (
    Order,
    OrderStatus,
)
from dayfly.core.acme.payloads import Finalize, NewOrder, parse_csr_member, parse_payload
from dayfly.core.acme.rendering import render_directory, render_order
from dayfly.core.acme.urls import Urls
from dayfly.core.ids import parse_id
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.problems import Malformed, NoSuchResource
from dayfly.server.acme_accounts import AccountRoutes
from dayfly.server.acme_authorizations import AuthorizationRoutes
from dayfly.server.acme_certificates import CertificateRoutes
from dayfly.server.acme_gate import Bases, Gate, Signed, source_of, user_agent_of
from dayfly.server.acme_renewal_info import RenewalInfo
from dayfly.server.acme_revocation import AcmeRevocation
from dayfly.server.app import Header, Request, Response, Route
from dayfly.server.exchange import render_headers
from dayfly.server.source_limits import count_request

JSON = b"application/json"
PREFIX = "/acme/{provisioner}"


class AcmeRoutes:
    """The handlers of all ACME provisioners of one CA."""

    def __init__(self, authority: Authority, validations: Validations, bases: Bases) -> None:
        """The gate is made here; `bases` are the configured base URLs."""
        self._authority = authority
        self._validations = validations
        self._bases = bases
        self._gate = Gate(authority, bases)

    def routes(self) -> tuple[Route, ...]:
        """The table of routes; the paths are those of step-ca, so that saved account URLs survive a replacement."""
        return tuple(
            Route(method, PREFIX + path, handler, name=name, headers=self.common_headers)
            for method, path, handler, name in (
                ("GET", "/directory", self.directory, "acme_directory"),
                ("POST", "/directory", self.read_directory, "acme_directory"),
                ("HEAD", "/new-nonce", self.head_nonce, "acme_new_nonce"),
                ("GET", "/new-nonce", self.get_nonce, "acme_new_nonce"),
                ("POST", "/new-nonce", self.post_nonce, "acme_new_nonce"),
                *AccountRoutes(self._authority, self._gate).table(),
                ("POST", "/new-order", self.new_order, "acme_new_order"),
                ("POST", "/order/{order}", self.order, "acme_order"),
                ("POST", "/order/{order}/finalize", self.finalize, "acme_finalize"),
                *AuthorizationRoutes(self._authority, self._validations, self._gate).table(),
                *CertificateRoutes(self._authority, self._gate).table(),
                ("GET", "/renewal-info/{certificate}", RenewalInfo(self._authority).answer, "acme_renewal_info"),
                *AcmeRevocation(self._authority, self._gate).table(),
            )
        )

    def common_headers(self, request: Request) -> bytes:
        """What every ACME answer carries, refused ones too: CORS, the directory link, and a nonce after a POST."""
        urls = self._bases.urls(request, request.params["provisioner"])
        lines = _CORS if request.path.endswith("/directory") else _linked(urls)
        if request.method == "POST":
            return b"%breplay-nonce: %b\r\n" % (lines, self._authority.nonces.issue().encode())
        return lines

    # --- resources without an account ---------------------------------------------------------------------------------

    async def directory(self, request: Request) -> Response:
        """GET directory (RFC 8555 7.1.1)."""
        count_request(self._authority, source_of(request))
        provisioner = request.params["provisioner"]
        settings, grant = await self._authority.acme_grant(provisioner)
        found = settings.find_provisioner(provisioner)
        noise = b64u_encode(self._authority.entropy.octets(9))
        body = render_directory(
            self._bases.urls(request, provisioner),
            meta={} if found is None else directory_meta(found, grant.profiles, own_names=self._authority.dns_names),
            pre_authorization=grant.pre_authorization,
            extra=(noise, "clients ignore keys that they do not know (RFC 8555 7.1.1)"),
        )
        return Response(200, body, media_type=JSON, headers=((b"cache-control", b"no-cache"),))

    async def read_directory(self, request: Request) -> Response:
        """POST-as-GET directory (RFC 8555 6.3)."""
        await self._read(request)
        return await self.directory(request)

    async def head_nonce(self, request: Request) -> Response:
        """HEAD newNonce (RFC 8555 7.2)."""
        return await self._nonce(request, 200)

    async def get_nonce(self, request: Request) -> Response:
        """GET newNonce (RFC 8555 7.2)."""
        return await self._nonce(request, 204)

    async def _nonce(self, request: Request, status: int) -> Response:
        count_request(self._authority, source_of(request))
        await self._authority.acme_grant(request.params["provisioner"])
        nonce = self._authority.nonces.issue().encode()
        return Response(status, b"", headers=((b"replay-nonce", nonce), _NO_STORE))

    async def post_nonce(self, request: Request) -> Response:
        """POST-as-GET newNonce; the nonce comes with every answer to a POST."""
        await self._read(request)
        return Response(204, b"", headers=(_NO_STORE,))

    # --- resources of an account --------------------------------------------------------------------------------------

    async def new_order(self, request: Request) -> Response:
        """POST newOrder (RFC 8555 7.4)."""
        signed = await self._gate.with_account(request)
        payload = parse_payload(signed.payload, NewOrder)
        order, created = await orders.new_order(
            self._authority, signed.account, payload, source=signed.source, user_agent=user_agent_of(request)
        )
        location = (b"location", signed.urls.order(order.id).encode())
        body = render_order(order, signed.urls)
        return Response(201 if created else 200, body, media_type=JSON, headers=(location,))

    async def order(self, request: Request) -> Response:
        """POST-as-GET order (RFC 8555 7.4)."""
        signed = await self._read(request)
        order = await orders.load_order(self._authority, signed.account, _id(request, "order"))
        return _order_response(order, signed.urls)

    async def finalize(self, request: Request) -> Response:
        """POST finalize (RFC 8555 7.4)."""
        signed = await self._gate.with_account(request)
        csr = parse_csr_member(parse_payload(signed.payload, Finalize))
        order = await orders.finalize(
            self._authority, signed.account, signed.key, _id(request, "order"), csr, source=signed.source
        )
        return _order_response(order, signed.urls)

    async def _read(self, request: Request) -> Signed:
        signed = await self._gate.with_account(request)
        if not signed.is_read:
            raise Malformed("this resource is read by POST-as-GET: the payload is the empty string (RFC 8555 6.3)")
        return signed


_CORS = render_headers(
    (
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", b"Link, Replay-Nonce, Location, Retry-After"),
    )
)
_NO_STORE: Header = (b"cache-control", b"no-store")
_POLL: tuple[Header, ...] = ((b"retry-after", str(POLL_AFTER).encode()),)


@lru_cache(maxsize=256)
def _linked(urls: Urls) -> bytes:
    return _CORS + render_headers(((b"link", f'<{urls.directory}>;rel="index"'.encode()),))


def _id(request: Request, name: str) -> int:
    row_id = parse_id(request.params[name])
    if row_id is None:
        raise NoSuchResource(f"there is no such {name}")
    return row_id


def _order_response(order: Order, urls: Urls) -> Response:
    headers: tuple[Header, ...] = ((b"location", urls.order(order.id).encode()),)
    if order.status is OrderStatus.PROCESSING:
        headers += _POLL
    return Response(200, render_order(order, urls), media_type=JSON, headers=headers)
