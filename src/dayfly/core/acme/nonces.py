"""Nonces as sealed counters: instance, counter, MAC (RFC 8555 6.5, acme.md part 4).

Rules: a nonce keeps no row; only who has the key can make one; whether a counter was spent is the ring's matter.
"""

from __future__ import annotations

import hmac
from hashlib import blake2s

import msgspec

from dayfly.core.jose.encoding import EncodingError, b64u_decode, b64u_encode

INSTANCE_OCTETS = 4
COUNTER_OCTETS = 8
MAC_OCTETS = 15  # with the rest 27 octets, 36 characters, no padding bits
KEY_OCTETS = 32
_BODY_OCTETS = INSTANCE_OCTETS + COUNTER_OCTETS


class SealedCounter(msgspec.Struct, frozen=True):
    """What stands in a nonce that we made."""

    instance: bytes
    counter: int


def seal(key: bytes, instance: bytes, counter: int) -> str:
    """The nonce for a counter of an instance."""
    body = instance + counter.to_bytes(COUNTER_OCTETS)
    return b64u_encode(body + blake2s(body, digest_size=MAC_OCTETS, key=key).digest())


def unseal(key: bytes, nonce: str) -> SealedCounter | None:
    """What is in a nonce, None where it is none of ours."""
    try:
        data = b64u_decode(nonce)
    except EncodingError:
        return None
    body = data[:_BODY_OCTETS]
    if not hmac.compare_digest(data[_BODY_OCTETS:], blake2s(body, digest_size=MAC_OCTETS, key=key).digest()):
        return None  # one of another length too: what is left of it is no MAC
    return SealedCounter(data[:INSTANCE_OCTETS], int.from_bytes(body[INSTANCE_OCTETS:]))
