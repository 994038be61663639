"""One-time tokens and renewal tokens, as the server judges them (step-compat.md parts 4 and 5).

Rules: a token is unverified until `verify_token` or `verify_renewal` has returned claims; the key comes from our
records, and for a renewal from a leaf that the caller has found there; the audience is an exact member of a list made
of the configured base URLs; what tells a token apart is its `jti`, or else its signing input, never its signature. A
token that is not good is Unauthorized with status 401 and the reason as a word; nothing of it is ever quoted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dayfly.core.events import Reason
from dayfly.core.jose import jws
from dayfly.core.jose.encoding import EncodingError, b64u_decode, strict_json_object
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.problems import Refused, Unauthorized

MAX_OCTETS = 32 * 1024  # a renewal token carries a chain; RSA certificates with a hundred names are the largest
MAX_CLAIMS_DEPTH = 8
MAX_TEXT = 1024  # of iss, sub, jti, and each of sans
MAX_SANS = 100
MAX_CHAIN = 5
LEEWAY = timedelta(seconds=60)
LONGEST = timedelta(hours=1)
USUAL = timedelta(minutes=5)
RENEWAL_ISSUER = "step-ca-client/1.0"
CONFIRMATION = "x5rt#S256"

_SECOND = timedelta(seconds=1)
_LATEST = 253402300799  # 9999-12-31T23:59:59Z, in Unix seconds
_OTHER_KEYS = frozenset({"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"})  # ways to bring a key: none is taken
X5C_INSECURE = "x5cInsecure"


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token that nobody has checked: good for looking up a key, and for nothing else.

    `unverified_kid` is "" where there is none, `unverified_chain` (DER, leaf first) is empty but for renewals.
    """

    unverified_issuer: str
    unverified_kid: str
    unverified_chain: tuple[bytes, ...] = field(repr=False)
    envelope: jws.UnverifiedToken = field(repr=False)
    unverified_claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """What a good token says; made by the functions that verify, and by nothing else.

    `reuse_key` (SHA-256) is to be claimed once, and kept until `expires`; `confirmed` is the SHA-256 (raw) of the only
    request that the token is good for.
    """

    issuer: str
    subject: str
    sans: tuple[str, ...]
    reuse_key: bytes
    expires: datetime
    confirmed: bytes | None = None


def parse_token(text: str) -> UnverifiedToken:
    """A one-time token, not yet verified; Unauthorized for what can be no good token, whoever signed it."""
    return _open(text, renewal=False)


def parse_renewal_token(text: str) -> UnverifiedToken:
    """A renewal token, not yet verified: it carries a chain in `x5cInsecure`; Unauthorized as in `parse_token`."""
    return _open(text, renewal=True)


def verify_token(
    token: UnverifiedToken, *, key: PublicKey, issuer: str, audiences: AbstractSet[str], now: datetime
) -> VerifiedClaims:
    """The claims of a token of the provisioner `issuer`, whose key this is; Unauthorized names what does not hold.

    1. The signature, by an algorithm that fits the key.  2. `iss`.  3. The times.  4. `aud`.  5. `sub`, `sans`, `cnf`.
    """
    _check_signature(token, key)
    claims = token.unverified_claims
    if claims.get("iss") != issuer:
        raise _refused("iss is not the provisioner's name")
    expires = _check_times(claims, now)
    _check_audience(claims, audiences)
    subject = _text(claims, "sub")
    return VerifiedClaims(
        issuer, subject, _sans(claims, subject), _reuse_key(token, issuer), expires + LEEWAY + _SECOND, _cnf(claims)
    )


def verify_renewal(
    token: UnverifiedToken, *, key: PublicKey, subject: str, audiences: AbstractSet[str], now: datetime
) -> VerifiedClaims:
    """The claims of a renewal token signed by the leaf's key, `subject` its CN; Unauthorized as in `verify_token`."""
    _check_signature(token, key)
    claims = token.unverified_claims
    if claims.get("iss") != RENEWAL_ISSUER:
        raise _refused(f"iss is not {RENEWAL_ISSUER}")
    expires = _check_times(claims, now)
    _check_audience(claims, audiences)
    if _text(claims, "sub") != subject:
        raise _refused("sub is not the certificate's subject")
    return VerifiedClaims(RENEWAL_ISSUER, subject, (), _reuse_key(token, key.thumbprint), expires + LEEWAY + _SECOND)


def _refused(what: str, reason: Reason = Reason.UNAUTHORIZED) -> Unauthorized:
    return Unauthorized(f"the token is not good: {what}", status=401, reason=reason)


