"""What a CA answered, held against what was asked for, before anything is written (security.md 9).

1. The leaf has our key.  2. Its names are the ones that were asked for, no more and no fewer.  3. It chains to the
pinned root, and is valid now.  Anything less is an error, and every file stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.cli.requesting import names_of
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.x509.chain import ChainError, load_certificate, verify_chain, verify_for_any_use
from dayfly.core.x509.pem import PEMError, parse_pem_certificates, render_pem
from dayfly.errors import ClientError, UsageError

HeldKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
Clock: TypeAlias = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that passed every check, with what stands between it and the root (DER)."""

    certificate: x509.Certificate
    intermediates: tuple[bytes, ...]

    @property
    def chain(self) -> str:
        """Leaf and intermediates, PEM, as servers want them."""
        leaf = self.certificate.public_bytes(Encoding.DER)
        return "".join(map(render_pem, (leaf, *self.intermediates)))


_HOSTS = frozenset({IdentifierType.DNS, IdentifierType.IP})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: our key, the names, and the roots (DER) that it must chain to."""

    key: HeldKey
    names: tuple[Identifier, ...]
    roots: tuple[bytes, ...]


def now() -> datetime:
    """A person's now, UTC."""
    return datetime.now(UTC)  # noqa: TID251 - a command's own clock


def check_issued(leaf: bytes, intermediates: Sequence[bytes], wanted: Wanted, *, at: datetime) -> Issued:
    """The certificate, once all of it is as it should be; ClientError."""
    try:
        found = load_certificate(leaf)
        if spki(found.public_key()) != spki(wanted.key):
            raise ChainError("it has another key than the one that was asked for")  # noqa: TRY301 - one text for all
        if set(names_of(found)) != set(wanted.names):
            raise ChainError("it is for other names than those that were asked for")  # noqa: TRY301 - the same
        _verify(found, intermediates, wanted, at)
    except (ChainError, UsageError) as error:
        raise ClientError(
            f"the CA's certificate is not what was asked for: {error}; nothing was written",
            hint="is the clock right, and the root the right one?",
        ) from None
    return Issued(found, tuple(intermediates))


def _verify(found: x509.Certificate, intermediates: Sequence[bytes], wanted: Wanted, at: datetime) -> None:
    """ChainError; what names no host is verified for no use in particular."""
    if any(one.type in _HOSTS for one in wanted.names):
        verify_chain(found.public_bytes(Encoding.DER), intermediates, wanted.roots, now=at)
        return
    between, roots = [load_certificate(one) for one in intermediates], [load_certificate(one) for one in wanted.roots]
    verify_for_any_use(found, between, roots, now=at)


def check_issued_pem(chain: str, wanted: Wanted, *, at: datetime) -> Issued:
    """The same for a chain in PEM, as ACME gives it; ClientError."""
    try:
        leaf, *intermediates = parse_pem_certificates(chain)
    except PEMError as error:
        raise ClientError(f"the CA's answer is not a certificate chain: {error}; nothing was written") from None
    return check_issued(leaf, intermediates, wanted, at=at)


def held_key(key: object) -> HeldKey:
    """A public key of a kind that certificates here have; ClientError."""
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise ClientError("a key of this kind is not taken", hint="RSA, P-256, P-384 and Ed25519 are")
    return key


def spki(key: object) -> bytes:
    """The SubjectPublicKeyInfo (DER), by which keys are compared; ClientError as in `held_key`."""
    return held_key(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def describe(found: x509.Certificate, **more: str | None) -> dict[str, Any]:
    """The facts of a certificate for --json, after those that the command adds."""
    return {
        **more,
        "serial": str(found.serial_number),
        "serial_hex": f"{found.serial_number:x}",
        "not_before": found.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "not_after": found.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
    }
