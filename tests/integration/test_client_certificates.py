"""Certificates from the command line against a real CA: tokens, mTLS, daemons, terminals (step-compat.md part 14)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ca_world import CA, NAME, dayfly, environment, running
from factories import ec_key
from small_pki import PKI, write_pair
from step_ca import real_now
from terminal import at_terminal


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA whose JWK provisioner issues for seconds, and renews expired ones for a while."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        one.dayfly(
            "ca", "provisioner", "update", "platform-team", "--x509-min-dur", "10s", "--allow-renewal-after-expiry",
            "--renewal-grace", "1h",
        )  # fmt: skip
        yield one


@pytest.fixture
def host(ca: CA, tmp_path: Path) -> Path:
    """A client's home, bootstrapped; its password file knows the provisioner's password."""
    dayfly("ca", "bootstrap", "--ca-url", ca.url, "--fingerprint", ca.init["fingerprint"], home=tmp_path)
    shutil.copy(ca.home / "secrets/provisioner_password", tmp_path / "provisioner-password")
    return tmp_path


def run(host: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`dayfly ca ...` on the host."""
    return dayfly("ca", *arguments, home=host, check=check)


def get(host: Path, *more: str, name: str = NAME) -> tuple[str, str]:
    """A pair by the JWK provisioner."""
    crt, key = str(host / "api.crt"), str(host / "api.key")
    run(
        host, "certificate", name, crt, key, "--provisioner", "platform-team", "--force",
        "--provisioner-password-file", str(host / "provisioner-password"), *more,
    )  # fmt: skip
    return crt, key


def leaf(path: str) -> x509.Certificate:
    """The certificate in a file."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def test_certificate_renewal_rekey_and_revocation_in_a_row(ca: CA, host: Path) -> None:
    """One pair's life: each step gives another serial, openssl takes it, and after the revocation nothing renews it."""
    crt, key = get(host, "--not-after", "10m")
    serials = [leaf(crt).serial_number]
    for verb in (("renew",), ("renew", "--mtls=false"), ("rekey",)):
        key_before = leaf(crt).public_key()
        run(host, verb[0], crt, key, "--force", *verb[1:])
        serials.append(leaf(crt).serial_number)
        assert (leaf(crt).public_key() == key_before) is (verb[0] == "renew")
        subprocess.run(["openssl", "verify", "-CAfile", str(ca.root), "-untrusted", crt, crt], check=True)
    assert len(set(serials)) == 4
    number = str(leaf(crt).serial_number)
    said = run(
        host, "revoke", number, "--provisioner", "platform-team", "--reasonCode", "keyCompromise",
        "--password-file", str(host / "provisioner-password"),
    ).stderr  # fmt: skip
    assert f"Certificate with Serial Number {number} has been revoked.\n" in said
    before = Path(crt).read_bytes()
    for flags in ((), ("--mtls=false",)):
        refused = run(host, "renew", crt, key, "--force", *flags, check=False)
        assert (refused.returncode, "revoked" in refused.stderr) == (1, True), refused.stderr
    assert Path(crt).read_bytes() == before
    assert ca.verify()["ok"]


def test_certificate_revokes_itself_by_mtls(host: Path) -> None:
    """Its own serial, without any provisioner."""
    crt, key = get(host)
    assert run(host, "revoke", "--cert", crt, "--key", key, "--json").stdout.startswith("{")
    again = run(host, "revoke", "--cert", crt, "--key", key, check=False)
    assert again.returncode == 1


def test_certificate_of_another_ca_is_told_as_what_it_is(host: Path) -> None:
    """Neither shown nor by token does a stranger's certificate renew."""
    key, other = ec_key(), PKI(born=real_now())
    files = write_pair(host, other, other.leaf(NAME, key=key, begin=real_now()), key)
    flags = ("--force", "--root", str(host / ".dayfly/certs/root_ca.crt"))
    shown = run(host, "renew", str(files.crt), str(files.key), *flags, check=False)
    assert (shown.returncode, "is it of this CA" in shown.stderr) == (1, True), shown.stderr
    signed = run(host, "renew", str(files.crt), str(files.key), *flags, "--mtls=false", check=False)
    assert (signed.returncode, "has no record of the certificate" in signed.stderr) == (1, True), signed.stderr


def test_token_of_one_host_gives_another_its_certificate(ca: CA, host: Path, tmp_path: Path) -> None:
    """A bare host needs nothing but the token; the token is good once."""
    made = run(
        host, "token", NAME, "--san", NAME, "--san", "b.internal.example", "--provisioner", "platform-team",
        "--password-file", str(host / "provisioner-password"),
    ).stdout.strip()  # fmt: skip
    bare = tmp_path / "bare"
    bare.mkdir()
    pair = (str(bare / "a.crt"), str(bare / "a.key"))
    said = dayfly("ca", "certificate", NAME, *pair, "--token", made, home=bare).stderr
    assert said.splitlines()[0] == f"✔ CA: {ca.url}"
    again = dayfly("ca", "certificate", NAME, *pair, "--token", made, "--force", home=bare, check=False)
    assert again.returncode == 1
    assert "token" in again.stderr


