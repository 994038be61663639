"""An ACME client on one TLS connection: it can tell which worker it speaks to, and says what a test wants.

Each worker has a TLS certificate of its own, so the serial in the handshake names the worker.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from ca_world import CA
from dayfly.core.acme.challenges import key_authorization
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import KeyAlgorithm, thumbprint_of
from dayfly.core.jose.jws import sign_flattened
from factories import csr_der, ec_key
from replies import Reply


class Wire:
    """One TLS connection, kept alive."""

    def __init__(self, ca: CA) -> None:
        context = ssl.create_default_context(cafile=str(ca.root))
        self.connection = http.client.HTTPSConnection("127.0.0.1", ca.port, context=context, timeout=20)
        self.connection.connect()
        self.connection.auto_open = 0  # a connection that was lost is not made anew: it may lead to another worker
        assert isinstance(self.connection.sock, ssl.SSLSocket)
        certificate = self.connection.sock.getpeercert()
        assert certificate is not None
        self.worker = str(certificate["serialNumber"])

    def send(
        self, method: str, path: str, body: bytes | None = None, *, media_type: str = "application/jose+json"
    ) -> Reply:
        """One request on the connection."""
        headers = {"Content-Type": media_type} if body is not None else {}
        self.connection.request(method, path, body, headers)
        with contextlib.closing(self.connection.getresponse()) as response:
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())

    def close(self) -> None:
        """Leave."""
        self.connection.close()


def wires_to_each_worker(ca: CA, *, workers: int, each: int = 1) -> list[Wire]:
    """So many kept connections to every worker; whatever else was opened on the way is closed."""
    found: dict[str, list[Wire]] = {}
    deadline = time.monotonic() + 20
    spare: list[Wire] = []
    while len(found) < workers or any(len(ones) < each for ones in found.values()):
        assert time.monotonic() < deadline, {worker: len(ones) for worker, ones in found.items()}
        wire = Wire(ca)
        ones = found.setdefault(wire.worker, [])
        (ones if len(ones) < each else spare).append(wire)
    for wire in spare:
        wire.close()
    return [wire for ones in found.values() for wire in ones]


@dataclass
class Client:
    """An account's key, and requests signed with it; which connection they go over is said each time."""

    ca: CA
    key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)
    kid: str | None = None
    provisioner: str = "acme"

    def url(self, path: str) -> str:
        """The URL of an ACME path of this CA."""
        return f"{self.ca.url}/acme/{self.provisioner}/{path}"

    def nonce(self, wire: Wire) -> str:
        """A fresh nonce of the worker at the other end."""
        return wire.send("HEAD", "/acme/acme/new-nonce").headers["replay-nonce"]

    def sign(self, url: str, payload: object, *, nonce: str, jwk: bool = False) -> bytes:
        """A signed request; None is a POST-as-GET."""
        body = None if payload is None else msgspec.json.encode(payload)
        return sign_flattened(
            body, key=self.key, alg=KeyAlgorithm.ES256, url=url, nonce=nonce, kid=None if jwk else self.kid, jwk=jwk
        )

    def post(self, wire: Wire, url: str, payload: object = None, *, jwk: bool = False) -> Reply:
        """Sign and send."""
        signed = self.sign(url, payload, nonce=self.nonce(wire), jwk=jwk)
        return wire.send("POST", url.removeprefix(self.ca.url), signed)

    def register(self, wire: Wire) -> Reply:
        """NewAccount; the account is remembered."""
        answer = self.post(wire, self.url("new-account"), {}, jwk=True)
        self.kid = answer.headers.get("location")
        return answer

    def order(self, wire: Wire, *names: str) -> Reply:
        """NewOrder for DNS names."""
        identifiers = [{"type": "dns", "value": name} for name in names]
        return self.post(wire, self.url("new-order"), {"identifiers": identifiers})

    def challenge(self, wire: Wire, order: Reply) -> dict[str, Any]:
        """The http-01 challenge of the order's only authorization."""
        authorization = self.post(wire, order.json["authorizations"][0]).json
        found: dict[str, Any] = next(one for one in authorization["challenges"] if one["type"] == "http-01")
        return found

    def proof(self, token: str) -> str:
        """What has to be found at the name."""
        return key_authorization(token, thumbprint_of(self.key.public_key()))

    def poll(self, wire: Wire, url: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """POST-as-GET until it is as wanted."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = self.post(wire, url).json
            if until(found):
                return found
            time.sleep(0.02)
        raise AssertionError(found)

    def finalize_payload(self, order: Reply, key: ec.EllipticCurvePrivateKey | None = None) -> dict[str, str]:
        """A CSR for the order's names, with a key of its own."""
        names = [one["value"] for one in order.json["identifiers"]]
        return {"csr": b64u_encode(csr_der(*names, key=key))}