def _open(text: str, *, renewal: bool) -> UnverifiedToken:
    if len(text) > MAX_OCTETS:
        raise _refused(f"it is larger than {MAX_OCTETS} octets")
    try:
        opened = jws.parse_compact(text)
        claims = strict_json_object(opened.payload, max_depth=MAX_CLAIMS_DEPTH)
    except Refused as error:
        raise _refused(error.detail) from None
    except EncodingError as error:
        raise _refused(f"its claims are {error}") from None
    _check_header(opened.header, renewal=renewal)
    kid = opened.header.get("kid", "")
    if type(kid) is not str:
        raise _refused("kid is not a string")
    chain = _chain(opened.header.get(X5C_INSECURE)) if renewal else ()
    return UnverifiedToken(_text(claims, "iss"), kid, chain, opened, claims)


def _check_header(header: Mapping[str, Any], *, renewal: bool) -> None:
    if header.get("typ", "JWT") != "JWT":
        raise _refused("typ is not JWT")
    if not _OTHER_KEYS.isdisjoint(header) or (not renewal and X5C_INSECURE in header):
        raise _refused("its header brings a key or a certificate; keys come from the CA's own records")


def _chain(value: object) -> tuple[bytes, ...]:
    """The certificates (DER) of `x5cInsecure`, leaf first; standard base64, as of `x5c` (RFC 7515 4.1.6)."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CHAIN:
        raise _refused(f"{X5C_INSECURE} is not a list of 1 to {MAX_CHAIN} certificates")
    try:
        return tuple(base64.b64decode(_string(one), validate=True) for one in value)
    except (binascii.Error, ValueError):
        raise _refused(f"{X5C_INSECURE} is not base64") from None


def _string(value: object) -> str:
    if type(value) is not str:
        raise ValueError("not a string")
    return value


def _check_signature(token: UnverifiedToken, key: PublicKey) -> None:
    opened = token.envelope
    try:
        jws.verify(opened.signing_input, opened.signature, key=key, alg=opened.alg)
    except Refused as error:
        raise _refused(error.detail) from None


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """`exp` is there and to come, `nbf` and `iat` are not, and the whole is an hour at most; when it expires."""
    expires = _moment(claims, "exp")
    if expires is None:
        raise _refused("exp is missing")
    begins = _moment(claims, "nbf")
    for start in (begins, _moment(claims, "iat")):
        if start is not None and start > now + LEEWAY:
            raise _refused("nbf or iat lies in the future; is a clock wrong?")
    if expires - (now - LEEWAY if begins is None else begins) > LONGEST:
        raise _refused("it lives for more than an hour")
    if expires <= now - LEEWAY:
        raise _refused(f"it expired at {expires:%Y-%m-%dT%H:%M:%SZ}; ask for another one", Reason.TOKEN_EXPIRED)
    return expires


def _moment(claims: Mapping[str, Any], name: str) -> datetime | None:
    """A NumericDate (RFC 7519 2), None where it is absent."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in {int, float} or not math.isfinite(value) or not 0 <= value <= _LATEST:
        raise _refused(f"{name} is not a time in seconds since 1970")
    return datetime.fromtimestamp(value, UTC)


def _check_audience(claims: Mapping[str, Any], audiences: AbstractSet[str]) -> None:
    """One audience, exactly one of ours; a list is refused, since the others on it could use the token too."""
    found = claims.get("aud")
    if type(found) is not str or found not in audiences:
        raise _refused("aud is not the URL of this endpoint at this CA")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if type(value) is not str or not 1 <= len(value) <= MAX_TEXT:
        raise _refused(f"{name} is missing, empty, too long or not a string")
    return value


def _sans(claims: Mapping[str, Any], subject: str) -> tuple[str, ...]:
    """The names, the subject alone where none are there."""
    value = claims.get("sans")
    if value is None or value == []:
        return (subject,)
    if not isinstance(value, list) or len(value) > MAX_SANS:
        raise _refused(f"sans is not a list of at most {MAX_SANS} names")
    if any(type(one) is not str or not 1 <= len(one) <= MAX_TEXT for one in value):
        raise _refused("a member of sans is empty, too long or not a string")
    return tuple(dict.fromkeys(value))


def _cnf(claims: Mapping[str, Any]) -> bytes | None:
    """The digest of the request that the token is bound to (RFC 7800); Unauthorized for another binding."""
    value = claims.get("cnf")
    if value is None:
        return None
    found = value.get(CONFIRMATION) if isinstance(value, dict) and len(value) == 1 else None
    try:
        digest = b64u_decode(found) if type(found) is str else b""
    except EncodingError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise _refused(f"cnf is not one {CONFIRMATION} of 32 octets")
    return digest


def _reuse_key(token: UnverifiedToken, owner: str) -> bytes:
    """What is claimed: the `jti` among those of its owner, else the signing input."""
    jti = token.unverified_claims.get("jti")
    if jti is None:
        return hashlib.sha256(b"input\0" + token.envelope.signing_input).digest()
    if type(jti) is not str or not 1 <= len(jti) <= MAX_TEXT:
        raise _refused("jti is empty, too long or not a string")
    return hashlib.sha256(msgspec.json.encode(("jti", owner, token.unverified_kid, jti))).digest()
