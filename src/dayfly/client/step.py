"""The step API as a client uses it: public reads, provisioners, and the four ways to change certificates.

Rules: the unversioned paths are asked, as stock clients do; a root comes without trust and counts only when its
fingerprint is the one that is known; an answer is read strictly and nothing in it is believed here: who asked verifies
the certificate; a refusal carries what the CA said, made printable (step-compat.md parts 2 to 6).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.client.denied import hint_of_denials
from dayfly.client.next_steps import next_step
from dayfly.client.transport import MAX_REASON, Answer, Transport, printable, trusting_nobody
from dayfly.core.problems import Denial
from dayfly.core.step.answers import (
    MAX_PAGE,
    DeniedName,
    ErrorBody,
    SignResponse,
    parse_certificates,
    parse_encrypted_key,
    parse_error,
    parse_provisioners,
    parse_sign_response,
)
from dayfly.core.step.requests import (
    RevokeRequest,
    SignRequest,
    render_rekey_request,
    render_revoke_request,
    render_sign_request,
)
from dayfly.core.x509.pem import PEMError, parse_pem_certificates, render_pem
from dayfly.errors import ClientError, UsageError

JSON = "application/json"
MAX_PROVISIONERS = 1000  # a CA that lists more is broken, or plays with us

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class StepRefused(ClientError):
    """The CA refused; `status` is HTTP's, the rest is what a denial names (interfaces.md 6)."""

    def __init__(self, answer: Answer) -> None:
        """Take over what the answer says, made printable."""
        error = parse_error(answer.body)
        why = printable(error.message, most=MAX_REASON) or "no reason given"
        super().__init__(
            f"the CA refused (status {answer.status}): {why}",
            hint=_hint(answer, error),
        )
        self.status = answer.status
        self.retry_after = answer.retry_after
        self.rule = printable(error.rule)
        self.owner = printable(error.owner)
        self.nearest = printable(error.nearest)
        self.denial = printable(error.denial)
        self.subproblems = tuple(map(_subproblem, error.denials))


def _subproblem(denied: DeniedName) -> dict[str, str]:
    """One name's part of a refusal, its texts made printable."""
    return {name: printable(text) for name, text in msgspec.structs.asdict(denied).items()}


def _denial(one: ErrorBody | DeniedName) -> Denial:
    return Denial(*map(printable, (one.rule, one.owner, one.nearest, one.denial)))


def _hint(answer: Answer, error: ErrorBody) -> str:
    if answer.status == 429:
        wait = f" in {answer.retry_after:.0f} s" if answer.retry_after else " later"
        return f"try again{wait}"
    if hint := hint_of_denials([_denial(error), *map(_denial, error.denials)]):
        return hint
    if answer.status >= 500:
        return "try again later; is the CA well? ask: dayfly ca health"
    return next_step(error.message)


class _Root(msgspec.Struct):
    ca: str


# --- public reads -----------------------------------------------------------------------------------------------------


def fetch_health(transport: Transport, base_url: str) -> None:
    """Raise StepRefused where the CA is not well."""
    _get(transport, f"{base_url}/health")


def fetch_root(base_url: str, fingerprint: str) -> str:
    """The root (PEM) with this SHA-256: fetched without trust, then compared, so the fingerprint alone is trusted."""
    wanted = normal_fingerprint(fingerprint)
    with Transport(base_url, trusting_nobody()) as transport:
        answer = _get(transport, f"{base_url}/root/{wanted}")
    try:
        (der,) = parse_pem_certificates(msgspec.json.decode(answer.body, type=_Root).ca, limit=1)
        x509.load_der_x509_certificate(der).public_bytes(Encoding.DER)
    except (msgspec.DecodeError, UnicodeDecodeError, PEMError, ValueError):
        raise ClientError("the CA's answer is not a root certificate") from None
    if hashlib.sha256(der).hexdigest() != wanted:
        raise ClientError(
            "the certificate that came does not have this fingerprint; nothing was written",
            hint="somebody may stand between you and the CA: compare the fingerprint on another way",
        )
    return render_pem(der)


def normal_fingerprint(text: str) -> str:
    """A SHA-256 as 64 lower-case hex digits, however it was written; UsageError."""
    wanted = text.strip().replace("-", "").replace(":", "").lower()
    if _FINGERPRINT.fullmatch(wanted) is None:
        raise UsageError("a fingerprint has 64 hex digits", hint="`dayfly ca init` printed it on the CA's host")
    return wanted


def fetch_roots(transport: Transport, base_url: str) -> tuple[str, ...]:
    """All root certificates of the CA (PEM, one each); ClientError."""
    return tuple(map(render_pem, parse_certificates(_get(transport, f"{base_url}/roots").body)))


def fetch_federation(transport: Transport, base_url: str) -> tuple[str, ...]:
    """The CA's roots and those of the CAs that it is federated with (PEM, one each); ClientError."""
    return tuple(map(render_pem, parse_certificates(_get(transport, f"{base_url}/federation").body)))


def fetch_provisioners(transport: Transport, base_url: str) -> tuple[Mapping[str, Any], ...]:
    """All provisioners, page by page; ClientError, also for a CA whose pages never end."""
    found: list[Mapping[str, Any]] = []
    cursor = ""
    while True:
        query = f"?cursor={quote(cursor, safe='')}&limit={MAX_PAGE}" if cursor else f"?limit={MAX_PAGE}"
        page = parse_provisioners(_get(transport, f"{base_url}/provisioners{query}").body)
        found += page.provisioners
        if not page.next_cursor:
            return tuple(found)
        if len(found) > MAX_PROVISIONERS or page.next_cursor == cursor or not page.provisioners:
            raise ClientError("the CA's list of provisioners does not end")
        cursor = page.next_cursor


def fetch_encrypted_key(transport: Transport, base_url: str, kid: str) -> str:
    """The JWE of a provisioner's key; StepRefused where the CA does not give it out."""
    return parse_encrypted_key(_get(transport, f"{base_url}/provisioners/{quote(kid, safe='')}/encrypted-key").body)


# --- certificates -----------------------------------------------------------------------------------------------------


def request_certificate(transport: Transport, base_url: str, request: SignRequest) -> SignResponse:
    """POST /sign; what came is not verified yet. ClientError."""
    return parse_sign_response(_post(transport, f"{base_url}/sign", render_sign_request(request)).body)


def request_renewal(transport: Transport, base_url: str, *, token: str = "") -> SignResponse:
    """POST /renew: the connection's certificate, or the one whose `token` this is; not verified yet. ClientError."""
    return parse_sign_response(_post(transport, f"{base_url}/renew", b"", bearer=token).body)


def request_rekey(transport: Transport, base_url: str, csr: bytes) -> SignResponse:
    """POST /rekey: the connection's certificate again, for the request's key; not verified yet. ClientError."""
    return parse_sign_response(_post(transport, f"{base_url}/rekey", render_rekey_request(csr)).body)


def request_revocation(transport: Transport, base_url: str, request: RevokeRequest) -> None:
    """POST /revoke; with an empty `ott` the connection's certificate speaks for itself. ClientError."""
    _post(transport, f"{base_url}/revoke", render_revoke_request(request))


def _get(transport: Transport, url: str) -> Answer:
    answer = transport.request("GET", url)
    if answer.status not in {200, 201}:
        raise StepRefused(answer)
    return answer


def _post(transport: Transport, url: str, body: bytes, *, bearer: str = "") -> Answer:
    answer = transport.request("POST", url, body, media_type=JSON, bearer=bearer)
    if answer.status not in {200, 201}:
        raise StepRefused(answer)
    return answer
