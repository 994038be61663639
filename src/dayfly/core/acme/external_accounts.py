"""External account binding: who an ACME account belongs to outside of ACME (RFC 8555 7.3.4, acme.md part 5).

Rules: a key binds as many accounts as it has uses, while it lasts; whatever is wrong with a key has one text and one
time, so that nobody learns which keys there are; its scope binds every order of its accounts, for as long as they
live, whatever becomes of the key; names are born valid only under a key that says so, and says for which names and
from which networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from dayfly.core.acme.objects import Account, Authorization, AuthorizationStatus, Order, OrderStatus
from dayfly.core.acme.states import AuthorizationEvent, OrderEvent, advance_authorization, advance_order
from dayfly.core.events import AccountBound, NamesPreauthorized
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import EncodingError, strict_json_object
from dayfly.core.jose.jwk import PublicKey, parse_jwk
from dayfly.core.jose.macs import UnverifiedMac, is_mac_of, parse_mac, render_mac
from dayfly.core.policy.rules import Network, Source, is_within, parse_network
from dayfly.core.policy.scopes import BoundScope, Scope, check_scope
from dayfly.core.problems import BadPublicKey, Malformed, OrderNotReady, Unauthorized
from dayfly.errors import ConfigError

SECRET_OCTETS = 32  # as long as the hash (RFC 7518 3.2)
KID_LENGTH = 16  # of 62 letters and digits: 95 bits
MAX_REFERENCE = 250
MAX_USES = 1_000_000
UNLIMITED = 0

_WHAT = "externalAccountBinding"
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ExternalAccountKey:
    """A key that binds accounts to somebody who is known outside of ACME.

    `kid` names it in requests, `reference` is what its maker calls it. `uses` is how many accounts it binds, UNLIMITED
    for any number, of which `used` are bound, the last at `bound_at`. It binds until `expires`. Once it can bind nobody
    any more its `secret` is empty. Under a `preauthorized` one the names of its scope need no proof.
    """

    id: int
    kid: str
    provisioner: str
    created_at: datetime
    secret: bytes = field(repr=False)
    scope: Scope = field(default_factory=Scope)
    reference: str = ""
    uses: int = 1
    used: int = 0
    bound_at: datetime | None = None
    expires: datetime | None = None
    revoked_at: datetime | None = None
    preauthorized: bool = False
    version: int = 0

    @property
    def where(self) -> str:
        """What its scope is called, in denials and beside what it vouched for."""
        return f"eab:{self.kid}"

    def state(self, now: datetime) -> str:
        """`active`, or why it binds nobody any more: `revoked`, `expired`, `used`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return "used" if self.uses != UNLIMITED and self.used >= self.uses else "active"


NOBODY = ExternalAccountKey(0, "", "", datetime.max.replace(tzinfo=UTC), bytes(SECRET_OCTETS), Scope())
"""What is judged where there is no such key, or no secret in it, so that all take one time."""


# --- keys -------------------------------------------------------------------------------------------------------------


