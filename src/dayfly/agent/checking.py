"""Checks a CA's answer before anything is installed (agent.md 8, reliability.md G5 and G6).

1. size and shape: certificates in PEM, a handful of them, and no private key;
2. the leaf holds our key, exactly the declared names, and may be a server or a client;
3. the chain, put in order by us, ends at the pinned root and nothing in it is left over;
4. its dates: not expired, begun, and no longer than asked.

Rules: each check has a reason code; anything but a full pass keeps the old pair; the system's trust store is never
looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from dayfly.agent.enrolling import general_name
from dayfly.agent.failures import Failure, FailureClass
from dayfly.core.x509.unreadable import ABSENT, UNREADABLE, UNSIGNED

_MAX_BYTES = 64 * 1024
_MAX_CERTIFICATES = 8
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----[\r\n]+[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----")
_EXACT = timedelta(seconds=2)
_USES = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer is held against; `not_after` is None where none was asked for."""

    names: tuple[str, ...]
    csr: bytes
    root: x509.Certificate
    not_after: datetime | None
    lifetime: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate that passed every check; `chain` is in order, without leaf and root."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]


class NotYetValid(Failure):
    """The certificate begins in the future: the clock, or the CA's, is off; wait (agent.md 13)."""


def check_answer(answer: bytes, expected: Expected, *, now: datetime) -> Checked:
    """The leaf and its chain; Failure with the reason code of the first check that did not pass."""
    leaf, *others = _parse(answer)
    _check_leaf(leaf, expected)
    chain = order_chain(leaf, tuple(others), expected.root, now=now)
    _check_dates(leaf, expected, now)
    return Checked(leaf, chain)


def _refuse(code: str, text: str) -> Failure:
    return Failure(
        FailureClass.IDENTITY if code == "key-mismatch" else FailureClass.TRANSIENT, code, text, order_lost=True
    )


def _parse(answer: bytes) -> list[x509.Certificate]:
    """Step 1."""
    if len(answer) > _MAX_BYTES:
        raise _refuse("answer-size", f"the CA's answer has {len(answer)} octets")
    if b"PRIVATE KEY" in answer:
        raise _refuse("answer-private-key", "the CA's answer holds a private key")
    blocks = _BLOCK.findall(answer)
    if not 0 < len(blocks) <= _MAX_CERTIFICATES or _BLOCK.sub(b"", answer).strip():
        raise _refuse("answer-pem", "the CA's answer is not a list of certificates in PEM")
    try:
        return [x509.load_pem_x509_certificate(block) for block in blocks]
    except UNREADABLE as error:
        raise _refuse("answer-pem", f"the CA's answer holds a certificate that cannot be read: {error}") from error


def _check_leaf(leaf: x509.Certificate, expected: Expected) -> None:
    """Step 2."""
    try:
        same_key = _spki(leaf) == _spki(x509.load_der_x509_csr(expected.csr))
    except UNREADABLE as error:
        raise _refuse("key-mismatch", "the certificate's key cannot be read") from error
    if not same_key:
        raise _refuse("key-mismatch", "the certificate is for another key than the one we asked with")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except ABSENT as error:
        raise _refuse("names", "the certificate lacks names or uses") from error
    if sorted(map(repr, names)) != sorted(repr(general_name(name)) for name in expected.names):
        raise _refuse("names", "the certificate is for other names than those declared")
    if not _USES.intersection(uses):
        raise _refuse("eku", "the certificate is neither for servers nor for clients")


def _spki(holder: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return holder.public_key().public_bytes(encoding, form)


def order_chain(
    leaf: x509.Certificate, others: tuple[x509.Certificate, ...], root: x509.Certificate, *, now: datetime
) -> tuple[x509.Certificate, ...]:
    """Step 3: the intermediates from the leaf up to the pinned `root`; Failure `chain`."""
    left = [certificate for certificate in others if certificate != root]
    chain: list[x509.Certificate] = []
    below = leaf
    while not _issued(below, root, now, depth=len(chain)):
        issuer = next((one for one in left if _issued(below, one, now, depth=len(chain))), None)
        if issuer is None:
            raise _refuse("chain", "the certificate does not chain to the root that this agent trusts")
        left.remove(issuer)
        chain.append(issuer)
        below = issuer
    if left:
        raise _refuse("chain", "the CA's answer holds certificates that do not belong to its chain")
    return tuple(chain)


def _issued(below: x509.Certificate, issuer: x509.Certificate, now: datetime, *, depth: int) -> bool:
    """Is `issuer` a CA, valid now, that may stand above `depth` intermediates, and did it sign `below`?"""
    if below.issuer != issuer.subject or not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
        return False
    try:
        below.verify_directly_issued_by(issuer)
    except UNSIGNED:
        return False
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except ABSENT:
        return False
    return constraints.ca and (constraints.path_length is None or constraints.path_length >= depth)


def _check_dates(leaf: x509.Certificate, expected: Expected, now: datetime) -> None:
    """Step 4. A whole lifetime more, or less than half of it, is not what was asked for."""
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if end <= now:
        raise _refuse("expired", f"the certificate ended at {end:%Y-%m-%d %H:%M:%S} already")
    if begin > now:
        wait = (begin - now).total_seconds()
        text = f"the certificate begins at {begin:%Y-%m-%d %H:%M:%S}: this clock or the CA's is off"
        raise NotYetValid(FailureClass.LOCAL, "not-yet-valid", text, retry_after=wait, hint="synchronise the clock")
    if expected.not_after is None:
        return
    if end > expected.not_after + _EXACT:
        raise _refuse("lifetime", "the certificate lives longer than asked")
    if end < expected.not_after - timedelta(seconds=expected.lifetime / 2):
        raise _refuse("lifetime", "the certificate lives much shorter than asked")
