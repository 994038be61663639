"""Certificates by one-time tokens, in the ledger beside those by ACME (reliability.md 3; security.md T2).

Rules: a token whose answer never came is sent again as it is: it gives the certificate, or it was used and then the
certificate is recorded; a token whose certificate came is sent again too, across kills, and must be refused for ever.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from crash.ledger import Ledger
from dayfly.cli.provisioning import Signer, list_provisioners, open_key
from dayfly.client.step import StepRefused, request_certificate
from dayfly.client.transport import Transport
from dayfly.core.step.audiences import Endpoint, audience
from dayfly.core.step.requests import SignRequest
from dayfly.core.step.token_making import JTI_OCTETS, TokenClaims, make_jti, sign_token
from dayfly.errors import ClientError
from factories import csr_der, spki_of

PAUSE = 0.2  # seconds, after an error
KEPT = 20  # used tokens that are tried again
TOKEN_LIFE = timedelta(minutes=5)


def signer_of(transport: Transport, base_url: str, home: str) -> Signer:
    """The key of the CA's JWK provisioner, as the CA gives it out, opened with the password in its home."""
    (chosen,) = [one for one in list_provisioners(transport, base_url) if one.type == "JWK"]
    return open_key(transport, base_url, chosen, home=home, options={})


@dataclass(slots=True)
class Signing:
    """One client that gets certificates by tokens."""

    base_url: str
    signer: Signer
    transport: Transport
    ledger: Ledger
    stop: threading.Event
    used: deque[SignRequest] = field(default_factory=lambda: deque(maxlen=KEPT))

    def run(self, request_id: str, name: str) -> None:
        """One certificate by a token, and one look whether an older token is still refused."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = SignRequest(csr_der(name, key=key), self._token(name))
        self._carry(request_id, request, key)
        if self.used:
            self._try_again(request_id, self.used[0])
            self.used.rotate(-1)

    def _token(self, name: str) -> str:
        now = datetime.now(UTC)  # noqa: TID251 - the CA compares with the real clock
        claims = TokenClaims(
            issuer=self.signer.name, subject=name, audience=audience(self.base_url, Endpoint.SIGN),
            jti=make_jti(secrets.token_bytes(JTI_OCTETS)), not_before=now - timedelta(seconds=5),
            expires=now + TOKEN_LIFE, sans=(name,),
        )  # fmt: skip
        return sign_token(claims, key=self.signer.key, kid=self.signer.kid, now=now)

    def _carry(self, request_id: str, request: SignRequest, key: ec.EllipticCurvePrivateKey) -> None:
        """Send the token until it is answered: 201, or 401 after an answer that never came."""
        while not self.stop.is_set():
            try:
                leaf = request_certificate(self.transport, self.base_url, request).leaf
            except StepRefused as error:
                if error.status == 401 and "used" in str(error):  # by us: nobody else has it
                    self.ledger.add(request_id, "used", digest=hashlib.sha256(spki_of(key)).hexdigest())
                    self.used.append(request)
                    return
                self.ledger.add(request_id, "error", error=f"step {error.status}: {error}")
                if error.status != 503:
                    return
            except ClientError as error:
                self.ledger.add(request_id, "error", error=f"connection 0: {error}")
            else:
                self._keep(request_id, leaf)
                self.used.append(request)
                return
            self.stop.wait(PAUSE)

    def _keep(self, request_id: str, leaf: bytes) -> None:
        certificate = x509.load_der_x509_certificate(leaf)
        digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        self.ledger.add(request_id, "certificate", serial=f"{certificate.serial_number:x}", digest=digest)

    def _try_again(self, request_id: str, request: SignRequest) -> None:
        """A token that was used is refused, whatever was killed since."""
        try:
            request_certificate(self.transport, self.base_url, request)
        except StepRefused as error:
            if error.status != 401:
                self.ledger.add(request_id, "error", error=f"step {error.status}: {error}")
        except ClientError as error:
            self.ledger.add(request_id, "error", error=f"connection 0: {error}")
        else:
            self.ledger.add(request_id, "error", error="a token was accepted twice")
