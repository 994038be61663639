"""CAA where a provisioner asks for it: after a challenge, and again before signing where that is long ago (RFC 8659).

Rules: without the provisioner's switch nobody is asked; an address has no CAA records; a name server that says nothing
is no permission; what is found is held against all names of the CA and all URLs of the account; the names of
an order are asked about a few at a time, and within a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta

from dayfly.authority.context import Authority
from dayfly.core.acme.caa import Issuance, forbidden_by, is_fresh
from dayfly.core.acme.objects import Account, Authorization, Order
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.grant import Grant
from dayfly.core.problems import Caa, Dns, ServiceUnavailable, Subproblem
from dayfly.errors import StoreError
from dayfly.ports.validation import ValidationFailed

RETRY_AFTER = 5  # seconds, where the name servers say nothing
AT_ONCE = 8  # names of an order that are asked about at a time
WITHIN = 20.0  # seconds for all of an order: a connection that is being answered makes no room for others


async def confirm(
    authority: Authority, account: Account, provisioner: str, identifier: Identifier, *, method: str
) -> datetime | None:
    """When CAA was looked at for this name just now, None where nobody asks for it; ValidationFailed.

    Where the settings cannot be read nothing is asked: what was not looked at is looked at before signing.
    """
    try:
        _, grant = await authority.acme_grant_if_any(provisioner)
    except StoreError:
        return None
    if grant is None or not grant.caa or identifier.type is not IdentifierType.DNS:
        return None
    why = await _forbidden(authority, account, grant, identifier, method=method)
    if why:
        raise ValidationFailed(Caa(f"CAA of {identifier.value}: {why}"), transient=False)
    return authority.clock.now()


async def check_order(authority: Authority, account: Account, grant: Grant, order: Order) -> None:
    """Look again for each name whose check is old, or was never made; Caa, and ServiceUnavailable without an answer."""
    if not grant.caa:
        return
    now, lifetime = authority.clock.now(), grant.lifetimes.default
    due = [one for one in order.authorizations if _is_due(one, now, lifetime)]
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(one: Authorization) -> str:
        async with turns:
            return await _forbidden(authority, account, grant, one.identifier, method=one.validated_by)

    found = await _in_time([look(one) for one in due])
    forbidden = [
        Subproblem(Caa.type, f"CAA of {one.identifier.value}: {why}", one.identifier)
        for one, why in zip(due, found, strict=True)
        if why
    ]
    if forbidden:
        detail = forbidden[0].detail if len(forbidden) == 1 else f"CAA records forbid {len(forbidden)} names"
        raise Caa(detail, subproblems=forbidden)


async def _in_time(looks: Sequence[Coroutine[None, None, str]]) -> list[str]:
    """What they all find; ServiceUnavailable where one finds nothing, or together they take too long."""
    tasks = [asyncio.ensure_future(one) for one in looks]
    try:
        async with asyncio.timeout(WITHIN):
            return await asyncio.gather(*tasks)
    except ValidationFailed as failure:
        raise ServiceUnavailable(f"before issuing: {failure.problem.detail}", retry_after=RETRY_AFTER) from failure
    except TimeoutError as slow:
        detail = f"before issuing: the name servers did not say the CAA of {len(looks)} names within {WITHIN:.0f} s"
        raise ServiceUnavailable(detail, retry_after=RETRY_AFTER) from slow
    finally:
        for task in tasks:
            task.cancel()


def _is_due(authorization: Authorization, now: datetime, lifetime: timedelta) -> bool:
    evidence = authorization.evidence
    checked_at = None if evidence is None else evidence.caa_checked_at
    return authorization.identifier.type is IdentifierType.DNS and not is_fresh(checked_at, now=now, lifetime=lifetime)


async def _forbidden(
    authority: Authority, account: Account, grant: Grant, identifier: Identifier, *, method: str
) -> str:
    """Why CAA forbids it, "" where it does not; ValidationFailed."""
    if authority.caa is None:
        raise ValidationFailed(Dns("looking up CAA: this CA has no resolver"), transient=True)
    records = await authority.caa.relevant(identifier.value.removeprefix("*."))
    issuance = Issuance(
        identities=grant.identities,
        account_urls=authority.account_urls(account),
        method=method,
        wildcard=identifier.is_wildcard,
    )
    return forbidden_by(records, issuance)
