"""Orders from newOrder to the certificate (RFC 8555 7.4).

Rules: every read checks the account, and another account's object is as if it were not there (10.5); an order gives
at most one certificate, because the commit is conditional on the version read.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import nullcontext

from dayfly.authority.authorizations import as_rows_say, rows_of, shared_by
from dayfly.authority.caa import check_order
from dayfly.authority.context import Authority, Source
from dayfly.authority.denials import noting_denials
from dayfly.authority.external_accounts import grant_of_account
from dayfly.authority.issuing import issue
from dayfly.authority.order_limits import CountingRefused, check_new_order, counting_certificate, counting_order
from dayfly.authority.replacing import find_predecessor, take_credit
from dayfly.core.acme.accounts import check_usable, plan_client_note
from dayfly.core.acme.authorizations import row_ids_of
from dayfly.core.acme.external_accounts import ExternalAccountKey, check_vouched, preauthorize, vouches
from dayfly.core.acme.finalizing import check_ready, issued, plan_finalize, refused_by_lint
from dayfly.core.acme.objects import Account, Certificate, Order, OrderStatus, SharedAuthorization
from dayfly.core.acme.ordering import (
    as_of,
    deactivate_authorization,
    is_same_request,
    parse_order_request,
    plan_new_order,
)
from dayfly.core.acme.payloads import NewOrder
from dayfly.core.events import Event, IssueKind
from dayfly.core.frozen import replace
from dayfly.core.ids import render_id
from dayfly.core.jose.jwk import PublicKey
from dayfly.core.policy.denials import Asker
from dayfly.core.policy.grant import Grant, check_granted, under_profile
from dayfly.core.policy.profiles import ALL_KEYS
from dayfly.core.problems import NoSuchResource, ServiceUnavailable
from dayfly.core.provisioners import mark_for
from dayfly.core.x509.constraints import check_constraints
from dayfly.core.x509.csr import CSRFacts, parse_csr
from dayfly.core.x509.lint import LintRefused
from dayfly.errors import Conflict, NotFound
from dayfly.ports.changes import Changes

_LOG = logging.getLogger("dayfly.authority")

REUSE_LOOKS_AT = 20  # newest open orders of the account: a client that loops asks for the same thing again at once
TRIES = 4
_FINISHED = frozenset({OrderStatus.PROCESSING, OrderStatus.VALID})


async def load_order(authority: Authority, account: Account, order_id: int) -> Order:
    """The account's own order as of now; NoSuchResource for another's too (RFC 8555 10.5)."""
    try:
        order = await authority.store.orders.order(order_id)
    except NotFound:
        raise NoSuchResource("there is no such order") from None
    if order.account_id != account.id:
        raise NoSuchResource("there is no such order")
    if row_ids_of(order):
        return as_rows_say(authority, order, await rows_of(authority, order))
    return as_of(order, authority.clock.now())


async def new_order(
    authority: Authority, account: Account, payload: NewOrder, *, source: Source | None, user_agent: str = ""
) -> tuple[Order, bool]:
    """The order for what is asked, and whether it was made now: the same request gets its open order again.

    A lost race starts over from the settings and the account as they are now (RFC 8555 7.3.6).
    """
    for _ in range(TRIES):
        try:
            return await _new_order_once(authority, account, payload, source=source, user_agent=user_agent)
        except Conflict:
            account = await _still_usable(authority, account)
    raise ServiceUnavailable("the account or the settings are being changed by others; try again", retry_after=1)


async def _new_order_once(
    authority: Authority, account: Account, payload: NewOrder, *, source: Source | None, user_agent: str
) -> tuple[Order, bool]:
    settings, grant, keys = await grant_of_account(authority, account)
    request = parse_order_request(payload)
    now = authority.clock.now()
    predecessor = await find_predecessor(authority, account, request)
    for candidate in await authority.store.orders.open_orders(account.id, limit=REUSE_LOOKS_AT):
        if is_same_request(candidate, request, now=now):
            known = await load_order(authority, account, candidate.id)
            if is_same_request(known, request, now=now):  # by its rows, if it has some
                await _check_still_granted(authority, account, grant, known, source=source)
                return known, False
    is_renewal = take_credit(authority, settings, predecessor)
    life = grant.lifetimes.default
    if not is_renewal:
        await check_new_order(authority, account, request.identifiers, life)
    with nullcontext() if is_renewal else CountingRefused(authority, account, life):
        async with noting_denials(authority, _asker(account, source)):
            order, event = plan_new_order(
                request,
                order_id=authority.ids.new(),
                account_id=account.id,
                tokens=iter(authority.token, ""),
                grant=grant,
                offers=authority.offers,
                source=source,
                issuer_not_after=authority.signer.issuer.not_after,
                now=now,
                user_agent=user_agent,
            )
            check_constraints(
                authority.signer.issuer.constraints, request.identifiers
            )  # else finalize could only refuse
    if predecessor is not None:
        order = replace(order, predecessor_id=predecessor.id, is_renewal=is_renewal)
    under = under_profile(grant, order.profile)  # which may take fewer ways to prove a name
    order, relied_on, made, events = await _authorized(authority, order, under, keys)
    noted = plan_client_note(account, user_agent, now=now)  # in the commit that looks at its row anyway
    with nullcontext() if is_renewal else counting_order(authority, account, life):
        await authority.store.commit(
            Changes(
                insert=(order, *made),
                update=() if noted is None else (noted,),
                unchanged=(account, *keys, *relied_on) if noted is None else (*keys, *relied_on),
                events=(event, *events),
                settings_revision=settings.revision,
            )
        )
    return order, True


async def _authorized(
    authority: Authority, order: Order, grant: Grant, keys: tuple[ExternalAccountKey, ...]
) -> tuple[Order, tuple[SharedAuthorization, ...], tuple[SharedAuthorization, ...], tuple[Event, ...]]:
    """The order as it begins: what a key vouches for is its own; else with rows that it relies on, and made ones."""
    for key in filter(vouches, keys):
        order, vouched = preauthorize(order, key)
        return order, (), (), (vouched,)
    return *(await shared_by(authority, order, grant)), ()


async def _check_still_granted(
    authority: Authority, account: Account, grant: Grant, order: Order, *, source: Source | None
) -> None:
    """An account with a scope is told at once that it asks from elsewhere; finalize would refuse it anyway."""
    if grant.scopes:
        async with noting_denials(authority, _asker(account, source)):
            check_granted(grant, order.identifiers, source=source)


async def _still_usable(authority: Authority, account: Account) -> Account:
    """The account as it is stored now; Unauthorized (401) where it has been deactivated or revoked meanwhile."""
    account = await authority.store.accounts.account(account.id)
    check_usable(account)
    return account


def _asker(account: Account, source: Source | None) -> Asker:
    return Asker(account.provisioner, f"account {render_id(account.id)}", source)


async def finalize(
    authority: Authority,
    account: Account,
    account_key: PublicKey,
    order_id: int,
    csr_der: bytes,
    *,
    source: Source | None,
) -> Order:
    """The order with its certificate.

    1. One finalize of an order at a time in this process.
    2. The same CSR on a finished order gives the order again; another one is OrderNotReady.
    3. Plan under today's settings, issue, and commit certificate, order and log entry together. Where our own lint
       refuses, the order is invalid, and that is the answer: nothing that the client can do would mend it.
    4. A lost race starts over from what is stored now; the signature made is dropped unseen.
    """
    digest = hashlib.sha256(csr_der).hexdigest()
    async with authority.finalizing.alone(order_id):
        csr: CSRFacts | None = None
        for _ in range(TRIES):
            order = await load_order(authority, account, order_id)
            if order.status in _FINISHED and order.csr_digest == digest:
                return order
            check_ready(order)
            csr = csr or parse_csr(csr_der, allow=ALL_KEYS)  # the profile decides which of them
            try:
                async with noting_denials(authority, _asker(account, source)):
                    return await _finalize_once(
                        authority, account, order, csr, digest=digest, account_key=account_key, source=source
                    )
            except Conflict:
                account = await _still_usable(authority, account)
        raise ServiceUnavailable(
            "the order, its account or the settings are being changed by others; try again", retry_after=1
        )


async def _finalize_once(
    authority: Authority,
    account: Account,
    order: Order,
    csr: CSRFacts,
    *,
    digest: str,
    account_key: PublicKey,
    source: Source | None,
) -> Order:
    settings, grant, keys = await grant_of_account(authority, account)
    for key in keys:
        check_vouched(order, key)
    rows = await rows_of(authority, order)
    if rows:  # what they say now is what the commit holds them to
        order = as_rows_say(authority, order, rows)
    plan = plan_finalize(
        order,
        csr,
        account_spki=account_key.spki,
        grant=grant,
        source=source,
        issuer_not_after=authority.signer.issuer.not_after,
        now=authority.clock.now(),
    )
    await check_order(authority, account, grant, order)
    try:
        with counting_certificate(authority, order, plan):
            made = await issue(
                authority,
                plan,
                mark=mark_for(settings, grant.provisioner),
                kind=IssueKind.NEW if order.predecessor_id is None else IssueKind.REPLACE,
                account_id=order.account_id,
                order_id=order.id,
                parent_id=order.predecessor_id,
            )
            done = issued(order, certificate_id=made.certificate.id, csr_digest=digest)
            await authority.store.commit(
                Changes(
                    insert=(made.certificate,),
                    update=(done,),
                    unchanged=(account, *keys, *rows),
                    events=(made.event,),
                    settings_revision=settings.revision,
                )
            )
    except LintRefused as error:
        _LOG.error("the lint refused a certificate", extra={"order": render_id(order.id), "detail": error.message})
        refused = refused_by_lint(order)
        await authority.store.commit(Changes(update=(refused,), settings_revision=settings.revision))
        return replace(refused, version=refused.version + 1)
    return replace(done, version=done.version + 1)


async def load_certificate(authority: Authority, account: Account, certificate_id: int) -> Certificate:
    """The account's own certificate; NoSuchResource for another's too."""
    try:
        certificate = await authority.store.certificates.certificate(certificate_id)
    except NotFound:
        raise NoSuchResource("there is no such certificate") from None
    if certificate.account_id != account.id:
        raise NoSuchResource("there is no such certificate")
    return certificate


async def give_up_authorization(authority: Authority, account: Account, order_id: int, index: int) -> Order:
    """The order after its owner deactivated one authorization (RFC 8555 7.5.2)."""
    for _ in range(TRIES):
        order = await load_order(authority, account, order_id)
        if index >= len(order.authorizations) or order.authorizations[index].row_id is not None:
            raise NoSuchResource("there is no such authorization")
        changed = deactivate_authorization(order, index)
        try:
            await authority.store.commit(Changes(update=(changed,)))
        except Conflict:
            continue
        return replace(changed, version=changed.version + 1)
    raise ServiceUnavailable("the order is being changed by others; try again", retry_after=1)