def make_kid(octets: bytes) -> str:
    """A key's id of KID_LENGTH letters and digits, which a shell takes as they are."""
    number, text = int.from_bytes(octets), ""
    for _ in range(KID_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        text += _LETTERS[digit]
    return text


def check_external_key(key: ExternalAccountKey) -> None:
    """Raise ConfigError where a key cannot be as it is asked for."""
    check_scope(key.scope, what="the key")
    if not key.reference.isprintable() or len(key.reference) > MAX_REFERENCE:
        raise ConfigError("", f"the reference is not {MAX_REFERENCE} printable characters or fewer")
    if not 0 <= key.uses <= MAX_USES:
        raise ConfigError("", f"a key has between 1 and {MAX_USES} uses", hint="--uses N, or --unlimited")
    if key.expires is not None and key.expires <= key.created_at:
        raise ConfigError("", "the key would have expired already", hint="--expires takes a time from now, as 72h")
    if key.preauthorized and not (key.scope.allow and key.scope.sources):
        raise ConfigError(
            "",
            "a pre-authorized key needs names and networks: whoever has it gets certificates without any proof",
            hint="add --allow NAME and --source NETWORK, as narrow as can be",
        )


def revoked(key: ExternalAccountKey, *, now: datetime) -> ExternalAccountKey:
    """The key once it was taken back; its scope goes on to bind the accounts that it bound."""
    return replace(key, revoked_at=now, secret=b"")


# --- bindings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Binding:
    """What a newAccount request says of an external account, whose MAC nobody has compared."""

    kid: str
    jws: UnverifiedMac


def parse_binding(members: Mapping[str, Any], *, url: str, key: PublicKey) -> Binding:
    """The binding in a newAccount request that was sent to `url` and signed by `key`; Malformed (RFC 8555 7.3.4).

    It has `kid` and the same `url`, no nonce, and for a payload the key of the account, compared by thumbprint.
    """
    jws = parse_mac(members, what=_WHAT)
    kid = jws.header.get("kid")
    if type(kid) is not str or "jwk" in jws.header:
        raise Malformed(f"{_WHAT} must name its key by `kid`")
    if "nonce" in jws.header:
        raise Malformed(f"{_WHAT} must have no nonce")
    if jws.header.get("url") != url:
        raise Malformed(f"`url` in {_WHAT} is not that of the request")
    try:
        bound = parse_jwk(strict_json_object(jws.payload)).thumbprint
    except (EncodingError, BadPublicKey):
        raise Malformed(f"the payload of {_WHAT} is no public key") from None
    if bound != key.thumbprint:
        raise Malformed(f"the payload of {_WHAT} is not the account's key")
    return Binding(kid, jws)


def render_binding(kid: str, secret: bytes, *, key: PublicKey, url: str) -> dict[str, str]:
    """The binding of an account's key by the key of this `kid`, for a newAccount request to `url` (RFC 8555 7.3.4)."""
    return render_mac(key.jwk, header={"kid": kid, "url": url}, secret=secret)


def refusal_of(
    binding: Binding, key: ExternalAccountKey | None, *, provisioner: str, source: Source | None, now: datetime
) -> str:
    """Why the key of this `kid`, None where there is none, does not bind: a word for the CA's log; "" where it does.

    Everything is looked at in any case, of a key that nobody has where there is none.
    """
    judged = key or NOBODY
    matches = is_mac_of(binding.jws, judged.secret or NOBODY.secret)
    within = is_within(source, _networks(judged.scope.sources))
    found = (
        ("unknown", key is None),
        ("other provisioner", judged.provisioner != provisioner),
        (judged.state(now), judged.state(now) != "active"),
        ("wrong MAC", not matches or not judged.secret),
        ("other network", bool(judged.scope.sources) and not within),
    )
    return next((why for why, wrong in found if wrong), "")


@lru_cache(maxsize=1024)
def _networks(sources: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(parse_network(one, what="source") for one in sources)


def unbound() -> Unauthorized:
    """The one refusal for every binding that does not hold."""
    return Unauthorized("the external account binding is not valid: its key is not one that binds accounts here")


def bind(
    account: Account, key: ExternalAccountKey, *, now: datetime
) -> tuple[Account, ExternalAccountKey, AccountBound]:
    """The account with its binding, the key with one more use, and the event that tells of it."""
    bound = replace(account, external_key=key.kid)
    used = replace(key, used=key.used + 1, bound_at=now)
    if used.state(now) != "active":
        used = replace(used, secret=b"")
    return bound, used, AccountBound(now, account.id, account.provisioner, key.kid)


# --- orders -----------------------------------------------------------------------------------------------------------


def scope_of(key: ExternalAccountKey) -> BoundScope:
    """What its accounts are held to."""
    return BoundScope(key.where, key.scope)


def vouches(key: ExternalAccountKey) -> bool:
    """Are names of its scope born valid? Until it is revoked; its expiry ends bindings alone."""
    return key.preauthorized and key.revoked_at is None


def preauthorize(order: Order, key: ExternalAccountKey) -> tuple[Order, NamesPreauthorized]:
    """A new order, whose names its scope has let pass, without anything to prove: ready at once.

    What its account had proved before stays as it is.
    """
    authorizations = tuple(_vouched(one, key) for one in order.authorizations)
    status = order.status
    if status is OrderStatus.PENDING:
        status = advance_order(status, OrderEvent.AUTHORIZED)
    ready = replace(order, authorizations=authorizations, status=status)
    event = NamesPreauthorized(
        order.created_at, order.id, order.account_id, order.provisioner, key.kid, order.identifiers
    )
    return ready, event


def _vouched(authorization: Authorization, key: ExternalAccountKey) -> Authorization:
    """One that is pending becomes valid, with nothing to answer."""
    if authorization.status is not AuthorizationStatus.PENDING:
        return authorization
    status = advance_authorization(authorization.status, AuthorizationEvent.PROVED)
    return replace(authorization, status=status, challenges=(), validated_by=key.where)


def check_vouched(order: Order, key: ExternalAccountKey) -> None:
    """Raise OrderNotReady where the key vouched for a name of the order, and does so no more."""
    if not vouches(key) and any(one.validated_by == key.where for one in order.authorizations):
        raise OrderNotReady("the external account key that vouched for the order's names was revoked")
