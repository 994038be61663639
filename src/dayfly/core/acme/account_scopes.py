"""The scope of a single account: what its operator holds it to, beside the scope of the key that bound it (acme.md 5).

Rules: an account carries its own scope in canonical JSON, so one without costs nothing, and one that cannot be read
whole is an error and never no scope; it comes after that of the external account key, so its owner is the narrower; a
change that changes nothing is no change.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from datetime import datetime
from functools import lru_cache

from dayfly.core.acme.objects import Account
from dayfly.core.events import AccountScopeChanged
from dayfly.core.frozen import replace
from dayfly.core.ids import render_id
from dayfly.core.policy.scopes import BoundScope, Scope, check_scope, parse_scope, render_scope

NO_SCOPE = Scope()


def own_scope(account: Account) -> Scope:
    """What the account itself is held to, NO_SCOPE where it is not; RuleError for what cannot be read whole."""
    return _parsed(account.scope) if account.scope else NO_SCOPE


@lru_cache(maxsize=4096)
def _parsed(body: bytes) -> Scope:
    """Parsed once, since every order of such an account asks for it."""
    return parse_scope(body)


def bound_scope(account: Account) -> tuple[BoundScope, ...]:
    """Its own scope under the name that denials tell, `account:00000b1e5f400000`; nothing where it has none."""
    if not account.scope:
        return ()
    return (BoundScope(f"account:{render_id(account.id)}", own_scope(account)),)


def amend_scope(scope: Scope, asked: Scope) -> Scope:
    """The scope with each part that `asked` says something in put in the place of its own."""
    said = {one.name: getattr(asked, one.name) for one in fields(Scope) if getattr(asked, one.name) != one.default}
    return replace(scope, **said)


def plan_account_scope(
    account: Account, scope: Scope, *, by: str, now: datetime
) -> tuple[Account, AccountScopeChanged] | None:
    """The account under this scope, and the event that tells of it; None where it has it already.

    RuleError where the scope is not well formed.
    """
    check_scope(scope, what="the account")
    body = b"" if scope == NO_SCOPE else render_scope(scope)
    if body == account.scope:
        return None
    digest = hashlib.sha256(body).hexdigest() if body else ""
    event = AccountScopeChanged(now, account.id, account.provisioner, scope.owner, digest, by)
    return replace(account, scope=body), event
