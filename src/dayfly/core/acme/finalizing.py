"""Finalize: from a ready order and a CSR to what shall be issued (RFC 8555 7.4).

Rules: of the CSR only the key is taken, and its names are compared both ways with the order's; policy, lifetime and
key are judged again at this moment; the plan relies on one revision of the settings, which the commit names.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from dayfly.core.acme.objects import AuthorizationStatus, Order, OrderStatus, StoredProblem
from dayfly.core.acme.states import OrderEvent, advance_order
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.grant import Grant, check_granted, check_key_granted, under_profile
from dayfly.core.policy.lifetimes import plan_validity
from dayfly.core.policy.plan import IssuePlan
from dayfly.core.problems import BadCSR, OrderNotReady
from dayfly.core.x509.csr import CSRFacts

MAX_CN_LENGTH = 64  # RFC 5280 appendix A, ub-common-name


def check_ready(order: Order) -> None:
    """Raise OrderNotReady where the order, as of now, cannot be finalized (RFC 8555 7.4)."""
    if order.status is not OrderStatus.READY:
        why = f": {order.error.detail}" if order.error else ""
        raise OrderNotReady(f"the order is {order.status}, not ready{why}")
    unproved = [one.identifier.value for one in order.authorizations if one.status is not AuthorizationStatus.VALID]
    if unproved:
        raise OrderNotReady(f"no valid authorization for {', '.join(unproved)} any more; make a new order")


def plan_finalize(
    order: Order,
    csr: CSRFacts,
    *,
    account_spki: bytes,
    grant: Grant,
    source: IPv4Address | IPv6Address | None,
    issuer_not_after: datetime,
    now: datetime,
) -> IssuePlan:
    """What to issue for a ready order.

    1. The order is ready as of now, every authorization valid (OrderNotReady).
    2. Its profile is offered still (InvalidProfile).
    3. The CSR's names are exactly the order's, both sides canonical (BadCSR, RFC 8555 7.4).
    4. The key is not the account's (RFC 8555 11.1), and of a type that gets certificates.
    5. Today's rules still allow every name (RejectedIdentifier).
    6. The validity is within the grant and the issuer's.
    """
    check_ready(order)
    grant = under_profile(grant, order.profile)
    names = order.identifiers
    _check_names_equal(names, csr)
    if csr.spki == account_spki:
        raise BadCSR("the certificate's key is the account's key; make another one (RFC 8555 11.1)")
    check_key_granted(grant, csr.key.type)
    allowed = check_granted(grant, names, source=source)
    validity = plan_validity(
        now,
        lifetimes=grant.lifetimes,
        requested_not_before=order.not_before,
        requested_not_after=order.not_after,
        issuer_not_after=issuer_not_after,
    )
    return IssuePlan(
        names=names,
        spki=csr.spki,
        validity=validity,
        common_name=choose_common_name(names, asked=csr.common_name, force=grant.force_cn),
        profile=grant.profile,
        provisioner=grant.provisioner,
        allowed=allowed[0],
        thumbprint=csr.thumbprint,
    )


def _check_names_equal(names: tuple[Identifier, ...], csr: CSRFacts) -> None:
    wanted = frozenset(names)
    if csr.names == wanted:
        return
    missing = sorted(one.value for one in wanted - csr.names)
    extra = sorted(one.value for one in csr.names - wanted)
    parts = [f"lacks {', '.join(missing)}"] if missing else []
    parts += [f"has {', '.join(extra)} beyond the order"] if extra else []
    raise BadCSR(f"the CSR's names are not the order's: it {' and '.join(parts)}"[:500])


def choose_common_name(names: tuple[Identifier, ...], *, asked: str | None, force: bool) -> str | None:
    """The subject's CN: the CSR's, which is one of the names; else, where forced, the first DNS name that fits."""
    if asked is not None:
        return asked
    if not force:
        return None
    fitting = (one.value for one in names if one.type is IdentifierType.DNS and len(one.value) <= MAX_CN_LENGTH)
    return next(fitting, None)


def issued(order: Order, *, certificate_id: int, csr_digest: str) -> Order:
    """The order with its certificate: ready to valid in one step (RFC 8555 7.1.6, our divergence is written down)."""
    return replace(
        order,
        status=advance_order(order.status, OrderEvent.ISSUED),
        certificate_id=certificate_id,
        csr_digest=csr_digest,
    )


def refused_by_lint(order: Order) -> Order:
    """The order when our own lint refuses the certificate: invalid, with a fixed text."""
    text = "the certificate did not pass the CA's own checks; nothing was issued"
    problem = StoredProblem("serverInternal", text, 500)
    return replace(order, status=advance_order(order.status, OrderEvent.FAILED), error=problem)
