"""The step API's requests with a credential, and the provisioners that one is asked from (step-compat.md 2 to 6).

Rules: as in step_routes; a credential is a token in the body or the header, or the certificate of the connection, and
a handler acts on what authority made of it, never on what the request says of itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from dayfly.authority import renewals, revocations, signing
from dayfly.authority.context import Authority
from dayfly.authority.holders import Holder, holder_of_connection, holder_of_token
from dayfly.core.problems import Malformed, NoSuchResource
from dayfly.core.step.answers import (
    MAX_PAGE,
    PAGE,
    render_encrypted_key,
    render_provisioners,
    render_sign_response,
    render_status,
)
from dayfly.core.step.audiences import Endpoint, accepted_audiences
from dayfly.core.step.provisioners import find_encrypted_key, list_provisioners
from dayfly.core.step.requests import RevokeRequest, parse_rekey_request, parse_revoke_request, parse_sign_request
from dayfly.server.acme_gate import source_of
from dayfly.server.exchange import Dialect, Handler, Request, Response, Route
from dayfly.server.source_limits import count_download
from dayfly.server.step_gate import credentials

_NUMBER = re.compile(r"[0-9]{1,9}")
MAX_QUERY = 1024


@dataclass(frozen=True, slots=True)
class StepCertificates:
    """`base_urls` are the configured ones: they make the audiences that tokens may have."""

    authority: Authority
    base_urls: tuple[str, ...]
    _audiences: dict[Endpoint, frozenset[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """The audiences never change."""
        self._audiences.update((one, accepted_audiences(self.base_urls, one)) for one in Endpoint)

    def routes(self) -> tuple[Route, ...]:
        """The table of routes, each mounted twice."""
        table: tuple[tuple[str, str, Handler, str], ...] = (
            ("GET", "/provisioners", self.provisioners, "provisioners"),
            ("GET", "/provisioners/{kid}/encrypted-key", self.encrypted_key, "encrypted_key"),
            ("POST", "/sign", self.sign, "sign"),
            ("POST", "/renew", self.renew, "renew"),
            ("POST", "/re-sign", self.renew, "renew"),
            ("POST", "/rekey", self.rekey, "rekey"),
            ("POST", "/revoke", self.revoke, "revoke"),
        )
        return tuple(
            Route(method, prefix + path, handler, dialect=Dialect.STEP, name=name)
            for prefix in ("", "/1.0")
            for method, path, handler, name in table
        )

    async def provisioners(self, request: Request) -> Response:
        """A page of the provisioners' public view."""
        cursor, limit = _page(request.query)
        settings = await self.authority.store.settings.settings()
        return Response(200, render_provisioners(list_provisioners(settings, cursor=cursor, limit=limit)))

    async def encrypted_key(self, request: Request) -> Response:
        """The encrypted key of a JWK provisioner; its strength is its password, so it can be switched off."""
        count_download(self.authority, source_of(request))
        settings = await self.authority.store.settings.settings()
        found = find_encrypted_key(settings, request.params["kid"])
        if found is None:
            raise NoSuchResource("no provisioner publishes an encrypted key under this kid")
        return Response(200, render_encrypted_key(found))

    async def sign(self, request: Request) -> Response:
        """POST /sign: a certificate for a one-time token."""
        asked = parse_sign_request(request.body)
        with credentials(self.authority, request) as source:
            bearer = await signing.bearer_of(self.authority, asked.ott, self._audiences[Endpoint.SIGN])
            request.params["provisioner"] = bearer.grant.provisioner  # for the observers
            response = await signing.sign(self.authority, bearer, asked, source=source)
        return Response(201, render_sign_response(response))

    async def renew(self, request: Request) -> Response:
        """POST /renew: a successor for a certificate, shown by the connection or by a token signed with its key."""
        with credentials(self.authority, request) as source:
            holder = await self._holder(request)
            request.params["provisioner"] = holder.certificate.provisioner
            response = await renewals.renew(self.authority, holder, source=source)
        return Response(201, render_sign_response(response))

    async def rekey(self, request: Request) -> Response:
        """POST /rekey: a successor with another key; by the connection's certificate only."""
        if request.peer_certificate is None:
            raise Malformed("missing client certificate")
        csr = parse_rekey_request(request.body)
        with credentials(self.authority, request) as source:
            holder = await holder_of_connection(self.authority, request.peer_certificate)
            request.params["provisioner"] = holder.certificate.provisioner
            response = await renewals.rekey(self.authority, holder, csr, source=source)
        return Response(201, render_sign_response(response))

    async def revoke(self, request: Request) -> Response:
        """POST /revoke: by a one-time token, or the connection's certificate its own serial."""
        asked = parse_revoke_request(request.body)
        if not asked.ott and request.peer_certificate is None:
            raise Malformed("missing ott or client certificate")
        with credentials(self.authority, request):
            await self._revoke(asked, request)
        return Response(200, render_status())

    async def _revoke(self, asked: RevokeRequest, request: Request) -> None:
        if asked.ott or request.peer_certificate is None:
            bearer = await signing.bearer_of(self.authority, asked.ott, self._audiences[Endpoint.REVOKE])
            request.params["provisioner"] = bearer.grant.provisioner
            await revocations.revoke_by_token(self.authority, asked, bearer)
            return
        holder = await holder_of_connection(self.authority, request.peer_certificate)
        request.params["provisioner"] = holder.certificate.provisioner
        await revocations.revoke_by_holder(self.authority, asked, holder)

    async def _holder(self, request: Request) -> Holder:
        """Who renews: exactly one of a client certificate and a bearer token (step-compat.md part 5)."""
        token = _bearer(request)
        if request.peer_certificate is not None and token is not None:
            raise Malformed("a client certificate and a bearer token; bring one of them")
        if request.peer_certificate is not None:
            return await holder_of_connection(self.authority, request.peer_certificate)
        if token is None:
            raise Malformed("missing client certificate")
        return await holder_of_token(self.authority, token, self._audiences[Endpoint.RENEW])


def _bearer(request: Request) -> str | None:
    """The token of the Authorization header; None where there is no header, Malformed for another scheme."""
    found = request.header(b"authorization")  # the front takes one at most
    if found is None:
        return None
    scheme, _, token = found.decode("ascii", "replace").partition(" ")
    if scheme.lower() != "bearer":
        raise Malformed("the Authorization header is not one bearer token")
    return token


def _page(query: bytes) -> tuple[str, int]:
    """Cursor and limit of a query; Malformed for a limit that is no number."""
    if len(query) > MAX_QUERY:
        raise Malformed("the query is too long")
    try:
        members = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise Malformed("the query cannot be read") from None
    limit = members.get("limit", [""])[0]
    if limit and _NUMBER.fullmatch(limit) is None:
        raise Malformed("limit is no number")
    return members.get("cursor", [""])[0], min(int(limit or 0) or PAGE, MAX_PAGE)
