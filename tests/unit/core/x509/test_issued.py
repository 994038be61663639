"""What we issue is good for others: pkilint and OpenSSL judge every profile, key and name shape (security.md 12)."""

from __future__ import annotations

import functools
import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pkilint import loader
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity

from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier, IdentifierType
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.x509 import lint
from dayfly.core.x509.chain import ChainError, verify_chain
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from dayfly.core.x509.pem import render_pem
from dayfly.core.x509.profile import (
    DEVICE,
    EPHEMERAL,
    SERVER_TLS,
    SERVICE,
    DraftCertificate,
    IssuerFacts,
    LeafPlan,
    Profile,
    ProvisionerMark,
    build,
    issuer_facts,
)
from dayfly.core.x509.template import assemble
from factories import NAME, NOW, dns, ec_key

ROOT_KEY, ISSUER_KEY = ec_key(), ec_key()
BEGIN, END = NOW - timedelta(hours=1), NOW + timedelta(days=3650)
ROOT = build_root(name="Test CA", key=ROOT_KEY, serial=1 << 150, not_before=BEGIN, not_after=END)
INTERMEDIATE = build_intermediate(
    name="Test CA", public_key=ISSUER_KEY.public_key(), issuer=ROOT, issuer_key=ROOT_KEY, serial=1 << 151,
    not_before=BEGIN, not_after=END,
)  # fmt: skip
ISSUER = issuer_facts(INTERMEDIATE)
SERIAL = 0x22334455 << 96 | 0x123456789ABCDEF0123456789
KEYS: dict[str, Any] = {
    "P-256": ec_key(),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA-2048": rsa.generate_private_key(65537, 2048),
    "RSA-3072": rsa.generate_private_key(65537, 3072),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}
LIVES = {DEVICE: timedelta(days=30), EPHEMERAL: timedelta(hours=1), SERVICE: timedelta(hours=24)}
CRL_URL = "http://ca.internal.example:9080/crl/20261202.crl"
IP4, IP6 = Identifier(IdentifierType.IP, "10.1.2.3"), Identifier(IdentifierType.IP, "2001:db8::1")
SHAPES = {
    "one name": ((dns(),), None),
    "name in the CN": ((dns(),), NAME),
    "three names": ((dns(), dns("b.internal.example"), dns("c.internal.example")), None),
    "wildcard": ((dns("*.internal.example"),), None),
    "addresses": ((IP4, IP6), None),
    "address in the CN": ((IP4,), "10.1.2.3"),
    "mixed": ((dns(), IP6), NAME),
}
SPIFFE = "spiffe://internal.example/ns/shop/sa/web"
MARK = ProvisionerMark(6, "internal-acme")


@dataclass(frozen=True)
class Plan:
    """What a certificate shall say."""

    profile: Profile = SERVICE
    issuer: IssuerFacts = ISSUER
    serial: int = SERIAL
    names: tuple[Identifier, ...] = (dns(),)
    key: str = "P-256"
    lifetime: timedelta = timedelta(hours=24)
    common_name: str | None = None
    provisioner: ProvisionerMark | None = MARK
    crl_url: str | None = None

    @property
    def leaf(self) -> LeafPlan:
        """What build and lint are told."""
        return LeafPlan(
            profile=self.profile,
            issuer=self.issuer,
            serial=self.serial,
            names=self.names,
            spki=KEYS[self.key].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            validity=Validity(NOW, NOW + self.lifetime - timedelta(seconds=1)),
            common_name=self.common_name,
            provisioner=self.provisioner,
            crl_url=self.crl_url,
        )

    def draft(self) -> DraftCertificate:
        """The bytes to be signed."""
        return build(self.leaf)

    def issue(self) -> bytes:
        """Build, lint, sign: the certificate (DER)."""
        tbs = lint.check(self.draft(), self.leaf).take()
        return assemble(tbs, ISSUER.signature_algorithm, ISSUER_KEY.sign(tbs, ec.ECDSA(SHA256())))


