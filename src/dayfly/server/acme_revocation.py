"""ACME's revokeCert (RFC 8555 7.6): signed by an account (`kid`) or by the certificate's key (`jwk`).

Rules: as in acme_routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.authority.acme_revocations import revoke_by_account, revoke_by_key
from dayfly.authority.context import Authority
from dayfly.core.acme.revoking import parse_revocation
from dayfly.server.acme_gate import Gate, Signed
from dayfly.server.app import Request, Response
from dayfly.server.exchange import Handler


@dataclass(frozen=True, slots=True)
class AcmeRevocation:
    """The handler of all ACME provisioners of one CA."""

    authority: Authority
    gate: Gate

    def table(self) -> tuple[tuple[str, str, Handler, str], ...]:
        """Method, path, handler and the operation's name, for the table in acme_routes."""
        return (("POST", "/revoke-cert", self.revoke, "acme_revoke"),)

    async def revoke(self, request: Request) -> Response:
        """POST revokeCert: 200 without a body."""
        signed = await self.gate.with_account_or_key(request)
        if isinstance(signed, Signed):
            await revoke_by_account(self.authority, signed.account, parse_revocation(signed.payload))
        else:
            await self.authority.acme_grant(request.params["provisioner"])
            await revoke_by_key(self.authority, signed.key, parse_revocation(signed.payload))
        return Response(200, b"")
