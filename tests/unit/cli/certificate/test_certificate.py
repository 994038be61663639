"""`dayfly certificate` on files: what it prints, what it judges, and the exit codes that scripts rely on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayfly.cli.certificate import roots, sources
from dayfly.cli.main import run
from factories import csr_der, ec_key

HOUR = timedelta(hours=1)
Run = Callable[..., tuple[int, str, str]]


def moment() -> datetime:
    """Now: the commands judge by the wall clock."""
    return datetime.now(UTC)  # noqa: TID251 - the same clock as the commands'


def name(text: str) -> x509.Name:
    """A name with a CN alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(cn: str, key: ec.EllipticCurvePrivateKey, *, signer: ec.EllipticCurvePrivateKey, issuer: str) -> bytes:
    """A CA's certificate, PEM."""
    now = moment()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # noqa: FBT003 - nine flags
    builder = (
        x509.CertificateBuilder(issuer_name=name(issuer), subject_name=name(cn), public_key=key.public_key())
        .serial_number(77)
        .not_valid_before(now - HOUR)
        .not_valid_after(now + 999 * HOUR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(signer, SHA256()).public_bytes(Encoding.PEM)


def leaf(issuer: ec.EllipticCurvePrivateKey, *, hours: tuple[float, float] = (-1, 99), purpose: bool = True) -> bytes:
    """A leaf from `hours[0]` to `hours[1]` around now, PEM."""
    now = moment()
    builder = (
        x509.CertificateBuilder(issuer_name=name("Int"), subject_name=x509.Name([]), public_key=ec_key().public_key())
        .serial_number(1234567890123)
        .not_valid_before(now + hours[0] * HOUR)
        .not_valid_after(now + hours[1] * HOUR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.internal.example")]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    if purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(issuer, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a root, an intermediate, a chain, old leaves, and a request."""
    root_key, key = ec_key(), ec_key()
    root = authority("Root", root_key, signer=root_key, issuer="Root")
    between = authority("Int", key, signer=root_key, issuer="Root")
    (tmp_path / "root.crt").write_bytes(root)
    (tmp_path / "int.crt").write_bytes(between)
    (tmp_path / "api.crt").write_bytes(leaf(key) + between)
    (tmp_path / "alone.crt").write_bytes(leaf(key))
    (tmp_path / "old.crt").write_bytes(leaf(key, hours=(-70, 30)) + between)
    (tmp_path / "dead.crt").write_bytes(leaf(key, hours=(-70, -1)) + between)
    (tmp_path / "old_below.crt").write_bytes(leaf(key) + leaf(key, hours=(-70, 30)))
    (tmp_path / "api.der").write_bytes(x509.load_pem_x509_certificate(leaf(key)).public_bytes(Encoding.DER))
    (tmp_path / "api.csr").write_bytes(x509.load_der_x509_csr(csr_der()).public_bytes(Encoding.PEM))
    (tmp_path / "junk").write_text("-----BEGIN NOTHING-----\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DAYFLY_HOME", raising=False)
    return tmp_path


@pytest.fixture
def call(files: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dayfly certificate` in that directory: exit code, standard output, standard error."""
    assert files.is_dir()

    def run_it(*arguments: str) -> tuple[int, str, str]:
        code = run(["certificate", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


# --- needs-renewal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("api.crt",), 1),
        (("old.crt",), 0),
        (("dead.crt",), 0),
        (("old_below.crt",), 1),
        (("old_below.crt", "--bundle"), 0),
        (("old.crt", "--expires-in", "75%"), 1),
        (("old.crt", "--expires-in", "31h"), 0),
        (("old.crt", "--expires-in", "29h"), 1),
        (("dead.crt", "--expires-in", "0s"), 0),
        (("absent.crt",), 2),
        (("absent.crt", "--json"), 2),
        (("api.csr",), 255),
        (("junk",), 255),
        ((".",), 255),
        (("api.crt", "--expires-in", "120%"), 255),
        (("api.crt", "--expires-in", "soon"), 255),
        (("api.crt", "--wibble"), 255),
        ((), 255),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_needs_renewal_answers_by_its_exit_code__interfaces_5(call: Run, arguments: tuple[str, ...], code: int) -> None:
    """0 due, 1 not due, 2 no such file, 255 any other error; words only where they are asked for, or for an error."""
    found, output, errors = call("needs-renewal", *arguments)
    assert found == code
    assert ("error: " in errors) == (code in {2, 255})
    assert not output or "--json" in arguments


def test_needs_renewal_says_it_when_asked__step_14(call: Run) -> None:
    """Step's two lines, where step has them; as JSON the figures too."""
    assert call("needs-renewal", "old.crt", "--verbose") == (0, "certificate needs renewal\n", "")
    assert call("needs-renewal", "api.crt", "-v") == (1, "", "certificate does not need renewal\n")
    code, output, _ = call("needs-renewal", "old.crt", "--json")
    document = json.loads(output)
    assert (code, document["needs_renewal"], document["life_used"]) == (0, True, 0.7)
    assert 29 * 3600 < document["remaining_seconds"] <= 30 * 3600


# --- verify -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("api.crt", "--roots", "root.crt"), 0, ""),
        (("api.crt", "--roots", "root.crt", "--host", "api.internal.example"), 0, ""),
        (("int.crt", "--roots", "root.crt"), 0, ""),
        (("api.crt", "--roots", "int.crt,root.crt"), 0, ""),
        (("api.crt", "--roots", "anchors"), 0, ""),
        (("api.crt", "--roots", "root.crt", "--host", "b.internal.example"), 1, "is not for b.internal.example"),
        (("api.crt", "--roots", "root.crt", "--host", "10.0.0.1"), 1, "is not for 10.0.0.1"),
        (("api.crt", "--roots", "root.crt", "--host", "no host"), 1, "is no host"),
        (("alone.crt", "--roots", "root.crt"), 1, "does not chain"),
        (("alone.crt", "--roots", "root.crt"), 1, "next: name the CA's root: --roots root_ca.crt"),
        (("api.crt", "--roots", "root.crt", "--verify-crl"), 1, "names no CRL"),
        (("api.crt", "--roots", "root.crt", "--crl-endpoint", "absent"), 1, "cannot be read"),
        (("api.crt", "--roots", "root.crt", "--crl-endpoint", "api.csr"), 1, "holds no CRL"),
        (("api.crt", "--roots", "root.crt", "--crl-endpoint", "https://127.0.0.1/x"), 1, "no URL of plain HTTP"),
        (("api.crt", "--roots", "root.crt", "--verify-ocsp"), 1, "--verify-ocsp is not taken: there is no OCSP"),
        (("api.crt", "--roots", "root.crt", "--issuing-ca", "int.crt"), 1, "--issuing-ca is not taken"),
        (("dead.crt", "--roots", "root.crt"), 1, "expired"),
        (("api.crt", "--roots", "api.csr"), 1, "holds no PEM certificate"),
        (("api.crt", "--roots", "absent"), 1, "cannot be read"),
        (("api.crt", "--roots", "empty"), 1, "holds no certificate"),
        (("api.csr", "--roots", "root.crt"), 1, "is a request"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_verify_is_0_for_good_and_1_for_anything_else__step_14(
    call: Run, files: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """Any purpose is judged, the roots are those that are named, and silence is a yes."""
    (files / "empty").mkdir()
    (files / "anchors").mkdir()
    (files / "root.crt").rename(files / "anchors" / "root.crt")
    (files / "root.crt").symlink_to("anchors/root.crt")
    found, output, errors = call("verify", *arguments)
    assert (found, output) == (code, "")
    assert says in errors


def test_verify_without_roots_names_the_systems_and_never_takes_the_homes(
    call: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What vouches is said aloud; a home's root is offered in the hint, and not trusted by itself."""
    home = files / ".dayfly" / "certs"
    home.mkdir(parents=True)
    (home / "root_ca.crt").write_bytes((files / "root.crt").read_bytes())
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile=str(files / "int.crt")))
    (files / "int.crt").write_bytes(authority("Other", key := ec_key(), signer=key, issuer="Other"))
    code, _, errors = call("verify", "api.crt")
    assert code == 1
    assert f"judged by the system's roots, {files / 'int.crt'}" in errors
    assert f"--roots {home / 'root_ca.crt'}" in errors
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile=str(files / "root.crt")))
    assert call("verify", "api.crt")[0] == 0
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    monkeypatch.setattr(roots, "BUNDLES", ())
    assert "no bundle of system roots" in call("verify", "api.crt")[2]


def test_verify_says_it_when_asked_and_as_json(call: Run) -> None:
    """Step's lines with -v; as JSON the chain that vouches, or why there is none."""
    _, output, _ = call("verify", "api.crt", "--roots", "root.crt", "--host", "api.internal.example", "-v")
    assert output.splitlines()[:2] == ["certificate validated against roots", "certificate host name validated"]
    document = json.loads(call("verify", "api.crt", "--roots", "root.crt", "--json")[1])
    assert (document["ok"], len(document["chain"])) == (True, 3)
    code, output, _ = call("verify", "dead.crt", "--roots", "root.crt", "--json")
    assert (code, json.loads(output)["ok"]) == (1, False)


# --- inspect and fingerprint ------------------------------------------------------------------------------------------


def test_inspect_short_is_steps(call: Run) -> None:
    """Names, the issuer's CN, both times; a root and a request are named as what they are."""
    lines = call("inspect", "api.crt", "--short")[1].splitlines()
    assert lines[0] == "X.509v3 TLS Certificate (ECDSA P-256) [Serial: 1234...0123]"
    assert lines[1:3] == ["  Subject:     api.internal.example", "  Issuer:      Int"]
    assert lines[3].startswith("  Valid from:  ")
    both = call("inspect", "api.crt", "--short", "--bundle")[1]
    assert "X.509v3 Intermediate CA Certificate (ECDSA P-256) [Serial: 77]" in both
    assert "X.509v3 Root CA Certificate" in call("inspect", "root.crt", "--short")[1]
    assert call("inspect", "api.csr", "--short")[1].splitlines() == [
        "X.509v3 Certificate Signing Request (ECDSA P-256)",
        "  Subject:     api.internal.example",
    ]


def test_inspect_json_has_the_keys_that_step_has(call: Run) -> None:
    """What people filter with jq is where step has it; with --bundle it is a list."""
    document = json.loads(call("inspect", "api.crt", "--format", "json")[1])
    assert document["serial_number"] == "1234567890123"
    assert document["validity"]["length"] == 100 * 3600
    assert document["extensions"]["subject_alt_name"]["dns_names"] == ["api.internal.example"]
    assert (document["issuer_dn"], document["subject_dn"]) == ("CN=Int", "")
    assert document["extensions"]["extended_key_usage"] == {"client_auth": True}
    assert len(json.loads(call("inspect", "api.crt", "--json", "--bundle")[1])) == 2
    assert json.loads(call("inspect", "int.crt", "--json")[1])["is_ca"] is True
    assert json.loads(call("inspect", "api.csr", "--json")[1])["names"] == ["api.internal.example"]


def test_inspect_text_and_pem(call: Run, files: Path) -> None:
    """The long form names extensions; PEM gives back what was there, DER in or PEM in."""
    text = call("inspect", "int.crt")[1]
    for part in ("Issuer: CN=Root", "Basic Constraints: critical", "key cert sign", "Not After :"):
        assert part in text
    assert "(its signature is good)" in call("inspect", "api.csr")[1]
    assert call("inspect", "api.csr", "--format", "pem")[1] == (files / "api.csr").read_text()
    assert call("inspect", "api.crt", "--format", "pem", "--bundle")[1] == (files / "api.crt").read_text()
    assert "api.internal.example" in call("inspect", "api.der", "--short")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("inspect", "api.csr", "--bundle"), "--bundle is for certificates"),
        (("inspect", "api.crt", "--short", "--format", "json"), "--short is text"),
        (("inspect", "junk"), "neither a certificate nor a request"),
        (("inspect", "big"), "larger than"),
        (("inspect", "https://"), "no URL of a server"),
        (("inspect", "tls://host:wibble"), "no URL of a server"),
        (("fingerprint", "api.crt", "--sha1"), "--insecure"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_looked_at_is_told(call: Run, files: Path, arguments: tuple[str, ...], says: str) -> None:
    """One line with the reason, exit 1."""
    (files / "big").write_bytes(b"x" * (sources.MAX_OCTETS + 1))
    code, output, errors = call(*arguments)
    assert (code, output) == (1, "")
    assert says in errors


def test_strangers_text_is_made_printable(call: Run, files: Path) -> None:
    """An escape sequence in a name does not reach the terminal."""
    key = ec_key()
    (files / "evil.crt").write_bytes(authority("a\x1b[31mb", key, signer=key, issuer="Root"))
    assert "\x1b" not in call("inspect", "evil.crt")[1] + call("inspect", "evil.crt", "--short")[1]


def test_fingerprint_has_steps_formats_and_takes_requests__step_14(call: Run, files: Path) -> None:
    """Hex by default, base64 without padding by name, a numbered line for each of a bundle, SHA-1 on two words."""
    made = x509.load_pem_x509_certificate((files / "api.crt").read_bytes()).fingerprint(SHA256())
    assert call("fingerprint", "api.crt") == (0, made.hex() + "\n", "")
    assert len(call("fingerprint", "api.crt", "--format", "base64-url-raw")[1].strip()) == 43
    assert [line[:3] for line in call("fingerprint", "api.crt", "--bundle")[1].splitlines()] == ["0: ", "1: "]
    assert len(call("fingerprint", "api.csr")[1].strip()) == 64
    assert len(call("fingerprint", "api.crt", "--sha1", "--insecure")[1].strip()) == 40
    assert json.loads(call("fingerprint", "api.crt", "--json")[1])["fingerprints"] == [made.hex()]


def test_dash_is_standard_input__step_14(call: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-`, and no word at all, read what comes in."""
    content = (files / "api.crt").read_bytes()
    for arguments in (("inspect", "-", "--short"), ("inspect", "--short")):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        assert "api.internal.example" in call(*arguments)[1]
