"""A CA that speaks the step API in memory: judges tokens and requests as a real one does, and can be told to fail."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.ca_target import Target
from dayfly.cli.requesting import common_name_of, names_of
from dayfly.client.transport import Answer, ClientPair, parse_url
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwe import encrypt_jwe
from dayfly.core.jose.jwk import public_key_of, render_jwk, thumbprint_of
from dayfly.core.problems import Refused
from dayfly.core.step import tokens
from dayfly.core.step.answers import (
    ErrorBody,
    SignResponse,
    render_encrypted_key,
    render_error,
    render_sign_response,
    render_status,
)
from dayfly.core.step.audiences import Endpoint, accepted_audiences
from dayfly.core.step.requests import (
    RevokeRequest,
    SignRequest,
    parse_rekey_request,
    parse_revoke_request,
    parse_sign_request,
)
from dayfly.errors import ClientError
from factories import NAME, ec_key
from small_pki import PKI

URL = "https://ca.test:9000"
PASSWORD = b"a provisioner's own word"


def real_now() -> datetime:
    """The clock that the commands under test read."""
    return datetime.now(UTC)  # noqa: TID251 - the commands under test read it too


@dataclass
class StepCA:
    """Provisioners, a hierarchy, and what was asked; `failures` answer the next requests, one each."""

    pki: PKI = field(default_factory=lambda: PKI(born=real_now()))
    life: timedelta = timedelta(hours=1)
    requests: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Answer | Exception] = field(default_factory=list)
    issued: list[x509.Certificate] = field(default_factory=list)
    revoked: dict[int, int] = field(default_factory=dict)
    change: Callable[[x509.CertificateSigningRequest], dict[str, Any]] = lambda _: {}
    gives_key: bool = True
    confirmed: list[bytes | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = ec_key()
        self.kid = thumbprint_of(self.key.public_key())
        self.provisioners: list[dict[str, Any]] = [
            {"type": "JWK", "name": "team", "key": {"kid": self.kid, **render_jwk(self.key.public_key())}},
            {"type": "ACME", "name": "acme"},
        ]

    def jwe(self, rounds: int = 1000) -> str:
        """The provisioner's key, encrypted; few rounds, for tests."""
        secret = self.key.private_numbers().private_value.to_bytes(32, "big")
        plain = msgspec.json.encode({**render_jwk(self.key.public_key()), "d": b64u_encode(secret)})
        return encrypt_jwe(
            plain, password=PASSWORD, salt=secrets.token_bytes(16), content_key=secrets.token_bytes(32),
            iv=secrets.token_bytes(12), rounds=rounds,
        )  # fmt: skip

    def answer(self, method: str, path: str, body: bytes, pair: ClientPair | None, bearer: str) -> Answer:
        """One request, refusals as the server renders them."""
        self.requests.append((method, path))
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        try:
            return self._answer(path, body, pair, bearer)
        except Refused as error:
            return refusal(error.status, error.detail)

    def _answer(self, path: str, body: bytes, pair: ClientPair | None, bearer: str) -> Answer:
        if path.startswith("/provisioners?"):
            return Answer(200, {}, json.dumps({"provisioners": self.provisioners, "nextCursor": ""}).encode())
        if path == f"/provisioners/{self.kid}/encrypted-key" and self.gives_key:
            return Answer(200, {}, render_encrypted_key(self.jwe()))
        if path == "/sign":
            return self._sign(parse_sign_request(body))
        if path == "/renew":
            return self._again(self._shown(pair, bearer))
        if path == "/rekey":
            csr = x509.load_der_x509_csr(parse_rekey_request(body))
            return self._again(self._shown(pair, ""), csr)
        if path == "/revoke":
            return self._revoke(parse_revoke_request(body), pair)
        return refusal(404, "no such resource")

    def _verified(self, text: str, endpoint: Endpoint) -> tokens.VerifiedClaims:
        return tokens.verify_token(
            tokens.parse_token(text), key=public_key_of(self.key.public_key()), issuer="team",
            audiences=accepted_audiences([URL], endpoint), now=real_now(),
        )  # fmt: skip

    def _sign(self, request: SignRequest) -> Answer:
        claims = self._verified(request.ott, Endpoint.SIGN)
        csr = x509.load_der_x509_csr(request.csr)
        self.confirmed.append(claims.confirmed)
        if claims.confirmed is not None:
            assert claims.confirmed == hashlib.sha256(request.csr).digest()
        assert {one.value for one in names_of(csr)} == set(claims.sans)
        return self._issue(csr.public_key(), list(claims.sans), claims.subject, self.change(csr))

    def _shown(self, pair: ClientPair | None, bearer: str) -> x509.Certificate:
        if bearer:
            token = tokens.parse_renewal_token(bearer)
            leaf = x509.load_der_x509_certificate(token.unverified_chain[0])
            tokens.verify_renewal(
                token, key=public_key_of(leaf.public_key()), subject=common_name_of(leaf),
                audiences=accepted_audiences([URL], Endpoint.RENEW), now=real_now(),
            )  # fmt: skip
            return leaf
        assert pair is not None, "nothing was shown"
        return x509.load_pem_x509_certificate(pair.chain.read_bytes())

    def _again(self, leaf: x509.Certificate, csr: x509.CertificateSigningRequest | None = None) -> Answer:
        if leaf.serial_number in self.revoked:
            return refusal(401, "the certificate is revoked")
        public = (csr or leaf).public_key()
        names = [one.value for one in names_of(leaf)]
        change = self.change(csr) if csr is not None else self.change(None)  # type: ignore[arg-type]  # no request
        return self._issue(public, names, common_name_of(leaf), change)

    def _issue(self, public: Any, names: list[str], subject: str, change: dict[str, Any]) -> Answer:
        values: dict[str, Any] = {"begin": real_now() - timedelta(seconds=5), "life": self.life} | change
        leaf = self.pki.leaf(
            *values.pop("names", names), common_name=subject, public=values.pop("public", public), **values
        )
        self.issued.append(leaf)
        response = SignResponse(leaf.public_bytes(Encoding.DER), (self.pki.intermediate,))
        return Answer(201, {}, render_sign_response(response))

    def _revoke(self, request: RevokeRequest, pair: ClientPair | None) -> Answer:
        if request.ott:
            assert self._verified(request.ott, Endpoint.REVOKE).subject == str(request.serial)
        else:
            assert self._shown(pair, "").serial_number == request.serial
        self.revoked[request.serial] = request.reason_code
        return Answer(200, {}, render_status())


