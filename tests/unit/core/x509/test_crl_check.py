"""What a CRL may say of a certificate, and what it may not (RFC 5280 6.3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.core.x509.chain import ChainError
from dayfly.core.x509.crl_check import check_not_revoked, crl_urls, needs_no_crl
from factories import NOW, ec_key

KEY, URL = ec_key(), "http://ca.internal.example:9080/crl/20261224.crl"
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
HOUR = timedelta(hours=1)


def points(*urls: str) -> x509.CRLDistributionPoints:
    """An extension with one point for each URL."""
    names = [[x509.UniformResourceIdentifier(url)] for url in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint(one, None, None, None) for one in names])


def certificate(*extensions: x509.ExtensionType) -> x509.Certificate:
    """A certificate of KEY's, with serial 7."""
    builder = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 7).not_valid_before(NOW).not_valid_after(NOW + HOUR)
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(KEY, SHA256())


LEAF = certificate(points(URL))


def scope(**changes: Any) -> x509.IssuingDistributionPoint:
    """A list of leaves that name URL."""
    plain: dict[str, Any] = {
        "full_name": [x509.UniformResourceIdentifier(URL)], "relative_name": None, "only_contains_user_certs": True,
        "only_contains_ca_certs": False, "only_some_reasons": None, "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**{**plain, **changes})


def crl(
    *serials: int,
    issuer: x509.Name = NAME,
    key: ec.EllipticCurvePrivateKey = KEY,
    end: datetime = NOW + HOUR,
    more: tuple[x509.ExtensionType, ...] = (scope(),),
    reason: x509.ReasonFlags | None = x509.ReasonFlags.superseded,
) -> bytes:
    """A list of these serials."""
    builder = x509.CertificateRevocationListBuilder(issuer, NOW - HOUR, end)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, NOW - HOUR)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    for one in more:
        builder = builder.add_extension(one, critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("more", [(scope(),), (scope(full_name=None),), ()])
def test_certificate_that_is_not_on_its_list_is_good__rfc5280_6_3(more: tuple[x509.ExtensionType, ...]) -> None:
    """Also where the list is for all of its issuer's."""
    check_not_revoked(crl(8, 9, more=more), LEAF, LEAF, now=NOW)


@pytest.mark.parametrize(("reason", "says"), [(x509.ReasonFlags.superseded, "UTC: superseded$"), (None, "UTC$")])
def test_certificate_that_is_on_it_is_revoked__rfc5280_6_3(reason: x509.ReasonFlags | None, says: str) -> None:
    """Since when, and why if the list says so."""
    with pytest.raises(ChainError, match=r"revoked at 2026-11-24 11:00:00 " + says):
        check_not_revoked(crl(6, 7, reason=reason), LEAF, LEAF, now=NOW)


@pytest.mark.parametrize(
    ("der", "now", "says"),
    [
        (b"", NOW, "cannot be read"),
        (crl(issuer=x509.Name([])), NOW, "another issuer's"),
        (crl(key=ec_key()), NOW, "not signed"),
        (crl(), NOW - 2 * HOUR, "valid from"),
        (crl(), NOW + HOUR, "is over"),
        (crl(more=(scope(full_name=[x509.UniformResourceIdentifier(URL + "x")]),)), NOW, "other certificates"),
        (crl(more=(scope(only_contains_user_certs=False, only_contains_ca_certs=True),)), NOW, "other certificates"),
        (crl(more=(scope(indirect_crl=True),)), NOW, "other certificates"),
        (crl(more=(x509.DeltaCRLIndicator(1),)), NOW, "critical extension"),
    ],
)
def test_list_that_says_nothing_is_no_yes__rfc5280_6_3(der: bytes, now: datetime, says: str) -> None:
    """Another's, unsigned, not of now, a part only, a delta."""
    with pytest.raises(ChainError, match=says):
        check_not_revoked(der, LEAF, LEAF, now=now)


def test_certificate_says_where_its_list_is__rfc5280_4_2_1_13() -> None:
    """By plain HTTP; one with noRevAvail has none."""
    assert crl_urls(LEAF) == (URL,)
    assert crl_urls(certificate()) == ()
    assert crl_urls(certificate(points("ldap://x", URL, "HTTP://y/z"))) == (URL, "HTTP://y/z")
    assert (needs_no_crl(LEAF), needs_no_crl(certificate())) == (False, False)
    silent = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00")
    assert needs_no_crl(certificate(silent))
