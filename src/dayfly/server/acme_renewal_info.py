"""The renewalInfo resource (RFC 9773 4): the one thing of ACME beside directory and nonces that is a plain GET.

Rules: nothing is signed and nobody is asked who he is; an unknown certificate is 404, which may be kept for a minute.
"""

from __future__ import annotations

from dayfly.authority.context import Authority
from dayfly.authority.renewal_info import renewal_info
from dayfly.core.problems import NoSuchResource
from dayfly.server.acme_gate import source_of
from dayfly.server.app import Header, Request, Response
from dayfly.server.exchange import JSON, Dialect
from dayfly.server.problems import render_refused
from dayfly.server.source_limits import count_request

UNKNOWN_FOR: Header = (
    b"cache-control",
    b"public, max-age=60",
)  # whoever has a certificate got it before


class RenewalInfo:
    """The handler of all ACME provisioners of one CA."""

    def __init__(self, authority: Authority) -> None:
        """What is told of a certificate is kept by the authority."""
        self._authority = authority

    async def answer(self, request: Request) -> Response:
        """GET renewalInfo (RFC 9773 4.1 to 4.3)."""
        count_request(self._authority, source_of(request))
        provisioner, named = request.params["provisioner"], request.params["certificate"]
        try:
            body, wait = await renewal_info(self._authority, provisioner, named)
        except NoSuchResource as refused:
            response = render_refused(refused, Dialect.ACME, request_id=request.request_id)
            return Response(
                response.status,
                response.body,
                (*response.headers, UNKNOWN_FOR),
                response.media_type,
                response.problem_type,
            )
        return Response(200, body, ((b"retry-after", b"%d" % wait),), JSON)
