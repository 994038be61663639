"""A CA in chaos mode: no real one is ever, and our own clients get through it (acme.md part 15)."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from ssl import create_default_context

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ca_world import CA, NAME, dayfly, found

CHAOS = "\n[chaos]\nbad_nonces = 0.9\ndelay = 0.3\n"


def chaotic(where: Path, *flags: str) -> CA:
    """A CA whose ca.toml asks for chaos; not started."""
    ca = found(where, *flags)
    toml = ca.home / "ca.toml"
    toml.write_text(toml.read_text() + CHAOS)
    return ca


def test_real_ca_refuses_chaos__acme_15(tmp_path: Path) -> None:
    """It ends with 1 before it takes a port, and says what to do."""
    ca = chaotic(tmp_path)
    password = str(tmp_path / "password")
    refused = ca.dayfly("ca", "start", "--password-file", password, check=False)
    assert refused.returncode == 1
    assert "this CA is a real one" in refused.stderr
    assert "dayfly ca init --test-only" in refused.stderr


def test_our_clients_get_through_chaos__acme_15(tmp_path: Path) -> None:
    """`ca certificate` and the agent, two workers, nine nonces of ten refused, and no failure to be seen."""
    ca = chaotic(tmp_path, "--test-only")
    (root,) = x509.load_pem_x509_certificates(ca.root.read_bytes())
    assert str(root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value).startswith("TEST ONLY Test CA")
    ca.start("--workers", "2")
    try:
        ca.certificate(NAME, tmp_path)
        (tmp_path / "agent.toml").write_text(
            f'[ca]\ndirectory = "{ca.directory}"\nroot = "{ca.root}"\n'
            f'[cert.api]\nnames = ["{NAME}"]\n'
            f'challenge = {{ type = "http-01", listen = "127.0.0.1:{ca.http_port}" }}\n'
        )
        agent = ("--home", str(tmp_path / "agent"), "--config", str(tmp_path / "agent.toml"))
        told = json.loads(dayfly("agent", "run", "--once", "--json", *agent, home=tmp_path).stdout)
        assert told["exit"] == 0
        assert_retry_after_everywhere(ca)
        assert refused_requests(ca) > 3
    finally:
        ca.stop()
    said = ca.log.read_text()
    assert "chaos mode: this CA makes trouble on purpose" in said


def refused_requests(ca: CA) -> float:
    """How many requests of the signing path were refused, as the CA counts them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ca.metrics}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if "_total{" in line and 'reason="bad_request"' in line)


def assert_retry_after_everywhere(ca: CA) -> None:
    """On answers that need none, and on refusals; in seconds and as a date."""
    context = create_default_context(cafile=str(ca.root))
    found = []
    for _ in range(2):
        with urllib.request.urlopen(ca.directory, context=context, timeout=20) as answer:
            found.append(answer.headers["Retry-After"])
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(ca.directory.replace("directory", "new-order"), b"{}", context=context, timeout=20)
    found.append(caught.value.headers["Retry-After"])
    caught.value.close()
    assert all(re.fullmatch(r"2|[A-Z][a-z]{2}, [0-9A-Za-z: ]+ GMT", text or "") for text in found), found