def test_request_is_signed_by_token_and_by_acme(ca: CA, host: Path) -> None:
    """`ca sign`, both ways; openssl made the request."""
    subprocess.run(
        [
            "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            str(host / "r.key"), "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-out",
            str(host / "r.csr"),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    password = ("--password-file", str(host / "provisioner-password"))
    run(host, "sign", str(host / "r.csr"), str(host / "r.crt"), "--provisioner", "platform-team", *password)
    listen = ("--http-listen", f"127.0.0.1:{ca.http_port}")
    run(host, "sign", str(host / "r.csr"), str(host / "r.crt"), "--provisioner", "acme", *listen, "--force")
    assert run(host, "renew", str(host / "r.crt"), str(host / "r.key"), "--force").returncode == 0


def test_denied_name_has_its_fields_and_passes_once_it_is_allowed(ca: CA, host: Path) -> None:
    """Rule, nearest and id come out as JSON; `policy allow --denial` lets exactly this name through."""
    name, password = "shop.elsewhere.example", ("--password-file", str(host / "provisioner-password"))
    pair = (str(host / "s.crt"), str(host / "s.key"), "--provisioner", "platform-team", *password)
    denied = run(host, "certificate", name, *pair, "--json", check=False)
    document = json.loads(denied.stdout)
    assert denied.returncode == 1
    assert document["rule"] == "default-deny"
    assert document["nearest"]
    assert f"--denial {document['denial']}" in document["next"]
    assert not (host / "s.key").exists()
    ca.dayfly("ca", "policy", "allow", "--denial", document["denial"])
    run(host, "certificate", name, *pair)


def test_person_and_workload_get_certificates_once_rules_name_them__step_10(ca: CA, host: Path) -> None:
    """A mailbox, and a URI under a plain common name; renewing keeps them."""
    ca.dayfly("ca", "policy", "allow", "@people.example", "uri:mesh.example", "cn:Build robot")
    crt, key = get(host, name="ops@people.example")
    assert names_in(crt) == ["ops@people.example"]
    crt, key = get(host, "--san", "spiffe://mesh.example/robot", name="Build robot")
    run(host, "renew", crt, key, "--force", "--mtls=false")
    assert names_in(crt) == ["spiffe://mesh.example/robot"]


def names_in(path: str) -> list[str]:
    """The alternative names in a certificate's file."""
    found = leaf(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in found]


def test_expired_certificate_renews_by_token_where_its_provisioner_allows_it(host: Path) -> None:
    """Nothing is asked of the operator: the same command takes the other way."""
    crt, key = get(host, "--not-after", "10s")
    deadline = time.monotonic() + 30
    while real_now() <= leaf(crt).not_valid_after_utc + timedelta(seconds=1):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    before = leaf(crt).serial_number
    run(host, "renew", crt, key, "--force")
    assert leaf(crt).serial_number != before
    refused = run(host, "rekey", crt, key, "--force", "--expires-in", "1s")
    assert refused.stderr.startswith("certificate not rekeyed: expires in ")


def test_acme_certificate_renews_too(ca: CA, host: Path) -> None:
    """As the recipe has it: got by ACME, renewed by mTLS."""
    crt, key = str(host / "a.crt"), str(host / "a.key")
    run(host, "certificate", NAME, crt, key, "--provisioner", "acme", "--http-listen", f"127.0.0.1:{ca.http_port}")
    assert run(host, "renew", crt, key, "--force").stderr == f"Your certificate has been saved in {crt}.\n"


def test_two_renewers_at_once_do_no_harm(host: Path) -> None:
    """Both end well, and the pair in the files is a pair; with --expires-in the second leaves it as it is."""
    crt, key = get(host, "--not-after", "10m")
    command = [sys.executable, "-m", "dayfly", "ca", "rekey", crt, key, "--force"]
    children = [subprocess.Popen(command, env=environment(host), stderr=subprocess.PIPE) for _ in range(3)]
    assert [(child.wait(60), child.stderr and child.stderr.close())[0] for child in children] == [0, 0, 0]
    run(host, "renew", crt, key, "--force")
    get(host, "--not-before", "-9m", "--not-after", "1m")
    due = [*command, "--expires-in", "5m"]
    several = [
        subprocess.Popen(due, env=environment(host), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [child.communicate(timeout=60)[1] for child in several]
    assert sum("certificate not rekeyed" in one for one in said) == 2, said


# --- the daemon -------------------------------------------------------------------------------------------------------


class Daemon:
    """`dayfly ca renew --daemon` as a process."""

    def __init__(self, host: Path, crt: str, key: str, *more: str, **variables: str) -> None:
        self.output = host / "daemon.log"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dayfly", "ca", "renew", crt, key, "--daemon", *more],
                env={**environment(host), "PYTHONUNBUFFERED": "1", **variables}, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file,
            )  # fmt: skip

    def wait_for(self, text: str, *, times: int = 1, within: float = 40) -> str:
        """All that it said, once `text` is there so many times."""
        deadline = time.monotonic() + within
        while (said := self.output.read_text()).count(text) < times:
            assert time.monotonic() < deadline, said
            assert self.process.poll() is None, said
            time.sleep(0.05)
        return said

    def end(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(15)


@pytest.fixture
def daemon(host: Path) -> Iterator[Callable[..., Daemon]]:
    """Daemons that end with the test."""
    started: list[Daemon] = []

    def start(*arguments: str, **variables: str) -> Daemon:
        started.append(Daemon(host, *arguments, **variables))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_daemon_keeps_a_pair_of_seconds_fresh_and_tells_its_service(host: Path, daemon: Callable[..., Daemon]) -> None:
    """Two renewals of a certificate that lives 10 s, each followed by the hook; SIGTERM ends it with 0."""
    crt, key = get(host, "--not-after", "10s")
    hook = host / "hook"
    hook.write_text(f'#!/bin/sh\nopenssl x509 -noout -serial -in "$DAYFLY_CERTIFICATE_FILE" >> {host}/serials\n')
    hook.chmod(0o755)
    one = daemon(crt, key, "--exec", str(hook))
    said = one.wait_for("certificate renewed, next in", times=2)
    assert one.end() == 0
    assert said.splitlines()[0].startswith("INFO: 20")
    assert "first renewal in" in said.splitlines()[0]
    assert f"{NAME} certificate renewed, next in " in said
    serials = (host / "serials").read_text().split()
    assert len(set(serials)) == len(serials) >= 2
    assert "ERROR" not in said


def test_sighup_renews_at_once(host: Path, daemon: Callable[..., Daemon]) -> None:
    """Long before it is due."""
    crt, key = get(host, "--not-after", "10m")
    before = leaf(crt).serial_number
    one = daemon(crt, key)
    one.wait_for("first renewal in")
    one.process.send_signal(signal.SIGHUP)
    one.wait_for("certificate renewed, next in")
    assert leaf(crt).serial_number != before
    assert one.end() == 0


def test_daemon_renews_what_the_ca_wants_replaced__rfc9773_4(ca: CA, host: Path, daemon: Callable[..., Daemon]) -> None:
    """A certificate of ten minutes is renewed at the first question after `ca reissue`, and its successor is left."""
    crt, key = get(host, "--not-after", "10m")
    before = leaf(crt).serial_number
    ca.dayfly("ca", "reissue", "--cert", crt, "--within", "0s", "--explanation-url", "https://wiki.example/why")
    one = daemon(crt, key)
    said = one.wait_for("certificate renewed, next in")
    assert "the CA moved the renewal: https://wiki.example/why" in said
    assert leaf(crt).serial_number != before
    assert one.end() == 0
    assert one.output.read_text().count("the CA moved the renewal") == 1


def test_daemon_survives_a_ca_that_is_away(ca: CA, host: Path, daemon: Callable[..., Daemon]) -> None:
    """Errors are told with the next try; the CA comes back, and the pair is fresh again."""
    crt, key = get(host, "--not-after", "25s")  # it must not end before a slow machine has the CA back
    ca.stop()
    try:
        one = daemon(crt, key)
        said = one.wait_for("ERROR: ", times=2)
        assert "connection refused" in said
        assert "next try in" in said
    finally:
        ca.start()
    one.wait_for("certificate renewed, next in")
    assert one.end() == 0


def test_daemon_tells_systemd_and_speaks_json_where_it_is_asked(
    host: Path, tmp_path: Path, daemon: Callable[..., Daemon]
) -> None:
    """READY=1 on the socket that systemd names; one object a line."""
    import socket

    crt, key = get(host, "--not-after", "10m")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        one = daemon(crt, key, "--json", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert listener.recv(1000).startswith(b"READY=1\nSTATUS=next in ")
    said = one.wait_for('"first renewal in')
    assert json.loads(said.splitlines()[0])["level"] == "info"
    assert one.end() == 0


# --- terminals --------------------------------------------------------------------------------------------------------


def test_person_chooses_a_provisioner_and_types_its_password(host: Path) -> None:
    """At a terminal both are asked for, and the password does not show."""
    password = (host / "provisioner-password").read_text().strip()
    pair = (str(host / "t.crt"), str(host / "t.key"))
    listed = json.loads(run(host, "provisioner", "list").stdout)
    number = [one["name"] for one in listed].index("platform-team") + 1
    shown = at_terminal(["ca", "certificate", NAME, *pair], [str(number), password], host)
    assert "What provisioner do you want to use?" in shown
    assert "Please enter the password to decrypt the provisioner key" in shown
    assert password not in shown
    assert Path(pair[1]).stat().st_mode & 0o777 == 0o600


def test_overwriting_is_asked_for_at_a_terminal(host: Path) -> None:
    """A yes replaces, a no leaves."""
    crt, key = get(host)
    before = Path(crt).read_bytes()
    at_terminal(["ca", "renew", crt, key], ["n"], host, code=1)
    assert Path(crt).read_bytes() == before
    at_terminal(["ca", "renew", crt, key], ["y"], host)
    assert Path(crt).read_bytes() != before