@functools.cache
def pkix() -> Any:
    """Pkilint's PKIX validator."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def findings(der: bytes) -> list[str]:
    """What pkilint finds above INFO."""
    document = loader.load_der_certificate(der, "test")
    results = pkix().validate(document.root)
    return [
        f"{one.finding.severity} {one.finding.code}: {one.message}"
        for result in results
        for one in result.finding_descriptions
        if one.finding.severity > ValidationFindingSeverity.INFO
    ]


def plans() -> Iterator[Any]:
    """Every profile, key and shape of names."""
    for profile in (SERVICE, DEVICE, EPHEMERAL, SERVER_TLS):
        life, crl = LIVES.get(profile, timedelta(hours=24)), CRL_URL if profile is DEVICE else None
        for key in KEYS:
            for shape, (names, common_name) in SHAPES.items():
                plan = Plan(profile=profile, key=key, names=names, common_name=common_name, lifetime=life, crl_url=crl)
                yield pytest.param(plan, id=f"{profile.name} {key} {shape}")


@pytest.mark.parametrize("plan", list(plans()))
def test_issued_certificate_is_pkix_clean__security_12(plan: Plan) -> None:
    """Pkilint finds nothing above INFO."""
    assert findings(plan.issue()) == []


@pytest.mark.parametrize("der", [ROOT, INTERMEDIATE], ids=["root", "intermediate"])
def test_ca_certificates_are_pkix_clean__rfc5280(der: bytes) -> None:
    """Root and intermediate are clean too."""
    assert findings(der) == []


def test_no_plan_is_left_out__must_show() -> None:
    """At least a hundred plans are judged; with certificates under a P-384 issuer there are more than 200."""
    assert len(list(plans())) == 4 * len(KEYS) * len(SHAPES)
    assert 2 * len(list(plans())) >= 200


def test_issued_certificates_under_another_curve_are_pkix_clean__security_12() -> None:
    """A P-384 issuer signs with SHA-384; pkilint finds nothing above INFO there either."""
    key = ec.generate_private_key(ec.SECP384R1())
    intermediate = build_intermediate(
        name="Test CA", public_key=key.public_key(), issuer=ROOT, issuer_key=ROOT_KEY, serial=1 << 152,
        not_before=BEGIN, not_after=END,
    )  # fmt: skip
    issuer = issuer_facts(intermediate)
    for parameter in plans():
        (plan,) = parameter.values
        plan = replace(plan, issuer=issuer)
        tbs = lint.check(plan.draft(), plan.leaf).take()
        der = assemble(tbs, issuer.signature_algorithm, key.sign(tbs, ec.ECDSA(SHA384())))
        assert findings(der) == [], parameter.id


def test_issued_certificates_verify_with_openssl(tmp_path: Path) -> None:
    """OpenSSL builds each chain to the root, at a moment within life."""
    for label, der in (("intermediate", INTERMEDIATE), ("root", ROOT)):
        (tmp_path / label).write_text(render_pem(der))
    leaves = []
    for number, parameter in enumerate(plans()):
        leaves.append(tmp_path / f"{number}.crt")
        leaves[-1].write_text(render_pem(parameter.values[0].issue()))
    command = [
        "openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()) + 60),
        "-CAfile", str(tmp_path / "root"), "-untrusted", str(tmp_path / "intermediate"), *map(str, leaves),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": OK") == len(leaves)


@pytest.mark.parametrize("seconds", [10, 60, 86_400, 604_800])
def test_validity_is_exact_to_the_second__s2(seconds: int) -> None:
    """NotAfter is notBefore + lifetime - 1 s."""
    found = x509.load_der_x509_certificate(Plan(lifetime=timedelta(seconds=seconds)).issue())
    assert found.not_valid_before_utc == NOW
    assert found.not_valid_after_utc == NOW + timedelta(seconds=seconds - 1)


def test_extensions_are_the_profiles_and_nothing_else__s6() -> None:
    """AKI, SKI, key usage, EKU, SAN, noRevAvail and the provisioner's mark, with their criticality."""
    found = x509.load_der_x509_certificate(Plan().issue())
    assert [(one.oid.dotted_string, one.critical) for one in found.extensions] == [
        ("2.5.29.35", False),
        ("2.5.29.14", False),
        ("2.5.29.15", True),
        ("2.5.29.37", False),
        ("2.5.29.17", True),
        ("2.5.29.56", False),
        ("1.3.6.1.4.1.37476.9000.64.1", False),
    ]


def test_life_above_seven_days_names_its_crl_in_place_of_norevavail__rfc9608() -> None:
    """NoRevAvail stands exactly in what needs no revocation, a CRL's URL in all else."""
    found = x509.load_der_x509_certificate(Plan(lifetime=timedelta(days=8), crl_url=CRL_URL).issue())
    assert "2.5.29.56" not in {one.oid.dotted_string for one in found.extensions}
    points = found.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    assert not points.critical
    assert [[name.value for name in one.full_name or ()] for one in points.value] == [[CRL_URL]]


