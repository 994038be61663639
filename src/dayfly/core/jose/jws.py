"""JSON Web Signatures: flattened for ACME (RFC 8555 6.2), compact for tokens (RFC 7515 7.1), read and written.

Rules: what is parsed is unverified until `verify` has returned; the key comes from our records, or for a new account
from `jwk`, and nothing in a header is ever fetched (`jku`, `x5u` and `x5c` are not even read); one algorithm set
decides, and the header only picks from it; extensions (`crit`, `b64`) are refused in any form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import msgspec

from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode, strict_json_object
from dayfly.core.jose.jwk import (
    DEFAULT_ALGORITHMS,
    KeyAlgorithm,
    PublicKey,
    parse_jwk,
    public_key_of,
)
from dayfly.core.jose.signatures import PrivateKey, sign, verify
from dayfly.core.problems import BadSignatureAlgorithm, Malformed

__all__ = [
    "MAX_HEADER",
    "ProtectedHeader",
    "UnverifiedJWS",
    "UnverifiedToken",
    "parse_compact",
    "parse_flattened",
    "sign_compact",
    "sign_flattened",
    "verify",
]

MAX_HEADER = 8192  # octets, decoded: room for an RSA key of 8,192 bits and a long URL, four times over

_ALGORITHMS = {algorithm.value: algorithm for algorithm in KeyAlgorithm}
# RFC 8555 6.5.1. Whether it is one of ours is not asked here, so stray bits are left to the place that knows.
_NONCE = re.compile(r"[A-Za-z0-9_-]+")


class ProtectedHeader(msgspec.Struct, frozen=True):
    """What ACME takes from a protected header; exactly one of `kid` and `jwk` is there, `nonce` may be missing."""

    alg: KeyAlgorithm
    nonce: str | None
    url: str
    kid: str | None
    jwk: PublicKey | None


class UnverifiedJWS(msgspec.Struct, frozen=True):
    """A flattened JWS whose signature nobody has checked: `verify(jws.signing_input, jws.signature, ...)`."""

    header: ProtectedHeader
    payload: bytes
    signing_input: bytes
    signature: bytes

    @property
    def is_empty_payload(self) -> bool:
        """Is it a POST-as-GET (RFC 8555 6.3)?"""
        return not self.payload


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A compact JWS whose signature nobody has checked; `header` is all of it, to look a key up with."""

    header: Mapping[str, Any]
    alg: KeyAlgorithm
    payload: bytes
    signing_input: bytes
    signature: bytes


class _Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    protected: str
    payload: str
    signature: str


class _UsualHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    kid: str
    nonce: str
    url: str


_read_members = msgspec.json.Decoder(_Members).decode
_QUOTES = 2 * (3 + 3)
_read_usual_header = msgspec.json.Decoder(_UsualHeader).decode
_HEADER_QUOTES = 2 * (4 + 4)
_MAX_PROTECTED = MAX_HEADER * 4 // 3 + 1


def parse_flattened(body: bytes, *, algorithms: AbstractSet[KeyAlgorithm] = DEFAULT_ALGORITHMS) -> UnverifiedJWS:
    """The request envelope of RFC 8555 6.2, not yet verified.

    Malformed for another serialization, a duplicate or missing member, loose base64url or JSON, an extension, not
    exactly one of `jwk` and `kid`, no `url`, a nonce that is not base64url. BadSignatureAlgorithm for an `alg` outside
    `algorithms`; BadPublicKey as in `parse_jwk`. A missing nonce is None: the caller answers badNonce (RFC 8555 6.5).
    The cap on the body is the caller's; the work here is linear in it.
    """
    members = _split_members(body)
    octets, payload, signature = _decode_members(members)
    header = _usual_header(octets, algorithms) or _parse_protected(_header_object(octets), algorithms)
    return UnverifiedJWS(
        header,
        payload,
        f"{members.protected}.{members.payload}".encode("ascii"),
        signature,
    )


