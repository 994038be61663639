"""Changes of provisioners as an admin asks for them (step-compat.md parts 10 and 14)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dayfly.core.frozen import replace
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.provisioner_changes import (
    Key,
    ProvisionerEdit,
    edited,
    plan_add,
    plan_provisioner_removal,
    plan_update,
)
from dayfly.core.settings.provisioners import DEFAULT_CHALLENGES, Provisioner, ProvisionerType
from dayfly.core.settings.revisions import apply_change, make_settings
from dayfly.errors import ConfigError
from factories import settings

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
ACME = Provisioner("acme", ProvisionerType.ACME)
JWK = Provisioner("team", ProvisionerType.JWK, kid="kid")


def test_a_provisioner_is_added_with_what_is_asked_for() -> None:
    """Lifetimes stretch as step has it; the rest is the default."""
    change = plan_add(settings(), "short", ProvisionerType.ACME, ProvisionerEdit(default=MINUTE, force_cn=True))
    (made,) = change.put
    assert made == Provisioner("short", ProvisionerType.ACME, Claims(MINUTE, MINUTE, 24 * HOUR), force_cn=True)
    assert apply_change(settings(), change).find_provisioner("short") == made


def test_a_second_provisioner_of_a_name_is_refused() -> None:
    """Whatever its type."""
    with pytest.raises(ConfigError, match="named acme already"):
        plan_add(settings(), "acme", ProvisionerType.JWK, ProvisionerEdit())


def test_an_update_changes_what_is_named_and_nothing_else() -> None:
    """Everything else stays, and an update that changes nothing makes no revision."""
    before = replace(ACME, claims=Claims(MINUTE, HOUR, 2 * HOUR, disable_renewal=True), challenges=("dns-01",))
    here = apply_change(settings(), replace(plan_update(settings(), "acme", ProvisionerEdit()), put=(before,)))
    (after,) = plan_update(here, "acme", ProvisionerEdit(allow_renewal_after_expiry=True, enabled=False)).put
    assert after == replace(before, enabled=False, claims=replace(before.claims, allow_renewal_after_expiry=True))
    assert plan_update(here, "acme", ProvisionerEdit(default=HOUR)).put == ()


@pytest.mark.parametrize(
    ("asked", "lifetimes"),
    [
        ({"default": 3 * HOUR}, (MINUTE, 3 * HOUR, 3 * HOUR)),
        ({"maximum": 30 * MINUTE}, (MINUTE, 30 * MINUTE, 30 * MINUTE)),
        ({"minimum": 90 * MINUTE}, (90 * MINUTE, 90 * MINUTE, 2 * HOUR)),
    ],
)
def test_updated_lifetimes_stretch_from_those_there_were(
    asked: dict[str, Any], lifetimes: tuple[timedelta, ...]
) -> None:
    """Step's rule, on what the provisioner has."""
    found = edited(replace(ACME, claims=Claims(MINUTE, HOUR, 2 * HOUR)), ProvisionerEdit(**asked)).claims
    assert (found.min_lifetime, found.default_lifetime, found.max_lifetime) == lifetimes


