"""What is in a certificate or a request, as plain values for programs and for the renderings.

Rules: keys are those that step's JSON has, where it has them, so that what people filter with jq goes on working; what
a certificate says is data of strangers: it is made printable and never obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.core.x509 import der
from dayfly.core.x509.profile import PROVISIONER
from dayfly.core.x509.unreadable import UNREADABLE, UNSIGNED
from dayfly.errors import UsageError

Certified = x509.Certificate | x509.CertificateSigningRequest

_PROVISIONER_TYPES = {1: "JWK", 2: "OIDC", 5: "X5C", 6: "ACME"}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign",
)  # fmt: skip
_EXTENSIONS = {  # those that the library has no name for
    "2.5.29.56": "no_revocation_available",  # RFC 9608
    "1.3.6.1.4.1.37476.9000.64.1": "step_provisioner",
}
_NAME_KINDS: Mapping[type[object], str] = {
    x509.DNSName: "dns_names",
    x509.IPAddress: "ip_addresses",
    x509.RFC822Name: "email_addresses",
    x509.UniformResourceIdentifier: "uniform_resource_identifiers",
}


def printable(text: str) -> str:
    """A stranger's text without control characters."""
    return "".join(one if one.isprintable() else "?" for one in text)


def describe(certificate: x509.Certificate) -> dict[str, Any]:
    """The facts of a certificate; UsageError where what is inside cannot be read."""
    try:
        serial, begin, end = (
            certificate.serial_number,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
        return {
            "kind": "certificate",
            "version": certificate.version.value + 1,
            "serial_number": str(serial),
            "serial_hex": f"{serial:x}",
            "signature_algorithm": {"name": _signature_name(certificate)},
            "issuer_dn": printable(certificate.issuer.rfc4514_string()),
            "validity": {
                "start": begin.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "end": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "length": int((end - begin).total_seconds()),
            },
            **_common(certificate),
            "provisioner": _provisioner(certificate),
        }
    except UNREADABLE as error:
        raise unreadable("certificate", error) from None


def describe_request(request: x509.CertificateSigningRequest) -> dict[str, Any]:
    """The facts of a request; UsageError where what is inside cannot be read."""
    try:
        return {
            "kind": "request",
            "version": 0,
            "signature_algorithm": {"name": _signature_name(request), "valid": _is_signed(request)},
            **_common(request),
        }
    except UNREADABLE as error:
        raise unreadable("request", error) from None


def unreadable(what: str, error: Exception) -> UsageError:
    """A certificate or request that begins well, and whose inside the library refuses."""
    return UsageError(f"the {what} cannot be read: {printable(str(error))[:200]}", hint="is the file damaged?")


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    """Does the request's own key vouch for it? A key that cannot be used vouches for nothing."""
    try:
        return request.is_signature_valid
    except UNSIGNED:
        return False


def _common(one: Certified) -> dict[str, Any]:
    extensions: dict[str, Any] = dict(_extensions(one))
    names = extensions.get("subject_alt_name", {})
    return {
        "subject_dn": printable(one.subject.rfc4514_string()),
        "subject_key_info": {"key_algorithm": {"name": _algorithm_words(one)}, "words": _key_words(one)},
        "names": [value for kind in _NAME_KINDS.values() for value in names.get(kind, ())],
        "is_ca": extensions.get("basic_constraints", {}).get("is_ca", False),
        "extensions": extensions,
        "fingerprint_sha256": fingerprint_of(one).hex(),
    }


def fingerprint_of(one: Certified) -> bytes:
    """SHA-256 of the whole DER."""
    digest = Hash(SHA256())
    digest.update(one.public_bytes(Encoding.DER))
    return digest.finalize()


def common_name(name: str) -> str:
    """The CN of an RFC 4514 name, else the whole of it."""
    for part in name.split(","):
        if part.startswith("CN="):
            return part.removeprefix("CN=")
    return name


def _signature_name(one: Certified) -> str:
    return one.signature_algorithm_oid._name  # noqa: SLF001 - the library's name for it


def _key(one: Certified) -> object:
    try:
        return one.public_key()
    except UNREADABLE:  # a kind of key that the library does not know
        return None


def _algorithm_words(one: Certified) -> str:
    return _key_words(one).partition(" ")[0]


def _key_words(one: Certified) -> str:
    key = _key(one)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "unknown"


def _extensions(one: Certified) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Each extension's name in snake case, with what it says: an identifier's hex, or fields, `critical` if so."""
    for extension in one.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            yield "subject_key_id", extension.value.digest.hex()
        elif isinstance(extension.value, x509.AuthorityKeyIdentifier):
            yield "authority_key_id", (extension.value.key_identifier or b"").hex()
        else:
            name, value = _extension(extension.value)
            yield name, {**value, **({"critical": True} if extension.critical else {})}


def _extension(value: x509.ExtensionType) -> tuple[str, dict[str, Any]]:
    if isinstance(value, x509.SubjectAlternativeName):
        return "subject_alt_name", _alternative_names(value)
    if isinstance(value, x509.BasicConstraints):
        return "basic_constraints", {"is_ca": value.ca, **_given("max_path_len", value.path_length)}
    if isinstance(value, x509.KeyUsage):
        return "key_usage", {name: True for name in _USAGES if getattr(value, name)}
    if isinstance(value, x509.ExtendedKeyUsage):
        return "extended_key_usage", {_snake(one._name): True for one in value}  # noqa: SLF001 - the library's name for it
    if isinstance(value, x509.NameConstraints):
        return "name_constraints", {
            "permitted": [printable(str(one.value)) for one in value.permitted_subtrees or ()],
            "excluded": [printable(str(one.value)) for one in value.excluded_subtrees or ()],
        }
    oid = value.oid
    if oid.dotted_string in _EXTENSIONS:
        return _EXTENSIONS[oid.dotted_string], {"oid": oid.dotted_string}
    name = oid._name  # noqa: SLF001 - the library's name for it
    return (oid.dotted_string if name == "Unknown OID" else _snake(name)), {"oid": oid.dotted_string}


def _alternative_names(value: x509.SubjectAlternativeName) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in value:
        found.setdefault(_NAME_KINDS.get(type(one), "other_names"), []).append(printable(str(one.value)))
    return found


def _given(name: str, value: int | None) -> dict[str, int]:
    return {} if value is None else {name: value}


def _snake(camel: str) -> str:
    """`serverAuth` as `server_auth`."""
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in camel).lstrip("_")


def _provisioner(certificate: x509.Certificate) -> dict[str, str] | None:
    """Type, name and credential of step's provisioner extension, where it is there and readable."""
    for one in certificate.extensions:
        value = one.value
        if isinstance(value, x509.UnrecognizedExtension) and der.oid(value.oid.dotted_string) == PROVISIONER:
            return _parse_mark(value.value)
    return None


def _parse_mark(value: bytes) -> dict[str, str] | None:
    try:
        kind, name, credential, *_ = der.read_all(der.read_one(value, der.SEQUENCE).content)
        number = der.read_integer(kind)
        texts = [one.content.decode("utf-8") for one in (name, credential)]
    except (der.DERError, ValueError):
        return None
    clean = [printable(text) for text in texts]
    return {"type": _PROVISIONER_TYPES.get(number, str(number)), "name": clean[0], "credential": clean[1]}
