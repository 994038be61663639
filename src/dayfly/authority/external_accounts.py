"""External accounts: keys are made and taken back, accounts are bound by them, and held to their scopes (acme.md 5).

Rules: a binding that does not hold has one text and one time, and only the CA's log says why; how often a source may
be wrong is limited; an account is bound in the transaction that makes it, together with the use of the key; scopes,
the key's and the account's own, are read anew for every order, and a plain account costs no query.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress

from dayfly.authority.context import Authority, Source
from dayfly.authority.limits import rate_of, source_key
from dayfly.core.acme.account_scopes import bound_scope
from dayfly.core.acme.external_accounts import (
    Binding,
    ExternalAccountKey,
    check_external_key,
    refusal_of,
    revoked,
    scope_of,
    unbound,
)
from dayfly.core.acme.objects import Account, AccountStatus, Certificate
from dayfly.core.events import ExternalKeyMade, ExternalKeyRevoked, Reason
from dayfly.core.policy.grant import Grant, within_scopes
from dayfly.core.policy.scopes import Scope, render_scope
from dayfly.core.problems import Unauthorized
from dayfly.core.settings.provisioners import ProvisionerType
from dayfly.core.settings.revisions import Settings
from dayfly.errors import ConfigError, Conflict, NotFound, Unavailable
from dayfly.ports.changes import Changes
from dayfly.ports.store import Store
from dayfly.ports.system import Clock

_LOG = logging.getLogger("dayfly.authority")

TRIES = 5


async def find_binding_key(
    authority: Authority, provisioner: str, binding: Binding, *, source: Source | None
) -> ExternalAccountKey:
    """The key that binds a new account as asked, as of now; Unauthorized, and RateLimited after many of those."""
    now, limiter = authority.clock.now(), authority.limits.bindings
    rate = rate_of(authority.limits.figures.bad_bindings, source)
    limiter.check(source_key(source), rate, now, what="too many external account bindings that do not hold")
    try:
        key = await authority.store.external_keys.external_key(binding.kid)
    except NotFound:
        key = None
    why = refusal_of(binding, key, provisioner=provisioner, source=source, now=now)
    if why or key is None:
        limiter.use(source_key(source), rate, now)
        _LOG.warning("an external account binding was refused", extra={"kid": binding.kid[:80], "detail": why})
        raise unbound()
    return key


async def grant_of_account(
    authority: Authority, account: Account
) -> tuple[Settings, Grant, tuple[ExternalAccountKey, ...]]:
    """The settings, what the account's provisioner grants within its scopes, and the key that bound it if one did.

    Account and key are relied on: the commit of what is planned names them as `unchanged`.
    """
    settings, grant = await authority.acme_grant(account.provisioner)
    within, keys = await _within_scopes_of(authority, account, grant)
    return settings, within, keys


async def grant_of_certificate(
    authority: Authority, certificate: Certificate, grant: Grant
) -> tuple[Grant, tuple[Account, ...]]:
    """What is granted to the holder of a certificate: no more than to the account that it was issued to, if there is.

    Unauthorized (401) where that account has ended: its certificates end in their time. The account is relied on, as
    for an order.
    """
    if certificate.account_id is None:
        return grant, ()
    account = await authority.store.accounts.account(certificate.account_id)
    if account.status is not AccountStatus.VALID:
        raise Unauthorized(
            f"the account that the certificate was issued to is {account.status}; ask for a new certificate",
            status=401,
            reason=Reason.RENEW_DISABLED,
        )
    within, _ = await _within_scopes_of(authority, account, grant)
    return within, (account,)


async def _within_scopes_of(
    authority: Authority, account: Account, grant: Grant
) -> tuple[Grant, tuple[ExternalAccountKey, ...]]:
    """The grant within the scope of the account's key and its own, and that key."""
    if not account.external_key:
        return within_scopes(grant, bound_scope(account)), ()
    key = await authority.store.external_keys.external_key(account.external_key)
    return within_scopes(grant, (scope_of(key), *bound_scope(account))), (key,)


# --- keys -------------------------------------------------------------------------------------------------------------


async def add_external_key(store: Store, key: ExternalAccountKey) -> None:
    """Store a new key, with its log entry; ConfigError where it does not fit the settings as they are."""
    digest = hashlib.sha256(render_scope(key.scope)).hexdigest()
    event = ExternalKeyMade(
        key.created_at, key.kid, key.provisioner, key.scope.owner, digest, preauthorized=key.preauthorized
    )
    for _ in range(TRIES):
        settings = await store.settings.settings()
        _check_fits(settings, key)
        with suppress(Conflict):
            await store.commit(Changes(insert=(key,), events=(event,), settings_revision=settings.revision))
            return
    raise _busy()


def _check_fits(settings: Settings, key: ExternalAccountKey) -> None:
    """An ACME provisioner and an owner that there are, and a scope that is well formed; ConfigError."""
    found = settings.find_provisioner(key.provisioner)
    if found is None or found.type is not ProvisionerType.ACME:
        names = ", ".join(one.name for one in settings.provisioners if one.type is ProvisionerType.ACME) or "none"
        raise ConfigError(
            "", f"there is no ACME provisioner named {key.provisioner}", hint=f"those that there are: {names}"
        )
    check_owner(settings, key.scope)
    check_external_key(key)


def check_owner(settings: Settings, scope: Scope) -> None:
    """Raise ConfigError for the owner of a scope whom nobody knows."""
    if scope.owner and scope.owner not in {one.name for one in settings.owners}:
        names = ", ".join(one.name for one in settings.owners[:10]) or "none"
        raise ConfigError("", f"nobody knows the owner {scope.owner}", hint=f"those that there are: {names}")


async def revoke_external_key(store: Store, clock: Clock, *, provisioner: str, kid: str) -> ExternalAccountKey:
    """The key once it was taken back, with its log entry: it binds and vouches no more; ConfigError.

    A second time changes nothing. The accounts that it bound stay, and so does its scope.
    """
    for _ in range(TRIES):
        try:
            key = await store.external_keys.external_key(kid)
        except NotFound:
            raise _no_key(provisioner, kid) from None
        if key.provisioner != provisioner:
            raise _no_key(provisioner, kid)
        if key.revoked_at is not None:
            return key
        gone = revoked(key, now=clock.now())
        event = ExternalKeyRevoked(clock.now(), key.kid, key.provisioner)
        try:
            await store.commit(Changes(update=(gone,), events=(event,)))
        except Conflict:
            continue
        return gone
    raise _busy()


def _no_key(provisioner: str, kid: str) -> ConfigError:
    what = f"provisioner {provisioner} has no external account key {kid[:80]}"
    return ConfigError("", what, hint=f"list them: dayfly ca eab list {provisioner}")


def _busy() -> Unavailable:
    return Unavailable("the key or the settings kept changing meanwhile", hint="run the command again")
