"""What a command asks for: names, keys, requests and times, each right or an error that says what to write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli.requesting import (
    common_name_of,
    load_csr,
    make_csr,
    make_key,
    moment_of,
    names_of,
    parse_names,
    parse_time,
)
from dayfly.core.x509.pem import render_pem
from dayfly.errors import UsageError
from factories import NOW, csr_der, ec_key


def test_names_are_normal_and_there_once() -> None:
    """Addresses and DNS names are told apart; case and order do not matter twice."""
    found = parse_names(["API.Internal.example", "10.0.0.1", "api.internal.example", "::1"])
    assert [one.value for one in found] == ["api.internal.example", "10.0.0.1", "::1"]
    with pytest.raises(UsageError, match="not a name"):
        parse_names(["a b"])


def test_key_is_of_the_kind_that_the_flags_name() -> None:
    """P-256 unless it is said otherwise."""
    usual, larger = make_key("EC", None, None), make_key("EC", "P-384", None)
    assert isinstance(usual, ec.EllipticCurvePrivateKey)
    assert isinstance(larger, ec.EllipticCurvePrivateKey)
    assert (usual.key_size, larger.key_size) == (256, 384)
    assert isinstance(make_key("OKP", None, None), ed25519.Ed25519PrivateKey)
    made = make_key("RSA", None, "2048")
    assert isinstance(made, rsa.RSAPrivateKey)
    assert made.key_size == 2048


@pytest.mark.parametrize(
    "flags", [("EC", "Ed25519", None), ("OKP", "P-256", None), ("RSA", "P-256", None), ("EC", None, "2048")]
)
def test_flags_that_contradict_each_other_are_refused(flags: tuple[str, str | None, str | None]) -> None:
    """No kind of key is guessed."""
    with pytest.raises(UsageError):
        make_key(*flags)


@pytest.mark.parametrize("kind", [("EC", None, None), ("EC", "P-384", None), ("OKP", None, None)])
def test_request_has_names_and_common_name_and_a_good_signature(kind: tuple[str, str | None, str | None]) -> None:
    """What was asked for comes back out of it."""
    names = parse_names(["a.example", "10.0.0.1"])
    csr = x509.load_der_x509_csr(make_csr(names, make_key(*kind), common_name="a.example"))
    assert csr.is_signature_valid
    assert (names_of(csr), common_name_of(csr)) == (names, "a.example")


def test_request_without_names_is_empty__step_compat_5() -> None:
    """A rekey brings the key alone; a CN that no subject can hold is left out."""
    csr = x509.load_der_x509_csr(make_csr((), ec_key(), common_name=None))
    assert (names_of(csr), common_name_of(csr)) == ((), "")
    assert common_name_of(x509.load_der_x509_csr(make_csr((), ec_key(), common_name="x" * 65))) == ""


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_request_is_read_in_both_forms(tmp_path: Path, form: str) -> None:
    """PEM or DER."""
    path, der = tmp_path / "a.csr", csr_der("a.example")
    path.write_bytes(der if form == "DER" else render_pem(der, "CERTIFICATE REQUEST").encode())
    assert load_csr(path).public_bytes(Encoding.DER) == der


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"", "not a certificate request"),
        (b"\x30\x03\x02\x01\x01", "not a certificate request"),
        (b"\xff", "not a certificate request"),
        (csr_der("a.example")[:-4] + b"abcd", "not a certificate request"),
    ],
    ids=["absent", "empty", "other DER", "no text", "another's signature"],
)
def test_file_that_is_no_request_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    """Its own signature must be good, too."""
    path = tmp_path / "a.csr"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        load_csr(path)


def test_name_that_is_no_host_is_refused() -> None:
    """A registered id is a name that certificates here do not have."""
    san = x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), x509.DNSName("b.example")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(san, critical=False)
    with pytest.raises(UsageError, match="neither a DNS name, an address, an e-mail address nor a URI"):
        names_of(csr.sign(ec_key(), SHA256()))


def test_time_is_a_duration_from_now_or_a_moment() -> None:
    """As step has it; nothing stands for nothing."""
    assert parse_time("1h30m", "--not-after") == timedelta(hours=1, minutes=30)
    assert parse_time("-5m", "--not-before") == timedelta(minutes=-5)
    assert parse_time(None, "--not-after") is None
    assert moment_of("1h", "--not-after", now=NOW) == NOW + timedelta(hours=1)
    assert moment_of("2026-12-01T00:00:00Z", "--not-after", now=NOW) == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "2026-12-01", "2026-12-01T00:00:00", "1 h"])
def test_time_that_could_mean_two_things_is_refused(text: str) -> None:
    """A moment has a zone, a duration its unit; the flag is named."""
    with pytest.raises(UsageError, match="--not-after"):
        parse_time(text, "--not-after")


def test_time_beyond_the_calendar_is_refused() -> None:
    """A duration may be absurd."""
    with pytest.raises(UsageError, match="--not-after"):
        moment_of("99999999h", "--not-after", now=NOW)
