"""An ACME client (RFC 8555): the steps of an order, each by itself, so that a caller can keep what it needs.

Rules: every URL that the CA gives is https and of the directory's own origin (transport); a token is base64url of at
most 128 characters before it becomes a file or an answer; a badNonce is tried again with the fresh one; waiting obeys
Retry-After and ends at a deadline; clock and sleep are arguments.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from dayfly.client.denied import hint_of_denials
from dayfly.client.external_accounts import ExternalAccount
from dayfly.client.next_steps import UNREACHABLE, next_step
from dayfly.client.renewals import Suggestion, parse_suggestion
from dayfly.client.solving import Solver
from dayfly.client.transport import Answer, Transport, printable
from dayfly.core.acme.answers import (
    WireAuthorization,
    WireChallenge,
    WireDirectory,
    WireOrder,
    WireProblem,
    parse_answer,
)
from dayfly.core.acme.challenges import key_authorization
from dayfly.core.acme.payloads import WireIdentifier
from dayfly.core.acme.rendering import render_time
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import KeyAlgorithm, public_key_of
from dayfly.core.jose.jws import sign_flattened
from dayfly.core.jose.signatures import PrivateKey
from dayfly.core.problems import Denial
from dayfly.errors import ClientError

JOSE = "application/jose+json"
NONCE_TRIES = 4
DEADLINE = 90.0  # seconds, for one wait: a server may try a challenge for 45 s
FIRST_POLL = 0.25  # seconds, where the CA names no Retry-After; doubled each time
LONGEST_POLL = 5.0

Shape = TypeVar("Shape", bound=msgspec.Struct)

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


class ACMEProblem(ClientError):
    """The CA refused; `kind` is the problem type without its prefix, the rest is what a denial names."""

    def __init__(self, problem: WireProblem, *, status: int, retry_after: float | None = None) -> None:
        """Take the problem document over, its texts made printable."""
        detail = printable(problem.detail) or f"it answered with status {status}"
        super().__init__(f"the CA refused: {detail}", hint=_hint(problem))
        self.kind = printable(problem.kind)
        self.status = status
        self.retry_after = retry_after
        self.rule = printable(problem.rule)
        self.owner = printable(problem.owner)
        self.nearest = printable(problem.nearest)
        self.denial = printable(problem.denial)
        self.subproblems = tuple(map(_subproblem, problem.subproblems or ()))


def _subproblem(problem: WireProblem) -> dict[str, str]:
    """One name's part of a compound problem (RFC 8555 6.7.1), made printable; a rule's members come together."""
    name = problem.identifier.value if problem.identifier else ""
    members = {"name": name, "kind": problem.kind, "detail": problem.detail}
    told = {member: printable(text) for member, text in members.items() if text}
    denial = _denial(problem)
    if denial.rule:
        told |= {"rule": denial.rule, "owner": denial.owner, "nearest": denial.nearest, "denial": denial.id}
    return told


def _denial(problem: WireProblem) -> Denial:
    texts = (problem.rule, problem.owner, problem.nearest, problem.denial)
    return Denial(*map(printable, texts))


def _hint(problem: WireProblem) -> str:
    if problem.kind == "rejectedIdentifier":
        return hint_of_denials([_denial(one) for one in (problem, *(problem.subproblems or ()))])
    if problem.kind == "rateLimited":
        return "try again later"
    return UNREACHABLE if problem.kind in {"connection", "dns"} else next_step(problem.detail)


@dataclass(frozen=True, slots=True)
class Placed:
    """An order and its URL."""

    url: str
    order: WireOrder


class ACMEClient:
    """Talks to one directory with one account key; for one thread at a time."""

    def __init__(
        self,
        transport: Transport,
        directory_url: str,
        key: PrivateKey,
        *,
        algorithm: KeyAlgorithm = KeyAlgorithm.ES256,
        account_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        deadline: float = DEADLINE,
    ) -> None:
        """Nothing is asked yet; `account_url` is one that is known from before."""
        self._transport = transport
        self._directory_url = directory_url
        self._key = key
        self._algorithm = algorithm
        self._public = public_key_of(key.public_key())
        self._clock = clock
        self._sleep = sleep
        self._deadline = deadline
        self._directory: WireDirectory | None = None
        self._nonce: str | None = None
        self.account_url = account_url

    # --- the steps ----------------------------------------------------------------------------------------------------

    def ensure_account(self, contacts: Sequence[str] = (), *, bound_by: ExternalAccount | None = None) -> str:
        """The account's URL; it is made where the key has none yet (RFC 8555 7.3), bound by an external one (7.3.4)."""
        if self.account_url is None:
            url = self._read_directory().new_account
            payload: dict[str, object] = {"termsOfServiceAgreed": True}
            if contacts:
                payload["contact"] = list(contacts)
            if bound_by is not None:
                payload["externalAccountBinding"] = bound_by.binding(self._public, url=url)
            answer = self._post(url, payload, with_key=True)
            self.account_url = self._location(answer)
        return self.account_url

    def new_order(
        self,
        identifiers: Sequence[tuple[str, str]],
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        replaces: str = "",
    ) -> Placed:
        """An order for (type, value) pairs; ACMEProblem where a name is denied (RFC 8555 7.4).

        `replaces` names the certificate that it replaces; a CA without renewal information is not told (RFC 9773 5).
        """
        self.ensure_account()
        payload: dict[str, object] = {"identifiers": [{"type": kind, "value": value} for kind, value in identifiers]}
        if not_before is not None:
            payload["notBefore"] = render_time(not_before)
        if not_after is not None:
            payload["notAfter"] = render_time(not_after)
        if replaces and self._read_directory().renewal_info is not None:
            payload["replaces"] = replaces
        answer = self._post(self._read_directory().new_order, payload)
        return Placed(self._location(answer), parse_answer(answer.body, WireOrder))

    def resume(self, order_url: str) -> Placed:
        """An order that was made before, as it is now."""
        return Placed(order_url, self._read(order_url, WireOrder))

    def authorize(self, placed: Placed, solver: Solver) -> None:
        """Answer one http-01 challenge for every pending authorization, and wait for each (RFC 8555 7.5.1, 8.3)."""
        for url in placed.order.authorizations:
            authorization = self._read(url, WireAuthorization)
            if authorization.status == "pending":
                self._prove(url, authorization, solver)
            elif authorization.status != "valid":
                raise ClientError(f"the authorization for {_name(authorization.identifier)} is {authorization.status}")

    def wait_ready(self, placed: Placed) -> Placed:
        """The order once it is no longer pending; ClientError where it became invalid."""
        return self._wait_order(placed, until={"ready", "processing", "valid"})

    def finalize(self, placed: Placed, csr: bytes) -> Placed:
        """Send the CSR (DER), and wait for the certificate (RFC 8555 7.4)."""
        if placed.order.status == "ready":
            answer = self._post(placed.order.finalize, {"csr": b64u_encode(csr)})
            placed = Placed(placed.url, parse_answer(answer.body, WireOrder))
        return self._wait_order(placed, until={"valid"})

    def download(self, placed: Placed) -> str:
        """The certificate chain (PEM) of a valid order (RFC 8555 7.4.2)."""
        if placed.order.certificate is None:
            raise ClientError("the CA says that the order is valid, and names no certificate")
        body = self._post(placed.order.certificate, None).body
        try:
            return body.decode("ascii")
        except UnicodeDecodeError:
            raise ClientError("the CA's certificate is not PEM text") from None

    def renewal_info(self, named: str) -> Suggestion | None:
        """When the CA wants a certificate renewed (RFC 9773 4); None where it has no renewal information."""
        base = self._read_directory().renewal_info
        if base is None:
            return None
        answer = self._transport.request("GET", f"{base}/{named}")
        if answer.status != 200:
            raise _problem(answer)
        return parse_suggestion(answer)

    # --- authorizations -----------------------------------------------------------------------------------------------

    def _prove(self, url: str, authorization: WireAuthorization, solver: Solver) -> None:
        name = _name(authorization.identifier)
        challenge = next((one for one in authorization.challenges if one.type == "http-01"), None)
        if challenge is None:
            raise ClientError(f"the CA offers no http-01 challenge for {name}")
        token = _checked_token(challenge)
        solver.present(token, key_authorization(token, self._public.thumbprint))
        try:
            self._post(challenge.url, {})
            self._wait_authorization(url, name)
        finally:
            solver.cleanup(token)

    def _wait_authorization(self, url: str, name: str) -> None:
        end, pause = self._clock() + self._deadline, FIRST_POLL
        while True:
            answer = self._post(url, None)
            found = parse_answer(answer.body, WireAuthorization)
            if found.status == "valid":
                return
            if found.status != "pending":
                raise _failed(name, found)
            pause = self._pause(answer, pause, end, f"the CA did not decide on {name}")

    def _wait_order(self, placed: Placed, *, until: set[str]) -> Placed:
        end, pause, order = self._clock() + self._deadline, FIRST_POLL, placed.order
        while order.status not in until:
            if order.status == "invalid":
                raise _refused(order)
            answer = self._post(placed.url, None)
            order = parse_answer(answer.body, WireOrder)
            if order.status not in until and order.status != "invalid":
                pause = self._pause(answer, pause, end, f"the order stayed {order.status}")
        return Placed(placed.url, order)

    def _pause(self, answer: Answer, pause: float, end: float, what: str) -> float:
        """Wait as long as the CA asks for, or a little longer each time; the next wait."""
        wait = min(answer.retry_after if answer.retry_after is not None else pause, LONGEST_POLL)
        if self._clock() + wait > end:
            raise ClientError(f"{what} within {self._deadline:.0f} s", hint="look into the CA's log, then try again")
        self._sleep(wait)
        return min(pause * 2, LONGEST_POLL)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _read(self, url: str, shape: type[Shape]) -> Shape:
        return parse_answer(self._post(url, None).body, shape)

    def _read_directory(self) -> WireDirectory:
        if self._directory is None:
            answer = self._transport.request("GET", self._directory_url)
            if answer.status != 200:
                raise _problem(answer)
            self._directory = parse_answer(answer.body, WireDirectory)
        return self._directory

    def _post(self, url: str, payload: dict[str, object] | None, *, with_key: bool = False) -> Answer:
        """A signed request; None is POST-as-GET. A refused nonce is replaced, as RFC 8555 6.5 says."""
        body = None if payload is None else msgspec.json.encode(payload)
        for attempt in range(NONCE_TRIES):
            signed = sign_flattened(
                body,
                key=self._key,
                alg=self._algorithm,
                url=url,
                nonce=self._take_nonce(),
                kid=None if with_key else self.account_url,
                jwk=with_key,
            )
            answer = self._transport.request("POST", url, signed, media_type=JOSE)
            self._nonce = answer.headers.get("replay-nonce")
            if answer.status < 400:
                return answer
            problem = _problem(answer)
            if problem.kind != "badNonce" or attempt == NONCE_TRIES - 1:
                raise problem
        raise ClientError("the CA refused every nonce")

    def _take_nonce(self) -> str:
        nonce, self._nonce = self._nonce, None
        if nonce is None:
            nonce = self._transport.request("HEAD", self._read_directory().new_nonce).headers.get("replay-nonce")
        if nonce is None:
            raise ClientError("the CA gave no nonce")
        return nonce

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("location")
        if location is None:
            raise ClientError("the CA's answer names no Location")
        return location


