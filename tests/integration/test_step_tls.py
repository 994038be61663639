"""The step API over real TLS: what a handshake lets in, and what each request is asked all the same (security.md N)."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from prometheus_client.parser import text_string_to_metric_families

from ca_world import CA, NAME, PASSWORD, running
from dayfly.adapters.system import SystemClock
from dayfly.core.jose.encoding import b64u_decode
from dayfly.core.jose.jwe import decrypt_jwe
from dayfly.core.step import messages
from dayfly.core.step.tokens import Endpoint, TokenClaims, audience, make_jti, sign_renewal_token, sign_token
from factories import csr_der, ec_key

now = SystemClock().now

Key = ec.EllipticCurvePrivateKey
Answer = tuple[int, dict[str, Any]]


@dataclass
class Client:
    """Somebody who reaches the CA, with or without a certificate."""

    ca: CA
    where: Path

    def context(self, chain: bytes = b"", key: Key | None = None) -> ssl.SSLContext:
        """Trusts the CA's root, and shows a certificate where there is one."""
        context = ssl.create_default_context(cafile=str(self.ca.root))
        if key is not None:
            path = self.where / f"{secrets.token_hex(8)}.pem"
            path.write_bytes(chain + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            context.load_cert_chain(path)
        return context

    @contextlib.contextmanager
    def connected(self, chain: bytes = b"", key: Key | None = None) -> Iterator[http.client.HTTPSConnection]:
        """One connection, kept alive."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.ca.port, context=self.context(chain, key), timeout=20
        )
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
        password = (self.ca.home / "secrets" / "provisioner_password").read_bytes().strip()
        jwk = json.loads(decrypt_jwe(found["key"], password=password))
        return kid, ec.derive_private_key(int.from_bytes(b64u_decode(jwk["d"])), ec.SECP256R1())

    def token(self, endpoint: Endpoint, subject: str = NAME) -> str:
        """A one-time token."""
        kid, key = self.provisioner()
        moment = now()
        claims = TokenClaims(
            "platform-team", subject, audience(self.ca.url, endpoint), make_jti(secrets.token_bytes(32)), moment,
            moment + timedelta(minutes=5),
        )  # fmt: skip
        return sign_token(claims, key=key, kid=kid, now=moment)

    def issued(self) -> tuple[bytes, Key]:
        """A certificate with its chain (PEM), and its key."""
        key = ec_key()
        request = messages.SignRequest(csr_der(key=key), self.token(Endpoint.SIGN))
        status, found = self.ask("POST", "/sign", messages.render_sign_request(request))
        assert status == 201, found
        return "".join(found["certChain"]).encode(), key

    def revoke(self, serial: int) -> None:
        """Revoke by token."""
        request = messages.RevokeRequest(serial, self.token(Endpoint.REVOKE, str(serial)))
        status, found = self.ask("POST", "/revoke", messages.render_revoke_request(request))
        assert status == 200, found


def send(connection: http.client.HTTPSConnection, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request over an open connection."""
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A CA that runs for this module's tests."""
    where = tmp_path_factory.mktemp("step")
    with running(where) as ca:
        yield Client(ca, where)


def issuer(ca: CA) -> tuple[x509.Certificate, Any]:
    """The intermediate and its key, as whoever has the disk and the password has them."""
    certificate = x509.load_pem_x509_certificate((ca.home / "certs" / "intermediate_ca.crt").read_bytes())
    pem = (ca.home / "secrets" / "intermediate_ca_key").read_bytes()
    return certificate, load_pem_private_key(pem, PASSWORD.encode())


def forged(
    name: x509.Name, issuer_key: Any, *, key: Key, begin: float = -1, end: float = 1, serial: int | None = None
) -> bytes:
    """A client certificate (PEM) that this CA never issued; its times are hours from now."""
    moment = now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
        .issuer_name(name)
        .serial_number(serial or x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(moment + timedelta(hours=begin))
        .not_valid_after(moment + timedelta(hours=end))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return builder.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM)


def renew(client: Client, chain: bytes, key: Key) -> Answer | str:
    """POST /renew over mTLS, or why the handshake came to nothing."""
    try:
        with client.connected(chain, key) as connection:
            return send(connection, "POST", "/renew")
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected) as error:
        return f"{type(error).__name__}: {error}"


def test_a_certificate_renews_over_mtls_and_by_token__n1(client: Client) -> None:
    """The connection's own certificate, or a signed token: 201 with another serial, the same key."""
    chain, key = client.issued()
    leaf = x509.load_pem_x509_certificate(chain)
    with client.connected(chain, key) as connection:
        status, found = send(connection, "POST", "/renew")
        assert status == 201, found
        new = x509.load_pem_x509_certificate(found["crt"].encode())
        assert (new.public_key(), new.serial_number == leaf.serial_number) == (leaf.public_key(), False)
        status, found = send(connection, "POST", "/1.0/rekey", messages.render_rekey_request(csr_der(key=ec_key())))
        assert status == 201, found
    ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(chain)]
    jti = make_jti(secrets.token_bytes(32))
    token = sign_renewal_token(NAME, ders, key=key, base_url=client.ca.url, now=now(), jti=jti)
    status, found = client.ask("POST", "/renew", Authorization=f"Bearer {token}")
    assert status == 201, found


