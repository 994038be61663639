"""CRLs: made when they are asked for or due, kept for all processes, served from memory (acme.md part 10).

Rules: a list that lacks a revocation is not served after it, whichever process revoked, nor one of another issuer than
today's; a new one takes the place of the one that it was made after, or is dropped unseen, so numbers rise whichever
process signs; where the store or the signer cannot be used, the last list is served as long as it is good.
"""

from __future__ import annotations

import logging
from datetime import datetime

from dayfly.authority.context import Authority, SeenCRL
from dayfly.authority.issuing import sign_list
from dayfly.core.problems import NoSuchResource, ServiceUnavailable
from dayfly.core.x509.crl import content_digest, plan_crl, refresh_at
from dayfly.core.x509.partitions import is_served, partition_bounds, partition_of, partition_url
from dayfly.errors import Conflict, SignerError, Unavailable
from dayfly.ports.crls import CRLHead, StoredCRL

_LOG = logging.getLogger("dayfly.authority")

TRIES = 4


async def current_crl(authority: Authority, partition: int) -> StoredCRL:
    """The partition's CRL as of now; NoSuchResource for a day that no leaf can end on, ServiceUnavailable."""
    now = authority.clock.now()
    if not authority.crl.base or not is_served(partition, now):
        raise NoSuchResource("there is no such CRL here")
    try:
        return await _current(authority, partition, now)
    except (Unavailable, SignerError) as error:
        seen = authority.crls.get(partition)
        if seen is None or now >= seen.crl.head.next_update:
            raise ServiceUnavailable("the CRL cannot be made for the moment", retry_after=5) from error
        return seen.crl


async def _current(authority: Authority, partition: int, now: datetime) -> StoredCRL:
    """What this process has, as long as no certificate was changed and it is not due; else the newest, or a new one."""
    changes = await authority.store.renewals.changes()  # before what is revoked is read, never after it
    known = _known(authority, partition, changes, now)
    if known is not None:
        return known
    async with authority.making_crl.alone(partition):
        known = _known(authority, partition, changes, now)  # somebody made it while this one waited
        if known is None:
            known = await _newest(authority, partition)
            authority.crls[partition] = SeenCRL(known, changes)
    return known


def _known(authority: Authority, partition: int, changes: int, now: datetime) -> StoredCRL | None:
    seen = authority.crls.get(partition)
    return None if seen is None or seen.changes != changes or is_due(seen.crl.head, now) else seen.crl


def is_due(head: CRLHead, now: datetime) -> bool:
    """Is it time for a new one, though nothing was revoked?"""
    return now >= refresh_at(head.this_update, head.next_update)


async def refresh_crls(authority: Authority, now: datetime) -> None:
    """Forget what is over, and make anew what is due or lacks a revocation; for upkeep."""
    yesterday = partition_of(now) - 1
    await authority.store.crls.drop(yesterday)
    for partition in [one for one in authority.crls if one < yesterday]:
        del authority.crls[partition]
    if authority.crl.base:
        for head in await authority.store.crls.heads():
            if is_served(head.partition, now):
                await current_crl(authority, head.partition)


async def _newest(authority: Authority, partition: int) -> StoredCRL:
    """The stored one if it is today's issuer's, says what is revoked and is not due, else a new one.

    Who lost a race looks again.
    """
    for _ in range(TRIES):
        now = authority.clock.now()
        stored = await authority.store.crls.crl(partition)
        revoked = await authority.store.crls.revoked(*partition_bounds(partition))
        digest = content_digest(revoked, authority.signer.issuer)
        if stored is not None and stored.head.digest == digest and not is_due(stored.head, now):
            return stored
        after = 0 if stored is None else stored.head.number
        plan = plan_crl(
            revoked,
            url=partition_url(authority.crl.base, partition),
            last_number=after,
            validity=authority.crl.validity,
            now=now,
        )
        head = CRLHead(partition, plan.number, plan.this_update, plan.next_update, len(plan.entries), digest)
        made = StoredCRL(head, await sign_list(authority, plan))
        try:
            await authority.store.crls.keep(made, after=after)
        except Conflict:
            continue
        _LOG.info("CRL signed", extra={"partition": partition, "number": plan.number, "entries": len(plan.entries)})
        return made
    raise Unavailable("the CRL is being made by others")
