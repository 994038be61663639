"""Scopes of single accounts, changed by the CA's operator (acme.md part 5).

Rules: the change is made of the account as it is stored, and committed with its log entry on that version and on the
settings whose owners it was checked by; what was planned for the account before starts over, so no worker issues under
the scope of before.
"""

from __future__ import annotations

from collections.abc import Callable

from dayfly.authority.accounts import OPERATOR
from dayfly.authority.external_accounts import TRIES, check_owner
from dayfly.core.acme.account_scopes import own_scope, plan_account_scope
from dayfly.core.acme.objects import Account
from dayfly.core.frozen import replace
from dayfly.core.policy.scopes import Scope
from dayfly.errors import Conflict, Unavailable
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from dayfly.ports.system import Clock


async def change_account_scope(
    store: Store, clock: Clock, account_id: int, change: Callable[[Scope], Scope]
) -> tuple[Account, bool]:
    """The account under the scope that `change` makes of its own, and whether that is another one.

    NotFound; RuleError, ConfigError for a scope that cannot be. One that was ended is held too, which harms nothing.
    """
    for _ in range(TRIES):
        account = await store.accounts.account(account_id)
        settings = await store.settings.settings()
        scope = change(own_scope(account))
        check_owner(settings, scope)
        plan = plan_account_scope(account, scope, by=OPERATOR, now=clock.now())
        if plan is None:
            return account, False
        changed, event = plan
        try:
            await store.commit(Changes(update=(changed,), events=(event,), settings_revision=settings.revision))
        except Conflict:
            continue
        return replace(changed, version=changed.version + 1), True
    raise Unavailable("the account or the settings kept changing meanwhile", hint="run the command again")
