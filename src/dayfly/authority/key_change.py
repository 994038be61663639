"""Another key for an account, in one transaction: at any moment exactly one key works (RFC 8555 7.3.5)."""

from __future__ import annotations

from dayfly.authority.compromises import check_sound
from dayfly.authority.context import Authority
from dayfly.core.acme.accounts import check_usable
from dayfly.core.acme.key_change import KeyChange, plan_key_change
from dayfly.core.acme.objects import Account
from dayfly.core.acme.urls import Urls
from dayfly.core.frozen import replace
from dayfly.core.problems import KeyInUse, ServiceUnavailable
from dayfly.errors import Conflict
from dayfly.ports.changes import Changes

TRIES = 4


async def change_key(authority: Authority, account: Account, change: KeyChange, *, urls: Urls) -> Account:
    """The account with its new key.

    1. The new key was never reported as compromised (BadPublicKey), on which the commit holds.
    2. No account of the provisioner has it (KeyInUse, with the URL of the one that has).
    3. The old key is the account's, as of now; a lost race starts over, and then it no longer is (Malformed).
    """
    for _ in range(TRIES):
        sound = await check_sound(authority, change.new_key)
        changed, event = plan_key_change(account, change, now=authority.clock.now())
        holder = await authority.store.accounts.account_by_key(account.provisioner, changed.thumbprint)
        if holder is not None:
            raise KeyInUse("another account has the new key (RFC 8555 7.3.5)", location=urls.account(holder.id))
        try:
            await authority.store.commit(Changes(update=(changed,), sound_keys=(sound,), events=(event,)))
        except Conflict:
            account = await authority.store.accounts.account(account.id)
            check_usable(account)
            continue
        return replace(changed, version=changed.version + 1)
    raise ServiceUnavailable("the account is being changed by others; try again", retry_after=1)