@pytest.mark.parametrize(("days", "url"), [(8, None), (7, CRL_URL)])
def test_life_and_crl_that_do_not_fit_are_refused__rfc9608(days: int, url: str | None) -> None:
    """A long life without a CRL, and a short one with one."""
    with pytest.raises(lint.LintRefused, match="CRL"):
        Plan(lifetime=timedelta(days=days), crl_url=url).issue()


def test_another_crl_than_the_plans_is_refused__rfc5280_4_2_1_13() -> None:
    """A leaf that names a list which it is not on would be good for ever."""
    plan = Plan(lifetime=timedelta(days=8), crl_url=CRL_URL)
    with pytest.raises(lint.LintRefused, match=r"551d1f"):
        lint.check(plan.draft(), replace(plan.leaf, crl_url=CRL_URL + "x"))


def test_mail_addresses_and_uris_are_alternative_names__rfc5280_4_2_1_6() -> None:
    """Each under its own tag, in the order of the plan, beside other names; pkilint and the library read them."""
    mail, uri = Identifier(IdentifierType.EMAIL, "ops@internal.example"), Identifier(IdentifierType.URI, SPIFFE)
    der = Plan(names=(uri, dns(), mail, IP4)).issue()
    assert findings(der) == []
    found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [(type(one), str(one.value)) for one in found] == [
        (x509.UniformResourceIdentifier, SPIFFE),
        (x509.DNSName, NAME),
        (x509.RFC822Name, "ops@internal.example"),
        (x509.IPAddress, "10.1.2.3"),
    ]


@pytest.mark.parametrize(
    ("drafted", "planned"),
    list(itertools.permutations((IdentifierType.DNS, IdentifierType.EMAIL, IdentifierType.URI), 2)),
)
def test_a_name_under_the_tag_of_another_type_is_refused__s6(drafted: IdentifierType, planned: IdentifierType) -> None:
    """The same letters are another name as another type."""
    plan = Plan(names=(Identifier(planned, SPIFFE),))
    draft = Plan(names=(Identifier(drafted, SPIFFE),)).draft()
    with pytest.raises(lint.LintRefused, match="551d11"):
        lint.check(draft, plan.leaf)


def test_a_name_of_a_type_that_no_certificate_has_is_refused__rfc5280_4_2_1_6() -> None:
    """However it was drafted: a plain common name is no alternative name."""
    plan = Plan(names=(Identifier(IdentifierType.CN, "10.1.2.3"),))
    with pytest.raises(lint.LintRefused, match="no alternative name has"):
        lint.check(plan.draft(), plan.leaf)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("profile", [SERVICE, DEVICE])
def test_key_usage_is_by_profile_and_key__security_12(profile: Profile, key: str) -> None:
    """DigitalSignature alone; with keyEncipherment for the RSA keys of devices."""
    found = x509.load_der_x509_certificate(Plan(profile=profile, key=key).issue())
    usage = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.key_encipherment is (profile is DEVICE and key.startswith("RSA"))
    assert not any((usage.value.key_cert_sign, usage.value.crl_sign, usage.value.content_commitment))


def test_year_2050_takes_generalized_time__rfc5280_4_1_2_5() -> None:
    """From 2050 on times are GeneralizedTime."""
    far = replace(ISSUER, not_after=NOW.replace(year=2060))
    validity = Validity(NOW.replace(year=2050), NOW.replace(year=2050) + timedelta(hours=1))
    leaf = replace(Plan(issuer=far).leaf, validity=validity)
    draft = build(leaf)
    lint.check(draft, leaf)
    assert b"\x18\x0f20501124120000Z" in draft.tbs


OTHER: dict[str, tuple[str, object]] = {
    "serial": ("serial", SERIAL + 1),
    "name": ("names", (dns("evil.example"),)),
    "another name too": ("names", (dns(), dns("evil.example"))),
    "key": ("spki", KEYS["P-384"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    "begin": ("validity", Validity(NOW + timedelta(seconds=1), NOW + timedelta(hours=24) - timedelta(seconds=1))),
    "end": ("validity", Validity(NOW, NOW + timedelta(hours=24))),
    "CN": ("common_name", NAME),
    "mark": ("provisioner", ProvisionerMark(6, "other")),
    "no mark": ("provisioner", None),
    "longer": ("validity", Validity(NOW, NOW + timedelta(days=30))),
}


@pytest.mark.parametrize("field", OTHER)
def test_lint_refuses_a_draft_that_is_not_the_plan__s6_s8(field: str) -> None:
    """A draft made for anything else than the plan is refused, whatever it is."""
    which, value = OTHER[field]
    draft = build(replace(Plan().leaf, **{which: value}))
    with pytest.raises(lint.LintRefused):
        lint.check(draft, Plan().leaf)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(names=()),
        Plan(names=(dns(), dns())),
        Plan(serial=1 << 20),
        Plan(serial=1 << 160),
        Plan(lifetime=timedelta(seconds=9)),
        Plan(lifetime=timedelta(days=4000)),
        Plan(common_name="evil.example"),
        Plan(profile=Profile("nothing", ())),
        Plan(profile=Profile("anything", ("2.5.29.37.0",))),
    ],
    ids=[
        "no name",
        "twice",
        "short serial",
        "long serial",
        "9 s",
        "outlives",
        "CN",
        "no purpose",
        "any purpose",
    ],
)
def test_lint_refuses_a_plan_that_no_certificate_may_have__security_12(plan: Plan) -> None:
    """What is wrong in the plan itself is refused, however well it was drafted."""
    with pytest.raises(lint.LintRefused):
        plan.issue()


