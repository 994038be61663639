"""What provisioners grant, on which face (step-compat.md part 13)."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from dayfly.core.frozen import replace
from dayfly.core.jose.jwk import render_jwk, thumbprint_of
from dayfly.core.policy.grant import Grant
from dayfly.core.policy.lifetimes import Lifetimes
from dayfly.core.provisioners import grant_for, mark_for, renewal_grant_for, token_grant_for
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings, make_settings
from dayfly.core.x509.profile import ProvisionerMark
from factories import ec_key

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
    lifetimes = Lifetimes(timedelta(minutes=1), timedelta(hours=1), timedelta(hours=2))
    assert grant_for(made, "acme") == Grant(
        provisioner="acme",
        rules=made.name_rules,
        lifetimes=lifetimes,
        challenges=("http-01",),
        profile="service",
        force_cn=True,
        may_renew=True,
        profiles=("service", "ephemeral"),
        claims=lifetimes,
        all_challenges=("http-01",),
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


# --- tokens and renewals ----------------------------------------------------------------------------------------------

_KEY = ec_key()
_KID = thumbprint_of(_KEY.public_key())
JWK = Provisioner(
    "admin",
    ProvisionerType.JWK,
    key=msgspec.json.encode({"kid": _KID, **render_jwk(_KEY.public_key())}).decode(),
    kid=_KID,
)


def test_a_jwk_provisioner_grants_to_its_tokens__step_compat_13() -> None:
    """By name and kid together; it offers no challenge."""
    found = token_grant_for(settings(JWK), "admin", _KID)
    assert found is not None
    assert (found.grant.provisioner, found.grant.challenges, found.key.thumbprint) == ("admin", (), _KID)


@pytest.mark.parametrize(
    ("provisioner", "name", "kid"),
    [
        (JWK, "admin", "other"),
        (JWK, "admin", ""),
        (JWK, "Admin", _KID),
        (replace(JWK, enabled=False), "admin", _KID),
        (replace(JWK, key=""), "admin", _KID),
        (ACME, "acme", ""),
    ],
)
def test_nothing_else_grants_to_tokens__step_compat_13(provisioner: Provisioner, name: str, kid: str) -> None:
    """Another kid or case, disabled, without a key, another type."""
    assert token_grant_for(settings(provisioner), name, kid) is None


@pytest.mark.parametrize("provisioner", [ACME, JWK])
def test_both_types_grant_renewals_by_their_claims__step_compat_5(provisioner: Provisioner) -> None:
    """The claims of renewal reach the grant; disabled or gone, there is none."""
    claims = Claims(allow_renewal_after_expiry=True, renewal_grace=timedelta(hours=2))
    grant = renewal_grant_for(settings(replace(provisioner, claims=claims)), provisioner.name)
    assert grant is not None
    assert (grant.may_renew, grant.may_renew_expired, grant.renewal_grace) == (True, True, timedelta(hours=2))
    assert renewal_grant_for(settings(replace(provisioner, enabled=False)), provisioner.name) is None
    assert renewal_grant_for(settings(provisioner), "other") is None


def test_the_extension_can_be_left_out__step_compat_9() -> None:
    """The claim disableSmallstepExtensions."""
    assert mark_for(settings(replace(JWK, claims=Claims(disable_smallstep_extensions=True))), "admin") is None
