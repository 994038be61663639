"""Stock ACME clients, unmodified, against a real CA process, as docs/how-to/acme-clients.md has them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ca_world import CA, NAME, found, free_ports
from dns_peer import FolderZone, dns_server
from interop.programs import (
    DIRECTORY,
    ROOT,
    adapted,
    blocks,
    check_file,
    kept_running,
    served,
    shell,
    wait_for,
    web_root,
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

Client = Callable[..., str]
NAMESPACE = ("-m",) if os.geteuid() == 0 else ("-r", "-m")
B, C = "b.internal.example", "c.internal.example"


@dataclass(frozen=True)
class Lab:
    """A CA whose challenges go to unprivileged ports and to a name server of the test."""

    ca: CA
    tls_port: int
    dns_port: int
    records: Path
    zone: FolderZone

    @property
    def basics(self) -> dict[str, object]:
        """What every recipe has otherwise here."""
        return {DIRECTORY: self.ca.directory, ROOT: self.ca.root}

    @property
    def listen(self) -> str:
        """Where http-01 is answered."""
        return f"127.0.0.1:{self.ca.http_port}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A CA and a name server that run for this module's tests."""
    where = tmp_path_factory.mktemp("interop")
    records = where / "records"
    records.mkdir()
    zone = FolderZone(records, "internal.example", {NAME: "127.0.0.1", B: "127.0.0.1", C: "127.0.0.1"})
    with dns_server(zone) as dns_port:
        ca, (tls_port,) = found(where), free_ports(1)
        toml = ca.home / "ca.toml"
        table = f'[validation]\ntls_port = {tls_port}\nresolver = "127.0.0.1:{dns_port}"\n'
        toml.write_text(toml.read_text().replace("[validation]\n", table))
        ca.dayfly("ca", "provisioner", "add", "short", "--type", "ACME", "--x509-default-dur", "20s")
        ca.start()
        try:
            yield Lab(ca, tls_port, dns_port, records, zone)
        finally:
            ca.stop()


def hook(path: Path, script: str) -> Path:
    """A program for a client to call."""
    path.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
    path.chmod(0o755)
    return path


def test_certbot_gets_and_renews_certificates(lab: Lab, tmp_path: Path, client: Client) -> None:
    """http-01 standalone, dns-01 by hooks with a wildcard, and a forced renewal of both."""
    client("certbot")
    folders = f"--config-dir {tmp_path}/etc --work-dir {tmp_path}/lib --logs-dir {tmp_path}/log"
    own = {**lab.basics, "certbot certonly": f"certbot certonly {folders}"}
    standalone, allow, manual, renew = blocks("certbot")
    ports = f"--standalone --http-01-port {lab.ca.http_port} --http-01-address 127.0.0.1"
    shell(adapted(standalone, {**own, "--standalone": ports}), tmp_path)
    live = tmp_path / "etc" / "live"
    first = check_file(lab.ca, live / NAME / "fullchain.pem", NAME)

    record = f"{lab.records}/_acme-challenge.$CERTBOT_DOMAIN"
    add = hook(tmp_path / "add", f'echo "$CERTBOT_VALIDATION" >> {record}')
    remove = hook(tmp_path / "remove", f"rm -f {record}")
    hooks = {"/etc/dayfly/add-record": add, "/etc/dayfly/remove-record": remove}
    shell(adapted(allow, {"dayfly": f"{sys.executable} -m dayfly"}), tmp_path, DAYFLY_HOME=str(lab.ca.home))
    shell(adapted(manual, {**own, **hooks}), tmp_path)
    wild = check_file(lab.ca, live / "wild" / "fullchain.pem", B, f"*.{B}")
    assert f"_acme-challenge.{B} TXT" in lab.zone.asked

    shell(adapted(renew, {ROOT: lab.ca.root, "certbot renew": f"certbot renew {folders}"}), tmp_path)
    assert check_file(lab.ca, live / NAME / "fullchain.pem", NAME) != first
    assert check_file(lab.ca, live / "wild" / "fullchain.pem", B, f"*.{B}") != wild