def test_strangers_certificates_do_not_get_in__n3(client: Client) -> None:
    """Self-signed, another CA with our issuer's name: the handshake fails, or 401; never a certificate."""
    key, other = ec_key(), ec_key()
    certificate, _ = issuer(client.ca)
    selfmade = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    for chain in (forged(selfmade, key, key=key), forged(certificate.subject, other, key=key)):
        found = renew(client, chain, key)
        assert isinstance(found, str) or found[0] == 401, found


def test_what_our_issuer_signed_and_nobody_recorded_does_not_renew__n7(client: Client) -> None:
    """Signed with the CA's own key behind its back, also under the serial of a real one: 401; out of its time: no."""
    certificate, issuer_key = issuer(client.ca)
    tail = certificate.public_bytes(Encoding.PEM)
    real, _ = client.issued()
    serial = x509.load_pem_x509_certificate(real).serial_number
    key = ec_key()
    for changes in ({}, {"serial": serial}):
        found = renew(client, forged(certificate.subject, issuer_key, key=key, **changes) + tail, key)
        assert not isinstance(found, str), found
        assert found[0] == 401, found
        assert "no record" in found[1]["message"]
    for begin, end in ((-2, -1), (1, 2)):
        found = renew(client, forged(certificate.subject, issuer_key, key=key, begin=begin, end=end) + tail, key)
        assert isinstance(found, str) or found[0] == 401, found


def test_a_ca_is_no_client__n12(client: Client) -> None:
    """The intermediate shown as a client's certificate: the handshake fails, or 401."""
    certificate, issuer_key = issuer(client.ca)
    found = renew(client, certificate.public_bytes(Encoding.PEM), issuer_key)
    assert isinstance(found, str) or found[0] == 401, found


def test_a_connection_does_not_outlive_a_revocation__n5(client: Client) -> None:
    """Renewed over a connection, revoked, and asked again over the same one: 401 at once."""
    chain, key = client.issued()
    with client.connected(chain, key) as connection:
        assert send(connection, "POST", "/renew")[0] == 201
        client.revoke(x509.load_pem_x509_certificate(chain).serial_number)
        status, found = send(connection, "POST", "/renew")
        assert (status, "revoked" in found["message"]) == (401, True)
        assert send(connection, "POST", "/rekey", messages.render_rekey_request(csr_der()))[0] == 401
        assert send(connection, "GET", "/health")[0] == 200


def test_no_session_is_resumed__n6(client: Client) -> None:
    """With TLS 1.2 and 1.3, and the session of a connection before: a full handshake each time."""
    chain, key = client.issued()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client.context(chain, key)
        context.minimum_version = context.maximum_version = version
        session = None
        for _ in range(2):
            connection = http.client.HTTPSConnection("127.0.0.1", client.ca.port, context=context, timeout=20)
            connection.connect()
            if session is not None:
                connection.sock.close()
                plain = socket.create_connection(("127.0.0.1", client.ca.port), timeout=20)
                connection.sock = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
            assert send(connection, "GET", "/health")[0] == 200
            assert isinstance(connection.sock, ssl.SSLSocket)
            assert not connection.sock.session_reused
            session = connection.sock.session
            connection.close()


def test_revoked_is_revoked_as_the_first_request_after_a_start__n4(client: Client) -> None:
    """The process starts anew, and the first thing it hears is a revoked certificate: 401."""
    chain, key = client.issued()
    good, good_key = client.issued()
    client.revoke(x509.load_pem_x509_certificate(chain).serial_number)
    client.ca.stop()
    client.ca.start()
    found = renew(client, chain, key)
    assert not isinstance(found, str), found
    assert (found[0], "revoked" in found[1]["message"]) == (401, True)
    again = renew(client, good, good_key)
    assert not isinstance(again, str)
    assert again[0] == 201


def test_what_was_done_is_in_the_log_and_in_the_metrics(client: Client) -> None:
    """The log verifies against the rows, revocations too; the scrape tells signing, renewals and refusals apart."""
    chain, key = client.issued()
    assert not isinstance(renew(client, chain, key), str)
    client.revoke(x509.load_pem_x509_certificate(chain).serial_number)
    assert client.ask("POST", "/sign", b"{}")[0] == 400
    assert client.ca.verify()["ok"]
    with urllib.request.urlopen(f"http://127.0.0.1:{client.ca.metrics}/metrics", timeout=10) as response:
        scrape = response.read().decode()
    counted = {
        (sample.labels["op"], sample.labels["provisioner"], sample.labels["outcome"], sample.labels["reason"])
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
        if sample.name == "dayfly_ca_requests_total"
    }
    assert counted >= {
        *((op, "platform-team", "ok", "ok") for op in ("sign", "renew", "revoke")),
        ("sign", "other", "denied", "bad_request"),
    }
    assert 'dayfly_ca_revoked_total{reason="0"}' in scrape
