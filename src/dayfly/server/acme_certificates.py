"""Certificates: the leaf with its chain, and with the other chains that it has (RFC 8555 7.4.2).

Rules: no rule of ACME lives here; another account's resource is as if it were not there (10.5); what is downloaded has
the leaf first and no root (9.1).
"""

from __future__ import annotations

import re

from dayfly.authority import orders
from dayfly.authority.context import Authority
from dayfly.core.acme.urls import Urls
from dayfly.core.ids import parse_id
from dayfly.core.problems import Malformed, NoSuchResource
from dayfly.core.x509.pem import render_pem
from dayfly.server.acme_gate import Gate
from dayfly.server.app import Handler, Header, Request, Response

PEM_CHAIN = b"application/pem-certificate-chain"
_NUMBER = re.compile(r"[1-9][0-9]?")


class CertificateRoutes:
    """The handlers of certificates, for all ACME provisioners of one CA."""

    def __init__(self, authority: Authority, gate: Gate) -> None:
        """The chains are rendered once; the main one has the number 0."""
        self._authority = authority
        self._gate = gate
        chains = (authority.signer.chain, *(one.certificates for one in authority.alternates))
        self._chains = tuple("".join(map(render_pem, chain)) for chain in chains)

    def table(self) -> tuple[tuple[str, str, Handler, str], ...]:
        """Method, path, handler and name of each route."""
        return (
            ("POST", "/certificate/{certificate}", self.certificate, "acme_certificate"),
            ("POST", "/certificate/{certificate}/{alternate}", self.certificate, "acme_certificate"),
        )

    async def certificate(self, request: Request) -> Response:
        """POST-as-GET certificate: the leaf and its chain, with links to the other ones (RFC 8555 7.4.2)."""
        signed = await self._gate.with_account(request)
        if not signed.is_read:
            raise Malformed("this resource is read by POST-as-GET: the payload is the empty string (RFC 8555 6.3)")
        row_id = parse_id(request.params["certificate"])
        if row_id is None:
            raise NoSuchResource("there is no such certificate")
        certificate = await orders.load_certificate(self._authority, signed.account, row_id)
        offered = self._offered() if self._authority.alternates else ()
        number = _number(request, offered)
        body = (render_pem(certificate.der) + self._chains[number]).encode()
        return Response(200, body, media_type=PEM_CHAIN, headers=_links(signed.urls, row_id, number, offered))

    def _offered(self) -> tuple[int, ...]:
        """The numbers of the alternate chains that have not ended."""
        now = self._authority.clock.now()
        return tuple(at for at, one in enumerate(self._authority.alternates, start=1) if one.not_after > now)


def _number(request: Request, offered: tuple[int, ...]) -> int:
    """Which chain is asked for; NoSuchResource for one that is not offered."""
    text = request.params.get("alternate")
    if text is None:
        return 0
    if _NUMBER.fullmatch(text) is None or int(text) not in offered:
        raise NoSuchResource("there is no such chain of the certificate")
    return int(text)


def _links(urls: Urls, row_id: int, number: int, offered: tuple[int, ...]) -> tuple[Header, ...]:
    """Where the other chains are, the main one too where this is none of it."""
    others = [urls.alternate(row_id, one) for one in offered if one != number]
    if number:
        others.insert(0, urls.certificate(row_id))
    return tuple((b"link", f'<{url}>;rel="alternate"'.encode()) for url in others)