def test_lego_gets_and_renews_certificates(lab: Lab, tmp_path: Path, client: Client) -> None:
    """http-01, tls-alpn-01, dns-01 by a program, and a renewal."""
    client("lego")
    http, tls, dns, renew = blocks("lego")
    made = tmp_path / ".lego" / "certificates"
    port = {"--http": f"--http --http.port {lab.listen}"}
    shell(adapted(http, {**lab.basics, **port}), tmp_path)
    first = check_file(lab.ca, made / f"{NAME}.crt", NAME)
    shell(adapted(tls, {**lab.basics, "--tls": f"--tls --tls.port 127.0.0.1:{lab.tls_port}"}), tmp_path)
    check_file(lab.ca, made / f"{B}.crt", B)
    change = hook(
        tmp_path / "change",
        f'file="{lab.records}/${{2%.}}"\ncase "$1" in\n  present) echo "$3" >> "$file" ;;\n  *) rm -f "$file" ;;\nesac',
    )
    own = {**lab.basics, "/etc/dayfly/change-record": change, "10.0.0.53:53": f"127.0.0.1:{lab.dns_port}"}
    shell(adapted(dns, own), tmp_path)
    check_file(lab.ca, made / f"{C}.crt", C)
    assert f"_acme-challenge.{C} TXT" in lab.zone.asked
    shell(adapted(renew, {**lab.basics, **port}), tmp_path)
    assert check_file(lab.ca, made / f"{NAME}.crt", NAME) != first


