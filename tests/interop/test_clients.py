"""Stock ACME clients, unmodified, against a real CA process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from ca_world import CA, NAME, environment, running

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that runs for this module's tests."""
    with running(tmp_path_factory.mktemp("interop")) as one:
        yield one


def run(command: list[str], where: Path, **variables: str) -> str:
    """Run a client to its end; what it said."""
    result = subprocess.run(
        command, env={**environment(where), **variables}, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def check(ca: CA, path: Path) -> None:
    """The file holds a chain for the name that verifies under the root."""
    leaf, *rest = x509.load_pem_x509_certificates(path.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert len(rest) == 1
    leaf.verify_directly_issued_by(rest[0])
    rest[0].verify_directly_issued_by(x509.load_pem_x509_certificate(ca.root.read_bytes()))


def test_certbot_gets_and_renews_a_certificate(ca: CA, tmp_path: Path, program: Callable[..., str]) -> None:
    """certbot, standalone http-01: a certificate, and a forced renewal with another serial."""
    base = [
        program("certbot"), "certonly", "--standalone", "--non-interactive", "--agree-tos",
        "--register-unsafely-without-email", "--server", ca.directory, "-d", NAME,
        "--http-01-port", str(ca.http_port), "--http-01-address", "127.0.0.1",
        "--config-dir", str(tmp_path / "etc"), "--work-dir", str(tmp_path / "lib"), "--logs-dir", str(tmp_path / "log"),
    ]  # fmt: skip
    run(base, tmp_path, REQUESTS_CA_BUNDLE=str(ca.root))
    live = tmp_path / "etc" / "live" / NAME / "fullchain.pem"
    check(ca, live)
    first = x509.load_pem_x509_certificate(live.read_bytes()).serial_number
    run([*base, "--force-renewal"], tmp_path, REQUESTS_CA_BUNDLE=str(ca.root))
    check(ca, live)
    assert x509.load_pem_x509_certificate(live.read_bytes()).serial_number != first


def test_lego_gets_a_certificate(ca: CA, tmp_path: Path, program: Callable[..., str]) -> None:
    """lego, http-01."""
    command = [
        program("lego"), "--accept-tos", "--email", "ops@internal.example", "--server", ca.directory, "--domains", NAME,
        "--path", str(tmp_path / "lego"), "--http", "--http.port", f"127.0.0.1:{ca.http_port}", "run",
    ]  # fmt: skip
    run(command, tmp_path, LEGO_CA_CERTIFICATES=str(ca.root))
    check(ca, tmp_path / "lego" / "certificates" / f"{NAME}.crt")
