"""Profiles: what is offered, for how long, and who may ask for what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.grant import Grant, check_asked, check_key_granted, under_profile, within_scopes, without_crl
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.lifetimes import LONGEST, SHORTEST, Lifetimes
from dayfly.core.policy.profiles import DEVICE, EPHEMERAL, PROFILES, SERVICE, offered_profiles, profile_lifetimes
from dayfly.core.policy.scopes import BoundScope, Scope
from dayfly.core.problems import BadCSR, InvalidProfile, RejectedIdentifier
from factories import dns

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CLAIMS = Lifetimes(5 * MINUTE, DAY, DAY)
LIVES = st.lists(st.integers(10, 7 * 86_400), min_size=3, max_size=3).map(
    lambda three: Lifetimes(*(timedelta(seconds=one) for one in sorted(three)))
)


def grant(**changes: object) -> Grant:
    """A provisioner that offers all three, `service` first."""
    made = Grant(
        "acme", compile_rules(()), CLAIMS, ("http-01", "dns-01"), "service",
        profiles=("service", "device", "ephemeral"), claims=CLAIMS, all_challenges=("http-01", "dns-01"),
    )  # fmt: skip
    return replace(made, **changes)


def test_usual_profiles_are_service_and_ephemeral__acme_10() -> None:
    """A provisioner that names none offers these; `device` it must name, and the first is its default."""
    assert offered_profiles((), CLAIMS) == ("service", "ephemeral")
    assert offered_profiles(("device", "service"), CLAIMS) == ("device", "service")


def test_profile_that_cannot_keep_to_the_claims_is_not_offered() -> None:
    """Where nothing below two hours is given, an hour is not offered; something always is."""
    long = Lifetimes(2 * HOUR, DAY, DAY)
    assert offered_profiles((), long) == ("service",)
    assert offered_profiles(("ephemeral",), long) == ("service",)


def test_lifetimes_of_the_three__acme_10() -> None:
    """The provisioner's; 30 days; an hour at most."""
    assert profile_lifetimes(SERVICE, CLAIMS) == CLAIMS
    assert profile_lifetimes(DEVICE, CLAIMS) == Lifetimes(5 * MINUTE, 30 * DAY, 30 * DAY)
    assert profile_lifetimes(EPHEMERAL, CLAIMS) == Lifetimes(5 * MINUTE, HOUR, HOUR)


@given(LIVES)
def test_no_profile_widens_the_claims_but_one_that_is_named__p0_2(claims: Lifetimes) -> None:
    """Whatever is offered unasked lies within the claims, and every profile's lifetimes rise."""
    for name in offered_profiles((), claims):
        found = profile_lifetimes(PROFILES[name], claims)
        assert claims.minimum <= found.minimum <= found.default <= found.maximum <= claims.maximum
    for rules in PROFILES.values():
        found = profile_lifetimes(rules, claims)
        assert SHORTEST <= found.minimum <= found.default <= found.maximum


def test_what_needs_a_crl_is_not_offered_without__rfc9608() -> None:
    """Asked for or by default; nothing else changes."""
    assert without_crl(grant(profiles=("service",))) == grant(profiles=("service",))
    found = without_crl(grant())
    assert found.profiles == ("service", "ephemeral")
    with pytest.raises(InvalidProfile):
        under_profile(found, "device")
    alone = without_crl(under_profile(grant(profiles=("device",)), "device"))
    with pytest.raises(InvalidProfile, match="none is offered"):
        under_profile(alone, "")


def test_what_lives_above_seven_days_needs_a_crl__rfc9608() -> None:
    """Exactly those."""
    assert [one.name for one in PROFILES.values() if (one.longest or timedelta()) > LONGEST] == ["device"]
    assert [one.name for one in PROFILES.values() if one.needs_crl] == ["device"]


def test_grant_is_that_of_the_profile() -> None:
    """Lifetimes, names and keys; the default for who asks for none; and back from one to the other."""
    device = under_profile(grant(), "device")
    assert (device.profile, device.lifetimes.maximum, device.most_names) == ("device", 30 * DAY, 10)
    assert under_profile(grant(), "") == grant()
    assert under_profile(grant(profiles=("ephemeral", "service")), "").profile == "ephemeral"
    back = under_profile(device, "service")
    assert (back.profile, back.lifetimes, back.key_types) == ("service", CLAIMS, SERVICE.keys)
    assert back.challenges == ("http-01", "dns-01")


@pytest.mark.parametrize("name", ["tlsserver", "Service", "x" * 500])
def test_profile_that_is_not_offered_is_refused__o12(name: str) -> None:
    """The refusal says which are."""
    with pytest.raises(InvalidProfile, match="service, device, ephemeral"):
        under_profile(grant(), name)
    with pytest.raises(InvalidProfile):
        under_profile(grant(profiles=("service",)), "device")


def test_scope_narrows_profiles__acme_5() -> None:
    """An account that may have devices only gets them unasked, and nothing else; its longest life holds there too."""
    bound = BoundScope("eab:7hQ2", Scope(profiles=("device",), max_lifetime=3 * DAY))
    found = under_profile(within_scopes(grant(), (bound,)), "")
    assert (found.profile, found.lifetimes.maximum) == ("device", 3 * DAY)
    with pytest.raises(InvalidProfile, match="does not allow the profile service; ask for device"):
        under_profile(within_scopes(grant(), (bound,)), "service")
    other = BoundScope("account:1", Scope(profiles=("ephemeral",)))
    with pytest.raises(InvalidProfile, match="none is offered to this account"):
        under_profile(within_scopes(grant(), (bound, other)), "")


def test_profile_has_its_most_names_and_types() -> None:
    """Eleven names are too many for a device; a type that the profile does not take is named with its identifier."""
    device = under_profile(grant(), "device")
    names = [dns(f"n{at}.internal.example") for at in range(11)]
    check_asked(device, names[:10])
    check_asked(grant(), [*names, Identifier(IdentifierType.IP, "10.0.0.1")])
    with pytest.raises(RejectedIdentifier, match="at most 10"):
        check_asked(device, names)
    only_dns = replace(device, identifier_types=("dns",))
    with pytest.raises(RejectedIdentifier, match="type dns only") as caught:
        check_asked(only_dns, [dns(), Identifier(IdentifierType.IP, "10.0.0.1")])
    assert [one.identifier and one.identifier.value for one in caught.value.subproblems] == ["10.0.0.1"]


def test_key_types_of_a_profile_are_narrowed_by_provisioner_and_scope() -> None:
    """What the provisioner names, and every scope, of what the profile takes."""
    bound = BoundScope("eab:7hQ2", Scope(key_types=(KeyType.ED25519, KeyType.P384, KeyType.RSA2048)))
    named = grant(named_keys=frozenset({KeyType.P256, KeyType.P384, KeyType.ED25519}))
    assert under_profile(within_scopes(named, (bound,)), "ephemeral").key_types == {KeyType.P384, KeyType.ED25519}
    assert under_profile(named, "device").key_types == {KeyType.P256, KeyType.P384}


def test_ed25519_is_for_ephemeral_certificates_only__acme_9() -> None:
    """By profile."""
    check_key_granted(under_profile(grant(), "ephemeral"), KeyType.ED25519)
    for name in ("service", "device"):
        with pytest.raises(BadCSR, match=f"profile {name} takes no keys of type Ed25519"):
            check_key_granted(under_profile(grant(), name), KeyType.ED25519)
        check_key_granted(under_profile(grant(), name), KeyType.RSA2048)
