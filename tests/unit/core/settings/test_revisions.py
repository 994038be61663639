"""Settings are checked as a whole, one revision after the other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dayfly.core.frozen import replace
from dayfly.core.identifiers import parse_dns
from dayfly.core.jose.jwk import render_jwk, thumbprint_of
from dayfly.core.policy.decisions import Allowed
from dayfly.core.policy.keys import KeyType
from dayfly.core.policy.names import decide
from dayfly.core.policy.rules import Rule, RuleAction, RuleKind
from dayfly.core.provisioners import grant_for
from dayfly.core.settings import revisions as module
from dayfly.core.settings.claims import Claims
from dayfly.core.settings.documents import Document, document_name
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioners import (
    DEFAULT_CHALLENGES,
    KNOWN_CHALLENGES,
    MAX_REUSE,
    Provisioner,
    ProvisionerType,
)
from dayfly.core.settings.revisions import Settings, SettingsChange, apply_change, make_settings
from dayfly.errors import ConfigError, Conflict

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

OWNER = Owner("team", "team@corp")
ACME = Provisioner("acme", ProvisionerType.ACME)
RULE = Rule("r1", RuleKind.DNS, "**.corp", "team", provisioner="acme", sources=("10.0.0.0/8",), excluded=("ca.corp",))


def jwk_provisioner(**changes: str) -> Provisioner:
    """A JWK provisioner with a fresh public key; `changes` are members of the JWK."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    kid = thumbprint_of(key)
    members = {"use": "sig", "kid": kid, "alg": "ES256", **render_jwk(key), **changes}
    return Provisioner("admin", ProvisionerType.JWK, key=msgspec.json.encode(members).decode(), kid=kid)


def settings(*documents: Document) -> Settings:
    """Revision 7 with an owner, a provisioner and a rule of theirs; and more."""
    return make_settings(7, (OWNER, ACME, RULE, *documents))


def refusal(*documents: Document) -> str:
    """Why these documents make no settings."""
    with pytest.raises(ConfigError) as caught:
        make_settings(1, documents)
    return caught.value.message


def test_settings_give_provisioners_and_compiled_rules() -> None:
    """Found by name; the rules are compiled once for all who share the revision."""
    made = settings()
    assert made.find_provisioner("acme") is ACME
    assert made.find_provisioner("ACME") is None
    assert made.name_rules is made.name_rules
    assert made.documents == (OWNER, ACME, RULE)


def test_change_gives_the_next_revision_and_leaves_the_old_one() -> None:
    """Put replaces what has its name, and adds what has not."""
    before = settings(Owner("spare"))
    contact = Owner("team", "other@corp")
    change = SettingsChange(7, put=(contact, Provisioner("new", ProvisionerType.ACME)), remove=(("owner", "spare"),))
    after = apply_change(before, change)
    assert (after.revision, before.revision) == (8, 7)
    assert after.owners == (contact,)
    assert [one.name for one in after.provisioners] == ["acme", "new"]
    assert before.owners == (OWNER, Owner("spare"))


def test_changed_rules_are_what_is_decided_by() -> None:
    """A rule that denies counts from the revision that it is in."""
    deny = Rule("d1", RuleKind.DNS, "a.corp", "team", action=RuleAction.DENY)
    before = make_settings(1, (OWNER, Rule("r1", RuleKind.DNS, "**.corp", "team")))
    after = apply_change(before, SettingsChange(1, put=(deny,)))
    decisions = [
        isinstance(decide(one.name_rules, parse_dns("a.corp"), provisioner="acme", source=None), Allowed)
        for one in (before, after)
    ]
    assert decisions == [True, False]


def test_change_planned_on_another_revision_is_a_conflict() -> None:
    """What was read has changed since."""
    with pytest.raises(Conflict, match="revision 6"):
        apply_change(settings(), SettingsChange(6, put=(Owner("new"),)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (SettingsChange(7, remove=(("rule", "r9"),)), "no rule named r9"),
        (SettingsChange(7, put=(Owner("a"), Owner("a", "x"))), "owner a is there twice"),
        (SettingsChange(7, remove=(("owner", "team"),)), "whom nobody knows"),
        (SettingsChange(7, remove=(("provisioner", "acme"),)), "which is not there"),
        (SettingsChange(7, put=(replace(RULE, pattern="a..b"),)), "no pattern"),
    ],
)
def test_change_that_leaves_things_apart_is_refused(change: SettingsChange, why: str) -> None:
    """Nothing may name what is not there, and nothing is there twice."""
    with pytest.raises(ConfigError, match=why):
        apply_change(settings(), change)