def refusal(status: int, message: str, **more: Any) -> Answer:
    """A refusal, as the server renders it."""
    retry_after = more.pop("retry_after", "")
    headers = {"retry-after": retry_after} if retry_after else {}
    return Answer(status, headers, render_error(ErrorBody(status, message, **more)))


@dataclass
class Line:
    """A connection to the CA."""

    ca: StepCA
    pair: ClientPair | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def request(
        self, method: str, url: str, body: bytes | None = None, *, media_type: str = "", bearer: str = ""
    ) -> Answer:
        """One request."""
        assert media_type in {"", "application/json"}
        _, path = parse_url(url)
        return self.ca.answer(method, path, body or b"", self.pair, bearer)


def connect_to(ca: StepCA, monkeypatch: pytest.MonkeyPatch, where: Path) -> list[str]:
    """Make every client command in this process talk to `ca`; the flags that name it."""
    root = where / "root.pem"
    root.write_text(ca.pki.root_pem)
    monkeypatch.setattr(Target, "connect", lambda _, pair=None: Line(ca, pair))
    for name in ("DAYFLY_HOME", "DAYFLY_PASSWORD_FILE", "DAYFLY_PROVISIONER", "DAYFLY_TOKEN", "DAYFLY_CA_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(where))
    password = where / "provisioner-password"
    password.write_bytes(PASSWORD + b"\n")
    return ["--ca-url", URL, "--root", str(root)]


def unreachable() -> ClientError:
    """What the transport says of a CA that is away."""
    return ClientError("the CA at ca.test:9000 did not answer: connection refused", hint="is it running?")


__all__ = ["NAME", "PASSWORD", "URL", "Line", "StepCA", "connect_to", "refusal", "unreachable"]
