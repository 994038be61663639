"""What we issue is good for four verifiers: OpenSSL, GnuTLS, Go and `cryptography` (acme.md part 10, row F26).

Rules: every profile, key type and shape of names; each verifier judges all of them in one run, since starting one costs
more than a hundred looks. Go is taken where it is installed: its package is large.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from conftest import find_program
from dayfly.adapters.system import SystemClock
from dayfly.core.frozen import replace
from dayfly.core.identifiers import Identifier
from dayfly.core.policy.lifetimes import Validity
from dayfly.core.x509 import lint
from dayfly.core.x509.chain import verify_chain
from dayfly.core.x509.hierarchy import build_intermediate, build_root
from dayfly.core.x509.pem import parse_pem_certificates, render_pem
from dayfly.core.x509.profile import build, issuer_facts
from dayfly.core.x509.template import assemble
from factories import ec_key
from unit.core.x509.test_issued import Plan, plans

NOW = SystemClock().now().replace(microsecond=0)  # GnuTLS judges by the clock alone
ROOT_KEY, ISSUER_KEY = ec_key(), ec_key()
BEGIN, END = NOW - timedelta(hours=1), NOW + timedelta(days=90)
ROOT = build_root(name="Test CA", key=ROOT_KEY, serial=1 << 150, not_before=BEGIN, not_after=END)
INTERMEDIATE = build_intermediate(
    name="Test CA", public_key=ISSUER_KEY.public_key(), issuer=ROOT, issuer_key=ROOT_KEY, serial=1 << 151,
    not_before=BEGIN, not_after=END,
)  # fmt: skip
ISSUER = issuer_facts(INTERMEDIATE)


def issue(plan: Plan) -> bytes:
    """A certificate that has begun a minute ago."""
    begin = NOW - timedelta(minutes=1)
    validity = Validity(begin, begin + plan.lifetime - timedelta(seconds=1))
    leaf = replace(plan.leaf, issuer=ISSUER, validity=validity)
    tbs = lint.check(build(leaf), leaf).take()
    return assemble(tbs, ISSUER.signature_algorithm, ISSUER_KEY.sign(tbs, ec.ECDSA(SHA256())))


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with root, intermediate, and a leaf of every plan."""
    where = tmp_path_factory.mktemp("leaves")
    (where / "root.pem").write_text(render_pem(ROOT))
    (where / "intermediate.pem").write_text(render_pem(INTERMEDIATE))
    for number, parameter in enumerate(plans()):
        (where / f"{number}.crt").write_text(render_pem(issue(parameter.values[0])))
    return where


def test_openssl_takes_every_certificate__acme_f26(leaves: Path, program: Callable[..., str]) -> None:
    """Strictly, as a server's certificate, with the chain to the root."""
    files = sorted(map(str, leaves.glob("*.crt")))
    command = [
        program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver",
        "-CAfile", str(leaves / "root.pem"), "-untrusted", str(leaves / "intermediate.pem"), *files,
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": OK") == len(files)


def test_gnutls_takes_every_certificate__acme_f26(leaves: Path, program: Callable[..., str]) -> None:
    """As a TLS server's certificate."""
    certtool = program("certtool", "gnutls-bin")
    between = (leaves / "intermediate.pem").read_text()
    for file in leaves.glob("*.crt"):
        command = [
            certtool, "--verify", "--verify-purpose", "1.3.6.1.5.5.7.3.1", "--load-ca-certificate",
            str(leaves / "root.pem"),
        ]  # fmt: skip
        chain = file.read_text() + between
        result = subprocess.run(command, input=chain, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{file}: {result.stdout}{result.stderr}"


def test_go_takes_every_certificate__acme_f26(leaves: Path) -> None:
    """With the name that a client would ask for."""
    go = find_program("go")
    if go is None:
        pytest.skip("go is not installed")
    files = sorted(map(str, leaves.glob("*.crt")))
    source = Path(__file__).parent / "verify" / "main.go"
    command = [go, "run", str(source), str(leaves / "root.pem"), str(leaves / "intermediate.pem")]
    result = subprocess.run(
        [*command, str(int(NOW.timestamp())), *files], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(files)} good" in result.stdout


def test_cryptography_takes_every_certificate__acme_f26(leaves: Path) -> None:
    """Its path validation, for the first name of each."""
    for number, parameter in enumerate(plans()):
        (der,) = parse_pem_certificates((leaves / f"{number}.crt").read_text())
        name: Identifier = parameter.values[0].names[0]
        asked = None if name.is_wildcard else name
        assert verify_chain(der, [INTERMEDIATE], [ROOT], now=NOW, name=asked)[0] == der
