"""Revocation by ACME: by the account that it was issued to, one that may speak for all its names, or its key (7.6).

Rules: the whole certificate is compared with the stored one, never issuer and serial alone; what a request relies on,
account and authorizations, still holds when it is committed; an account that never had the key cannot say that it is
compromised.
"""

from __future__ import annotations

import asyncio

from dayfly.authority.context import Authority
from dayfly.authority.revocations import ITSELF, TRIES, being_changed, revoke_once
from dayfly.core.acme.accounts import check_usable
from dayfly.core.acme.external_accounts import vouches
from dayfly.core.acme.objects import Account, AuthorizationStatus, Certificate
from dayfly.core.acme.ordering import ORDER_LIFE
from dayfly.core.acme.revoking import AskedRevocation, Revoker, authorized_names
from dayfly.core.events import Reason
from dayfly.core.ids import make_id, render_id, serial_row_id
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.problems import BadRevocationReason, Malformed, NoSuchResource, Unauthorized
from dayfly.core.x509.chain import ChainError, load_certificate, load_presented
from dayfly.core.x509.leaf import read_leaf
from dayfly.core.x509.reasons import KEY_COMPROMISE
from dayfly.core.x509.unreadable import UNREADABLE
from dayfly.errors import Conflict, NotFound
from dayfly.ports.changes import Changes, Record

PAGE = 100  # orders
MOST_PAGES = 20  # the newest 2,000 orders of the last hour are looked at for authorizations
BEYOND = (1 << 63) - 1  # no row id is above it
_UNREADABLE: tuple[type[Exception], ...] = (ChainError, *UNREADABLE)


async def revoke_by_account(authority: Authority, account: Account, asked: AskedRevocation) -> None:
    """Revoke for an account (RFC 8555 7.6).

    1. The certificate is one of ours, octet by octet (NoSuchResource, Unauthorized, Malformed).
    2. It was issued to the account; or the account holds valid authorizations for all names in it (Unauthorized, 403).
    3. The commit holds on the account and on the rows that those authorizations stand in.
    """
    for _ in range(TRIES):
        certificate = await _find(authority, asked.der)
        relying: tuple[Record, ...] = (account,)
        if certificate.account_id != account.id:
            relying = (account, *await _authorizing_records(authority, account, certificate))
            _check_reason(asked.reason)
        revoker = Revoker(f"account {render_id(account.id)}")
        try:
            await revoke_once(authority, certificate, Changes(unchanged=relying), revoker, reason=asked.reason)
        except Conflict:
            account = await authority.store.accounts.account(account.id)
            check_usable(account)
            continue
        return
    raise being_changed()


async def revoke_by_key(authority: Authority, key: PublicKey, asked: AskedRevocation) -> None:
    """Revoke for whoever has the certificate's key, which signed the request; Unauthorized for another key."""
    for _ in range(TRIES):
        certificate = await _find(authority, asked.der)
        if read_leaf(certificate.der).spki != key.spki:
            raise Unauthorized(
                "the request is signed by another key than the certificate's; sign it with that key, or with an "
                "account's, named by `kid` (RFC 8555 7.6)"
            )
        try:
            await revoke_once(authority, certificate, Changes(), ITSELF, reason=asked.reason)
        except Conflict:
            continue
        return
    raise being_changed()


def _check_reason(reason: int) -> None:
    if reason == KEY_COMPROMISE:
        raise BadRevocationReason(
            "an account that the certificate was not issued to cannot know of its key; sign the request with the "
            "certificate's key to report it as compromised"
        )


async def _find(authority: Authority, der: bytes) -> Certificate:
    """The stored certificate with exactly these octets.

    Malformed for what is no certificate, NoSuchResource for one that this CA has not issued, Unauthorized for one that
    bears the issuer and serial of ours, and is another.
    """
    try:
        shown = load_presented(der)
        issuer = shown.issuer
    except _UNREADABLE:
        raise Malformed("certificate is no X.509 certificate in DER") from None
    try:
        stored = await authority.store.certificates.certificate(serial_row_id(shown.serial_number))
    except NotFound:
        stored = None
    if stored is not None and stored.der == der:
        return stored
    if stored is None or stored.serial != shown.serial_number or load_certificate(stored.der).issuer != issuer:
        raise NoSuchResource("this CA has not issued this certificate")
    raise Unauthorized("the certificate has issuer and serial of one that this CA issued, and is not that one")


async def _authorizing_records(authority: Authority, account: Account, certificate: Certificate) -> tuple[Record, ...]:
    """Rows of the account whose valid authorizations cover all names of the certificate; Unauthorized (403).

    First authorizations in rows of their own, then those of orders: such a one lives as long as its order, so only what
    was ordered within an order's life is looked at: by an index, newest first, in pages.
    """
    now = authority.clock.now()
    since, below = make_id(int((now - ORDER_LIFE).timestamp() * 1000), 0, 0), BEYOND
    lacking, relied, but_by = set(certificate.names), list[Record](), ""
    if account.external_key:  # what it vouched for counts as long as it vouches
        key = await authority.store.external_keys.external_key(account.external_key)
        relied.append(key)
        but_by = "" if vouches(key) else key.where
    for row in await authority.store.authorizations.live_authorizations(account.id, certificate.names, now=now):
        one = row.authorization
        if one.status is AuthorizationStatus.VALID and one.identifier in lacking:
            relied.append(row)
            lacking.remove(one.identifier)
    for _ in range(MOST_PAGES):
        page = await authority.store.orders.account_orders(account.id, since=since, below=below, limit=PAGE)
        for order in page:
            covered = lacking & authorized_names(order, now, but_by=but_by)
            if covered:
                relied.append(order)
                lacking -= covered
        if not lacking or len(page) < PAGE:
            break
        below = page[-1].id
        await asyncio.sleep(0)
    if lacking:
        names = ", ".join(sorted(name.value for name in lacking))
        raise Unauthorized(
            f"the certificate was not issued to this account, and it holds no valid authorization for {names}",
            reason=Reason.UNAUTHORIZED,
        )
    return tuple(relied)
