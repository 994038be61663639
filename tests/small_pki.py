"""A root, an intermediate and leaves for tests that need no running CA; each leaf is complete and good for a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayfly.core.x509.hierarchy import build_intermediate, build_root
from dayfly.core.x509.pem import render_pem
from factories import NAME, ec_key

LeafKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def moment(text: str = "2026-11-24T12:00:00") -> datetime:
    """A fixed moment, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@dataclass
class PKI:
    """One hierarchy; `born` is when it was made."""

    born: datetime = field(default_factory=moment)
    root_key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)
    issuer_key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)

    def __post_init__(self) -> None:
        begin, end = self.born - timedelta(days=1), self.born + timedelta(days=3650)
        self.root = build_root(name="Test", key=self.root_key, serial=11, not_before=begin, not_after=end)
        self.intermediate = build_intermediate(
            name="Test", public_key=self.issuer_key.public_key(), issuer=self.root, issuer_key=self.root_key,
            serial=12, not_before=begin, not_after=end,
        )  # fmt: skip

    @property
    def root_pem(self) -> str:
        """The root, PEM."""
        return render_pem(self.root)

    def leaf(
        self,
        *names: str,
        key: LeafKey | None = None,
        begin: datetime | None = None,
        life: timedelta = timedelta(hours=1),
        serial: int | None = None,
        common_name: str | None = None,
        public: CertificatePublicKeyTypes | None = None,
    ) -> x509.Certificate:
        """A leaf for DNS names, the first in the CN too unless `common_name` says otherwise."""
        begin, wanted = begin or self.born, names or (NAME,)
        public = public or (key or ec_key()).public_key()
        issuer = x509.load_der_x509_certificate(self.intermediate)
        name = wanted[0] if common_name is None else common_name
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject)
            .public_key(public)
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + life)
            .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in wanted]), critical=not name)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
            .sign(self.issuer_key, SHA256())
        )

    def chain(self, leaf: x509.Certificate) -> str:
        """Leaf and intermediate, PEM, as a CA's answer has them."""
        return leaf.public_bytes(Encoding.PEM).decode() + render_pem(self.intermediate)


@dataclass
class Files:
    """A pair on disk, and the root that it chains to."""

    crt: Path
    key: Path
    root: Path


def key_pem(key: LeafKey, *, password: bytes | None = None) -> bytes:
    """A private key as PKCS#8 PEM."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def write_pair(where: Path, pki: PKI, leaf: x509.Certificate, key: LeafKey, *, password: bytes | None = None) -> Files:
    """`api.crt`, `api.key` and `root.pem` in a directory."""
    files = Files(where / "api.crt", where / "api.key", where / "root.pem")
    files.crt.write_text(pki.chain(leaf))
    files.key.write_bytes(key_pem(key, password=password))
    files.key.chmod(0o600)
    files.root.write_text(pki.root_pem)
    return files
