"""The step API in this process, without sockets: clients that make their tokens exactly as a test wants them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from acme_peer import BASE, Client, Peer, make_peer
from dayfly.authority.settings import change_settings
from dayfly.core.frozen import replace
from dayfly.core.jose.jwk import KeyAlgorithm, render_jwk, thumbprint_of
from dayfly.core.jose.jws import sign_compact
from dayfly.core.settings.documents import Document
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import SettingsChange
from dayfly.core.x509.pem import parse_pem_block, parse_pem_certificates, render_pem
from factories import NAME, csr_der, ec_key
from replies import Reply

OWNER = "platform-team"
KEY = ec_key()
CERTIFICATE_REQUEST = "CERTIFICATE REQUEST"


def provisioner_of(key: ec.EllipticCurvePrivateKey, **changes: Any) -> Provisioner:
    """A JWK provisioner that knows the public half of `key`."""
    kid = thumbprint_of(key.public_key())
    document = {"use": "sig", "kid": kid, "alg": "ES256", **render_jwk(key.public_key())}
    made = Provisioner(OWNER, ProvisionerType.JWK, key=msgspec.json.encode(document).decode(), kid=kid)
    return replace(made, encrypted_key="e.e.e.e.e", **changes)


async def put(peer: Peer, *documents: Document, remove: tuple[tuple[str, str], ...] = ()) -> None:
    """Change the settings."""
    await change_settings(
        peer.store, peer.clock, lambda current: SettingsChange(current.revision, put=documents, remove=remove)
    )


async def make_step_peer(where: Path, key: ec.EllipticCurvePrivateKey, **changes: Any) -> Peer:
    """A CA whose JWK provisioner knows `key`."""
    peer = await make_peer(where, **changes)
    await put(peer, provisioner_of(key))
    return peer


def csr_pem(der: bytes) -> str:
    """A request as it stands in JSON."""
    return render_pem(der, CERTIFICATE_REQUEST)


def named_csr(
    *names: x509.GeneralName, common_name: str | None = None, key: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """A request with any general names, or none, and any CN."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name is not None else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key or ec_key(), SHA256()).public_bytes(Encoding.DER)


def leaf_of(reply: Reply) -> x509.Certificate:
    """The certificate in an answer."""
    return x509.load_der_x509_certificate(leaf_der(reply))


def leaf_der(reply: Reply) -> bytes:
    """Its DER."""
    return certificate_der(reply.json["crt"])


def certificate_der(pem: str) -> bytes:
    """The DER of a certificate in JSON."""
    return parse_pem_block(pem, "CERTIFICATE")


@dataclass
class StepClient:
    """Somebody with a provisioner's key."""

    peer: Peer
    key: ec.EllipticCurvePrivateKey
    count: int = field(default=0)

    @property
    def kid(self) -> str:
        """The key's id at the CA."""
        return thumbprint_of(self.key.public_key())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims for /sign with these changed; `...` leaves one out."""
        self.count += 1
        now = int(self.peer.clock.now().timestamp())
        plain = {
            "aud": f"{BASE}/1.0/sign", "exp": now + 300, "iat": now, "iss": OWNER, "jti": f"jti-{self.count}",
            "nbf": now, "sans": [NAME], "sub": NAME,
        }  # fmt: skip
        return {name: value for name, value in {**plain, **changes}.items() if value is not ...}

    def token(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token with these claims changed."""
        payload = msgspec.json.encode(self.claims(**changes))
        protected = {"kid": self.kid, "typ": "JWT"} if header is None else header
        return sign_compact(payload, key=self.key, alg=KeyAlgorithm.ES256, header=protected)

    async def sign(self, token: str | None = None, csr: bytes | None = None, **members: Any) -> Reply:
        """POST /sign; a member that is `...` is left out."""
        document: dict[str, Any] = {"csr": csr_pem(csr or csr_der()), "ott": self.token() if token is None else token}
        document |= members.pop("body", {}) | members
        body = json.dumps({name: value for name, value in document.items() if value is not ...}).encode()
        return await self.peer.send("POST", "/sign", body, media_type="application/json")

    async def issued(self, key: ec.EllipticCurvePrivateKey | None = None, **changes: Any) -> Leaf:
        """A certificate of this CA, and its key."""
        made = key or ec_key()
        reply = await self.sign(self.token(**changes), named_csr(key=made))
        assert reply.status == 201, reply.body
        return Leaf(self.peer, leaf_der(reply), made, tuple(map(certificate_der, reply.json["certChain"][1:])))

    async def revoke(self, serial: int | str, token: str | None = None, **members: Any) -> Reply:
        """POST /revoke with a token for the serial."""
        ott = self.token(aud=f"{BASE}/1.0/revoke", sub=str(serial), sans=...) if token is None else token
        return await send_revoke(self.peer, {"serial": str(serial), "ott": ott, **members})


