"""Is a certificate good under our roots, for this name, now (RFC 5280 6)?

Rules: only the roots that are given count; the library builds and checks the path; a certificate's times, names and
purpose are looked at by name first, so that the error says which of them it is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.x509.der import SEQUENCE, read, read_all, read_integer, read_one
from dayfly.core.x509.unreadable import UNREADABLE
from dayfly.errors import DayflyError

MAX_DEPTH = 4
VERSION = 0xA0  # the tag of the field, which a certificate of version 3 begins with


class ChainError(DayflyError):
    """The certificate is not good; the text says why."""


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate; ChainError."""
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE:
        raise ChainError("this is not an X.509 certificate") from None


def load_presented(der: bytes) -> x509.Certificate:
    """A certificate that a stranger shows; ChainError, also for a version or serial number that no CA of today gives.

    The library warns of a serial that is not positive (RFC 5280 4.1.2.2), and will not load one some day.
    """
    try:
        fields, _ = read(read_one(der, SEQUENCE).content)
        version, serial, *_ = read_all(fields.content)
        positive = version.tag == VERSION and read_integer(serial) > 0
    except ValueError:
        positive = False
    if not positive:
        raise ChainError("this is not an X.509 certificate of version 3 with a positive serial number")
    return load_certificate(der)


def verify_chain(
    leaf: bytes,
    intermediates: Sequence[bytes],
    roots: Sequence[bytes],
    *,
    now: datetime,
    name: Identifier | None = None,
) -> tuple[bytes, ...]:
    """The path from the leaf to a root (DER, root last); ChainError.

    1. The times of the leaf.  2. The name, if one is asked for.  3. The path to one of `roots`.
    """
    certificate = load_certificate(leaf)
    check_times(certificate, now)
    names = alternative_names(certificate)
    if name is not None and not any(_covers(one, name) for one in names):
        raise ChainError(
            f"the certificate is not for {name.value}; it is for {', '.join(map(_text, names)) or 'no name'}"
        )
    subject = _subject(name, names)
    verifier = (
        PolicyBuilder()
        .store(Store([load_certificate(der) for der in roots]))
        .time(now)
        .max_chain_depth(MAX_DEPTH)
        .build_server_verifier(subject)
    )
    try:
        path = verifier.verify(certificate, [load_certificate(der) for der in intermediates])
    except VerificationError as error:
        raise ChainError(f"the certificate does not chain to these roots: {error}") from None
    return tuple(one.public_bytes(Encoding.DER) for one in path)


def verify_for_any_use(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    *,
    now: datetime,
    name: Identifier | None = None,
) -> tuple[x509.Certificate, ...]:
    """The path from a certificate of whatever purpose (server, client, an authority) to a root; ChainError.

    1. Its times.  2. The name, if one is asked for.  3. The path to one of `roots`.
    """
    try:
        check_times(leaf, now)
        if name is not None:
            _check_name(leaf, name)
        return _path(leaf, intermediates, roots, now=now)
    except UNREADABLE:  # the library reads much of a certificate only when it is asked
        raise ChainError("the certificate cannot be read") from None


def _path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    *,
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    builder = PolicyBuilder().store(Store(list(roots))).time(now).max_chain_depth(MAX_DEPTH)
    # The library knows servers and clients alone; what it checks of a CA stays, what it asks of a leaf's purpose goes.
    verifier = builder.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    ).build_client_verifier()
    try:
        return tuple(verifier.verify(leaf, list(intermediates)).chain)
    except VerificationError as error:
        raise ChainError(f"the certificate does not chain to these roots: {error}") from None


def check_client_path(leaf: bytes, intermediates: Sequence[bytes], roots: Sequence[bytes], *, now: datetime) -> None:
    """Raise ChainError unless a leaf leads to one of `roots` over these intermediates, each of which is needed.

    A root among the intermediates is no harm: stock clients send the whole of their file.
    """
    trusted = [load_certificate(der) for der in roots]
    between = [one for one in map(load_presented, intermediates) if one not in trusted]
    path = verify_for_any_use(load_presented(leaf), between, trusted, now=now)
    if any(one not in path for one in between):
        raise ChainError("a certificate stands in the chain that does not belong to it")


def _check_name(certificate: x509.Certificate, name: Identifier) -> None:
    names = alternative_names(certificate)
    if not any(_covers(one, name) for one in names):
        raise ChainError(
            f"the certificate is not for {name.value}; it is for {', '.join(map(_text, names)) or 'no name'}"
        )


def check_times(certificate: x509.Certificate, now: datetime) -> None:
    """Raise ChainError for a certificate that is not valid yet, or no longer."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        raise ChainError(f"the certificate is valid from {begin:%Y-%m-%d %H:%M:%S} UTC on", hint="is this clock right?")
    if now > end:
        raise ChainError(f"the certificate expired at {end:%Y-%m-%d %H:%M:%S} UTC", hint="renew it")


def alternative_names(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names; none where the extension is absent."""
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()
    except UNREADABLE:
        raise ChainError("the certificate's names cannot be read") from None


def _covers(found: x509.GeneralName, name: Identifier) -> bool:
    if name.type is IdentifierType.IP:
        return isinstance(found, x509.IPAddress) and str(found.value) == name.value
    if name.type is IdentifierType.EMAIL:
        return isinstance(found, x509.RFC822Name) and found.value == name.value
    if name.type is IdentifierType.URI:
        return isinstance(found, x509.UniformResourceIdentifier) and found.value == name.value
    if name.type is not IdentifierType.DNS or not isinstance(found, x509.DNSName):
        return False
    pattern = found.value.lower()
    if pattern.startswith("*."):
        return pattern[2:] == name.value.partition(".")[2]
    return pattern == name.value


def _subject(name: Identifier | None, names: Sequence[x509.GeneralName]) -> x509.DNSName | x509.IPAddress:
    """The name to verify for: the one that is asked for, or any that the certificate has."""
    if name is not None:
        if name.type is IdentifierType.IP:
            return x509.IPAddress(ipaddress.ip_address(name.value))
        return x509.DNSName(name.value)
    for one in names:
        if isinstance(one, x509.DNSName):
            return x509.DNSName(one.value.replace("*", "any", 1))
        if isinstance(one, x509.IPAddress) and not hasattr(one.value, "prefixlen"):
            return one
    raise ChainError("the certificate has no DNS name and no address")


def _text(name: x509.GeneralName) -> str:
    return str(name.value)[:100]
