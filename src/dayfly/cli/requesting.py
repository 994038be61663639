"""What a command asks a CA for: names, a key, a certificate request, times.

Rules: a name is an address, a DNS name, an e-mail address or a URI, in its normal form, or an error; a key is made here
and never leaves; a time is a duration from now or an RFC 3339 time, as step has it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dayfly.core import identifiers
from dayfly.core.identifiers import Identifier, IdentifierType, parse_ip
from dayfly.core.problems import Refused
from dayfly.core.step.asked import Asked, parse_asked, resolve_asked
from dayfly.core.step.requests import CSR_LABELS
from dayfly.core.x509.pem import PEMError, parse_pem_block
from dayfly.errors import UsageError

CertificateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Command = TypeVar("Command", bound=Callable[..., Any])

MAX_CN = 64
MAX_OCTETS = 64 * 1024
_FORMS: Mapping[IdentifierType, Callable[[str], x509.GeneralName]] = {
    IdentifierType.DNS: x509.DNSName,
    IdentifierType.EMAIL: x509.RFC822Name,
    IdentifierType.URI: x509.UniformResourceIdentifier,
}
_SHOWN = x509.DNSName | x509.IPAddress | x509.RFC822Name | x509.UniformResourceIdentifier
_USUAL = {"EC": "P-256", "OKP": "Ed25519"}
_MAKERS: Mapping[tuple[str, str], Callable[[], CertificateKey]] = {
    ("EC", "P-256"): lambda: ec.generate_private_key(ec.SECP256R1()),
    ("EC", "P-384"): lambda: ec.generate_private_key(ec.SECP384R1()),
    ("OKP", "Ed25519"): ed25519.Ed25519PrivateKey.generate,
}


def key_options(command: Command) -> Command:
    """`--kty`, `--curve` and `--size`: what kind of key is made."""
    for option in (
        click.option(
            "--size", type=click.Choice(["2048", "3072", "4096"]), help="Bits of an RSA key; 3072 by default."
        ),
        click.option("--curve", "--crv", type=click.Choice(["P-256", "P-384", "Ed25519"]), help="Curve of the key."),
        click.option(
            "--kty", type=click.Choice(["EC", "RSA", "OKP"]), default="EC", show_default=True, help="Kind of key."
        ),
    ):
        command = option(command)
    return command


def check_key_options(kty: str, curve: str | None, size: str | None) -> None:
    """Raise UsageError where the flags contradict each other."""
    if size is not None and kty != "RSA":
        raise UsageError("--size is for RSA keys", hint="add --kty RSA, or leave --size out")
    if kty == "RSA" and curve is not None:
        raise UsageError("--curve has no meaning for an RSA key", hint="leave it out")
    if kty != "RSA" and (kty, curve or _USUAL[kty]) not in _MAKERS:
        raise UsageError(f"--curve {curve} has no keys of kind {kty}", hint="EC has P-256 and P-384, OKP has Ed25519")


def make_key(kty: str, curve: str | None, size: str | None) -> CertificateKey:
    """A new key; UsageError as in `check_key_options`."""
    check_key_options(kty, curve, size)
    if kty == "RSA":
        return rsa.generate_private_key(65537, int(size or 3072))
    return _MAKERS[kty, curve or _USUAL[kty]]()


def parse_name(text: str) -> Identifier:
    """An address, a DNS name, an e-mail address or a URI; UsageError."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        is_address = False
    else:
        is_address = True
    try:
        return parse_ip(text) if is_address else identifiers.parse_name(text)
    except Refused as error:
        raise UsageError(f"{text!r} is not a name that a certificate can have: {error.detail}") from None


def parse_names(texts: Sequence[str]) -> tuple[Identifier, ...]:
    """The names, each once, in order; UsageError."""
    return tuple(dict.fromkeys(map(parse_name, texts)))


def make_csr(names: Sequence[Identifier], key: CertificateKey, *, common_name: str | None) -> bytes:
    """A request (DER) for the names; the common name stands in the subject where it fits."""
    fits = common_name is not None and 0 < len(common_name) <= MAX_CN
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if fits and common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        entries = [_general_name(one) for one in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(entries), critical=False)
    return builder.sign(key, _digest(key)).public_bytes(Encoding.DER)


def _general_name(name: Identifier) -> x509.GeneralName:
    if name.type is IdentifierType.IP:
        return x509.IPAddress(ipaddress.ip_address(name.value))
    return _FORMS[name.type](name.value)


def _digest(key: CertificateKey) -> SHA256 | SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256 else SHA256()


def load_csr(path: Path) -> x509.CertificateSigningRequest:
    """The request in a file, PEM or DER, whose own signature is good; UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_OCTETS)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a certificate request") from None
    try:
        der = content if content[:1] == b"\x30" else parse_pem_block(content.decode("ascii"), *CSR_LABELS)
        csr = x509.load_der_x509_csr(der)
        _check_signature(csr)
    except (PEMError, UnicodeDecodeError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is not a certificate request: {error}") from None
    return csr


def _check_signature(csr: x509.CertificateSigningRequest) -> None:
    try:
        good = csr.is_signature_valid
    except InvalidSignature:
        good = False
    if not good:
        raise ValueError("its own signature is not good")


def common_name_of(holder: x509.CertificateSigningRequest | x509.Certificate) -> str:
    """The CN of a subject, or nothing."""
    values = holder.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""


def names_of(holder: x509.CertificateSigningRequest | x509.Certificate) -> tuple[Identifier, ...]:
    """The subject alternative names; UsageError where one is of a type that is not issued here."""
    try:
        found = holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except ValueError:
        raise UsageError("the names in it cannot be read") from None
    texts = [one.value for one in found if isinstance(one, _SHOWN)]
    if len(texts) != len(list(found)):
        raise UsageError(
            "it has a name that is neither a DNS name, an address, an e-mail address nor a URI",
            hint="leave that name out",
        )
    return parse_names([str(text) for text in texts])


def parse_time(text: str | None, flag: str) -> Asked:
    """A duration from now, perhaps negative, or an RFC 3339 time; UsageError."""
    try:
        return parse_asked(text, flag)
    except Refused:
        raise UsageError(
            f"{flag}: {text!r} is neither a duration nor a time", hint="write 1h, or 2026-12-01T00:00:00Z"
        ) from None


def moment_of(text: str | None, flag: str, *, now: datetime) -> datetime | None:
    """The moment that `parse_time` means, counted from `now`; UsageError."""
    try:
        return resolve_asked(parse_time(text, flag), now, flag)
    except Refused as error:
        raise UsageError(f"{flag}: {error.detail}") from None