@pytest.fixture
def acme_files(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """The folder of a web server that answers http-01."""
    folder = tmp_path / "www" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    with web_root(tmp_path / "www", lab.ca.http_port):
        yield folder


def test_dehydrated_gets_and_renews_a_certificate(lab: Lab, tmp_path: Path, client: Client, acme_files: Path) -> None:
    """http-01 by files, and a forced renewal."""
    client("dehydrated")
    config, get, renew = blocks("dehydrated")
    own = adapted(config, {**lab.basics, "/var/www/acme": acme_files})
    (tmp_path / "config").write_text(f"BASEDIR={tmp_path}\n{own}")
    shell(get, tmp_path)
    path = tmp_path / "certs" / NAME / "fullchain.pem"
    first = check_file(lab.ca, path, NAME)
    shell(renew, tmp_path)
    assert check_file(lab.ca, path, NAME) != first


def test_uacme_gets_and_renews_a_certificate(lab: Lab, tmp_path: Path, client: Client, acme_files: Path) -> None:
    """http-01 by a hook, and a forced renewal; the system's roots are ours in a mount namespace of the client's own."""
    client("uacme")
    if subprocess.run(["unshare", *NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace, and its own trust store is not the test's to change")
    script, get, renew = blocks("uacme")
    made = tmp_path / "uacme-hook"
    made.write_text(adapted(script, {"/var/www/acme": acme_files}))
    made.chmod(0o755)
    own = {DIRECTORY: lab.ca.directory, "/etc/dayfly/uacme-hook": made, "/etc/ssl/uacme": tmp_path / "uacme"}
    path = tmp_path / "uacme" / NAME / "cert.pem"
    shell(trusting(lab.ca.root, adapted(get, own)), tmp_path)
    first = check_file(lab.ca, path, NAME)
    shell(trusting(lab.ca.root, adapted(renew, own)), tmp_path)
    assert check_file(lab.ca, path, NAME) != first


def trusting(root: Path, script: str) -> str:
    """The script where the system's roots are this one, for it and its children only."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    return f"unshare {' '.join(NAMESPACE)} bash -euo pipefail <<'END'\nmount --bind {root} {bundle}\n{script}\nEND"


def test_acme_tiny_gets_certificates(lab: Lab, tmp_path: Path, client: Client, acme_files: Path) -> None:
    """http-01 by files; the second run is the renewal."""
    client("acme-tiny")
    keys, get = blocks("acme-tiny")
    shell(keys, tmp_path)
    script = adapted(get, {**lab.basics, "/var/www/acme": acme_files})
    shell(script, tmp_path)
    first = check_file(lab.ca, tmp_path / "api.crt", NAME)
    shell(script, tmp_path)
    assert check_file(lab.ca, tmp_path / "api.crt", NAME) != first


def test_caddy_serves_and_renews_a_certificate(lab: Lab, tmp_path: Path, client: Client) -> None:
    """HTTPS with a certificate that Caddy got by itself, and another when a third of its 20 seconds is left."""
    caddy = client("caddy")
    text, command = blocks("Caddy")
    lab_globals = (
        f"{{\n  admin off\n  http_port {lab.ca.http_port}\n  https_port {lab.tls_port}\n"
        f"  storage file_system {tmp_path}/caddy\n  acme_ca"
    )
    own = {
        DIRECTORY: lab.ca.directory.replace("/acme/acme/", "/acme/short/"),
        ROOT: lab.ca.root, "{\n  acme_ca": lab_globals,
        "renew_interval 1m": "renew_interval 1s", f"{NAME} {{": f"{NAME} {{\n  bind 127.0.0.1",
    }  # fmt: skip
    (tmp_path / "Caddyfile").write_text(adapted(text, own))

    def now() -> int | None:
        return served(lab.ca, lab.tls_port, NAME)

    def why() -> str:
        return (tmp_path / "program.log").read_text()

    with kept_running([caddy, *command.split()[1:]], tmp_path):
        first = wait_for(now, seconds=30, why=why)
        wait_for(lambda: serial if (serial := now()) != first else None, seconds=40, why=why)


APACHE = """\
ServerRoot {where}
ServerName localhost
PidFile apache.pid
DefaultRuntimeDir {where}
ErrorLog error.log
LogLevel warn md:debug
Listen 127.0.0.1:{http}
Listen 127.0.0.1:{https}
{modules}
MDStoreDir md
MDPortMap http:{http} https:{https}
"""
MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "md")


@pytest.fixture
def apache_folder() -> Iterator[Path]:
    """A folder that the user whom Apache runs as can reach, as pytest's own are not."""
    where = Path(tempfile.mkdtemp(prefix="dayfly-apache-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam("www-data")
        os.chown(where, user.pw_uid, user.pw_gid)
    yield where
    shutil.rmtree(where)


def test_apache_serves_and_renews_a_certificate(lab: Lab, apache_folder: Path, client: Client) -> None:
    """HTTPS with a certificate that mod_md got by itself, and another when its renewal window is the whole life."""
    apache = client("apache2", "apache2-bin")
    (text,) = blocks("Apache httpd")
    shutil.copy(lab.ca.root, apache_folder / "root.crt")
    modules = "\n".join(f"LoadModule {one}_module /usr/lib/apache2/modules/mod_{one}.so" for one in MODULES)
    prelude = APACHE.format(where=apache_folder, http=lab.ca.http_port, https=lab.tls_port, modules=modules)
    own = {DIRECTORY: lab.ca.directory, ROOT: apache_folder / "root.crt", "*:443": f"*:{lab.tls_port}"}
    config = apache_folder / "apache2.conf"
    config.write_text(prelude + adapted(text, own))

    def why() -> str:
        return "".join(path.read_text() for path in apache_folder.glob("*.log"))

    def fetched() -> int | None:
        path = apache_folder / "md" / "staging" / NAME / "job.json"
        return 1 if path.exists() and '"finished": true' in path.read_text() else None

    user = "www-data" if os.geteuid() == 0 else None
    with kept_running([apache, "-f", str(config), "-DFOREGROUND"], apache_folder, user=user) as process:
        wait_for(fetched, seconds=40, why=why)
        process.send_signal(signal.SIGUSR1)
        first = wait_for(lambda: served(lab.ca, lab.tls_port, NAME), seconds=30, why=why)
        config.write_text(prelude + adapted(text, {**own, "MDRenewWindow 33%": "MDRenewWindow 30d"}))
        process.send_signal(signal.SIGUSR1)
        wait_for(fetched, seconds=40, why=why)
        process.send_signal(signal.SIGUSR1)
        wait_for(
            lambda: serial if (serial := served(lab.ca, lab.tls_port, NAME)) not in {None, first} else None,
            seconds=30,
            why=why,
        )
