"""What goes over the wire when stock clients talk to a CA of step's kind: played, and written down as facts.

Run it against another CA of the kind to record what that one answers:

    python tests/step_exchanges.py URL ROOT PASSWORD_FILE > tests/vectors/step/exchanges.json
"""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from ca_world import NAME
from dayfly.core.step.audiences import Endpoint
from dayfly.core.step.requests import (
    RevokeRequest,
    SignRequest,
    render_rekey_request,
    render_revoke_request,
    render_sign_request,
)
from dayfly.core.step.token_making import make_jti, sign_renewal_token
from factories import csr_der, ec_key
from step_tls import Client, now


@dataclass(frozen=True)
class Fact:
    """One exchange: what was asked, and of the answer the status, the media type and the members by their type."""

    what: str
    method: str
    path: str
    status: int
    media_type: str
    members: dict[str, str]


def play(client: Client) -> Iterator[Fact]:
    """The exchanges of the usual commands, in an order that works; each is one request of a stock client."""
    fingerprint = x509.load_pem_x509_certificate(client.root.read_bytes()).fingerprint(_SHA256).hex()
    kid, _ = client.provisioner()
    for path in ("/health", "/version", "/roots", "/intermediates", "/federation", "/provisioners?limit=100"):
        yield ask(client, f"read {path}", "GET", path)
    yield ask(client, "root by fingerprint", "GET", f"/root/{fingerprint}", shown="/root/{fingerprint}")
    yield ask(client, "root of another fingerprint", "GET", "/root/" + "0" * 64)
    path = "/provisioners/{kid}/encrypted-key"
    yield ask(client, "encrypted key", "GET", path.replace("{kid}", kid), shown=path)
    yield ask(client, "encrypted key of nobody", "GET", "/provisioners/nobody/encrypted-key")
    yield from _signing(client)
    yield from _renewing(client)
    yield from _revoking(client)


def _signing(client: Client) -> Iterator[Fact]:
    token = client.token(Endpoint.SIGN)
    body = render_sign_request(SignRequest(csr_der(), token))
    yield ask(client, "sign", "POST", "/sign", body)
    yield ask(client, "sign with a used token", "POST", "/sign", body)
    yield ask(client, "sign without token", "POST", "/sign", json.dumps({"csr": json.loads(body)["csr"]}).encode())
    yield ask(client, "sign with junk", "POST", "/sign", b"junk")
    other = SignRequest(csr_der("other.internal.example"), client.token(Endpoint.SIGN))
    yield ask(client, "sign for names that the token lacks", "POST", "/sign", render_sign_request(other))
    elsewhere = SignRequest(csr_der(), client.token(Endpoint.REVOKE))
    yield ask(client, "sign with a token for elsewhere", "POST", "/sign", render_sign_request(elsewhere))


def _renewing(client: Client) -> Iterator[Fact]:
    chain, key = client.issued()
    with client.connected(chain, key) as connection:
        yield fact(connection, "renew over mTLS", "POST", "/renew")
        yield fact(connection, "rekey over mTLS", "POST", "/rekey", render_rekey_request(csr_der(key=ec_key())))
    yield ask(client, "renew with nothing", "POST", "/renew")
    ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(chain)]
    jti = make_jti(secrets.token_bytes(32))
    token = sign_renewal_token(NAME, ders, key=key, base_url=client.url, now=now(), jti=jti)
    bearer = f"Bearer {token}"
    yield ask(client, "renew by token", "POST", "/renew", Authorization=bearer)
    yield ask(client, "renew by a used token", "POST", "/renew", Authorization=bearer)


def _revoking(client: Client) -> Iterator[Fact]:
    chain, key = client.issued()
    serial = x509.load_pem_x509_certificate(chain).serial_number
    token = client.token(Endpoint.REVOKE, str(serial))
    request = render_revoke_request(RevokeRequest(serial, token))
    yield ask(client, "revoke by token", "POST", "/revoke", request)
    again = RevokeRequest(serial, client.token(Endpoint.REVOKE, str(serial)))
    yield ask(client, "revoke a second time", "POST", "/revoke", render_revoke_request(again))
    wrong = RevokeRequest(serial, client.token(Endpoint.REVOKE, "7"))
    yield ask(client, "revoke with a token for another", "POST", "/revoke", render_revoke_request(wrong))
    active = json.loads(render_revoke_request(again)) | {"passive": False}
    yield ask(client, "revoke actively", "POST", "/revoke", json.dumps(active).encode())
    with client.connected(chain, key) as connection:
        yield fact(connection, "renew what is revoked", "POST", "/renew")
    chain, key = client.issued()
    serial = x509.load_pem_x509_certificate(chain).serial_number
    own = render_revoke_request(RevokeRequest(serial))
    with client.connected(chain, key) as connection:
        yield fact(connection, "revoke over mTLS", "POST", "/revoke", own)


def ask(
    client: Client, what: str, method: str, path: str, body: bytes = b"", *, shown: str = "", **headers: str
) -> Fact:
    """The exchange over a connection of its own."""
    with client.connected() as connection:
        return fact(connection, what, method, path, body, shown=shown, **headers)


def fact(
    connection: http.client.HTTPSConnection, what: str, method: str, path: str, body: bytes = b"", *, shown: str = "",
    **headers: str,
) -> Fact:  # fmt: skip
    """The exchange over an open connection."""
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    document = json.loads(response.read())
    media_type = (response.getheader("Content-Type") or "").partition(";")[0]
    return Fact(what, method, shown or path, response.status, media_type, members(document))


def members(document: Any, prefix: str = "") -> dict[str, str]:
    """Each member's path and its JSON type; lists by what they hold."""
    found: dict[str, str] = {}
    if isinstance(document, dict):
        for name, value in document.items():
            path = f"{prefix}.{name}" if prefix else name
            found[path] = _TYPES[type(value)]
            found |= members(value, path)
    elif isinstance(document, list):
        for value in document:
            found |= members(
                value, f"{prefix}[{value['type']}]" if isinstance(value, dict) and "type" in value else f"{prefix}[]"
            )
    return found


_TYPES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
_SHA256 = SHA256()


if __name__ == "__main__":
    url, root, password = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        stranger = Client(url, Path(root), Path(password).read_bytes().strip(), Path(scratch))
        sys.stdout.write(json.dumps([asdict(one) for one in play(stranger)], indent=1) + "\n")