def test_cn_may_be_the_subject_beside_the_names__security_12() -> None:
    """On the step API the token's subject is the CN, also where it is none of the names; no other name is."""
    plan = Plan(common_name="subject.internal.example")
    subject = dns("subject.internal.example")
    tbs = lint.check(plan.draft(), replace(plan.leaf, subject=subject)).take()
    assert tbs == plan.draft().tbs
    with pytest.raises(lint.LintRefused, match="none of the names"):
        lint.check(plan.draft(), replace(plan.leaf, subject=dns("evil.example")))


def test_every_single_octet_counts__p0_1() -> None:
    """A draft with one octet changed is refused, wherever it is."""
    tbs = Plan().draft().tbs
    for place in range(len(tbs)):
        changed = bytearray(tbs)
        changed[place] ^= 0x01
        with pytest.raises(lint.LintRefused):
            lint.check(DraftCertificate(bytes(changed)), Plan().leaf)


def test_linted_bytes_are_taken_once_and_made_by_the_lint_alone() -> None:
    """No draft is signed twice, and nobody else can make one."""
    linted = lint.check(Plan().draft(), Plan().leaf)
    linted.take()
    with pytest.raises(lint.LintRefused):
        linted.take()
    with pytest.raises(TypeError):
        lint.LintedCertificate(b"", maker=object())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.from_regex(r"[a-z]([a-z0-9]{0,20}[a-z0-9])?\.internal\.example", fullmatch=True), min_size=1, unique=True
    ),
    st.integers(min_value=1 << 64, max_value=(1 << 158) - 1),
    st.integers(min_value=10, max_value=604_800),
)
def test_what_was_planned_is_what_others_read(names: list[str], serial: int, seconds: int) -> None:
    """For any names, serial and lifetime the library reads back exactly the plan."""
    plan = Plan(names=tuple(map(dns, names)), serial=serial, lifetime=timedelta(seconds=seconds))
    found = x509.load_der_x509_certificate(plan.issue())
    san = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == names
    assert found.serial_number == serial
    assert (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() == seconds - 1


@pytest.mark.parametrize(
    ("now", "host", "roots", "says"),
    [
        (NOW + timedelta(hours=25), dns(), (ROOT,), "expired"),
        (NOW - timedelta(seconds=1), dns(), (ROOT,), "valid from"),
        (NOW, dns("evil.example"), (ROOT,), "is not for evil.example"),
        (NOW, IP4, (ROOT,), "is not for 10.1.2.3"),
        (NOW, dns(), (build_root(name="X", key=ec_key(), serial=1 << 90, not_before=BEGIN, not_after=END),), "chain"),
    ],
)
def test_chain_that_is_not_good_says_why__rfc5280_6(
    now: datetime, host: Identifier, roots: tuple[bytes, ...], says: str
) -> None:
    """Time, name and issuer are told apart."""
    with pytest.raises(ChainError, match=says):
        verify_chain(Plan().issue(), [INTERMEDIATE], roots, now=now, name=host)


@pytest.mark.parametrize(
    ("names", "host"),
    [((dns(),), dns()), ((dns("*.internal.example"),), dns()), ((IP4,), IP4), ((IP6,), IP6), ((dns(),), None)],
)
def test_good_chain_is_given_root_last(names: tuple[Identifier, ...], host: Identifier | None) -> None:
    """The path leads from the leaf to the root."""
    leaf = Plan(names=names).issue()
    assert verify_chain(leaf, [INTERMEDIATE], [ROOT], now=NOW, name=host) == (leaf, INTERMEDIATE, ROOT)
