"""Accounts: making, reading and changing them, their keys, and the list of their orders (RFC 8555 7.3, 7.1.2.1).

Rules: no rule of ACME lives here; another account's resource is as if it were not there (10.5).
"""

from __future__ import annotations

from dayfly.authority import accounts
from dayfly.authority.context import Authority
from dayfly.authority.key_change import change_key
from dayfly.core.acme.key_change import open_key_change
from dayfly.core.acme.payloads import AccountUpdate, NewAccount, parse_payload
from dayfly.core.acme.rendering import render_account, render_orders
from dayfly.core.ids import parse_id, render_id
from dayfly.core.problems import Malformed, NoSuchResource
from dayfly.server.acme_gate import Gate, Signed, user_agent_of
from dayfly.server.app import Handler, Header, Request, Response

JSON = b"application/json"


class AccountRoutes:
    """The handlers of accounts, for all ACME provisioners of one CA."""

    def __init__(self, authority: Authority, gate: Gate) -> None:
        """Every request comes through the gate."""
        self._authority = authority
        self._gate = gate

    def table(self) -> tuple[tuple[str, str, Handler, str], ...]:
        """Method, path, handler and name of each route."""
        return (
            ("POST", "/new-account", self.new_account, "acme_new_account"),
            ("POST", "/account/{account}", self.account, "acme_account"),
            ("POST", "/account/{account}/orders", self.orders, "acme_orders"),
            ("POST", "/account/{account}/orders/{before}", self.orders, "acme_orders"),
            ("POST", "/key-change", self.key_change, "acme_key_change"),
        )

    async def new_account(self, request: Request) -> Response:
        """POST newAccount (RFC 8555 7.3)."""
        signed = await self._gate.with_key(request)
        payload = parse_payload(signed.payload, NewAccount)
        applicant = accounts.Applicant(signed.key, signed.url, signed.source, user_agent_of(request))
        provisioner = request.params["provisioner"]
        account, created = await accounts.new_account(self._authority, provisioner, payload, applicant)
        return Response(
            201 if created else 200,
            render_account(account, signed.urls, bound_by=payload.external_account_binding if created else None),
            media_type=JSON,
            headers=((b"location", signed.urls.account(account.id).encode()),),
        )

    async def account(self, request: Request) -> Response:
        """POST account: read, update, deactivate (RFC 8555 7.3.2, 7.3.6)."""
        signed = await self._own(request)
        account = signed.account
        if not signed.is_read:
            update = parse_payload(signed.payload, AccountUpdate)
            account = await accounts.update_account(self._authority, account, update)
        return Response(200, render_account(account, signed.urls), media_type=JSON)

    async def orders(self, request: Request) -> Response:
        """POST-as-GET orders: a page, newest first, and where the next one is (RFC 8555 7.1.2.1)."""
        signed = await self._own(request)
        if not signed.is_read:
            raise Malformed("this resource is read by POST-as-GET: the payload is the empty string (RFC 8555 6.3)")
        before = None
        if "before" in request.params:
            before = parse_id(request.params["before"])
            if before is None:
                raise NoSuchResource("there is no such page of orders")
        page = await accounts.list_orders(self._authority, signed.account, before=before)
        urls, headers = signed.urls, tuple[Header, ...]()
        if page.following is not None:
            following = f"{urls.orders(signed.account.id)}/{render_id(page.following)}"
            headers = ((b"link", f'<{following}>;rel="next"'.encode()),)
        body = render_orders(tuple(one.id for one in page.orders), urls)
        return Response(200, body, media_type=JSON, headers=headers)

    async def key_change(self, request: Request) -> Response:
        """POST keyChange (RFC 8555 7.3.5)."""
        signed = await self._gate.with_account(request)
        change = open_key_change(signed.payload, url=signed.url, kid=signed.kid)
        account = await change_key(self._authority, signed.account, change, urls=signed.urls)
        location = (b"location", signed.urls.account(account.id).encode())
        return Response(200, render_account(account, signed.urls), media_type=JSON, headers=(location,))

    async def _own(self, request: Request) -> Signed:
        """The request of an account about itself; NoSuchResource for any other."""
        signed = await self._gate.with_account(request)
        if parse_id(request.params["account"]) != signed.account.id:
            raise NoSuchResource("there is no such account")
        return signed
