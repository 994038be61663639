"""One-time tokens and renewal tokens, as our own clients make them (step-compat.md parts 4 and 5).

Rules: randomness and time are arguments; a token lives for an hour at most.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from dayfly.core.jose import jws
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import public_key_of
from dayfly.core.jose.signatures import PrivateKey
from dayfly.core.step.audiences import Endpoint, audience
from dayfly.core.step.tokens import CONFIRMATION, LONGEST, RENEWAL_ISSUER, USUAL, X5C_INSECURE

JTI_OCTETS = 32


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a one-time token shall say.

    `sans` None leaves the claim out, as for a revocation, whose `subject` is the serial in decimal. `root` is the
    SHA-256 (hex) of the root certificate, `csr_digest` that (raw) of the only request that the token shall be good for;
    `user` is data that goes along.
    """

    issuer: str
    subject: str
    audience: str
    jti: str
    not_before: datetime
    expires: datetime
    sans: tuple[str, ...] | None = None
    root: str = ""
    csr_digest: bytes | None = None
    user: Mapping[str, object] = field(default_factory=dict)


def make_jti(random: bytes) -> str:
    """The `jti` of 32 random octets: 64 hex digits. ValueError for another number of them."""
    if len(random) != JTI_OCTETS:
        raise ValueError(f"a jti takes {JTI_OCTETS} random octets, not {len(random)}")
    return random.hex()


def sign_token(claims: TokenClaims, *, key: PrivateKey, kid: str, now: datetime) -> str:
    """The one-time token of a JWK provisioner, which knows the key by `kid`. ValueError for times that none takes."""
    if not timedelta() < claims.expires - claims.not_before <= LONGEST:
        raise ValueError("a token lives for an hour at most, and ends after it begins")
    document: dict[str, object] = {
        "aud": claims.audience,
        "exp": _unix(claims.expires),
        "iat": _unix(now),
        "iss": claims.issuer,
        "jti": claims.jti,
        "nbf": _unix(claims.not_before),
        "sub": claims.subject,
    }
    if claims.sans is not None:
        document["sans"] = claims.sans
    if claims.root:
        document["sha"] = claims.root
    if claims.csr_digest is not None:
        document["cnf"] = {CONFIRMATION: b64u_encode(claims.csr_digest)}
    if claims.user:
        document["user"] = claims.user
    return _sign(document, key, {"kid": kid})


def sign_renewal_token(
    subject: str, chain: Sequence[bytes], *, key: PrivateKey, base_url: str, now: datetime, jti: str
) -> str:
    """The token with which a certificate renews itself: `chain` (DER) leaf first, `key` the leaf's, `subject` its CN.

    Stock clients write no `jti`; ours does, so that two tokens made in one second are two.
    """
    document = {
        "aud": audience(base_url, Endpoint.RENEW),
        "exp": _unix(now + USUAL),
        "iat": _unix(now),
        "iss": RENEWAL_ISSUER,
        "jti": jti,
        "nbf": _unix(now),
        "sub": subject,
    }
    return _sign(document, key, {X5C_INSECURE: [base64.b64encode(der).decode("ascii") for der in chain]})


def _sign(document: Mapping[str, object], key: PrivateKey, header: Mapping[str, object]) -> str:
    payload = msgspec.json.encode(document, order="sorted")
    alg = public_key_of(key.public_key()).algorithms[0]
    return jws.sign_compact(payload, key=key, alg=alg, header={**header, "typ": "JWT"})


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())
