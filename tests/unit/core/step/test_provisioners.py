"""Provisioners as stock clients list them (step-compat.md part 3)."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from dayfly.core.jose.jwk import render_jwk
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import make_settings
from dayfly.core.step.provisioners import describe, find_encrypted_key, list_provisioners
from factories import ec_key

KEY = ec_key()
JWK = Provisioner(
    "admin",
    ProvisionerType.JWK,
    key=msgspec.json.encode(
        {"use": "sig", "kid": "k1", "alg": "ES256", "note": "x", **render_jwk(KEY.public_key())}
    ).decode(),
    kid="k1",
    encrypted_key="e.e.e.e.e",
)


def test_a_jwk_provisioner_shows_its_public_key_alone__p3() -> None:
    """The members that clients read; neither the encrypted key nor what else stands beside it."""
    found = describe(JWK)
    assert sorted(found) == ["claims", "key", "name", "options", "type"]
    assert sorted(found["key"]) == ["alg", "crv", "kid", "kty", "use", "x", "y"]


def test_claims_are_go_durations__step_10() -> None:
    """A grace only where one is set."""
    claims = Claims(renewal_grace=timedelta(hours=1), allow_renewal_after_expiry=True)
    found = describe(Provisioner("acme", ProvisionerType.ACME, claims=claims, force_cn=True))
    assert (found["forceCN"], found["challenges"]) == (True, ("http-01", "dns-01", "tls-alpn-01"))
    assert found["claims"] == {
        "minTLSCertDuration": "5m0s",
        "maxTLSCertDuration": "24h0m0s",
        "defaultTLSCertDuration": "24h0m0s",
        "enableSSHCA": False,
        "disableRenewal": False,
        "allowRenewalAfterExpiry": True,
        "disableSmallstepExtensions": False,
        "renewalGrace": "1h0m0s",
    }
    assert "renewalGrace" not in describe(JWK)["claims"]


def test_pages_lead_through_all_once__p3() -> None:
    """By name; the cursor is where the next page begins; a disabled one is not there."""
    names = [f"p{number}" for number in range(5)]
    off = Provisioner("off", ProvisionerType.ACME, enabled=False)
    made = make_settings(1, (off, *(Provisioner(name, ProvisionerType.ACME) for name in reversed(names))))
    first = list_provisioners(made, cursor="", limit=3)
    assert ([one["name"] for one in first.provisioners], first.next_cursor) == (names[:3], "p3")
    second = list_provisioners(made, cursor=first.next_cursor, limit=3)
    assert ([one["name"] for one in second.provisioners], second.next_cursor) == (names[3:], "")
    assert list_provisioners(made, cursor="z", limit=3).provisioners == ()


def test_one_without_a_key_is_told_apart__step_3() -> None:
    """Its state, under a type that clients skip."""
    found = describe(Provisioner("new", ProvisionerType.JWK, kid="k2"))
    assert (found["state"], found["stateReason"]) == ("Uninitialized", "it has no key yet")
    assert found["type"] != "JWK"


def test_the_encrypted_key_is_given_where_it_is_published__p4() -> None:
    """By kid."""
    assert find_encrypted_key(make_settings(1, (JWK,)), "k1") == "e.e.e.e.e"
    assert find_encrypted_key(make_settings(1, (JWK,)), "k2") is None
    assert find_encrypted_key(make_settings(1, (Provisioner("acme", ProvisionerType.ACME),)), "") is None


def test_what_an_acme_directory_says_is_told_where_it_is_set__step_8() -> None:
    """In step's words; what is not set is absent."""
    plain = describe(Provisioner("acme", ProvisionerType.ACME))
    own = {"requireEAB", "termsOfService", "website", "caaIdentities", "preAuthorization", "authorizationReuse"}
    assert not own & set(plain)
    full = describe(
        Provisioner(
            "acme",
            ProvisionerType.ACME,
            require_eab=True,
            terms_of_service="https://a.example/t",
            website="https://a.example",
            caa_identities=("a.example",),
            pre_authorization=True,
            authorization_reuse=timedelta(hours=1),
        )
    )
    assert (full["requireEAB"], full["termsOfService"]) == (True, "https://a.example/t")
    assert (full["preAuthorization"], full["authorizationReuse"]) == (True, "1h0m0s")
    assert (full["website"], full["caaIdentities"]) == ("https://a.example", ("a.example",))
