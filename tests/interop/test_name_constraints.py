"""A constrained intermediate vouches for nothing outside, whoever has its key: four verifiers say so (security.md 4).

The CA itself refuses to sign such a name. Here its key is used behind its back, as a thief would.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_world import dayfly
from dayfly.adapters.system import SystemClock

VERIFIERS = Path(__file__).parent / "verifiers"
# A network that a CA is constrained to beside internal.example, an address in it, and addresses that are not.
NETWORKS = {
    "10.0.0.0/8": ("10.1.2.3", ("192.0.2.1", "2001:db8::1")),
    "fd12:3456::/32": ("fd12:3456::1", ("192.0.2.1", "2001:db8::1")),
}
INSIDE = ("api.internal.example", "internal.example")
OUTSIDE = ("www.other.example", "internal.example.evil.example", "notinternal.example")
# These two are in every run; Go's and Java's tool chains are large, and are asked for: make interop.
QUICK = ("openssl", "gnutls")
LARGE = ("go", "java")


@dataclass(frozen=True)
class Hierarchy:
    """A constrained CA's files, and leaves by their name, inside and outside."""

    root: Path
    intermediate: Path
    inside: tuple[str, ...]
    outside: tuple[str, ...]
    leaves: dict[str, Path]


@pytest.fixture(scope="module", params=NETWORKS)
def hierarchy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hierarchy:
    """A CA of `ca init --constrain-names`, and what a thief of its key made: one leaf a name."""
    where = tmp_path_factory.mktemp("constraints")
    home = where / "ca"
    dayfly(
        "ca", "init", "--home", str(home), "--name", "Internal CA", "--dns", "ca.internal.example", "--no-password",
        "--address", "127.0.0.1:9000", "--provisioner", "platform-team", "--constrain-names",
        "--allow-dns", "internal.example", "--allow-ip", request.param, home=where,
    )  # fmt: skip
    (issuer,) = x509.load_pem_x509_certificates((home / "certs/intermediate_ca.crt").read_bytes())
    key = load_pem_private_key((home / "secrets/intermediate_ca_key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    address, others = NETWORKS[request.param]
    inside, outside, leaves = (*INSIDE, address), (*OUTSIDE, *others), {}
    for number, name in enumerate((*inside, *outside)):
        leaves[name] = where / f"leaf{number}.pem"
        leaves[name].write_bytes(leaf(name, issuer, key).public_bytes(Encoding.PEM))
    return Hierarchy(home / "certs/root_ca.crt", home / "certs/intermediate_ca.crt", inside, outside, leaves)


def leaf(name: str, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A server's certificate for one name or address, as the CA would make it if it were allowed to."""
    begin = SystemClock().now() - timedelta(minutes=1)
    general = x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([general]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


def is_address(name: str) -> bool:
    """Is it an address?"""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


Verify = Callable[[Hierarchy, str], subprocess.CompletedProcess[str]]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a verifier to its end."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def verifiers(program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Verify]:
    """A verifier by its name; those of Go and Java are compiled when they are first asked for."""
    made: dict[str, Verify] = {}
    where = tmp_path_factory.mktemp("verifiers")

    def openssl(found: Hierarchy, name: str) -> subprocess.CompletedProcess[str]:
        named = ("-verify_ip" if is_address(name) else "-verify_hostname", name)
        return run(
            program("openssl"), "verify", "-CAfile", found.root, "-untrusted", found.intermediate, "-purpose",
            "sslserver", *named, found.leaves[name],
        )  # fmt: skip

    def gnutls(found: Hierarchy, name: str) -> subprocess.CompletedProcess[str]:
        chain = where / "chain.pem"
        chain.write_bytes(found.leaves[name].read_bytes() + found.intermediate.read_bytes())
        command = (
            program("certtool", "gnutls-bin"),
            "--verify",
            "--load-ca-certificate",
            found.root,
            "--infile",
            chain,
        )
        return run(*command, "--verify-hostname", name)

    def compiled(kind: str) -> Verify:
        if kind == "go":
            binary = where / "verify"
            built = run(program("go", "golang-go"), "build", "-o", binary, VERIFIERS / "verify.go")
            command: tuple[str | Path, ...] = (binary,)
        else:
            java = program("java", "default-jdk-headless")
            built = run(program("javac", "default-jdk-headless"), "-d", where, VERIFIERS / "Verify.java")
            command = (java, "-cp", where, "Verify")
        assert built.returncode == 0, built.stderr
        return lambda found, name: run(*command, found.root, found.intermediate, found.leaves[name], name)

    def get(kind: str) -> Verify:
        if kind not in made:
            made[kind] = {"openssl": openssl, "gnutls": gnutls}.get(kind) or compiled(kind)
        return made[kind]

    return get


def asked_for(kind: str) -> None:
    """Skip what takes a large tool chain, unless it is asked for."""
    if kind in LARGE and os.environ.get("DAYFLY_INTEROP") != "all":
        pytest.skip("it takes a large tool chain; ask for it: make interop")


@pytest.mark.parametrize("kind", [*QUICK, *LARGE])
def test_outside_name_is_refused_under_a_constrained_intermediate__rfc5280_4_2_1_10(
    kind: str, hierarchy: Hierarchy, verifiers: Callable[[str], Verify]
) -> None:
    """A name inside is accepted, so that what is refused outside is refused for its name."""
    asked_for(kind)
    verify = verifiers(kind)
    for name in hierarchy.inside:
        found = verify(hierarchy, name)
        assert found.returncode == 0, (name, found.stdout, found.stderr)
    for name in hierarchy.outside:
        found = verify(hierarchy, name)
        assert found.returncode == (2 if kind == "openssl" else 1), (name, found.stdout, found.stderr)
        said = (found.stdout + found.stderr).lower()
        assert any(word in said for word in ("permitted", "constrain", "excluded")), (name, said)
