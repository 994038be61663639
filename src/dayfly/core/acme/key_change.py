"""Another key for an account: a request inside a request (RFC 8555 7.3.5).

Rules: the outer request is signed by the old key, the inner one by the new key, and neither is believed alone; the
inner one has `jwk`, the same `url`, and no nonce; a key is judged before any signature is checked with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from dayfly.core.acme.objects import Account
from dayfly.core.acme.payloads import parse_payload
from dayfly.core.events import AccountKeyChanged
from dayfly.core.frozen import replace
from dayfly.core.jose.jwk import PublicKey, parse_jwk
from dayfly.core.jose.jws import parse_flattened, verify
from dayfly.core.policy.keys import ACCOUNT_KEYS, check_key
from dayfly.core.problems import Malformed


class _KeyChange(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The payload of the inner request."""

    account: str
    old_key: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What the holder of the new key signed: for which account, in place of which key."""

    new_key: PublicKey
    old_thumbprint: str


def open_key_change(payload: bytes, *, url: str, kid: str) -> KeyChange:
    """The inner request in the payload of the outer one, whose `url` and `kid` are given.

    1. It is a flattened JWS with the key in it, for the same URL, without a nonce (Malformed).
    2. The new key is acceptable (BadPublicKey), and has signed it (Malformed).
    3. It names the account of the outer request, and the key that it shall replace (Malformed).
    """
    jws = parse_flattened(payload)
    new_key = jws.header.jwk
    if new_key is None:
        raise Malformed("the inner request must carry the new key: `jwk`, not `kid` (RFC 8555 7.3.5)")
    if jws.header.nonce is not None:
        raise Malformed("the inner request must have no nonce (RFC 8555 7.3.5)")
    if jws.header.url != url:
        raise Malformed("`url` of the inner request is not that of the outer one (RFC 8555 7.3.5)")
    check_key(new_key.key, allow=ACCOUNT_KEYS)
    verify(jws.signing_input, jws.signature, key=new_key, alg=jws.header.alg)
    asked = parse_payload(jws.payload, _KeyChange)
    if asked.account != kid:
        raise Malformed("`account` is not the account that signed the outer request (RFC 8555 7.3.5)")
    return KeyChange(new_key, parse_jwk(asked.old_key).thumbprint)


def plan_key_change(account: Account, change: KeyChange, *, now: datetime) -> tuple[Account, AccountKeyChanged]:
    """The account with its new key; Malformed where `oldKey` is not its key, or is the new one already."""
    if change.old_thumbprint != account.thumbprint:
        raise Malformed("`oldKey` is not the account's key (RFC 8555 7.3.5)")
    if change.new_key.thumbprint == account.thumbprint:
        raise Malformed("the new key is the account's key already")
    changed = replace(account, thumbprint=change.new_key.thumbprint, jwk=change.new_key.jwk)
    event = AccountKeyChanged(now, account.id, account.provisioner, changed.thumbprint, account.thumbprint)
    return changed, event
