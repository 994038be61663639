"""Enrols, renews and revokes with the library acme, which certbot is made of."""

from __future__ import annotations

import datetime as dt
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import josepy
from acme import challenges, client, crypto_util, messages
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

DIRECTORY, NAME, LISTEN = (os.environ[name] for name in ("ACME_DIRECTORY", "ACME_NAME", "ACME_LISTEN"))
ANSWERS: dict[str, bytes] = {}


class Answers(BaseHTTPRequestHandler):
    """Gives the key authorization that belongs to a path."""

    def do_GET(self) -> None:
        """Answer what is known."""
        body = ANSWERS.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""


def account(network: client.ClientNetwork, key: josepy.JWK) -> client.ClientV2:
    """A client that has an account, bound to an outer one where the environment names it."""
    directory = client.ClientV2.get_directory(DIRECTORY, network)
    peer = client.ClientV2(directory, network)
    binding = None
    if kid := os.environ.get("ACME_EAB_KID"):
        secret = os.environ["ACME_EAB_KEY"]
        binding = messages.ExternalAccountBinding.from_data(key.public_key(), kid, secret, directory)
    new = messages.NewRegistration.from_data(
        email="ops@internal.example", terms_of_service_agreed=True, external_account_binding=binding
    )
    peer.new_account(new)
    return peer


def http01(order: messages.OrderResource) -> Iterator[messages.ChallengeBody]:
    """The http-01 challenges of what is not proved yet."""
    for authorization in order.authorizations:
        if authorization.body.status != messages.STATUS_VALID:
            yield next(one for one in authorization.body.challenges if isinstance(one.chall, challenges.HTTP01))


def obtain(peer: client.ClientV2, key: josepy.JWK, file: str) -> str:
    """A certificate with a new key, in a file."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    order = peer.new_order(crypto_util.make_csr(pem, domains=[NAME]))
    for challenge in http01(order):
        response, validation = challenge.response_and_validation(key)
        ANSWERS[challenge.chall.path] = validation.encode()
        peer.answer_challenge(challenge, response)
    deadline = dt.datetime.now() + dt.timedelta(seconds=60)  # noqa: DTZ005, TID251 - the library's clock
    chain: str = peer.poll_and_finalize(order, deadline).fullchain_pem
    Path(file).write_text(chain)
    return chain


def main(deeds: list[str]) -> None:
    """Enrol, renew, and do what else was asked for."""
    host, port = LISTEN.split(":")
    server = ThreadingHTTPServer((host, int(port)), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = josepy.JWKRSA(key=rsa.generate_private_key(65537, 2048))
    peer = account(client.ClientNetwork(key), key)
    first = obtain(peer, key, "first.pem")
    if "ari" in deeds:
        due, _ = peer.renewal_time(first.encode())
        assert due is not None, "no renewal information"
    second = obtain(peer, key, "second.pem")
    if "revoke" in deeds:
        peer.revoke(x509.load_pem_x509_certificate(second.encode()), 4)


main(sys.argv[1:])
