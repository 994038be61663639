"""Asks for a certificate, so that a crash at any point asks for the same one again (agent.md 7 and 8, steps 2 to 4).

1. key and CSR are made and saved;
2. the order is made, and its URL saved as soon as it is known;
3. the order is carried to its certificate, wherever it stands, and the answer saved;
4. the answer is checked (checking).

Rules: what is saved is used again after a crash; an order that can give nothing any more is forgotten, the key is not;
how a CA is talked to stands behind `Issuer`.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from dayfly.agent.failures import Failure
from dayfly.agent.pending import Pending, PendingOrder
from dayfly.agent.settings import CertificateSettings, KeyType
from dayfly.agent.tables import Table
from dayfly.client.renewals import Suggestion

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Issuer(Protocol):
    """A CA, as far as the agent asks it anything; its methods block, in bounded time, and raise `Failure`."""

    def new_order(self, settings: CertificateSettings, *, not_after: datetime | None, replaces: str = "") -> str:
        """Order a certificate for the names, in place of the one that `replaces` names; the order's URL."""
        ...

    def renewal_info(self, named: str) -> Suggestion | None:
        """When the CA wants the certificate of this name renewed; None where it never says (RFC 9773)."""
        ...

    def certificate(self, settings: CertificateSettings, *, order_url: str, csr: bytes) -> bytes:
        """Carry the order to its end from wherever it stands; the chain as PEM, leaf first.

        The same order gives the same certificate however often it is asked.
        """
        ...


def prepare_request(pending: Pending, settings: CertificateSettings) -> None:
    """Step 1: key and CSR on disk. What a crash left is used again, unless something else is asked for by now."""
    wanted = _wanted(settings)
    if pending.read("names") == wanted and pending.read("request.csr") and pending.read("key.pem"):
        return
    pending.empty()
    key = make_key(settings.key_type)
    pending.save("key.pem", render_key(key))
    pending.save("request.csr", make_csr(key, settings.names))
    pending.save("names", wanted)


def is_prepared(pending: Pending, settings: CertificateSettings) -> bool:
    """Is there a complete request for what is declared?"""
    return pending.read("names") == _wanted(settings)


def request_certificate(
    pending: Pending, settings: CertificateSettings, issuer: Issuer, *, now: datetime, replaces: str = ""
) -> bytes:
    """Steps 2 and 3: the CA's answer, saved; Failure. An order that is lost is forgotten."""
    answer = pending.read("answer.pem")
    if answer is not None:
        return answer
    order = pending.order()
    if order is not None and order.not_after is not None and order.not_after <= now:
        pending.drop_order()  # whatever it gives has expired
        order = None
    if order is None:
        not_after = asked_not_after(settings, now)
        order = PendingOrder(issuer.new_order(settings, not_after=not_after, replaces=replaces), not_after)
        pending.save_order(order)
    try:
        answer = issuer.certificate(settings, order_url=order.url, csr=pending.read("request.csr") or b"")
    except Failure as failure:
        if failure.order_lost:
            pending.drop_order()
        raise
    pending.save("answer.pem", answer)
    return answer


def asked_not_after(settings: CertificateSettings, now: datetime) -> datetime | None:
    """The notAfter to ask for, in whole seconds: an asked one is exact, and the last second counts (acme.md 10)."""
    if not settings.lifetime:
        return None
    return now.replace(microsecond=0) + timedelta(seconds=settings.lifetime - 1)


def make_key(kind: KeyType) -> PrivateKey:
    """A new private key."""
    match kind:
        case KeyType.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.RSA2048:
            return rsa.generate_private_key(65537, 2048)
        case KeyType.RSA3072:
            return rsa.generate_private_key(65537, 3072)


def render_key(key: PrivateKey) -> bytes:
    """The key as PKCS#8 PEM, not encrypted: the file's mode guards it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_csr(key: PrivateKey, names: tuple[str, ...]) -> bytes:
    """A request (DER) for the names, all of them subject alternative names, with an empty subject."""
    entries = x509.SubjectAlternativeName([general_name(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(entries, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def general_name(name: str) -> x509.GeneralName:
    """The name as it stands in a certificate."""
    return x509.IPAddress(ipaddress.ip_address(name)) if Table.is_ip(name) else x509.DNSName(name)


def _wanted(settings: CertificateSettings) -> bytes:
    return " ".join((settings.key_type, *sorted(settings.names))).encode()
