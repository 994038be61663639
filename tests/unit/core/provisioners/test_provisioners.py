"""What provisioners grant on the ACME face (step-compat.md part 13)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core.policy.grant import Grant
from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.provisioners import grant_for, mark_for
from dayfly.core.settings.documents import Claims, Provisioner, ProvisionerType, Settings, make_settings
from dayfly.core.x509.profile import ProvisionerMark

ACME = Provisioner(
    "acme",
    ProvisionerType.ACME,
    claims=Claims(timedelta(minutes=1), timedelta(hours=1), timedelta(hours=2)),
    challenges=("http-01",),
    force_cn=True,
)


def settings(*provisioners: Provisioner) -> Settings:
    """Settings with these provisioners alone."""
    return make_settings(1, provisioners)


def test_acme_provisioner_grants_what_its_document_says() -> None:
    """Names by the authority's rules, its own lifetimes and challenges."""
    made = settings(ACME)
    assert grant_for(made, "acme") == Grant(
        provisioner="acme",
        rules=made.name_rules,
        lifetimes=Lifetimes(timedelta(minutes=1), timedelta(hours=1), timedelta(hours=2)),
        challenges=("http-01",),
        profile="service",
        force_cn=True,
        may_renew=True,
    )


def test_claim_disable_renewal_reaches_the_grant__step_compat_10() -> None:
    """What it gave once it does not renew."""
    grant = grant_for(settings(replace(ACME, claims=Claims(disable_renewal=True))), "acme")
    assert grant is not None
    assert not grant.may_renew


@pytest.mark.parametrize("kind", [one for one in ProvisionerType if one is not ProvisionerType.ACME])
def test_other_types_grant_nothing_on_the_acme_face__step_compat_13(kind: ProvisionerType) -> None:
    """A type that is not in the table has no capability there."""
    assert grant_for(settings(Provisioner("p", kind)), "p") is None


def test_disabled_or_missing_provisioner_grants_nothing() -> None:
    """Neither by its name nor by another one's."""
    made = settings(replace(ACME, enabled=False))
    assert grant_for(made, "acme") is None
    assert grant_for(made, "other") is None


def test_provisioner_without_challenges_of_its_own_offers_the_default_three__acme_1() -> None:
    """http-01, dns-01 and tls-alpn-01; a document that names some keeps what it says."""
    made = grant_for(settings(replace(ACME, challenges=())), "acme")
    assert made is not None
    assert made.challenges == ("http-01", "dns-01", "tls-alpn-01")


def test_extension_names_type_provisioner_and_key__step_compat_9() -> None:
    """Numbers as in step: JWK 1, ACME 6; a disabled one is named all the same, one that is not there is not."""
    made = settings(replace(ACME, enabled=False), Provisioner("admin", ProvisionerType.JWK, kid="k1"))
    assert mark_for(made, "acme") == ProvisionerMark(6, "acme", "")
    assert mark_for(made, "admin") == ProvisionerMark(1, "admin", "k1")
    assert mark_for(made, "other") is None
