"""Settings documents as they are stored: one rendering, read strictly."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core.frozen import replace
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.documents import Document, document_kind, document_name, parse_document, render_document
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.errors import ConfigError

OWNER = Owner("team", "team@corp")
ACME = Provisioner("acme", ProvisionerType.ACME)
TEAM = Provisioner("admin", ProvisionerType.JWK, key='{"kty":"EC"}', kid="k")
RULE = Rule("r1", RuleKind.DNS, "**.corp", "team", provisioner="acme", sources=("10.0.0.0/8",), excluded=("ca.corp",))


@pytest.mark.parametrize("document", [OWNER, ACME, RULE, TEAM], ids=document_kind)
def test_document_is_read_as_it_was_written(document: Document) -> None:
    """Canonical JSON, by kind and name."""
    assert parse_document(document_kind(document), render_document(document)) == document


def test_document_has_one_rendering() -> None:
    """Members as the fields stand, all written, durations in one form: the log keeps the digest of it."""
    assert render_document(Owner("team")) == b'{"name":"team","contact":""}'
    assert b'"max_lifetime":"P1D"' in render_document(ACME)
    assert [(document_kind(one), document_name(one)) for one in (OWNER, ACME, RULE)] == [
        ("owner", "team"),
        ("provisioner", "acme"),
        ("rule", "r1"),
    ]


def test_missing_member_has_its_default() -> None:
    """A row that older code wrote is read by newer code."""
    assert parse_document("owner", b'{"name":"team"}') == Owner("team")
    assert parse_document("provisioner", b'{"name":"acme","type":"ACME","claims":{}}') == ACME


def test_duration_is_read_in_any_form_that_iso_8601_has() -> None:
    """What another version of the encoder wrote stays readable."""
    for text in (b"P1D", b"PT24H", b"PT86400S"):
        assert (
            parse_document("provisioner", b'{"name":"acme","type":"ACME","claims":{"max_lifetime":"%s"}}' % text)
            == ACME
        )


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("group", b'{"name":"team"}', "unknown kind"),
        ("owner", b'{"name":"team","mail":"x"}', "owner.'mail'"),
        ("provisioner", b'{"name":"acme","type":"ACME","claims":{"max":1}}', "provisioner.claims.'max'"),
        ("provisioner", b'{"name":"acme","type":"ACME","claims":{"max_lifetime":86400}}', "cannot be read"),
        ("provisioner", b'{"name":"acme","type":"SCEP"}', "cannot be read"),
        ("provisioner", b'{"name":"acme","type":"ACME","enabled":1}', "cannot be read"),
        ("provisioner", b'{"type":"ACME"}', "cannot be read"),
        ("owner", b'{"name":"team","name":"other"}', "cannot be read"),
        ("owner", b'{"name":"te\xff"}', "cannot be read"),
        ("owner", b"[" * 5_000, "cannot be read"),
        ("owner", b"[]", "cannot be read"),
        ("owner", b"", "cannot be read"),
        ("owner", b'{"name":"' + b"x" * 70_000 + b'"}', "70011 octets"),
    ],
)
def test_document_that_is_not_ours_is_refused__security_8(kind: str, body: bytes, why: str) -> None:
    """Unknown and doubled members, other types, and what is too large."""
    with pytest.raises(ConfigError, match=why):
        parse_document(kind, body)


def test_a_document_of_before_the_claims_of_renewal_is_read() -> None:
    """An older row lacks what came later; a newer one brings it back as it was."""
    old = parse_document("provisioner", b'{"name":"acme","type":"ACME","claims":{"disable_renewal":true}}')
    assert isinstance(old, Provisioner)
    assert (old.claims.renewal_grace, old.claims.disable_smallstep_extensions, old.publish_key) == (None, False, True)
    new = replace(old, claims=replace(old.claims, renewal_grace=timedelta(hours=1)), publish_key=False)
    assert parse_document("provisioner", render_document(new)) == new
