"""The step API's requests with a credential, and the provisioners that one is asked from (step-compat.md 2 to 6).

Rules: as in step_routes; a credential is a token in the body or the header, or the certificate of the connection, and
a handler acts on what authority made of it, never on what the request says of itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from dayfly.authority import signing
from dayfly.authority.context import Authority
from dayfly.core.problems import Malformed, NoSuchResource
from dayfly.core.step import messages
from dayfly.core.step.provisioners import find_encrypted_key, list_provisioners
from dayfly.core.step.tokens import Endpoint, accepted_audiences
from dayfly.server.exchange import Dialect, Handler, Request, Response, Route
from dayfly.server.step_gate import count_download, credentials

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
        return Response(200, messages.render_provisioners(list_provisioners(settings, cursor=cursor, limit=limit)))

    async def encrypted_key(self, request: Request) -> Response:
        """The encrypted key of a JWK provisioner; its strength is its password, so it can be switched off."""
        count_download(self.authority, request)
        settings = await self.authority.store.settings.settings()
        found = find_encrypted_key(settings, request.params["kid"])
        if found is None:
            raise NoSuchResource("no provisioner publishes an encrypted key under this kid")
        return Response(200, messages.render_encrypted_key(found))

    async def sign(self, request: Request) -> Response:
        """POST /sign: a certificate for a one-time token."""
        asked = messages.parse_sign_request(request.body)
        with credentials(self.authority, request) as source:
            response, provisioner = await signing.sign(
                self.authority, asked, audiences=self._audiences[Endpoint.SIGN], source=source
            )
        request.params["provisioner"] = provisioner  # for the observers
        return Response(201, messages.render_sign_response(response))


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
    return members.get("cursor", [""])[0], min(int(limit or 0) or messages.PAGE, messages.MAX_PAGE)
