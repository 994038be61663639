"""JSON Web Signatures by a MAC, for the one place that has them: a binding to an external account (RFC 8555 7.3.4).

Rules: HS256 and nothing else, so that no public key is ever taken for a secret; the secret comes from our records by
`kid`; what is parsed is unverified until its MAC was compared, in constant time; extensions are refused in any form.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode, strict_json_object
from dayfly.core.problems import Malformed

ALGORITHM = "HS256"
MAX_TEXT = 16 * 1024  # of a member; the whole request has 64 KiB

_MEMBERS = ("protected", "payload", "signature")


@dataclass(frozen=True, slots=True)
class UnverifiedMac:
    """A flattened JWS whose MAC nobody has compared."""

    header: Mapping[str, Any]
    payload: bytes
    signing_input: bytes
    mac: bytes


def parse_mac(members: Mapping[str, Any], *, what: str) -> UnverifiedMac:
    """The JWS in an object; Malformed, whose text begins with `what`, for any other form, algorithm or extension."""
    if set(members) != set(_MEMBERS) or not all(type(members[one]) is str for one in _MEMBERS):
        raise Malformed(f"{what} must have protected, payload and signature, as strings, and nothing else")
    protected, payload, signature = (members[one] for one in _MEMBERS)
    if max(len(protected), len(payload), len(signature)) > MAX_TEXT:
        raise Malformed(f"{what} is larger than anything that it could say")
    try:
        header = strict_json_object(b64u_decode(protected))
        parsed = UnverifiedMac(
            header, b64u_decode(payload), f"{protected}.{payload}".encode("ascii"), b64u_decode(signature)
        )
    except EncodingError as error:
        raise Malformed(f"{what} is not acceptable: {error}") from None
    if header.get("alg") != ALGORITHM:
        raise Malformed(f"{what}: alg must be {ALGORITHM}")
    if "crit" in header or "b64" in header:
        raise Malformed(f"{what}: crit and b64 are not taken: no extension of JWS is (RFC 7515 4.1.11)")
    return parsed


def is_mac_of(found: UnverifiedMac, secret: bytes) -> bool:
    """Was it made with this secret? In one time, whatever the answer."""
    return hmac.compare_digest(make_mac(found.signing_input, secret), found.mac)


def render_mac(payload: bytes, *, header: Mapping[str, str], secret: bytes) -> dict[str, str]:
    """The members of a flattened JWS of this payload; `header` is what its header says beside the algorithm."""
    protected = b64u_encode(msgspec.json.encode({"alg": ALGORITHM, **header}))
    body = b64u_encode(payload)
    mac = make_mac(f"{protected}.{body}".encode("ascii"), secret)
    return {"protected": protected, "payload": body, "signature": b64u_encode(mac)}


def make_mac(signing_input: bytes, secret: bytes) -> bytes:
    """HMAC with SHA-256 (RFC 7518 3.2)."""
    return hmac.digest(secret, signing_input, hashlib.sha256)
