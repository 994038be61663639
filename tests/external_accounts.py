"""External accounts for tests: keys as an operator makes them, and bindings as a client signs them (RFC 8555 7.3.4)."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from acme_peer import BASE, Client, Peer, change_acme
from dayfly.authority.external_accounts import add_external_key
from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import public_key_of
from dayfly.core.jose.macs import make_mac
from dayfly.core.policy.scopes import Scope
from factories import NOW
from replies import Reply

NEW_ACCOUNT = f"{BASE}/acme/acme/new-account"
HERE = "10.0.0.0/8"  # where the requests of a test come from
SECRET = bytes(range(32))


def external_key(**changes: Any) -> ExternalAccountKey:
    """A key of provisioner `acme` for one account; `scope` may be given by its parts."""
    parts = {
        name: changes.pop(name) for name in ("owner", "allow", "deny", "sources", "max_lifetime") if name in changes
    }
    made = ExternalAccountKey(
        id=0x77, kid="7hQ2bX0mT4kVw9Zc", provisioner="acme", created_at=NOW, secret=SECRET, scope=Scope(**parts)
    )
    return replace(made, **changes)


async def with_key(peer: Peer, **changes: Any) -> ExternalAccountKey:
    """A key that the CA knows."""
    key = external_key(**changes)
    await add_external_key(peer.store, key)
    return key


async def require_binding(peer: Peer) -> None:
    """Have the ACME provisioner make accounts with a binding only."""
    await change_acme(peer, require_eab=True)


def binding(client: Client, kid: str = external_key().kid, secret: bytes = SECRET, **changes: Any) -> dict[str, str]:
    """The member `externalAccountBinding`; `changes` replace its header, the bound key, or its parts."""
    header = {"alg": "HS256", "kid": kid, "url": NEW_ACCOUNT, **changes.get("header", {})}
    header = {name: value for name, value in header.items() if value is not None}
    payload = changes.get("payload", public_key_of(changes.get("bound", client.key).public_key()).jwk)
    protected, body = b64u_encode(json.dumps(header).encode()), b64u_encode(payload)
    mac = make_mac(f"{protected}.{body}".encode(), secret)
    return {"protected": protected, "payload": body, "signature": b64u_encode(mac), **changes.get("parts", {})}


async def register(client: Client, *arguments: Any, **changes: Any) -> Reply:
    """NewAccount with a binding."""
    return await client.register(externalAccountBinding=binding(client, *arguments, **changes))


async def bound(peer: Peer, **changes: Any) -> Client:
    """A client whose account is bound by a new key."""
    key, client = await with_key(peer, **changes), Client(peer)
    reply = await register(client, key.kid)
    assert reply.status == 201, reply.body
    return client


class _Elsewhere(Peer):
    """The same CA, asked from another network."""

    source = "192.0.2.1"


def from_elsewhere(peer: Peer) -> Peer:
    """The same CA, as a client in another network asks it."""
    return _Elsewhere(**{one.name: getattr(peer, one.name) for one in fields(peer)})