def _checked_token(challenge: WireChallenge) -> str:
    """A token becomes part of a path: nothing but base64url of a bounded length may (RFC 8555 8.3)."""
    if _TOKEN.fullmatch(challenge.token) is None:
        raise ClientError("the CA's challenge token is not base64url of 16 to 128 characters")
    return challenge.token


def _name(identifier: WireIdentifier) -> str:
    return printable(identifier.value)


def _problem(answer: Answer) -> ACMEProblem:
    """The problem document of an answer, or one made of its status."""
    try:
        problem = parse_answer(answer.body, WireProblem)
    except ClientError:
        problem = WireProblem(detail=f"status {answer.status}, without a problem document")
    return ACMEProblem(problem, status=answer.status, retry_after=answer.retry_after)


def _failed(name: str, authorization: WireAuthorization) -> ACMEProblem:
    error = next((one.error for one in authorization.challenges if one.error is not None), None)
    problem = error or WireProblem(detail=f"the authorization is {authorization.status}")
    return ACMEProblem(msgspec.structs.replace(problem, detail=f"{name}: {problem.detail}"), status=problem.status)


def _refused(order: WireOrder) -> ACMEProblem:
    problem = order.error or WireProblem(detail="the order became invalid, and the CA does not say why")
    return ACMEProblem(problem, status=problem.status)
