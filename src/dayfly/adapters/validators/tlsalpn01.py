"""tls-alpn-01 (RFC 8737, RFC 8738): one TLS handshake, and what the certificate in it says.

Rules: the handshake offers `acme-tls/1` alone and ends the connection, not an octet of data follows; the certificate
is self-signed, for exactly the one identifier, with one critical acmeIdentifier that holds the digest; nothing else
about it is believed, and no text of it is shown. What is sent after it is not looked at: Apache's mod_md sends more.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from ipaddress import ip_address
from typing import Any

from cryptography import x509

from dayfly.adapters.validators.hops import Step, hop
from dayfly.adapters.validators.reach import Connected, Reach
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.problems import Connection, IncorrectResponse, Refused, Tls, Unauthorized
from dayfly.core.x509.unreadable import UNREADABLE, UNSIGNED
from dayfly.ports.validation import Location, Validated, ValidationFailed, ValidationTarget, ValidatorSpec

TOTAL_TIMEOUT = 10.0  # seconds
PROTOCOL = "acme-tls/1"
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
OBSOLETE_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.30.1")  # of drafts before RFC 8737
DIGEST_HEADER = b"\x04\x20"  # OCTET STRING of 32 octets, in DER


class TlsAlpn01:
    """The validator for tls-alpn-01; `port` is 443 but in a laboratory."""

    spec = ValidatorSpec("tls-alpn-01", frozenset({IdentifierType.DNS, IdentifierType.IP}), wildcards=False)

    def __init__(self, reach: Reach, *, port: int = 443) -> None:
        """`reach` is the only way out."""
        self._reach = reach
        self._port = port
        self._context = _context()

    async def locate(self, target: ValidationTarget) -> Location:
        """The addresses behind the name; ValidationFailed."""
        return await self._reach.locate(target.identifier, self._port)

    async def validate(self, target: ValidationTarget, location: Location) -> Validated:
        """Shake hands and look once; ValidationFailed."""
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                connected = await self._reach.dial(location, self._port)
                der = await self._shake_hands(connected, target.identifier)
        except TimeoutError:
            problem = Connection(f"{target.identifier.value} did not shake hands within {TOTAL_TIMEOUT:.0f} s")
            raise ValidationFailed(problem, transient=True) from None
        hop(Step.ANSWER, connected.address, f"{PROTOCOL} agreed, a certificate of {len(der)} octets")
        try:
            check_certificate(der, target)
        except Refused as refused:
            where = type(refused)(f"{connected.address}: {refused.detail}")
            raise ValidationFailed(where, transient=False) from None
        return Validated(connected.address)

    async def _shake_hands(self, connected: Connected, identifier: Identifier) -> bytes:
        """The certificate (DER) that the server showed; the connection is closed whatever happens."""
        wire = connected.wire
        try:
            await wire.start_tls(self._context, server_hostname=server_name(identifier))
            return _shown(wire.transport.get_extra_info("ssl_object"), connected.address)
        except ssl.SSLError as error:
            hop(Step.ANSWER, connected.address, f"TLS handshake failed: {_reason(error)}", passed=False)
            problem = Tls(f"{connected.address}: the TLS handshake failed: {_reason(error)}")
            raise ValidationFailed(problem, transient=True) from None
        except OSError:
            problem = Tls(f"{connected.address}: the connection broke in the TLS handshake")
            raise ValidationFailed(problem, transient=True) from None
        finally:
            wire.transport.abort()


def _context() -> ssl.SSLContext:
    """TLS 1.2 or later; the certificate is the answer to a question, so no chain is demanded (RFC 8737 3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([PROTOCOL])
    return context


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's own word for it, such as `tlsv1 alert no application protocol`: a fixed set, nothing that was sent."""
    return (error.reason or "no reason given").replace("_", " ").lower()[:80]


def server_name(identifier: Identifier) -> str:
    """The SNI: the name, or an address in its reverse mapping (RFC 8738 6)."""
    if identifier.type is IdentifierType.IP:
        return ip_address(identifier.value).reverse_pointer
    return identifier.value


def _shown(tls: Any, address: str) -> bytes:  # noqa: ANN401 - an SSLObject, of asyncio or of uvloop
    """The certificate of a finished handshake; ValidationFailed where the protocol was not agreed on."""
    if tls.selected_alpn_protocol() != PROTOCOL:
        hop(Step.ANSWER, address, f"TLS without {PROTOCOL}", passed=False)
        problem: Refused = Tls(f"{address}: the server did not agree on the protocol {PROTOCOL} (ALPN)")
        raise ValidationFailed(problem, transient=False)
    der: bytes = tls.getpeercert(binary_form=True) or b""
    return der


def check_certificate(der: bytes, target: ValidationTarget) -> None:
    """Raise where this is not the certificate that RFC 8737 3 asks for.

    1. It is well-formed DER, with no extension twice, and a signature of whole octets, which the library does not ask.
    2. It is signed by itself.
    3. It is for the identifier and for nothing else.
    4. Its acmeIdentifier is critical, and holds the digest and nothing else.
    """
    try:  # 1
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except UNREADABLE:
        raise IncorrectResponse("the certificate is not well formed, or has an extension twice") from None
    except x509.ExtensionNotFound:
        raise IncorrectResponse("the certificate has no subject alternative name") from None
    if not der.endswith(b"\0" + certificate.signature):
        raise IncorrectResponse("the certificate is not well formed: its signature has bits that are not used")
    _check_self_signed(certificate)  # 2
    if len(names) != 1 or not _is_name(names[0], target.identifier):  # 3
        raise IncorrectResponse(f"the certificate is not for this identifier alone ({len(names)} names)")
    _check_digest(extensions, target.key_authorization)  # 4


def _check_self_signed(certificate: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(certificate)
    except UNSIGNED:
        raise IncorrectResponse("the certificate is not signed by itself") from None


def _is_name(name: x509.GeneralName, identifier: Identifier) -> bool:
    """Exactly this identifier, of the type that it has: a dNSName, or an iPAddress (RFC 8738 6)."""
    if identifier.type is IdentifierType.DNS:
        return isinstance(name, x509.DNSName) and name.value.lower() == identifier.value
    return isinstance(name, x509.IPAddress) and name.value == ip_address(identifier.value)


def _check_digest(extensions: x509.Extensions, key_authorization: str) -> None:
    found = {one.oid: one for one in extensions}
    if OBSOLETE_IDENTIFIER in found:
        raise IncorrectResponse("the certificate has the acmeIdentifier of an old draft (30.1)")
    extension = found.get(ACME_IDENTIFIER)
    if extension is None or not isinstance(extension.value, x509.UnrecognizedExtension):
        raise IncorrectResponse("the certificate has no acmeIdentifier")
    if not extension.critical:
        raise IncorrectResponse("the certificate's acmeIdentifier is not critical")
    value = extension.value.value
    if len(value) != len(DIGEST_HEADER) + 32 or not value.startswith(DIGEST_HEADER):
        raise IncorrectResponse(f"the certificate's acmeIdentifier ({len(value)} octets) is no OCTET STRING of 32")
    if not hmac.compare_digest(value[2:], hashlib.sha256(key_authorization.encode()).digest()):
        raise Unauthorized("the certificate's acmeIdentifier is not the digest of this account's key authorization")