def test_document_is_there_once() -> None:
    """Two provisioners of one name, whatever their types."""
    assert refusal(ACME, jwk_provisioner(), replace(ACME, enabled=False)) == "the provisioner acme is there twice"


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "a\n", "x" * 64, ".."])
def test_name_is_fit_for_a_url_and_a_label(name: str) -> None:
    """Provisioners stand in URLs, owners in metrics."""
    assert "cannot name owners" in refusal(Owner(name))
    assert "cannot name provisioners" in refusal(replace(ACME, name=name))


@pytest.mark.parametrize("name", ["a", "you@example.com", "A_b-c.1", "x" * 63])
def test_names_like_step_s_are_taken(name: str) -> None:
    """A mail address is step's usual name for a JWK provisioner."""
    assert make_settings(1, (Owner(name), replace(ACME, name=name))).revision == 1


@pytest.mark.parametrize("contact", ["x" * 255, "a\nb", "\x1b[2J"])
def test_contact_is_short_and_printable(contact: str) -> None:
    """It is shown in screens and labels."""
    assert "printable" in refusal(Owner("team", contact))


@pytest.mark.parametrize(
    "document", [replace(ACME, key="{}"), replace(ACME, kid="k"), replace(ACME, encrypted_key="e")]
)
def test_only_jwk_provisioners_have_a_key(document: Provisioner) -> None:
    """A key elsewhere would never be used."""
    assert "only the type JWK" in refusal(document)


def test_acme_provisioner_needs_a_challenge_type() -> None:
    """Without one nobody could prove a name."""
    assert "names the challenge type 'http-02', which nobody knows" in refusal(replace(ACME, challenges=("http-02",)))


def test_challenge_types_of_drafts_are_known_and_no_default__acme_8() -> None:
    """A provisioner may name them; one that names none offers three."""
    named = replace(ACME, challenges=KNOWN_CHALLENGES)
    assert make_settings(1, (named,)).provisioners == (named,)
    assert set(KNOWN_CHALLENGES) - set(DEFAULT_CHALLENGES) == {"dns-account-01", "dns-persist-01"}


@pytest.mark.parametrize("document", [ACME, jwk_provisioner()], ids=document_name)
def test_provisioner_names_key_types_and_profiles_that_there_are(document: Provisioner) -> None:
    """Known ones are kept as named; a profile that nobody knows, and a key type without certificates, are refused."""
    named = replace(document, key_types=(KeyType.P384, KeyType.P256), profiles=("device", "service"))
    assert make_settings(1, (named,)).provisioners == (named,)
    said = refusal(replace(document, profiles=("service", "tlsserver")))
    assert said == f"provisioner {document.name} names the profile 'tlsserver', which nobody knows"
    said = refusal(replace(document, key_types=(KeyType.P256, KeyType.P521)))
    assert said == f"provisioner {document.name} names the key type P-521, which gets no certificates here"


def test_caa_belongs_to_acme__acme_8() -> None:
    """A token proves no name, so nobody is asked about one."""
    assert make_settings(1, (replace(ACME, caa=True),)).provisioners[0].caa is True
    assert "only the type ACME has" in refusal(replace(jwk_provisioner(), caa=True))


def test_jwk_provisioner_may_wait_for_its_key() -> None:
    """One without a key is kept; one with a good key is too."""
    waiting = Provisioner("later", ProvisionerType.JWK)
    assert make_settings(1, (waiting, jwk_provisioner())).provisioners[0] == waiting


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"d": "AA"}, "private"),
        ({"use": "enc"}, "use is not sig"),
        ({"x": "AA"}, "32 octets"),
        ({"kid": "another"}, "differ in kid"),
    ],
)
def test_key_of_a_provisioner_is_a_public_signing_key__rfc7517_9_3(changes: dict[str, str], why: str) -> None:
    """It is published, so a private one is refused; and it has one id."""
    assert why in refusal(jwk_provisioner(**changes))


