"""Stock ACME clients, unmodified, against a real CA process, as docs/how-to/acme-clients.md has them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ca_world import NAME
from interop.lab import B, C, Lab, hook, run
from interop.libraries import SOURCES, pinned, virtual_environment
from interop.programs import (
    DIRECTORY,
    ROOT,
    adapted,
    blocks,
    certificate_id,
    check_file,
    kept_running,
    served,
    shell,
    wait_for,
)
from interop.servers import (
    NO_HAPROXY,
    NO_NGINX,
    apache_configuration,
    caddyfile,
    haproxy_configuration,
    haproxy_version,
    nginx_configuration,
    nginx_module,
    version_that_was_said,
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

Client = Callable[..., str]
Saw = Callable[..., None]
slow = pytest.mark.skipif(os.environ.get("DAYFLY_INTEROP") != "all", reason="make interop runs it")
NAMESPACE = ("-m",) if os.geteuid() == 0 else ("-r", "-m")


@pytest.mark.chaos
def test_certbot_gets_and_renews_certificates(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """http-01 standalone, dns-01 by hooks with a wildcard, and a forced renewal of both."""
    client("certbot")
    folders = f"--config-dir {tmp_path}/etc --work-dir {tmp_path}/lib --logs-dir {tmp_path}/log"
    own = {**lab.basics, "certbot certonly": f"certbot certonly {folders}"}
    standalone, allow, manual, renew, revoke = blocks("certbot")
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
    shell(adapted(revoke, {**lab.basics, "certbot revoke": f"certbot revoke {folders}"}), tmp_path)
    assert lab.is_revoked(check_file(lab.ca, live / NAME / "fullchain.pem", NAME))
    saw("certbot", "enrol", "renew", "revoke")


@slow
def test_the_newest_certbot_asks_when_to_renew(lab: Lab, tmp_path: Path, saw: Saw) -> None:
    """What PyPI has: http-01 standalone, a run of `renew` that does nothing before the window, and a forced one."""
    programs = virtual_environment()
    folders = f"--config-dir {tmp_path}/etc --work-dir {tmp_path}/lib --logs-dir {tmp_path}/log"
    ports = f"--standalone --http-01-port {lab.ca.http_port} --http-01-address 127.0.0.1"
    run = {**lab.basics, "certbot certonly": f"{programs}/certbot certonly {folders}", "--standalone": ports}
    standalone, *_, renew, revoke = blocks("certbot")
    shell(adapted(standalone, run), tmp_path)
    path = tmp_path / "etc" / "live" / NAME / "fullchain.pem"
    first = check_file(lab.ca, path, NAME)
    again = adapted(renew, {ROOT: lab.ca.root, "certbot renew": f"{programs}/certbot renew {folders}"})
    assert "not yet due" in shell(adapted(again, {"--force-renewal ": ""}), tmp_path)
    assert check_file(lab.ca, path, NAME) == first
    assert f"/renewal-info/{certificate_id(path)} HTTP" in (tmp_path / "log" / "letsencrypt.log").read_text()
    shell(again, tmp_path)
    second = check_file(lab.ca, path, NAME)
    assert second != first
    shell(adapted(revoke, {**lab.basics, "certbot revoke": f"{programs}/certbot revoke {folders}"}), tmp_path)
    assert lab.is_revoked(second)
    saw("certbot 5 (PyPI)", "enrol", "renew", "revoke", "ARI", version=pinned("certbot"))


@pytest.mark.chaos
def test_lego_gets_and_renews_certificates(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """http-01, tls-alpn-01, dns-01 by a program, and a renewal."""
    client("lego")
    http, tls, dns, renew, revoke = blocks("lego")
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
    second = check_file(lab.ca, made / f"{NAME}.crt", NAME)
    assert second != first
    shell(adapted(revoke, lab.basics), tmp_path)
    assert lab.is_revoked(second)
    saw("lego", "enrol", "renew", "revoke")


@pytest.mark.chaos("chaos without bad nonces")  # it gives up at the first refused one
def test_dehydrated_gets_and_renews_a_certificate(
    lab: Lab, tmp_path: Path, client: Client, acme_files: Path, saw: Saw
) -> None:
    """http-01 by files, and a forced renewal."""
    client("dehydrated")
    config, get, renew, revoke = blocks("dehydrated")
    own = adapted(config, {**lab.basics, "/var/www/acme": acme_files})
    (tmp_path / "config").write_text(f"BASEDIR={tmp_path}\n{own}")
    shell(get, tmp_path)
    path = tmp_path / "certs" / NAME / "fullchain.pem"
    first = check_file(lab.ca, path, NAME)
    shell(renew, tmp_path)
    second = check_file(lab.ca, path, NAME)
    assert second != first
    shell(revoke, tmp_path)
    assert lab.is_revoked(second)
    saw("dehydrated", "enrol", "renew", "revoke")


@pytest.mark.chaos("chaos without bad nonces")  # while it polls, it gives up at the first refused one
@pytest.mark.skipif(shutil.which("acme.sh") is None, reason="acme.sh is not on PATH, and no registry has it")
def test_acme_sh_gets_and_renews_a_certificate(lab: Lab, tmp_path: Path, program: Client, saw: Saw) -> None:
    """http-01 on a port of its own; the renewal names what it replaces."""
    program("socat")
    get, renew, revoke = blocks("acme.sh")
    own = {"acme.sh": f"acme.sh --home {tmp_path}/home"}
    shell(adapted(get, {**lab.basics, **own, "--standalone": f"--standalone --httpport {lab.ca.http_port}"}), tmp_path)
    path = tmp_path / "home" / f"{NAME}_ecc" / "fullchain.cer"
    first = check_file(lab.ca, path, NAME)
    shell(adapted(renew, own), tmp_path)
    second = check_file(lab.ca, path, NAME)
    assert second != first
    assert lab.replaced_by(second) == first
    shell(adapted(revoke, own), tmp_path)
    assert lab.is_revoked(second)
    said = subprocess.run(["acme.sh", "--version"], capture_output=True, text=True, check=True)
    saw("acme.sh", "enrol", "renew", "revoke", "ARI", version=said.stdout.split()[-1].lstrip("v"))


@pytest.mark.chaos("chaos without bad nonces")  # it gives up at the first refused one
@pytest.mark.skipif(shutil.which("step") is None, reason="step is not on PATH, and no registry has it")
def test_step_gets_and_renews_a_certificate(lab: Lab, tmp_path: Path, saw: Saw) -> None:
    """http-01 on a port of its own; then over mTLS."""
    get, renew, revoke = blocks("step")
    own = {"https://ca.internal.example:9000": lab.ca.url, ROOT: lab.ca.root}
    listen = {"internal-acme": f"acme --http-listen {lab.listen}"}
    shell(adapted(get, {**own, **listen}), tmp_path)
    first = check_file(lab.ca, tmp_path / "api.crt", NAME)
    shell(adapted(renew, own), tmp_path)
    second = check_file(lab.ca, tmp_path / "api.crt", NAME)
    assert second != first
    shell(adapted(revoke, own), tmp_path)
    assert lab.is_revoked(second)
    said = subprocess.run(["step", "version"], capture_output=True, text=True, check=True)
    saw("step", "enrol", "renew", "revoke", version=said.stdout.split("/")[1].split()[0])


@pytest.mark.chaos
def test_uacme_gets_and_renews_a_certificate(
    lab: Lab, tmp_path: Path, client: Client, acme_files: Path, saw: Saw
) -> None:
    """http-01 by a hook, and a forced renewal; the system's roots are ours in a mount namespace of the client's own."""
    client("uacme")
    if subprocess.run(["unshare", *NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace, and its own trust store is not the test's to change")
    script, get, renew, revoke = blocks("uacme")
    made = tmp_path / "uacme-hook"
    made.write_text(adapted(script, {"/var/www/acme": acme_files}))
    made.chmod(0o755)
    own = {DIRECTORY: lab.ca.directory, "/etc/dayfly/uacme-hook": made, "/etc/ssl/uacme": tmp_path / "uacme"}
    path = tmp_path / "uacme" / NAME / "cert.pem"
    shell(trusting(lab.ca.root, adapted(get, own)), tmp_path)
    first = check_file(lab.ca, path, NAME)
    shell(trusting(lab.ca.root, adapted(renew, own)), tmp_path)
    second = check_file(lab.ca, path, NAME)
    assert second != first
    here = {DIRECTORY: lab.ca.directory, "/etc/ssl/uacme": tmp_path / "uacme"}
    shell(trusting(lab.ca.root, adapted(revoke, here)), tmp_path)
    assert lab.is_revoked(second)
    saw("uacme", "enrol", "renew", "revoke")


def trusting(root: Path, script: str) -> str:
    """The script where the system's roots are this one, for it and its children only."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    return f"unshare {' '.join(NAMESPACE)} bash -euo pipefail <<'END'\nmount --bind {root} {bundle}\n{script}\nEND"