def parse_compact(token: str, *, algorithms: AbstractSet[KeyAlgorithm] = DEFAULT_ALGORITHMS) -> UnverifiedToken:
    """A compact token, not yet verified; claims, `typ`, `kid` and `x5c` are the caller's to judge.

    Malformed for anything but three parts of strict base64url with a strict JSON header, for an extension, and for a
    nested or encrypted token; BadSignatureAlgorithm for an `alg` outside `algorithms`. The cap on the token is the
    caller's.
    """
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise Malformed("a token has exactly three parts; an encrypted one is not taken")
    header = _header_object(_protected_octets(parts[0]))
    if not {"enc", "zip", "cty"}.isdisjoint(header):
        raise Malformed("nested, compressed and encrypted tokens are not taken")
    return UnverifiedToken(
        header,
        _accepted_algorithm(header, algorithms),
        _decode("the payload", parts[1]),
        f"{parts[0]}.{parts[1]}".encode("ascii"),
        _decode("the signature", parts[2]),
    )


def sign_flattened(
    payload: bytes | None,
    *,
    key: PrivateKey,
    alg: KeyAlgorithm,
    url: str,
    nonce: str | None,
    kid: str | None = None,
    jwk: bool = False,
) -> bytes:
    """A request body of RFC 8555 6.2: `payload` None is a POST-as-GET; `nonce` is None only inside a key change.

    The header names the key by `kid`, or with `jwk=True` carries it. ValueError where it is not exactly one of the
    two, or where `alg` does not fit the key.
    """
    if (kid is None) is not jwk:
        raise ValueError("exactly one of kid and jwk names the key (RFC 8555 6.2)")
    public = _fitting_public_key(key, alg)
    header: dict[str, object] = {"alg": alg, "url": url}
    header |= {"jwk": msgspec.Raw(public.jwk)} if jwk else {"kid": kid}
    if nonce is not None:
        header["nonce"] = nonce
    protected, body = b64u_encode(msgspec.json.encode(header)), b64u_encode(payload or b"")
    signature = b64u_encode(sign(f"{protected}.{body}".encode("ascii"), key=key, alg=alg))
    return msgspec.json.encode({"protected": protected, "payload": body, "signature": signature})


def sign_compact(
    payload: bytes, *, key: PrivateKey, alg: KeyAlgorithm, header: Mapping[str, object] | None = None
) -> str:
    """A compact token over `payload`; `header` adds members such as `kid` and `typ`.

    ValueError where `alg` does not fit the key, or where `header` brings `alg` or an extension.
    """
    extra = dict(header or {})
    if not {"alg", "crit", "b64"}.isdisjoint(extra):
        raise ValueError("alg is an argument of its own, and extensions are not taken")
    _fitting_public_key(key, alg)
    signing_input = b64u_encode(msgspec.json.encode({"alg": alg, **extra})) + "." + b64u_encode(payload)
    return signing_input + "." + b64u_encode(sign(signing_input.encode("ascii"), key=key, alg=alg))