@dataclass
class Leaf:
    """Somebody with a certificate of this CA and its key."""

    peer: Peer
    der: bytes
    key: ec.EllipticCurvePrivateKey
    chain: tuple[bytes, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate."""
        return x509.load_der_x509_certificate(self.der)

    @property
    def serial(self) -> int:
        """Its serial number."""
        return self.certificate.serial_number

    def token(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A renewal token as a stock client makes it, with these claims changed; `...` leaves one out."""
        now = int(self.peer.clock.now().timestamp())
        plain = {
            "aud": f"{BASE}/renew", "exp": now + 300, "iat": now, "iss": "step-ca-client/1.0", "nbf": now,
            "sub": self.certificate.subject.rdns and cn_of(self.certificate), "jti": ...,
        }  # fmt: skip
        claims = {name: value for name, value in {**plain, **changes}.items() if value is not ...}
        chain = [base64.b64encode(one).decode() for one in (self.der, *self.chain)]
        protected = {"kid": "made-up", "typ": "JWT", "x5cInsecure": chain, **(header or {})}
        return sign_compact(msgspec.json.encode(claims), key=self.key, alg=KeyAlgorithm.ES256, header=protected)

    async def renew(self, path: str = "/renew") -> Reply:
        """POST /renew over mTLS."""
        return await self.peer.send("POST", path, certificate=self.der)

    async def renew_by_token(self, token: str | None = None) -> Reply:
        """POST /renew with a signed token."""
        bearer = f"Bearer {self.token() if token is None else token}"
        return await self.peer.send("POST", "/renew", headers=[(b"authorization", bearer.encode())])

    async def rekey(self, csr: bytes | None = None) -> Reply:
        """POST /rekey over mTLS."""
        body = json.dumps({"csr": csr_pem(csr or named_csr())}).encode()
        return await self.peer.send("POST", "/rekey", body, certificate=self.der)

    async def revoke(self, serial: int | None = None) -> Reply:
        """POST /revoke over mTLS."""
        return await send_revoke(self.peer, {"serial": str(self.serial if serial is None else serial)}, self.der)

    def after(self, reply: Reply, key: ec.EllipticCurvePrivateKey | None = None) -> Leaf:
        """The holder of what the answer brought."""
        return replace(self, der=leaf_der(reply), key=key or self.key)


async def acme_leaf(peer: Peer) -> Leaf:
    """A certificate that came by ACME, with a CN, and its key."""
    acme, key = Client(peer), ec_key()
    await acme.register()
    done = await acme.finalize(await acme.ready(), named_csr(x509.DNSName(NAME), common_name=NAME, key=key))
    leaf, *chain = parse_pem_certificates((await acme.post(done.json["certificate"])).body.decode())
    return Leaf(peer, leaf, key, tuple(chain))


async def send_revoke(peer: Peer, members: dict[str, Any], certificate: bytes | None = None) -> Reply:
    """POST /revoke; a member that is `...` is left out."""
    document = {"ott": "", "reasonCode": 0, "reason": "", "passive": True, **members}
    body = json.dumps({name: value for name, value in document.items() if value is not ...}).encode()
    return await peer.send("POST", "/revoke", body, certificate=certificate)


Scenario = Callable[[StepClient], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


async def certificates(peer: Peer) -> int:
    """How many certificates are stored."""
    return len(await peer.store.certificates.certificates(after=0, limit=1000))


def names_of(leaf: x509.Certificate) -> set[str]:
    """Its DNS names and addresses."""
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(one.value) for one in found}


def cn_of(leaf: x509.Certificate) -> str:
    """Its one CN."""
    (attribute,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)


def refused(reply: Reply, status: int, *words: str) -> None:
    """The answer is a refusal in step's shape, with these words in it."""
    assert (reply.status, reply.json["status"]) == (status, status), reply.body
    for word in words:
        assert word in reply.json["message"], reply.body
