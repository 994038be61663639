"""The signer whose key is an encrypted file: opened at start, held in memory, used for linted bytes only."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.adapters.keyfiles import load_key
from dayfly.core.frozen import replace
from dayfly.core.x509.constraints import parse_constraints
from dayfly.core.x509.crl_lint import CheckedCRL
from dayfly.core.x509.lint import LintedCertificate
from dayfly.core.x509.profile import IssuerFacts, issuer_facts
from dayfly.core.x509.template import assemble
from dayfly.errors import ConfigError, SignerError

_HASHES: dict[str, HashAlgorithm] = {"secp256r1": SHA256(), "secp384r1": SHA384()}


class KeyFileSigner:
    """Signs with an EC key that was read from a file."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, chain: tuple[bytes, ...]) -> None:
        """`chain` is the issuer's certificate and those above it, without the root; SignerError for a wrong pair."""
        issuer = _facts(chain)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if spki != issuer.spki:
            raise SignerError("the issuing key does not belong to the issuing certificate")
        self._key = key
        self._algorithm = ec.ECDSA(_HASHES[key.curve.name])
        self._issuer = issuer
        self._chain = chain

    @property
    def issuer(self) -> IssuerFacts:
        """What the profile needs to know of the issuing certificate."""
        return self._issuer

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates (DER) to hand out after the leaf."""
        return self._chain

    async def sign_certificate(self, linted: LintedCertificate) -> bytes:
        """The certificate for the linted bytes; each draft once."""
        tbs = linted.take()
        return assemble(tbs, self._issuer.signature_algorithm, self._key.sign(tbs, self._algorithm))

    async def sign_crl(self, checked: CheckedCRL) -> bytes:
        """The CRL for the checked bytes; each draft once."""
        tbs = checked.take()
        return assemble(tbs, self._issuer.signature_algorithm, self._key.sign(tbs, self._algorithm))


def _facts(chain: tuple[bytes, ...]) -> IssuerFacts:
    """The facts of the issuer, with the name constraints of every certificate between it and the root."""
    above = (parse_constraints(x509.load_der_x509_certificate(der)) for der in chain[1:])
    issuer = issuer_facts(chain[0])
    return replace(issuer, constraints=(*issuer.constraints, *(one for one in above if one is not None)))


def open_signer(*, certificate: Path, key_file: Path, password: bytes | None) -> KeyFileSigner:
    """The signer for an issuing certificate (with its chain) and its key file; ConfigError, SignerError."""
    try:
        loaded = x509.load_pem_x509_certificates(certificate.read_bytes())
    except OSError as error:
        raise ConfigError("issuer.certificate", f"{certificate} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError("issuer.certificate", f"{certificate} holds no PEM certificate") from None
    key = load_key(key_file, password=password)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise SignerError(f"{key_file} is not a P-256 or P-384 key", hint="issue the intermediate with an EC key")
    return KeyFileSigner(key, tuple(one.public_bytes(Encoding.DER) for one in loaded))