@pytest.mark.parametrize(
    ("before", "add", "remove", "after"),
    [
        ((), ("dns-01",), (), ("dns-01",)),
        ((), ("dns-01", "dns-01"), (), ("dns-01",)),
        (("http-01",), ("dns-01",), (), ("http-01", "dns-01")),
        ((), (), ("http-01",), ("dns-01", "tls-alpn-01")),
        (("http-01", "dns-01"), (), ("http-01",), ("dns-01",)),
        (("http-01",), ("dns-01",), ("http-01",), ("dns-01",)),
        (("http-01",), (), (), ("http-01",)),
    ],
)
def test_challenges_are_added_and_removed(
    before: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """Naming one narrows what offers all; removing one takes it from what is offered."""
    edit = ProvisionerEdit(add_challenges=add, remove_challenges=remove)
    assert edited(replace(ACME, challenges=before), edit).challenges == after


def test_a_provisioner_is_not_left_without_challenges() -> None:
    """Nor with one that nobody can answer."""
    with pytest.raises(ConfigError, match="no challenge type would be left"):
        edited(ACME, ProvisionerEdit(remove_challenges=DEFAULT_CHALLENGES))
    for edit in (ProvisionerEdit(add_challenges=("device-attest-01",)), ProvisionerEdit(remove_challenges=("x",))):
        with pytest.raises(ConfigError, match="has no challenge type"):
            edited(ACME, edit)


@pytest.mark.parametrize(
    ("provisioner", "asked"),
    [
        (JWK, {"force_cn": True}),
        (JWK, {"add_challenges": ("dns-01",)}),
        (JWK, {"remove_challenges": ("dns-01",)}),
        (JWK, {"pre_authorization": True}),
        (JWK, {"authorization_reuse": HOUR}),
        (ACME, {"key": Key("k", "{}")}),
        (ACME, {"publish_key": False}),
    ],
)
def test_what_only_the_other_type_has_is_refused(provisioner: Provisioner, asked: dict[str, Any]) -> None:
    """A flag without an effect would be a lie."""
    with pytest.raises(ConfigError, match=r"belongs? to the type"):
        edited(provisioner, ProvisionerEdit(**asked))


def test_a_key_is_replaced_as_a_whole() -> None:
    """Id, public and encrypted half together; the switch of its publication is its own."""
    found = edited(JWK, ProvisionerEdit(key=Key("new", "{}", "jwe"), publish_key=False))
    assert (found.kid, found.key, found.encrypted_key, found.publish_key) == ("new", "{}", "jwe", False)
    assert edited(replace(found, publish_key=True), ProvisionerEdit(key=Key("bare", "{}"))).encrypted_key == ""


def test_a_removed_provisioner_takes_its_own_rules_with_it() -> None:
    """Rules for all provisioners stay; what is not there cannot go."""
    scoped = Rule("r9", RuleKind.DNS, "shop.corp", "platform-team", provisioner="acme")
    change, rules = plan_provisioner_removal(settings(scoped), "acme")
    assert rules == (scoped,)
    after = apply_change(settings(scoped), change)
    assert ([one.id for one in after.rules], after.find_provisioner("acme")) == (["r1", "r2", "r3"], None)
    for plan in (plan_provisioner_removal, lambda here, name: plan_update(here, name, ProvisionerEdit())):
        with pytest.raises(ConfigError, match="no provisioner named nobody"):
            plan(settings(), "nobody")


def test_directory_settings_are_put_and_taken_away() -> None:
    """What is not named stays; an empty text, or an empty identity, takes it away."""
    asked = ProvisionerEdit(
        require_eab=True,
        terms_of_service="https://a.example/t",
        website="http://a.example",
        caa_identities=("a.example",),
    )
    made = edited(ACME, asked)
    assert (made.require_eab, made.terms_of_service, made.website) == (True, "https://a.example/t", "http://a.example")
    assert made.caa_identities == ("a.example",)
    assert edited(made, ProvisionerEdit(force_cn=False)) == made
    less = ProvisionerEdit(require_eab=False, terms_of_service="", website="", caa_identities=("",))
    assert edited(made, less) == ACME


@pytest.mark.parametrize(
    "edit",
    [
        ProvisionerEdit(require_eab=False),
        ProvisionerEdit(website=""),
        ProvisionerEdit(terms_of_service="https://a.example"),
        ProvisionerEdit(caa_identities=("a.example",)),
        ProvisionerEdit(caa=True),
    ],
    ids=repr,
)
def test_a_jwk_provisioner_has_no_directory(edit: ProvisionerEdit) -> None:
    """What a directory says belongs to the type ACME."""
    with pytest.raises(ConfigError, match="belong to the type ACME"):
        edited(JWK, edit)


def test_key_types_are_named_taken_away_and_known() -> None:
    """In any case of letters; an empty one is all; a type that gets no certificates is refused where it is stored."""
    plain = Provisioner("p", ProvisionerType.ACME)
    narrow = edited(plain, ProvisionerEdit(key_types=("p-256", "RSA-3072", "p-256")))
    assert narrow.key_types == (KeyType.P256, KeyType.RSA3072)
    assert edited(narrow, ProvisionerEdit()).key_types == narrow.key_types
    assert edited(narrow, ProvisionerEdit(key_types=("",))).key_types == ()
    with pytest.raises(ConfigError, match="'DSA' is no key type"):
        edited(plain, ProvisionerEdit(key_types=("DSA",)))
    with pytest.raises(ConfigError, match="names the key type Ed25519, which gets no certificates"):
        make_settings(1, (edited(plain, ProvisionerEdit(key_types=("Ed25519",))),))


def test_profiles_are_named_in_order_and_taken_away() -> None:
    """The first is the default, so order counts; an empty one is the usual; an unknown one is refused when stored."""
    named = edited(ACME, ProvisionerEdit(profiles=("device", "service", "device")))
    assert named.profiles == ("device", "service")
    assert edited(named, ProvisionerEdit()).profiles == named.profiles
    assert edited(named, ProvisionerEdit(profiles=("",))).profiles == ()
    with pytest.raises(ConfigError, match="names the profile 'tlsserver'"):
        make_settings(1, (edited(ACME, ProvisionerEdit(profiles=("tlsserver",))),))
