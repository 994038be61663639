"""`ca init` in all its ways: existing roots and intermediates, a root elsewhere, constraints, prompts at a terminal."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca_world import CA, NAME, PASSWORD, dayfly, found
from dayfly.config.reading import load_config
from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.revisions import SettingsChange
from dayfly.wiring.commands import change_settings_of
from terminal import at_terminal

BASE = ("--name", "X", "--dns", "ca.internal.example", "--address", ":9000", "--provisioner", "p")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """A password file."""
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> tuple[Path, Path]:
    """A root and its key, made by OpenSSL."""
    crt, key = tmp_path / "r.pem", tmp_path / "r.key"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key))
    key.chmod(0o600)
    openssl(
        "req", "-x509", "-new", "-key", str(key), "-subj", "/CN=Old Root", "-days", "3000", "-out", str(crt),
        "-addext", "basicConstraints=critical,CA:TRUE,pathlen:1", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    return crt, key


def openssl(*arguments: str) -> str:
    """Run OpenSSL to its end."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def init(where: Path, *arguments: str, home: str = "ca", check: bool = True) -> subprocess.CompletedProcess[str]:
    """`dayfly ca init --json` in a home of the directory."""
    return dayfly("ca", "init", "--home", str(where / home), "--json", *arguments, check=check, home=where)