def _split_members(body: bytes) -> _Members:
    """The three members, each once.

    A body of exactly these three and twelve quotes has six strings, so no member is there twice: that spares the usual
    request a second reading. All else goes the long way, which also gives the reason for a refusal.
    """
    if body.count(b'"') == _QUOTES:
        try:
            return _read_members(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
    return _split_unusual_members(body)


def _split_unusual_members(body: bytes) -> _Members:
    """As `_split_members`, for any body; members that we do not know are ignored (RFC 7515 7.2.1)."""
    try:
        members = strict_json_object(body)
    except EncodingError as error:
        raise Malformed(f"the body is not a flattened JWS: {error}") from None
    if not {"header", "signatures"}.isdisjoint(members):
        raise Malformed("the body has header or signatures; only the flattened form without them is taken")
    for member in ("protected", "payload", "signature"):
        if type(members.get(member)) is not str:
            raise Malformed(f"the JWS's {member} is missing or not a string")
    return _Members(members["protected"], members["payload"], members["signature"])


def _decode_members(members: _Members) -> tuple[bytes, bytes, bytes]:
    """Protected header, payload and signature; Malformed says which of them is not base64url."""
    if len(members.protected) <= _MAX_PROTECTED:
        try:
            return b64u_decode(members.protected), b64u_decode(members.payload), b64u_decode(members.signature)
        except EncodingError:
            pass
    header = _protected_octets(members.protected)
    return header, _decode("the payload", members.payload), _decode("the signature", members.signature)


def _decode(what: str, text: str) -> bytes:
    try:
        return b64u_decode(text)
    except EncodingError as error:
        raise Malformed(f"{what} is not acceptable: {error}") from None


def _protected_octets(protected: str) -> bytes:
    """The JSON of a protected header of either form."""
    if len(protected) > _MAX_PROTECTED:
        raise Malformed(f"the protected header is larger than {MAX_HEADER} octets")
    return _decode("the protected header", protected)


def _usual_header(octets: bytes, algorithms: AbstractSet[KeyAlgorithm]) -> ProtectedHeader | None:
    """The header of most requests: `alg`, `kid`, `nonce` and `url`, all good; None for any other, which is read slowly.

    Four strings and sixteen quotes leave no room for a member that stands twice, as in `_split_members`.
    """
    if octets.count(b'"') != _HEADER_QUOTES:
        return None
    try:
        found = _read_usual_header(octets)
    except (msgspec.MsgspecError, ValueError):
        return None
    algorithm = _ALGORITHMS.get(found.alg)
    if algorithm is None or algorithm not in algorithms or _NONCE.fullmatch(found.nonce) is None:
        return None
    return ProtectedHeader(algorithm, found.nonce, found.url, found.kid, None)


def _header_object(octets: bytes) -> dict[str, Any]:
    """The protected header of either form, without extensions."""
    try:
        header = strict_json_object(octets)
    except EncodingError as error:
        raise Malformed(f"the protected header is not acceptable: {error}") from None
    if "crit" in header or "b64" in header:
        raise Malformed("crit and b64 are not taken: no extension of JWS is (RFC 7515 4.1.11)")
    return header


def _accepted_algorithm(header: Mapping[str, Any], algorithms: AbstractSet[KeyAlgorithm]) -> KeyAlgorithm:
    name = header.get("alg")
    if type(name) is not str:
        raise Malformed("alg is missing or not a string")
    algorithm = _ALGORITHMS.get(name)
    if algorithm is None or algorithm not in algorithms:
        accepted = tuple(known for known in KeyAlgorithm if known in algorithms)
        raise BadSignatureAlgorithm(f"alg must be one of {', '.join(accepted)}", algorithms=accepted)
    return algorithm


def _parse_protected(header: Mapping[str, Any], algorithms: AbstractSet[KeyAlgorithm]) -> ProtectedHeader:
    algorithm = _accepted_algorithm(header, algorithms)
    if ("kid" in header) is ("jwk" in header):
        raise Malformed("exactly one of jwk and kid must be there (RFC 8555 6.2)")
    if type(header.get("url")) is not str:
        raise Malformed("url is missing or not a string (RFC 8555 6.4)")
    key = _embedded_key(header["jwk"], algorithm) if "jwk" in header else None
    kid = header.get("kid")
    if key is None and type(kid) is not str:
        raise Malformed("kid is not a string")
    return ProtectedHeader(algorithm, _parse_nonce(header), header["url"], kid, key)


def _parse_nonce(header: Mapping[str, Any]) -> str | None:
    if "nonce" not in header:
        return None
    nonce = header["nonce"]
    if type(nonce) is not str or _NONCE.fullmatch(nonce) is None:
        raise Malformed("nonce is not base64url (RFC 8555 6.5.2)")
    return nonce


def _embedded_key(value: object, algorithm: KeyAlgorithm) -> PublicKey:
    """The key of `jwk`; Malformed where its own `alg` is another than the header's (RFC 7517 4.4)."""
    if not isinstance(value, dict):
        raise Malformed("jwk is not an object")
    key = parse_jwk(value)
    if value.get("alg", algorithm) != algorithm:
        raise Malformed("the JWK's alg is another than the header's")
    return key


def _fitting_public_key(key: PrivateKey, alg: KeyAlgorithm) -> PublicKey:
    public = public_key_of(key.public_key())
    if alg not in public.algorithms:
        raise ValueError(f"{alg} does not fit a key of kind {public.kind}")
    return public
