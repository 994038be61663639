"""Keys that were reported as compromised: they get no certificate, and they are no account's key (RFC 8555 7.6).

Rules: a key is known by its SubjectPublicKeyInfo, whatever it signs; once its hash is committed no account can be made
with it, nor take it over, because those commits hold on it; accounts that had it before are revoked after that commit,
which therefore finds them all.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.authority.context import Authority, Keeping
from dayfly.core.acme.objects import Account, AccountStatus, Certificate
from dayfly.core.acme.ordering import abandon_order
from dayfly.core.acme.revoking import revoke_account
from dayfly.core.events import Reason
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.policy.keys import spki_hash
from dayfly.core.policy.limits import MOST_OPEN_ORDERS
from dayfly.core.problems import BadPublicKey, ServiceUnavailable
from dayfly.core.x509.leaf import read_leaf
from dayfly.errors import Conflict
from dayfly.ports.changes import Changes

TRIES = 4


@dataclass(frozen=True, slots=True)
class BarredKey:
    """A certificate's key: under which hashes it is barred, and by which thumbprint accounts know it (RFC 7638)."""

    hashes: tuple[str, ...]
    thumbprint: str


def barred_keys(certificate: Certificate) -> BarredKey:
    """The key of a certificate of ours, which can be read."""
    leaf = read_leaf(certificate.der)
    return BarredKey((spki_hash(leaf.spki),), leaf.key.thumbprint)


async def check_sound(authority: Authority, key: PublicKey) -> str:
    """The key's hash, for `Changes.sound_keys`; BadPublicKey where it was reported as compromised.

    Every entry point of an account key asks it: a new account, and a change of key (RFC 8555 7.3, 7.3.5).
    """
    found = spki_hash(key.spki)
    if await authority.store.certificates.is_compromised(found):
        raise BadPublicKey(
            "the key was reported as compromised and can be no account's key any more; make a new key",
            reason=Reason.KEY_NOT_ALLOWED,
        )
    return found


async def bar_accounts(authority: Keeping, key: BarredKey, *, by: str) -> None:
    """Revoke the accounts that have the key, with their open orders; its hash is committed already."""
    for account in await authority.store.accounts.accounts_of_key(key.thumbprint):
        await _revoke(authority, account, by=by)


async def _revoke(authority: Keeping, account: Account, *, by: str) -> None:
    thumbprint = account.thumbprint
    for _ in range(TRIES):
        if account.status is not AccountStatus.VALID or account.thumbprint != thumbprint:
            return
        orders = await authority.store.orders.open_orders(account.id, limit=MOST_OPEN_ORDERS)
        revoked, event = revoke_account(account, by=by, now=authority.clock.now())
        ended = tuple(abandon_order(one, revoked.status) for one in orders)
        changes = Changes(update=(revoked, *ended), events=(event,))
        try:
            await authority.store.commit(changes)
        except Conflict:
            account = await authority.store.accounts.account(account.id)
            continue
        return
    raise ServiceUnavailable("an account with the certificate's key is being changed by others", retry_after=1)
