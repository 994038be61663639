"""Revocation, as a plan: who may do what, and what stands afterwards (RFC 8555 7.6)."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from dayfly.core.acme.objects import AccountStatus, AuthorizationStatus
from dayfly.core.acme.revoking import (
    Revoker,
    authorized_names,
    parse_revocation,
    plan_revocation,
    revoke_account,
)
from dayfly.core.events import AccountRevoked, CertificateRevoked
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.problems import AlreadyRevoked, BadRevocationReason, Malformed
from factories import NAME, NOW, account, authorization, certificate, dns, ready_order, valid_authorization

HOLDER = Revoker("its own key", holds_key=True)
ADMIN = Revoker("provisioner ops", may_bar_key=True)
ACCOUNT = Revoker("account 7")


def payload(**members: object) -> bytes:
    """A revokeCert payload."""
    return msgspec.json.encode({"certificate": b64u_encode(b"leaf"), **members})


def test_payload_is_a_certificate_and_a_reason__rfc8555_7_6() -> None:
    """Without a reason, or with null, it is unspecified."""
    assert (parse_revocation(payload()).der, parse_revocation(payload()).reason) == (b"leaf", 0)
    assert parse_revocation(payload(reason=None)).reason == 0
    assert parse_revocation(payload(reason=9)).reason == 9


@pytest.mark.parametrize("reason", [-1, 6, 7, 8, 11, 1 << 62])
def test_payload_with_a_reason_that_cannot_be_given__rfc8555_7_6(reason: int) -> None:
    """It says which ones can."""
    with pytest.raises(BadRevocationReason, match=r"0, 1, 2, 3, 4, 5, 9, 10"):
        parse_revocation(payload(reason=reason))


@pytest.mark.parametrize("members", [{"certificate": "a=="}, {"certificate": 7}, {"reason": "1"}, {"reason": 1.5}])
def test_payload_that_is_none__rfc8555_7_6(members: dict[str, object]) -> None:
    """Padding, and values of another type."""
    with pytest.raises(Malformed):
        parse_revocation(payload(**members))


@pytest.mark.parametrize(
    ("revoker", "reason", "bars"),
    [(HOLDER, 1, True), (ADMIN, 1, True), (ACCOUNT, 1, False), (HOLDER, 0, False), (ADMIN, 4, False)],
)
def test_first_revocation__rfc8555_7_6(revoker: Revoker, reason: int, *, bars: bool) -> None:
    """The row and its entry agree; the key is barred for keyCompromise, by whoever has it, or an admin."""
    plan = plan_revocation(certificate(), revoker, reason=reason, now=NOW)
    assert (plan.certificate.revoked_at, plan.certificate.revocation_reason) == (NOW, reason)
    assert plan.event == CertificateRevoked(NOW, certificate().id, certificate().serial, reason, revoker.by)
    assert plan.bars_key is bars


def test_reason_becomes_key_compromise__acme_11() -> None:
    """By proof of the key alone; when it was revoked stands."""
    revoked = certificate(revoked_at=NOW, revocation_reason=4)
    later = NOW + timedelta(hours=1)
    plan = plan_revocation(revoked, HOLDER, reason=1, now=later)
    assert (plan.certificate.revoked_at, plan.certificate.revocation_reason) == (NOW, 1)
    assert (plan.event.at, plan.bars_key) == (later, True)


@pytest.mark.parametrize(
    ("revoker", "before", "reason"), [(HOLDER, 4, 0), (HOLDER, 1, 1), (ACCOUNT, 0, 1), (ADMIN, 4, 1), (ADMIN, 4, 4)]
)
def test_second_revocation_is_refused__rfc8555_7_6(revoker: Revoker, before: int, reason: int) -> None:
    """Whoever asks, and with whatever else."""
    with pytest.raises(AlreadyRevoked):
        plan_revocation(certificate(revoked_at=NOW, revocation_reason=before), revoker, reason=reason, now=NOW)


def test_names_of_valid_authorizations_count_while_they_are_valid__rfc8555_7_6() -> None:
    """Not pending ones, nor those that were given up or have expired."""
    given_up = replace(valid_authorization("c." + NAME), status=AuthorizationStatus.DEACTIVATED)
    copy = valid_authorization("d." + NAME, row_id=9)  # its row says whether it stands
    order = ready_order(authorizations=(valid_authorization(), authorization("b." + NAME), given_up, copy))
    assert authorized_names(order, NOW) == {dns()}
    assert authorized_names(order, order.expires) == frozenset()


def test_account_that_the_ca_ends__rfc8555_7_1_2() -> None:
    """It is revoked, which its owner cannot undo; the entry says for what."""
    ended, event = revoke_account(account(), by="revocation of 7", now=NOW)
    assert ended.status is AccountStatus.REVOKED
    assert event == AccountRevoked(NOW, 7, "acme", "revocation of 7")
