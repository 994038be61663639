"""Certificate requests: a CSR carries a key; its names are read for comparison only (acme.md part 9).

Rules: size first, then the library's parser, then every rule that it does not have; nothing a client asks for becomes
an extension; names are canonical, and every CN counts as one.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from dayfly.core.identifiers import Identifier, parse_common_name, parse_dns, parse_email, parse_ip, parse_uri
from dayfly.core.jose.jwk import thumbprint_of
from dayfly.core.policy.keys import CERTIFICATE_KEYS, KeyFacts, KeyType, check_key
from dayfly.core.problems import BadCSR, BadPublicKey, Refused
from dayfly.core.x509.unreadable import UNREADABLE

MAX_OCTETS = 16 * 1024
MAX_CN = 64
EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
MICROSOFT_EXTENSIONS = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.14")
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class CSRFacts(msgspec.Struct, frozen=True):
    """What is taken from a request: the key, and the names to compare; `digest` is the SHA-256 (hex) of its DER.

    `names` are the alternative names and the CN together, `alternative_names` those without the CN. `thumbprint` is the
    key's (RFC 7638): under which an account would have it.
    """

    spki: bytes
    key: KeyFacts
    names: frozenset[Identifier]
    common_name: str | None
    digest: str
    alternative_names: frozenset[Identifier]
    thumbprint: str


def parse_csr(der: bytes, *, allow: frozenset[KeyType] = CERTIFICATE_KEYS, nameless: bool = False) -> CSRFacts:
    """The facts of a request; BadCSR names the defect. `nameless` takes one that names nothing, as step's may.

    1. Size and shape.  2. Its own signature, with an accepted algorithm.  3. The key.  4. Attributes.  5. Names.
    """
    if len(der) > MAX_OCTETS:
        raise BadCSR(f"the CSR has {len(der)} octets; at most {MAX_OCTETS} are read")
    try:
        csr = x509.load_der_x509_csr(der)
        signed_well = csr.is_signature_valid
        algorithm = csr.signature_hash_algorithm
        public_key = csr.public_key()
        attributes = [attribute.oid for attribute in csr.attributes]
    except x509.InvalidVersion as error:
        raise BadCSR(
            f"the CSR has version {error.parsed_version}; a PKCS#10 request has 0 and nothing else (RFC 2986 4.1)"
        ) from None
    except UNREADABLE:
        raise BadCSR("the CSR is not a DER PKCS#10 request that can be read") from None
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        raise BadCSR(f"the CSR is signed with {algorithm.name}; use SHA-256 or better")
    if not signed_well:
        raise BadCSR("the CSR's own signature does not verify")
    if attributes.count(EXTENSION_REQUEST) > 1 or MICROSOFT_EXTENSIONS in attributes:
        raise BadCSR("the CSR has more than one extension request")
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        key = check_key(public_key, allow=allow)
        thumbprint = thumbprint_of(public_key, spki=spki)
    except BadPublicKey as error:
        raise BadCSR(error.detail) from None
    if spki not in csr.tbs_certrequest_bytes:  # one key has one spelling in certificates, logs and block lists
        raise BadCSR("the CSR's key is not written as RFC 5480 and RFC 3279 write keys, such as a compressed point")
    common_name = _common_name(csr)
    names = alternative = _alternative_names(csr)
    if common_name is not None:
        names |= {_host(common_name)}
        common_name = _host(common_name).value
    if not names and not nameless:
        raise BadCSR("the CSR names nothing: neither a subject alternative name nor a CN")
    return CSRFacts(spki, key, names, common_name, hashlib.sha256(der).hexdigest(), alternative, thumbprint)


def _common_name(csr: x509.CertificateSigningRequest) -> str | None:
    try:
        attributes = list(csr.subject)
    except UNREADABLE:
        raise BadCSR("the subject cannot be read") from None
    if any(one.oid == NameOID.EMAIL_ADDRESS for one in attributes):
        raise BadCSR("the subject has an emailAddress, which is no name of the order")
    found = [one.value for one in attributes if one.oid == NameOID.COMMON_NAME]
    if len(found) > 1:
        raise BadCSR("the subject has more than one CN")
    if not found:
        return None
    (value,) = found
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_CN:
        raise BadCSR(f"the CN is empty, longer than {MAX_CN} characters, or not text")
    return value


def _alternative_names(csr: x509.CertificateSigningRequest) -> frozenset[Identifier]:
    try:
        found = csr.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return frozenset()
    except UNREADABLE:
        raise BadCSR("the requested extensions cannot be read, or one stands twice") from None
    names = frozenset(map(_general_name, found)) if isinstance(found, x509.SubjectAlternativeName) else frozenset()
    if not names:
        raise BadCSR("the subject alternative name is empty")
    return names


def _general_name(name: x509.GeneralName) -> Identifier:
    try:
        if isinstance(name, x509.DNSName):
            return parse_dns(name.value)
        if isinstance(name, x509.IPAddress):
            return parse_ip(_single(name.value))
        if isinstance(name, x509.RFC822Name):
            return parse_email(name.value)
        if isinstance(name, x509.UniformResourceIdentifier):
            return parse_uri(name.value)
    except Refused as error:
        raise BadCSR(f"a name in the CSR is not acceptable: {error.detail}") from None
    raise BadCSR("the CSR has a general name that is none of dNSName, iPAddress, rfc822Name and URI")


def _single(address: IPv4Address | IPv6Address | IPv4Network | IPv6Network) -> str:
    if isinstance(address, IPv4Network | IPv6Network):
        raise BadCSR("an iPAddress in the CSR has 8 or 32 octets; an address has 4 or 16")
    return str(address)


def _host(text: str) -> Identifier:
    """A CN as the name that it is: an address, a DNS name, and so on; or as text."""
    try:
        ip_address(text)
    except ValueError:
        is_address = False
    else:
        is_address = True
    try:
        return parse_ip(text) if is_address else parse_common_name(text)
    except Refused as error:
        raise BadCSR(f"the CN is no name of the order: {error.detail}") from None