@pytest.mark.parametrize("key", ["x", "[]", '{"kty":"EC","kty":"EC"}', "\udc80"])
def test_key_that_is_no_json_object_is_refused(key: str) -> None:
    """Strict JSON, as everywhere."""
    assert "cannot be read" in refusal(replace(jwk_provisioner(), key=key))


def test_key_without_an_id_is_refused() -> None:
    """Tokens name their key by `kid`."""
    assert "lack one" in refusal(replace(jwk_provisioner(), kid=""))


@pytest.mark.parametrize(
    ("limit", "documents"),
    [
        ("MAX_OWNERS", (Owner("a"), Owner("b"))),
        ("MAX_PROVISIONERS", (ACME, replace(ACME, name="b"))),
        ("MAX_RULES", (OWNER, replace(RULE, provisioner=""), replace(RULE, id="r2", provisioner=""))),
    ],
)
def test_number_of_documents_is_bounded__readme_7(
    monkeypatch: pytest.MonkeyPatch, limit: str, documents: tuple[Document, ...]
) -> None:
    """All of them are in memory, and each look at a metric's labels walks over them."""
    monkeypatch.setattr(module, limit, 1)
    assert "at most 1 are kept" in refusal(*documents)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=91)])
def test_a_renewal_grace_has_bounds__step_compat_5(grace: timedelta) -> None:
    """A certificate that ended long ago never renews."""
    with pytest.raises(ConfigError, match="renewal grace"):
        make_settings(1, (replace(ACME, claims=Claims(renewal_grace=grace)),))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"terms_of_service": "ftp://a.example"}, "the terms of service of provisioner acme"),
        ({"terms_of_service": 'https://a.example/">'}, "no http or https URL"),
        ({"website": "https://a.example/ b"}, "the website of provisioner acme"),
        ({"website": "https://" + "a" * 2001}, "no http or https URL"),
        ({"caa_identities": ("A.example",)}, "the CAA identity 'A.example'"),
        ({"caa_identities": ("a.example", "a b")}, "is no domain name"),
    ],
)
def test_directory_settings_are_well_formed__rfc8555_7_1_1(changes: dict[str, Any], what: str) -> None:
    """Links are http or https without anything that could leave a header, identities canonical domains."""
    assert what in refusal(replace(ACME, **changes))


def test_directory_settings_are_kept_for_acme_only__rfc8555_7_1_1() -> None:
    """Good ones are taken by the type ACME, and by no other."""
    good: dict[str, Any] = {
        "require_eab": True,
        "website": "https://a.example/?b=c#d",
        "caa_identities": ("a.example",),
    }
    make_settings(1, (Owner("o"), replace(ACME, **good)))
    for name, value in good.items():
        assert "only the type ACME" in refusal(Provisioner("team", ProvisionerType.JWK, **{name: value}))


@pytest.mark.parametrize("reuse", [timedelta(seconds=-1), MAX_REUSE + timedelta(seconds=1)])
def test_reuse_of_authorizations_has_bounds__acme_6(reuse: timedelta) -> None:
    """Not below nought, and a week at most."""
    with pytest.raises(ConfigError, match="reuse of authorizations"):
        make_settings(1, (Provisioner("more", ProvisionerType.ACME, authorization_reuse=reuse),))


@pytest.mark.parametrize("changes", [{"pre_authorization": True}, {"authorization_reuse": MAX_REUSE}])
def test_only_acme_provisioners_have_authorizations__acme_6(changes: dict[str, Any]) -> None:
    """A token proves no name."""
    with pytest.raises(ConfigError, match="only the type ACME has"):
        make_settings(1, (Provisioner("more", ProvisionerType.JWK, **changes),))
    kept = make_settings(1, (Provisioner("more", ProvisionerType.ACME, **changes),))
    assert kept.find_provisioner("more") == Provisioner("more", ProvisionerType.ACME, **changes)


def test_reuse_is_capped_by_the_longest_lifetime__acme_6() -> None:
    """Where certificates live for an hour, a proof serves for no longer."""
    claims = Claims(MINUTE, HOUR, HOUR)
    found = make_settings(1, (Provisioner("more", ProvisionerType.ACME, claims=claims, authorization_reuse=MAX_REUSE),))
    grant = grant_for(found, "more")
    assert grant is not None
    assert grant.authorization_reuse == HOUR
