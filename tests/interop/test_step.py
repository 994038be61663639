"""The stock `step` command, unmodified, against a real CA process (step-compat.md parts 14 and 15).

Where there is no `step`, the recorded exchanges stand in (tests/integration/test_step_exchanges.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from ca_world import CA, NAME, environment, running

STEP = shutil.which("step")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(300),
    pytest.mark.skipif(STEP is None, reason="step is not on PATH; the recorded exchanges stand in for it"),
]
OTHER = "b.internal.example"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Said:
    """What a command printed, without colours, and its exit code."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Step:
    """The command in a home of its own, next to a CA."""

    ca: CA
    home: Path

    def __call__(self, *arguments: str, fails: bool = False) -> Said:
        """Run it to its end; it must pass, or with `fails` say why not with exit code 1."""
        result = subprocess.run(
            [str(STEP), *arguments],
            env={**environment(self.home), "STEPPATH": str(self.home / "step"), "PATH": os.environ["PATH"]},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = Said(result.returncode, COLOUR.sub("", result.stdout), COLOUR.sub("", result.stderr))
        assert said.status == (1 if fails else 0), said
        return said

    @property
    def password(self) -> str:
        """The file with the password of the provisioner's key."""
        return str(self.ca.home / "secrets" / "provisioner_password")

    def jwk(self, *arguments: str) -> tuple[str, ...]:
        """Arguments, behind those that choose the JWK provisioner."""
        return ("--provisioner", "platform-team", "--provisioner-password-file", self.password, *arguments)

    def certificate(self, name: str = "api", *flags: str) -> x509.Certificate:
        """`step ca certificate` with the JWK provisioner; the leaf."""
        self("ca", "certificate", "-f", *self.jwk(*flags), NAME, f"{name}.crt", f"{name}.key")
        return self.leaf(name)

    def leaf(self, name: str = "api") -> x509.Certificate:
        """The leaf in a file, after its chain was checked."""
        leaf, issuer = x509.load_pem_x509_certificates((self.home / f"{name}.crt").read_bytes())
        leaf.verify_directly_issued_by(issuer)
        issuer.verify_directly_issued_by(x509.load_pem_x509_certificate(self.ca.root.read_bytes()))
        return leaf


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that runs for this module's tests."""
    with running(tmp_path_factory.mktemp("interop")) as one:
        yield one


@pytest.fixture
def step(ca: CA, tmp_path: Path) -> Step:
    """The command, bootstrapped by the fingerprint alone."""
    made = Step(ca, tmp_path)
    made("ca", "bootstrap", "--ca-url", ca.url, "--fingerprint", str(ca.init["fingerprint"]))
    return made


def names_of(leaf: x509.Certificate) -> set[str]:
    """Its names."""
    return {str(one.value) for one in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}


def test_reads_health_roots_and_provisioners(step: Step) -> None:
    """`ca health`, `ca root`, `ca roots`, `ca federation`, `ca provisioner list`, `ca provisioner jwe-key`."""
    assert step("ca", "health").out == "ok\n"
    step("ca", "root", "root.pem", "--fingerprint", str(step.ca.init["fingerprint"]))
    for command in ("roots", "federation"):
        assert "BEGIN CERTIFICATE" in step("ca", command).out
    listed = json.loads(step("ca", "provisioner", "list").out)
    assert {(one["type"], one["name"]) for one in listed} == {("ACME", "acme"), ("JWK", "platform-team")}
    assert step("ca", "provisioner", "jwe-key", step.ca.init["provisioner"]["kid"]).out.count(".") == 4


def test_gets_a_certificate_with_the_jwk_provisioner(step: Step) -> None:
    """`ca certificate`: the subject is the CN, also where it is none of the names; `inspect` names the provisioner."""
    assert names_of(step.certificate()) == {NAME}
    beside = step.certificate("beside", "--san", OTHER, "--not-after", "1h")
    assert (names_of(beside), beside.subject.rfc4514_string()) == ({OTHER}, f"CN={NAME}")
    assert "Provisioner: platform-team" in step("certificate", "inspect", "--short", "api.crt").out
    step.certificate("rsa", "--kty", "RSA", "--size", "2048")


def test_gets_a_certificate_with_a_token_once(step: Step) -> None:
    """`ca token`, then `ca certificate --token` and `ca sign --token`; the second use says what to do."""
    token = step("ca", "token", *step.jwk("--san", NAME, "--san", OTHER), NAME).out.strip()
    step("ca", "certificate", "-f", "--token", token, NAME, "api.crt", "api.key")
    assert names_of(step.leaf()) == {NAME, OTHER}
    said = step("ca", "certificate", "-f", "--token", token, NAME, "no.crt", "no.key", fails=True)
    assert "token already used; ask for another one" in said.err
    step("certificate", "create", "--csr", "--no-password", "--insecure", NAME, "api.csr", "csr.key")
    bound = step("ca", "token", *step.jwk("--cnf-file", "api.csr"), NAME).out.strip()
    other = step("ca", "certificate", "-f", "--token", bound, NAME, "no.crt", "no.key", fails=True)
    assert "bound to another certificate request" in other.err
    step("ca", "sign", "-f", "--token", bound, "api.csr", "signed.crt")
    assert names_of(step.leaf("signed")) == {NAME}


def test_gets_a_certificate_with_the_acme_provisioner(step: Step) -> None:
    """`ca certificate` with http-01 on a port of its own, then renewed over mTLS and by token."""
    listen = ("--http-listen", f"127.0.0.1:{step.ca.http_port}")
    step("ca", "certificate", "-f", "--provisioner", "acme", *listen, NAME, "acme.crt", "acme.key")
    first = step.leaf("acme").serial_number
    step("ca", "renew", "-f", "acme.crt", "acme.key")
    second = step.leaf("acme").serial_number
    step("ca", "renew", "-f", "--mtls=false", "acme.crt", "acme.key")
    assert len({first, second, step.leaf("acme").serial_number}) == 3


def test_renews_and_rekeys(step: Step) -> None:
    """`ca renew` both ways and not when it is not due; `ca rekey`: another serial, then another key, the same names."""
    old = step.certificate("api", "--san", NAME, "--san", OTHER)
    for flags in ((), ("--mtls=false",)):
        step("ca", "renew", "-f", *flags, "api.crt", "api.key")
        new = step.leaf()
        assert (new.public_key(), names_of(new)) == (old.public_key(), names_of(old))
        assert new.serial_number != old.serial_number
    assert "not renewed" in step("ca", "renew", "--expires-in", "1h", "api.crt", "api.key").err
    step("ca", "rekey", "-f", "api.crt", "api.key")
    assert step.leaf().public_key() != old.public_key()
    assert names_of(step.leaf()) == names_of(old)


def test_revokes(step: Step) -> None:
    """`ca revoke` over mTLS and by token; neither renews any more, and the words say when it was revoked."""
    step.certificate()
    assert "has been revoked" in step("ca", "revoke", "--cert", "api.crt", "--key", "api.key").err
    serial = str(step.certificate("second").serial_number)
    token = step("ca", "token", "--revoke", *step.jwk(), serial).out.strip()
    step("ca", "revoke", "--token", token, serial)
    for name, flags in (("api", ()), ("second", ()), ("second", ("--mtls=false",))):
        assert "revoked at" in step("ca", "renew", "-f", *flags, f"{name}.crt", f"{name}.key", fails=True).err
    again = step("ca", "token", "--revoke", *step.jwk(), serial).out.strip()
    assert "already revoked" in step("ca", "revoke", "--token", again, serial, fails=True).err


@pytest.mark.parametrize(
    ("flags", "name", "words"),
    [
        ((), "api.internal.exampel", "nearest that would be allowed: api.internal.example"),
        ((), "api.example.org", "must allow it"),
        (("--san", "10.0.0.1"), NAME, "10.0.0.1: no rule allows it"),
        (("--not-after", "25h"), NAME, "above the longest, 24h0m0s"),
        (("--kty", "OKP", "--curve", "Ed25519"), NAME, "use one of P-256"),
    ],
)
def test_a_refusal_says_what_to_do(step: Step, flags: tuple[str, ...], name: str, words: str) -> None:
    """The line that `step` prints names what was wrong and what would pass, and the request."""
    said = step("ca", "certificate", "-f", *step.jwk(*flags), name, "no.crt", "no.key", fails=True)
    assert words in said.err
    assert "request " in said.err
    assert not (step.home / "no.crt").exists()


def test_all_of_it_after_a_restart(step: Step) -> None:
    """The CA starts anew: what was issued renews, what was used up stays so."""
    step.certificate()
    token = step("ca", "token", *step.jwk(), NAME).out.strip()
    step("ca", "certificate", "-f", "--token", token, NAME, "once.crt", "once.key")
    step.ca.stop()
    step.ca.start()
    step("ca", "renew", "-f", "api.crt", "api.key")
    step("ca", "renew", "-f", "--mtls=false", "once.crt", "once.key")
    assert "already used" in step("ca", "certificate", "-f", "--token", token, NAME, "x.crt", "x.key", fails=True).err
    assert step.ca.verify()["ok"]