def report(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The report of an init."""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_existing_root_signs_and_its_key_is_not_copied(tmp_path: Path, root: tuple[Path, Path], password: Path) -> None:
    """--root and --key: the intermediate verifies under that root, and no copy of the key is in the home."""
    crt, key = root
    made = report(init(tmp_path, *BASE, "--password-file", str(password), "--root", str(crt), "--key", str(key)))
    assert made["root_key"] == str(key)
    openssl("verify", "-CAfile", str(crt), made["intermediate"])
    secret = key.read_bytes()
    assert all(path.read_bytes() != secret for path in (tmp_path / "ca").rglob("*") if path.is_file())


def test_existing_intermediate_is_taken_and_encrypted_anew(
    tmp_path: Path, root: tuple[Path, Path], password: Path
) -> None:
    """--intermediate and --intermediate-key of one CA found another one that issues with them."""
    crt, key = root
    first = report(
        init(tmp_path, *BASE, "--password-file", str(password), "--root", str(crt), "--key", str(key), home="a")
    )
    second = report(
        init(
            tmp_path, *BASE, "--no-password", "--root", str(crt), "--intermediate", first["intermediate"],
            "--intermediate-key", str(tmp_path / "a/secrets/intermediate_ca_key"),
            "--key-password-file", str(password), home="b",
        )
    )  # fmt: skip
    assert Path(second["intermediate"]).read_text() == Path(first["intermediate"]).read_text()
    assert b"ENCRYPTED" not in (tmp_path / "b/secrets/intermediate_ca_key").read_bytes()


def test_root_elsewhere_signs_a_request__interfaces_6(tmp_path: Path, root: tuple[Path, Path], password: Path) -> None:
    """--csr-out, OpenSSL as the air-gapped root, --chain-in: before it the CA does not start, after it it does."""
    crt, key = root
    csr = tmp_path / "int.csr"
    waiting = report(
        init(tmp_path, *BASE, "--password-file", str(password), "--csr-out", str(csr), "--constrain-names")
    )
    assert waiting["csr"] == str(csr)
    assert waiting["intermediate"] is None
    early = dayfly("ca", "start", "--home", str(tmp_path / "ca"), check=False, home=tmp_path)
    assert early.returncode == 1
    assert "--chain-in" in early.stderr
    chain = tmp_path / "chain.pem"
    signed = openssl(
        "x509", "-req", "-in", str(csr), "-CA", str(crt), "-CAkey", str(key), "-days", "500", "-copy_extensions", "copy"
    )
    chain.write_text(signed + crt.read_text())
    done = report(init(tmp_path, "--chain-in", str(chain)))
    openssl("verify", "-CAfile", str(crt), done["intermediate"])
    assert not (tmp_path / "ca/ca.toml.pending").exists()
    assert json.loads((tmp_path / "ca/config/defaults.json").read_text())["fingerprint"] == done["fingerprint"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("other key", "is for another key"),
        ("no CA", "no basic constraints"),
        ("other root", "was not signed by"),
        ("no root", "does not end with the root"),
        ("twice", "waits for a certificate"),
    ],
)
def test_chain_in_is_checked_before_it_is_taken(tmp_path: Path, root: tuple[Path, Path], fault: str, says: str) -> None:
    """What is not the certificate that was asked for leaves the home as it was, and the error says what it is."""
    crt, key = root
    csr, chain = tmp_path / "int.csr", tmp_path / "chain.pem"
    init(tmp_path, *BASE, "--no-password", "--csr-out", str(csr))
    sign = ["x509", "-req", "-in", str(csr), "-CA", str(crt), "-CAkey", str(key), "-days", "500"]
    signed = openssl(*sign) if fault == "no CA" else openssl(*sign, "-copy_extensions", "copy")
    extra = ["--root", str(crt)]
    if fault == "other key":
        init(tmp_path, *BASE, "--no-password", "--csr-out", str(tmp_path / "b.csr"), home="b")
        sign[3] = str(tmp_path / "b.csr")
        signed = openssl(*sign, "-copy_extensions", "copy")
    if fault == "other root":
        other = report(init(tmp_path, *BASE, "--no-password", home="c"))
        extra = ["--root", other["root"]]
    if fault == "no root":
        extra = []
    chain.write_text(signed)
    if fault == "twice":
        init(tmp_path, "--chain-in", str(chain), *extra)
    refused = init(tmp_path, "--chain-in", str(chain), *extra, check=False)
    assert refused.returncode == 1
    assert says in refused.stderr
    assert (tmp_path / "ca/ca.toml").exists() is (fault == "twice")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--root", "r.pem"), "--root and --key together"),
        (("--key", "r.key"), "--root and --key together"),
        (("--intermediate", "i.pem"), "--intermediate-key together"),
        (("--csr-out", "x", "--root", "r.pem"), "--root has no meaning beside --csr-out"),
        (("--no-db",), "--no-db"),
        (("--ssh",), "SSH certificates"),
        (("--survive", "57h"), "--survive: an outage of 57h0m0s takes lifetimes of 171h0m0s"),
        (("--survive", "soon"), "--survive: 'soon' is no duration"),
        (("--survive", "8h", "--pki"), "--survive has no meaning beside --pki"),
        (("--remote-management",), "on the CA's host"),
        (("--context", "x"), "--home"),
        (("--chain-in", "x", "--name", "Y"), "settled already"),
    ],
)
def test_flags_that_do_not_fit_together_say_so(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """Half of an existing pair, two ways at once, and step's flags for what we do not have."""
    base = () if "--chain-in" in arguments else BASE
    result = init(tmp_path, *base, "--no-password", *arguments, check=False)
    assert result.returncode == 1
    assert says in result.stderr
    assert not (tmp_path / "ca").exists()


def test_survive_chooses_the_lifetime_and_says_why__readme(tmp_path: Path) -> None:
    """Nine hours take thirty: both provisioners give them by default, and the next one is made alike."""
    made = init(tmp_path, *BASE, "--no-password", "--acme", "--survive", "9h")
    assert report(made)["survive"] == {"outage": "9h0m0s", "lifetime": "30h0m0s"}
    assert "--type ACME --x509-default-dur 30h0m0s" in report(made)["next"][-2]
    listed = json.loads(dayfly("ca", "provisioner", "list", "--home", str(tmp_path / "ca"), home=tmp_path).stdout)
    assert [one["claims"]["defaultTLSCertDuration"] for one in listed] == ["30h0m0s"] * 2
    words = dayfly(
        "ca", "init", "--home", str(tmp_path / "other"), *BASE, "--no-password", "--survive", "8h", home=tmp_path
    ).stderr
    assert "✔ Lifetime: 24h by default, so that an outage of 8h is survived: renewal is through at 2/3 of life" in words
    assert "the third that is left is 8h" in words


def test_pki_makes_certificates_and_no_ca(tmp_path: Path) -> None:
    """--pki: root and intermediate with their keys, and no configuration."""
    made = report(init(tmp_path, "--pki", "--name", "Y", "--no-password"))
    openssl("verify", "-CAfile", made["root"], made["intermediate"])
    assert not (tmp_path / "ca/ca.toml").exists()
    assert not (tmp_path / "ca/db/dayfly.db").exists()


def test_constrained_ca_issues_inside_and_refuses_outside__rfc5280_4_2_1_10(tmp_path: Path) -> None:
    """--constrain-names: OpenSSL accepts what is inside, and what a later rule allows outside is refused with why."""
    ca: CA = found(tmp_path, "--constrain-names")
    ca.start()
    try:
        ca.certificate(NAME, tmp_path)
        openssl("verify", "-CAfile", str(ca.root), "-untrusted", ca.init["intermediate"], str(tmp_path / "api.crt"))
        constraints = x509.load_pem_x509_certificate(Path(ca.init["intermediate"]).read_bytes()).extensions
        assert constraints.get_extension_for_class(x509.NameConstraints).critical
        rule = Rule("r9", RuleKind.DNS, "**.example.net", "platform-team")
        asyncio.run(
            change_settings_of(
                load_config(ca.home), lambda current: SettingsChange(current.revision, put=(rule,), remove=())
            )
        )
        refused = ca.certificate("a.example.net", tmp_path, "--force", check=False)
        assert refused.returncode == 1
        assert "issuer-constraints" in refused.stderr
    finally:
        ca.stop()


def test_init_asks_at_a_terminal_for_what_is_missing(tmp_path: Path) -> None:
    """At a terminal each missing value is asked for, the password twice; the answers found the CA."""
    answers = ["Asked CA", "ca.internal.example", "", "platform-team", "secret words", "secret words", "y"]
    shown = at_terminal(["ca", "init", "--home", str(tmp_path / "ca")], answers, tmp_path)
    assert "Your CA is ready to go." in shown
    assert "secret words" not in shown
    certificate = x509.load_pem_x509_certificate((tmp_path / "ca/certs/intermediate_ca.crt").read_bytes())
    assert "Asked CA" in certificate.subject.rfc4514_string()
    assert certificate.extensions.get_extension_for_class(x509.NameConstraints).critical


def test_init_asks_nothing_at_a_terminal_where_nothing_is_missing(tmp_path: Path, password: Path) -> None:
    """Words of step with a password file run through at a terminal too: no question comes."""
    command = ["ca", "init", "--home", str(tmp_path / "ca"), *BASE, "--password-file", str(password)]
    shown = at_terminal(command, [], tmp_path)
    assert "Your CA is ready to go." in shown
    assert "?" not in shown


def test_init_makes_a_password_where_none_is_typed(tmp_path: Path) -> None:
    """An empty answer at the terminal: one is made, shown once, and opens the keys."""
    shown = at_terminal(["ca", "init", "--home", str(tmp_path / "ca"), *BASE], ["", "n"], tmp_path)
    made = next(line for line in shown.splitlines() if "Password:" in line).split("Password:")[1].split()[0]
    assert len(made) == 24
    key = (tmp_path / "ca/secrets/intermediate_ca_key").read_bytes()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    load_pem_private_key(key, made.encode())
