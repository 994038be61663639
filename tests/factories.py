"""Builders that give a complete valid object; a test states its one deviation (style.md)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dayfly.core.acme.challenges import stored_problem
from dayfly.core.acme.objects import (
    Account,
    Authorization,
    AuthorizationStatus,
    Certificate,
    Challenge,
    ChallengeStatus,
    Order,
    OrderStatus,
    SharedAuthorization,
)
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.jose.jwk import PublicKey, public_key_of
from dayfly.core.policy.denials import KeptDenial
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.documents import Document
from dayfly.core.settings.owners import Owner
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings, make_settings
from dayfly.ports.validation import ValidationFailed

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
NAME = "api.internal.example"
TOKEN = "dG9rZW4tb2YtMTI4LWJpdHMtb3ItbW9yZQ"

CA_TOML = b"""
version = 1
name = "Internal CA"
address = ":9000"
dns_names = ["ca.internal.example"]
database = "sqlite:db/dayfly.db"
root = "certs/root_ca.crt"
[issuer]
certificate = "certs/intermediate_ca.crt"
key = "file:secrets/intermediate_ca_key"
[log]
key = "file:secrets/log_key"
"""
"""A ca.toml with what is required and no more."""


def dns(name: str = NAME) -> Identifier:
    """A DNS identifier."""
    return Identifier(IdentifierType.DNS, name)


def ec_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def account_key() -> PublicKey:
    """The public half of a fresh account key."""
    return public_key_of(ec_key().public_key())


def account(**changes: Any) -> Account:
    """A valid account of provisioner `acme`."""
    key = changes.pop("key", None) or account_key()
    made = Account(id=7, provisioner="acme", thumbprint=key.thumbprint, jwk=key.jwk, created_at=NOW)
    return replace(made, **changes)


def challenge(**changes: Any) -> Challenge:
    """A pending http-01 challenge."""
    return replace(Challenge("http-01", TOKEN), **changes)


def authorization(name: str = NAME, **changes: Any) -> Authorization:
    """A pending authorization with one challenge."""
    return replace(Authorization(dns(name), (challenge(),), NOW + timedelta(hours=1)), **changes)


def valid_authorization(name: str = NAME, **changes: Any) -> Authorization:
    """An authorization that was proved."""
    proved = challenge(status=ChallengeStatus.VALID, validated_at=NOW)
    return authorization(
        name, status=AuthorizationStatus.VALID, challenges=(proved,), validated_by="http-01", **changes
    )


def order(**changes: Any) -> Order:
    """A pending order of account 7 for one name."""
    made = Order(
        id=0x1234567890,
        account_id=7,
        provisioner="acme",
        authorizations=(authorization(),),
        created_at=NOW,
        expires=NOW + timedelta(hours=1),
    )
    return replace(made, **changes)


def ready_order(**changes: Any) -> Order:
    """The same order with its authorization proved."""
    made = order(status=OrderStatus.READY, authorizations=(valid_authorization(),))
    return replace(made, **changes)


def shared_authorization(name: str = NAME, **changes: Any) -> SharedAuthorization:
    """A pending authorization of account 7 in a row of its own, good for an hour once it is valid."""
    row_id = changes.pop("id", 0x5566)
    made = SharedAuthorization(
        id=row_id,
        account_id=7,
        provisioner="acme",
        authorization=authorization(name, row_id=row_id),
        created_at=NOW,
        good_for=timedelta(hours=1),
    )
    return replace(made, **changes)


def certificate(**changes: Any) -> Certificate:
    """An issued certificate as stored; its DER is not one."""
    made = Certificate(
        id=0x22334455,
        serial=0x22334455 << 96 | 1,
        der=b"not a certificate",
        issuer=hashlib.sha256(b"issuer").hexdigest(),
        names=(dns(),),
        not_before=NOW,
        not_after=NOW + timedelta(hours=24) - timedelta(seconds=1),
        provisioner="acme",
        owner="platform-team",
        rule="r1",
        profile="service",
        profile_hash="00",
        account_id=7,
        order_id=0x1234567890,
    )
    return replace(made, **changes)


def denial(name: str = "shop.corp", **changes: Any) -> KeptDenial:
    """A denial of one name, by default, as stored."""
    made = KeptDenial(
        identifier=dns(name),
        provisioner="acme",
        rule="default-deny",
        reason="name_not_allowed",
        owner="",
        nearest="shop.internal.example",
        requester="account 0000000000000007",
        source="10.1.2.3/32",
        first_at=NOW,
        last_at=NOW,
        id="4F2A",
    )
    return replace(made, **changes)


def told(failure: ValidationFailed) -> ValidationFailed:
    """A failed validation whose text is fit for a client (acme.md V14): short, printable, and of a known kind."""
    problem = stored_problem(failure.problem)
    assert problem.type in {"dns", "connection", "tls", "incorrectResponse", "unauthorized"}
    assert problem.status == (403 if problem.type in {"incorrectResponse", "unauthorized"} else 400)
    assert len(problem.detail) <= 300
    assert problem.detail.isprintable()
    return failure


def csr_der(*names: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A good CSR for DNS names."""
    san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names or (NAME,)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(san, critical=False)
    return builder.sign(key or ec_key(), SHA256()).public_bytes(Encoding.DER)


def spki_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def settings(*documents: Document) -> Settings:
    """A small CA's settings: an ACME and a JWK provisioner, rules for internal.example and 10.0.0.0/8; and more."""
    basic = (
        Owner("platform-team"),
        Provisioner("acme", ProvisionerType.ACME),
        Provisioner("platform-team", ProvisionerType.JWK, kid="kid"),
        Rule("r1", RuleKind.DNS, "internal.example", "platform-team", excluded=("ca.internal.example",)),
        Rule("r2", RuleKind.DNS, "**.internal.example", "platform-team", excluded=("ca.internal.example",)),
        Rule("r3", RuleKind.IP, "10.0.0.0/8", "platform-team"),
    )
    return make_settings(1, (*basic, *documents))
