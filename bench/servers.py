"""The servers under test, each started as its own documentation says, on loopback, in a directory of its own."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from load import Target
from space import names

from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.jose.jwk import public_key_of

DAYFLY = [sys.executable, "-m", "dayfly"]
START = 30.0  # seconds for a server to answer
STOP = 20.0


@contextmanager
def process(command: list[str], log: Path, environment: Mapping[str, str] = {}) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended at the end; what it says goes to `log`."""
    with log.open("ab") as output:
        started = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            cwd=log.parent,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(STOP)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for(url: str, ca: Path, started: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the URL answers over TLS that `ca` vouches for."""
    deadline = time.monotonic() + START
    while True:
        try:
            context = ssl.create_default_context(cafile=str(ca))
            with urllib.request.urlopen(url, context=context, timeout=2):  # noqa: S310 - a server of ours
                return
        except (OSError, urllib.error.URLError) as error:
            if started.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"error: {url} does not answer: {error}\n{log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.1)


def wait_for_ready(started: subprocess.Popen[bytes], log: Path, begin: int) -> None:
    """Wait until the CA says, behind this octet of its log, that all of it serves."""
    deadline = time.monotonic() + 30
    while b'"event":"ready"' not in log.read_bytes()[begin:]:
        if started.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"error: the CA is not ready\n{log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.1)


class Dayfly:
    """A CA in a scratch home: limits off, names as static hosts, as /etc/hosts is for the others."""

    name = "dayfly"
    port = 9000

    def __init__(self, where: Path, *, limits: bool = False) -> None:
        """Found it, with an ACME provisioner and a JWK provisioner whose key is in the clear beside it."""
        self.home, self._where = where / "ca", where
        self.jwk = where / "jwk.json"
        where.mkdir()
        self._run(
            "ca", "init", "--name", "Bench CA", "--dns", "127.0.0.1", "--address", f"127.0.0.1:{self.port}",
            "--provisioner", "owner", "--allow-dns", "load.test", "--no-password", "--acme",
        )  # fmt: skip
        public = where / "jwk.pub.json"
        public.write_text(json.dumps(self._make_jwk()), "utf-8")
        self._run("ca", "provisioner", "add", "bench", "--type", "JWK", "--public-key", str(public))
        hosts = ", ".join(f'"{name}" = "127.0.0.1"' for name in names())
        toml = self.home / "ca.toml"
        switched = "" if limits else "\n[limits]\nenabled = false\n"
        toml.write_text(
            toml.read_text("utf-8") + f'\n[validation]\nallow = ["127.0.0.0/8"]\nhosts = {{ {hosts} }}\n{switched}',
            "utf-8",
        )

    @contextmanager
    def running(self, *, workers: int = 1) -> Iterator[Target]:
        """The CA, ready."""
        log = self._where / "ca.log"
        command = [*DAYFLY, "ca", "start", "--home", str(self.home), "--workers", str(workers)]
        begin = log.stat().st_size if log.exists() else 0
        with process(command, log) as started:
            base = f"https://127.0.0.1:{self.port}"
            root = self.home / "certs" / "root_ca.crt"
            wait_for(f"{base}/health", root, started, log)
            wait_for_ready(started, log, begin)  # of several workers one answers before all have started
            yield Target(
                started.pid,
                f"{base}/acme/acme/directory",
                root,
                database=self.home / "db",
                base=base,
                jwk=self.jwk,
                provisioner="bench",
            )

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603
            [*DAYFLY, *arguments, "--home", str(self.home)], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            sys.exit(f"error: dayfly {' '.join(arguments)}: {done.stderr}")

    def _make_jwk(self) -> dict[str, str]:
        """A P-256 key: private into a file of this directory, public returned."""
        key = ec.generate_private_key(ec.SECP256R1())
        public: dict[str, str] = json.loads(public_key_of(key.public_key()).jwk)
        public["kid"] = public_key_of(key.public_key()).thumbprint
        private = {**public, "d": b64u_encode(key.private_numbers().private_value.to_bytes(32))}
        self.jwk.write_text(json.dumps(private), "utf-8")
        self.jwk.chmod(0o600)
        return {**public, "alg": "ES256", "use": "sig"}


class Bare:
    """A server that does nothing but what cannot be saved (bare.py): the ceiling of this Python on this machine."""

    name = "bare"
    port = 9100

    def __init__(self, where: Path) -> None:
        """Its keys are made when it starts."""
        where.mkdir()
        self._where = where

    @contextmanager
    def running(self) -> Iterator[Target]:
        """The server, ready; what it kept before is gone."""
        for left in self._where.glob("*"):
            left.unlink()
        log = self._where / "bare.log"
        command = [sys.executable, str(Path(__file__).with_name("bare.py")), str(self.port), str(self._where), "80"]
        with process(command, log) as started:
            root, directory = self._where / "root.pem", f"https://127.0.0.1:{self.port}/directory"
            _wait_for_file(root, started, log)
            wait_for(directory, root, started, log)
            yield Target(started.pid, directory, root)


class Caddy:
    """Caddy's `acme_server` with its internal CA; its store is bbolt."""

    name = "caddy"

    def __init__(self, where: Path) -> None:
        """Write the Caddyfile; nothing is installed into the machine's trust store."""
        where.mkdir()
        self._where = where
        (where / "Caddyfile").write_text(
            "{\n  skip_install_trust\n  admin off\n  auto_https disable_redirects\n}\n"
            "https://127.0.0.1:9443 {\n  tls internal\n  acme_server\n}\n",
            "utf-8",
        )

    @contextmanager
    def running(self) -> Iterator[Target]:
        """The server, ready."""
        log = self._where / "caddy.log"
        environment = {"XDG_DATA_HOME": str(self._where / "data"), "HOME": str(self._where)}
        command = ["caddy", "run", "--config", str(self._where / "Caddyfile"), "--adapter", "caddyfile"]
        with process(command, log, environment) as started:
            data = self._where / "data" / "caddy"
            root = data / "pki" / "authorities" / "local" / "root.crt"
            directory = "https://127.0.0.1:9443/acme/local/directory"
            _wait_for_file(root, started, log)
            wait_for(directory, root, started, log)
            yield Target(started.pid, directory, root, database=data / "acme_server")


class Pebble:
    """Pebble, a test server that keeps everything in memory; to be started anew for each run."""

    name = "pebble"

    def __init__(self, where: Path) -> None:
        """A certificate for loopback, and its example configuration with the ports of the load."""
        where.mkdir()
        self._where = where
        certificate, key = _self_signed()
        (where / "cert.pem").write_bytes(certificate)
        (where / "key.pem").write_bytes(key)
        settings = {
            "listenAddress": "127.0.0.1:14000",
            "managementListenAddress": "127.0.0.1:15000",
            "certificate": str(where / "cert.pem"),
            "privateKey": str(where / "key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (where / "pebble.json").write_text(json.dumps({"pebble": settings}), "utf-8")

    @contextmanager
    def running(self) -> Iterator[Target]:
        """The server, ready; its names come from the load generator's own DNS."""
        log = self._where / "pebble.log"
        environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        command = ["pebble", "-config", str(self._where / "pebble.json"), "-dnsserver", "127.0.0.1:53"]
        with process(command, log, environment) as started:
            directory, ca = "https://127.0.0.1:14000/dir", self._where / "cert.pem"
            wait_for(directory, ca, started, log)
            yield Target(started.pid, directory, ca, extra=("-dns", "127.0.0.1:53"))


def _wait_for_file(path: Path, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START
    while not path.exists():
        if started.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"error: no {path.name} appeared\n{log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.1)


def _self_signed() -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1 and its key (PEM), for a server that brings none."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)  # noqa: TID251 - a script
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private
