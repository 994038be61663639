"""Authorizations and challenges: asking for one beforehand, reading, answering, giving up (RFC 8555 7.4.1, 7.5).

Rules: no rule of ACME lives here; another account's resource is as if it were not there (10.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dayfly.authority.authorizations import new_authorization
from dayfly.authority.challenges import Validations
from dayfly.authority.context import Authority
from dayfly.authority.holding import give_up_held, load_held
from dayfly.core.acme.challenges import POLL_AFTER, find_challenge
from dayfly.core.acme.objects import (
    OWN_ROW,
    Authorization,
    AuthorizationRef,
    ChallengeStatus,
    parse_authorization_ref,
)
from dayfly.core.acme.payloads import AuthorizationUpdate, ChallengeAnswer, NewAuthorization, parse_payload
from dayfly.core.acme.persistent import LASTING, MAX_ISSUERS
from dayfly.core.acme.rendering import NOTHING, render_authorization, render_challenge
from dayfly.core.acme.urls import Urls
from dayfly.core.problems import Malformed, NoSuchResource
from dayfly.server.acme_gate import Gate, Signed
from dayfly.server.app import Handler, Header, Request, Response

JSON = b"application/json"
_POLL: tuple[Header, ...] = ((b"retry-after", str(POLL_AFTER).encode()),)


class AuthorizationRoutes:
    """The handlers of authorizations and challenges, for all ACME provisioners of one CA."""

    def __init__(self, authority: Authority, validations: Validations, gate: Gate) -> None:
        """Every request comes through the gate."""
        self._authority = authority
        self._validations = validations
        self._gate = gate

    def table(self) -> tuple[tuple[str, str, Handler, str], ...]:
        """Method, path, handler and name of each route."""
        return (
            ("POST", "/new-authz", self.new_authorization, "acme_new_authz"),
            ("POST", "/authz/{authorization}", self.authorization, "acme_authz"),
            ("POST", "/challenge/{authorization}/{type}", self.challenge, "acme_challenge"),
        )

    async def new_authorization(self, request: Request) -> Response:
        """POST newAuthz (RFC 8555 7.4.1)."""
        signed = await self._gate.with_account(request)
        payload = parse_payload(signed.payload, NewAuthorization)
        row, created = await new_authorization(self._authority, signed.account, payload, source=signed.source)
        ref = AuthorizationRef(row.id, OWN_ROW)
        location = (b"location", signed.urls.authorization(ref).encode())
        lasting = await self._lasting(signed, row.authorization)
        body = render_authorization(row.authorization, ref, signed.urls, lasting=lasting)
        return Response(201 if created else 200, body, media_type=JSON, headers=(location,))

    async def authorization(self, request: Request) -> Response:
        """POST authorization: read it, or give it up (RFC 8555 7.5, 7.5.2)."""
        signed = await self._gate.with_account(request)
        ref = _ref(request)
        if signed.is_read:
            held = await load_held(self._authority, signed.account, ref)
            if await self._validations.settled(ref):
                held = await load_held(self._authority, signed.account, ref)
        else:
            if parse_payload(signed.payload, AuthorizationUpdate).status != "deactivated":
                raise Malformed("an authorization's status can only be changed to deactivated")
            held = await give_up_held(self._authority, signed.account, ref)
        authorization = self._validations.overlay(held)
        waiting = any(one.status is ChallengeStatus.PROCESSING for one in authorization.challenges)
        lasting = await self._lasting(signed, authorization)
        body = render_authorization(authorization, ref, signed.urls, lasting=lasting)
        return Response(200, body, media_type=JSON, headers=_POLL if waiting else ())

    async def challenge(self, request: Request) -> Response:
        """POST challenge: start the validation, or read (RFC 8555 7.5.1)."""
        signed = await self._gate.with_account(request)
        ref, challenge_type = _ref(request), request.params["type"]
        if signed.is_read:
            shown = self._validations.overlay(await load_held(self._authority, signed.account, ref))
        else:
            _check_answer(signed.payload)
            shown = await self._validations.answer(signed.account, ref, challenge_type)
        lasting = await self._lasting(signed, shown)
        return _challenge_response(shown, ref, challenge_type, signed.urls, lasting=lasting)

    async def _lasting(self, signed: Signed, authorization: Authorization) -> Mapping[str, Any]:
        """What dns-persist-01 says instead of a token; nothing where it is not offered."""
        if find_challenge(authorization, LASTING) is None:
            return NOTHING
        _, grant = await self._authority.acme_grant(signed.account.provisioner)
        account_url = signed.urls.account(signed.account.id)
        return {"issuer-domain-names": grant.identities[:MAX_ISSUERS], "accounturi": account_url}


def _ref(request: Request) -> AuthorizationRef:
    ref = parse_authorization_ref(request.params["authorization"])
    if ref is None:
        raise NoSuchResource("there is no such authorization")
    return ref


def _check_answer(payload: bytes) -> None:
    """A challenge is answered with an object; a legacy key authorization in it is refused (acme.md part 3.6)."""
    answer = parse_payload(payload, ChallengeAnswer)
    if answer.key_authorization is not None:
        raise Malformed("the answer must be {}; keyAuthorization belongs to a draft before RFC 8555")


def _challenge_response(
    authorization: Authorization, ref: AuthorizationRef, challenge_type: str, urls: Urls, *, lasting: Mapping[str, Any]
) -> Response:
    challenge = find_challenge(authorization, challenge_type)
    if challenge is None:
        raise NoSuchResource("there is no such challenge")
    headers: tuple[Header, ...] = ((b"link", f'<{urls.authorization(ref)}>;rel="up"'.encode()),)
    if challenge.status is ChallengeStatus.PROCESSING:
        headers += _POLL
    return Response(200, render_challenge(challenge, ref, urls, lasting=lasting), media_type=JSON, headers=headers)
