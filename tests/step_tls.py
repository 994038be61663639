"""A client of the step API over real TLS, of this CA or another of its kind."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_world import CA, NAME
from dayfly.adapters.system import SystemClock
from dayfly.core.jose.encoding import b64u_decode
from dayfly.core.jose.jwe import decrypt_jwe
from dayfly.core.step.audiences import Endpoint, audience
from dayfly.core.step.requests import RevokeRequest, SignRequest, render_revoke_request, render_sign_request
from dayfly.core.step.token_making import TokenClaims, make_jti, sign_token
from factories import csr_der, ec_key

now = SystemClock().now

Key = ec.EllipticCurvePrivateKey
Answer = tuple[int, dict[str, Any]]


@dataclass
class Client:
    """Somebody who reaches the CA, with or without a certificate."""

    url: str
    root: Path
    password: bytes
    where: Path

    @property
    def port(self) -> int:
        """The CA's port on loopback."""
        return int(self.url.rpartition(":")[2])

    def context(self, chain: bytes = b"", key: Key | None = None) -> ssl.SSLContext:
        """Trusts the CA's root, and shows a certificate where there is one."""
        context = ssl.create_default_context(cafile=str(self.root))
        if key is not None:
            path = self.where / f"{secrets.token_hex(8)}.pem"
            path.write_bytes(chain + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            context.load_cert_chain(path)
        return context

    @contextlib.contextmanager
    def connected(self, chain: bytes = b"", key: Key | None = None) -> Iterator[http.client.HTTPSConnection]:
        """One connection, kept alive."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context(chain, key), timeout=20)
        try:
            yield connection
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request over a connection of its own, without a certificate."""
        with self.connected() as connection:
            return send(connection, method, path, body, **headers)

    def provisioner(self) -> tuple[str, Key]:
        """The kid of the provisioner of `ca init`, and its key: downloaded, and opened with the password."""
        _, page = self.ask("GET", "/provisioners?limit=100")
        (kid,) = (one["key"]["kid"] for one in page["provisioners"] if one["type"] == "JWK")
        status, found = self.ask("GET", f"/provisioners/{kid}/encrypted-key")
        assert status == 200
        jwk = json.loads(decrypt_jwe(found["key"], password=self.password))
        return kid, ec.derive_private_key(int.from_bytes(b64u_decode(jwk["d"])), ec.SECP256R1())

    def token(self, endpoint: Endpoint, subject: str = NAME) -> str:
        """A one-time token."""
        kid, key = self.provisioner()
        moment = now()
        claims = TokenClaims(
            "platform-team", subject, audience(self.url, endpoint), make_jti(secrets.token_bytes(32)), moment,
            moment + timedelta(minutes=5),
        )  # fmt: skip
        return sign_token(claims, key=key, kid=kid, now=moment)

    def issued(self) -> tuple[bytes, Key]:
        """A certificate with its chain (PEM), and its key."""
        key = ec_key()
        request = SignRequest(csr_der(key=key), self.token(Endpoint.SIGN))
        status, found = self.ask("POST", "/sign", render_sign_request(request))
        assert status == 201, found
        return "".join(found["certChain"]).encode(), key

    def revoke(self, serial: int) -> None:
        """Revoke by token."""
        request = RevokeRequest(serial, self.token(Endpoint.REVOKE, str(serial)))
        status, found = self.ask("POST", "/revoke", render_revoke_request(request))
        assert status == 200, found


def send(connection: http.client.HTTPSConnection, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request over an open connection."""
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def client_of(ca: CA, where: Path) -> Client:
    """A client of a CA of ours."""
    password = (ca.home / "secrets" / "provisioner_password").read_bytes().strip()
    return Client(ca.url, ca.root, password, where)
