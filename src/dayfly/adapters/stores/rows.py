"""Rows: frozen objects to columns and back, strictly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from dayfly.core.acme.external_accounts import ExternalAccountKey
from dayfly.core.acme.habits import Issuance
from dayfly.core.acme.objects import Account, Certificate, Order, OrderStatus, SharedAuthorization
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.denials import KeptDenial
from dayfly.core.policy.scopes import Scope, parse_scope, render_scope

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
_accounts = msgspec.json.Decoder(Account)
_orders = msgspec.json.Decoder(Order)
_authorizations = msgspec.json.Decoder(SharedAuthorization)
_external_keys = msgspec.json.Decoder(ExternalAccountKey)
_denials = msgspec.json.Decoder(KeptDenial)
_names = msgspec.json.Decoder(list[tuple[IdentifierType, str]])

_STATUS: dict[str, str] = {one: one.value for one in OrderStatus}  # plain texts, which SQLite takes as they are

CERTIFICATE_COLUMNS = (
    "id, serial, issuer, not_before, not_after, provisioner, owner, rule, profile, profile_hash, account_id, order_id, "
    "revoked_at, revocation_reason, parent_id, version, names, der"
)


def account_row(account: Account) -> tuple[Any, ...]:
    """id, provisioner, thumbprint, version, document."""
    return account.id, account.provisioner, account.thumbprint, account.version, _encode(account)


def parse_account(document: bytes) -> Account:
    """The account in a document."""
    return _accounts.decode(document)


def order_row(order: Order) -> tuple[Any, ...]:
    """id, account_id, status, version, document."""
    return order.id, order.account_id, _STATUS[order.status], order.version, _encode(order)


def parse_order(document: bytes) -> Order:
    """The order in a document."""
    return _orders.decode(document)


def authorization_row(row: SharedAuthorization) -> tuple[Any, ...]:
    """id, account_id, identifier, status, expires (seconds, rounded up), version, document."""
    one = row.authorization
    name = identifier_column(one.identifier)
    expires = math.ceil(one.expires.timestamp())
    return row.id, row.account_id, name, one.status.value, expires, row.version, _encode(row)


def identifier_column(identifier: Identifier) -> str:
    """The name as a column: `dns:api.internal.example`."""
    return f"{identifier.type.value}:{identifier.value}"


def parse_authorization(document: bytes) -> SharedAuthorization:
    """The authorization in a document."""
    return _authorizations.decode(document)


def external_key_row(key: ExternalAccountKey) -> tuple[Any, ...]:
    """id, kid, provisioner, version, secret, scope, document; the secret stands in its own column alone."""
    document = _encode(replace(key, secret=b"", scope=Scope()))
    return key.id, key.kid, key.provisioner, key.version, key.secret, render_scope(key.scope), document


def parse_external_key(secret: bytes, scope: bytes, document: bytes) -> ExternalAccountKey:
    """The key in a row; RuleError for a scope that cannot be read whole."""
    return replace(_external_keys.decode(document), secret=secret, scope=_scope(scope))


@lru_cache(maxsize=4096)
def _scope(body: bytes) -> Scope:
    """Parsed once, since every order of a bound account asks for it."""
    return parse_scope(body)


def denial_row(denial: KeptDenial) -> tuple[Any, ...]:
    """id, key, last_at in microseconds, document, first_by."""
    return denial.id, denial.key, microseconds(denial.last_at), _encode(denial), denial.first_by


def microseconds(moment: datetime) -> int:
    """Unix time."""
    return int(moment.timestamp() * 1_000_000)


def parse_denial(document: bytes) -> KeptDenial:
    """The denial in a document."""
    return _denials.decode(document)


def certificate_row(certificate: Certificate) -> tuple[Any, ...]:
    """The columns of CERTIFICATE_COLUMNS; the serial is hex, since it is wider than any column."""
    names = _encode([(name.type, name.value) for name in certificate.names]).decode()
    return (
        certificate.id,
        f"{certificate.serial:x}",
        certificate.issuer,
        _seconds(certificate.not_before),
        _seconds(certificate.not_after),
        certificate.provisioner,
        certificate.owner,
        certificate.rule,
        certificate.profile,
        certificate.profile_hash,
        certificate.account_id,
        certificate.order_id,
        None if certificate.revoked_at is None else _seconds(certificate.revoked_at),
        certificate.revocation_reason,
        certificate.parent_id,
        certificate.version,
        names,
        certificate.der,
    )


def parse_certificate(row: Sequence[Any]) -> Certificate:
    """The certificate in the columns of CERTIFICATE_COLUMNS."""
    (id_, serial, issuer, begin, end, provisioner, owner, rule, profile, profile_hash, account, order, *rest) = row
    revoked, reason, parent, version, names, der = rest
    return Certificate(
        id=id_,
        serial=int(serial, 16),
        der=der,
        issuer=issuer,
        names=tuple(Identifier(kind, value) for kind, value in _names.decode(names)),
        not_before=_moment(begin),
        not_after=_moment(end),
        provisioner=provisioner,
        owner=owner,
        rule=rule,
        profile=profile,
        profile_hash=profile_hash,
        account_id=account,
        order_id=order,
        revoked_at=None if revoked is None else _moment(revoked),
        revocation_reason=reason,
        parent_id=parent,
        version=version,
    )


def parse_issuance(row: Sequence[Any]) -> Issuance:
    """The issuance in a row of ISSUANCES."""
    account_id, names, begin, end = row
    return Issuance(account_id, frozenset(value for _, value in _names.decode(names)), _moment(begin), _moment(end))


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
