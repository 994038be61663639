"""The certificate that an order replaces (RFC 9773 5).

Rules: what is named is this account's, shares a name with the order, and was not replaced before; one that nobody knows
gives no credit and harms nothing, for a lost record must not block an urgent renewal. An order that replaces a
certificate whose renewal is due is not counted by limits; how often one certificate gives that credit is bounded, so
that it is no way around them.
"""

from __future__ import annotations

from datetime import timedelta

from dayfly.authority.context import Authority
from dayfly.authority.renewal_info import find_named, renewal_of
from dayfly.core.acme.objects import Account, Certificate
from dayfly.core.acme.ordering import OrderRequest
from dayfly.core.acme.renewal_info import parse_certificate_id
from dayfly.core.policy.limits import Rate
from dayfly.core.problems import AlreadyReplaced, Malformed, RateLimited, Unauthorized
from dayfly.core.settings.revisions import Settings

CREDITS = Rate(10, timedelta(hours=1))  # orders that nobody counts, for one certificate


async def find_predecessor(authority: Authority, account: Account, request: OrderRequest) -> Certificate | None:
    """The certificate that is to be replaced; None where the order names none, or one that this CA does not know.

    Unauthorized (403) for another account's, Malformed where no name is in both, AlreadyReplaced (409).
    """
    if not request.replaces:
        return None
    found = await find_named(authority, parse_certificate_id(request.replaces))
    if found is None:
        return None
    if found.account_id != account.id:
        raise Unauthorized("the certificate that `replaces` names is not this account's; leave `replaces` out")
    if not set(found.names) & set(request.identifiers):
        raise Malformed("the certificate that `replaces` names shares no name with the order; leave `replaces` out")
    if await authority.store.renewals.is_replaced(found.id):
        raise AlreadyReplaced("the certificate that `replaces` names was replaced already; leave `replaces` out")
    return found


def take_credit(authority: Authority, settings: Settings, predecessor: Certificate | None) -> bool:
    """Is this the renewal of a certificate whose window has begun? Then no limit counts the order; it is used up here.

    A window that has passed is as good: who comes late should not be held up too.
    """
    if predecessor is None:
        return False
    now = authority.clock.now()
    if now < renewal_of(authority, settings, predecessor).window.start:
        return False
    rate = CREDITS.within(predecessor.not_after - predecessor.not_before)
    try:
        authority.limits.replacements.take(predecessor.id, rate, now, what="this certificate was replaced too often")
    except RateLimited:
        return False
    return True
