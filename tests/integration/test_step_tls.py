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
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from prometheus_client.parser import text_string_to_metric_families

from ca_world import CA, NAME, PASSWORD, running
from dayfly.core.step.audiences import Endpoint
from dayfly.core.step.requests import SignRequest, render_rekey_request, render_sign_request
from dayfly.core.step.token_making import make_jti, sign_renewal_token
from factories import csr_der, ec_key
from step_tls import Answer, Client, Key, client_of, now, send


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CA, Client]]:
    """A CA that runs for this module's tests."""
    where = tmp_path_factory.mktemp("step")
    with running(where) as ca:
        yield ca, client_of(ca, where)


@pytest.fixture
def client(world: tuple[CA, Client]) -> Client:
    """Somebody who reaches it."""
    return world[1]


@pytest.fixture
def ca(world: tuple[CA, Client]) -> CA:
    """The CA itself."""
    return world[0]


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
        status, found = send(connection, "POST", "/1.0/rekey", render_rekey_request(csr_der(key=ec_key())))
        assert status == 201, found
    ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(chain)]
    jti = make_jti(secrets.token_bytes(32))
    token = sign_renewal_token(NAME, ders, key=key, base_url=client.url, now=now(), jti=jti)
    status, found = client.ask("POST", "/renew", Authorization=f"Bearer {token}")
    assert status == 201, found


def test_strangers_certificates_do_not_get_in__n3(client: Client, ca: CA) -> None:
    """Self-signed, another CA with our issuer's name: the handshake fails, or 401; never a certificate."""
    key, other = ec_key(), ec_key()
    certificate, _ = issuer(ca)
    selfmade = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    for chain in (forged(selfmade, key, key=key), forged(certificate.subject, other, key=key)):
        found = renew(client, chain, key)
        assert isinstance(found, str) or found[0] == 401, found


def test_what_our_issuer_signed_and_nobody_recorded_does_not_renew__n7(client: Client, ca: CA) -> None:
    """Signed with the CA's own key behind its back, also under the serial of a real one: 401; out of its time: no."""
    certificate, issuer_key = issuer(ca)
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


def test_a_ca_is_no_client__n12(client: Client, ca: CA) -> None:
    """The intermediate shown as a client's certificate: the handshake fails, or 401."""
    certificate, issuer_key = issuer(ca)
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
        assert send(connection, "POST", "/rekey", render_rekey_request(csr_der()))[0] == 401
        assert send(connection, "GET", "/health")[0] == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_resumed_session_keeps_no_old_identity__n6(client: Client, version: ssl.TLSVersion) -> None:
    """A session from before a revocation shows no certificate, or a revoked one; TLS 1.3 resumes none."""
    chain, key = client.issued()
    context = client.context(chain, key)
    context.minimum_version = context.maximum_version = version
    with contextlib.closing(dial(client.port, context)) as first:
        assert ask_over(first, "POST", "/renew")[0] == 201
        session = first.session
        client.revoke(x509.load_pem_x509_certificate(chain).serial_number)
        with contextlib.closing(dial(client.port, context, session)) as second:
            status, found = ask_over(second, "POST", "/renew")
            if second.session_reused:
                assert version is ssl.TLSVersion.TLSv1_2
                assert status in {400, 401}, found
            else:
                assert (status, "revoked" in found["message"]) == (401, True)


def dial(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """A connection that offers a session."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    return context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)


def ask_over(connection: ssl.SSLSocket, method: str, path: str) -> Answer:
    """One request over a socket of ours, which stays open."""
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return response.status, json.loads(response.read())


def test_revoked_is_revoked_as_the_first_request_after_a_start__n4(client: Client, ca: CA) -> None:
    """The process starts anew, and the first thing it hears is a revoked certificate: 401."""
    chain, key = client.issued()
    good, good_key = client.issued()
    client.revoke(x509.load_pem_x509_certificate(chain).serial_number)
    ca.stop()
    ca.start()
    found = renew(client, chain, key)
    assert not isinstance(found, str), found
    assert (found[0], "revoked" in found[1]["message"]) == (401, True)
    again = renew(client, good, good_key)
    assert not isinstance(again, str)
    assert again[0] == 201


def test_what_was_done_is_in_the_log_and_in_the_metrics(client: Client, ca: CA) -> None:
    """The log verifies against the rows, revocations too; the scrape tells signing, renewals and refusals apart."""
    chain, key = client.issued()
    assert not isinstance(renew(client, chain, key), str)
    client.revoke(x509.load_pem_x509_certificate(chain).serial_number)
    assert client.ask("POST", "/sign", b"{}")[0] == 400
    stranger = "api.example.org"
    request = SignRequest(csr_der(stranger), client.token(Endpoint.SIGN, stranger))
    assert client.ask("POST", "/sign", render_sign_request(request))[0] == 403
    assert ca.verify()["ok"]
    with urllib.request.urlopen(f"http://127.0.0.1:{ca.metrics}/metrics", timeout=10) as response:
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
        ("sign", "platform-team", "denied", "name_not_allowed"),
    }
    assert 'dayfly_ca_revoked_total{reason="0"}' in scrape