@pytest.mark.chaos(always=True)
def test_acme_tiny_gets_certificates(lab: Lab, tmp_path: Path, client: Client, acme_files: Path, saw: Saw) -> None:
    """http-01 by files; the second run is the renewal."""
    client("acme-tiny")
    keys, get = blocks("acme-tiny")
    shell(keys, tmp_path)
    script = adapted(get, {**lab.basics, "/var/www/acme": acme_files})
    shell(script, tmp_path)
    first = check_file(lab.ca, tmp_path / "api.crt", NAME)
    shell(script, tmp_path)
    assert check_file(lab.ca, tmp_path / "api.crt", NAME) != first
    saw("acme-tiny", "enrol", "renew")


@slow
def test_acmetool_gets_and_renews_a_certificate(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """http-01 on a port of its own, and a renewal when a third of its 20 seconds is left."""
    client("acmetool")
    target, responses, want, renew = blocks("acmetool")
    conf = tmp_path / "acme" / "conf"
    conf.mkdir(parents=True)
    own = {DIRECTORY: lab.at("short"), '"80"': f'"{lab.listen}"'}
    (conf / "target").write_text(adapted(target, own))
    (conf / "responses").write_text(responses)
    here = {ROOT: lab.ca.root, "/var/lib/acme": tmp_path / "acme"}
    shell(adapted(want, here), tmp_path)
    path = tmp_path / "acme" / "live" / NAME / "fullchain"
    first = check_file(lab.ca, path, NAME)

    def another() -> int | None:
        shell(adapted(renew, here), tmp_path)
        return serial if (serial := check_file(lab.ca, path, NAME)) != first else None

    wait_for(another, seconds=60, why=lambda: "it renewed nothing")
    saw("acmetool", "enrol", "renew")


def test_ruby_s_acme_client_gets_and_renews_a_certificate(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """The gem as Debian has it, in a program of ours."""
    client("ruby", "ruby-acme-client", title="acme-client (Ruby)")
    run(lab, tmp_path, ["ruby", str(SOURCES / "ruby" / "acme_client.rb")], "revoke")
    first = check_file(lab.ca, tmp_path / "first.pem", NAME)
    second = check_file(lab.ca, tmp_path / "second.pem", NAME)
    assert second != first
    assert lab.is_revoked(second)
    saw("acme-client (Ruby)", "enrol", "renew", "revoke")


@pytest.mark.chaos
def test_caddy_serves_and_renews_a_certificate(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """HTTPS with a certificate that Caddy got by itself, and another when a third of its 20 seconds is left."""
    caddy = client("caddy", title="Caddy")
    command = caddyfile(lab, tmp_path, lab.at("short"))

    def now() -> int | None:
        return served(lab.ca, lab.tls_port, NAME)

    def why() -> str:
        return (tmp_path / "program.log").read_text()

    with kept_running([caddy, *command.split()[1:]], tmp_path):
        first = wait_for(now, seconds=30, why=why)
        wait_for(lambda: serial if (serial := now()) != first else None, seconds=40, why=why)
    saw("Caddy", "enrol", "renew")


def test_apache_serves_and_renews_a_certificate(lab: Lab, apache_folder: Path, client: Client, saw: Saw) -> None:
    """HTTPS with a certificate that mod_md got by itself, and another when its renewal window is the whole life."""
    apache = client("apache2", "apache2-bin", title="Apache mod_md")
    config = apache_folder / "apache2.conf"
    config.write_text(apache_configuration(lab, apache_folder, lab.ca.directory))

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
        config.write_text(config.read_text().replace("MDRenewWindow 33%", "MDRenewWindow 30d"))
        process.send_signal(signal.SIGUSR1)
        wait_for(fetched, seconds=40, why=why)
        process.send_signal(signal.SIGUSR1)
        second = wait_for(
            lambda: serial if (serial := served(lab.ca, lab.tls_port, NAME)) not in {None, first} else None,
            seconds=30,
            why=why,
        )
    assert lab.replaced_by(second) == first
    saw("Apache mod_md", "enrol", "renew", "ARI")


def served_other_than(old: int | None, lab: Lab, where: Path, *, seconds: float) -> int:
    """The serial that is served on the lab's TLS port, as soon as there is one and it is not the old one."""
    return wait_for(
        lambda: serial if (serial := served(lab.ca, lab.tls_port, NAME)) not in {None, old} else None,
        seconds=seconds,
        why=(where / "program.log").read_text,
    )


@pytest.mark.chaos
@pytest.mark.skipif(not haproxy_version(), reason=NO_HAPROXY)
def test_haproxy_serves_and_renews_a_certificate(lab: Lab, tmp_path: Path, program: Client, saw: Saw) -> None:
    """HTTPS with a certificate that HAProxy got when it was asked to by its socket, and another the second time."""
    program("socat")
    haproxy_configuration(lab, tmp_path)
    *_, start, renew = blocks("HAProxy")

    with kept_running([*start.split(), "-db"], tmp_path):
        wait_for(lambda: 1 if (tmp_path / "admin.sock").exists() else None, seconds=20, why=lambda: "it did not begin")
        ask = adapted(renew, {"/run/haproxy": tmp_path})
        shell(ask, tmp_path)
        first = served_other_than(None, lab, tmp_path, seconds=60)
        shell(ask, tmp_path)
        served_other_than(first, lab, tmp_path, seconds=60)
    saw("HAProxy", "enrol", "renew", version=haproxy_version())


@pytest.mark.chaos
@pytest.mark.skipif(nginx_module() is None, reason=NO_NGINX)
def test_nginx_serves_and_renews_a_certificate(lab: Lab, tmp_path: Path, saw: Saw) -> None:
    """HTTPS with a certificate that nginx got by itself, and another when the CA says so, that names the first."""
    module = nginx_module()
    assert module is not None
    if "minute" not in lab.ca.dayfly("ca", "provisioner", "list").stdout:
        lab.ca.dayfly("ca", "provisioner", "add", "minute", "--type", "ACME", "--x509-default-dur", "90s")
    directory = lab.by_name.replace("/acme/acme/", "/acme/minute/")
    command = nginx_configuration(lab, tmp_path, directory, module=module)

    with kept_running([*command.split(), "-p", str(tmp_path)], tmp_path):
        first = served_other_than(None, lab, tmp_path, seconds=120)
        second = served_other_than(first, lab, tmp_path, seconds=120)
    assert lab.replaced_by(second) == first
    saw("nginx (ACME module)", "enrol", "renew", "ARI", version=version_that_was_said(lab, "nginx"))
