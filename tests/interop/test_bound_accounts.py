"""Clients whose accounts are bound to external ones (RFC 8555 7.3.4), as docs/how-to/acme-clients.md has it.

Rules: the provisioner takes no account without a binding, and each client has a key of its own, which the CA must call
used afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ca_world import NAME
from interop.lab import Lab, hook, run
from interop.libraries import LIBRARIES, Library, pinned, virtual_environment
from interop.programs import DIRECTORY, ROOT, adapted, blocks, check_file, kept_running, served, shell, wait_for
from interop.servers import (
    NO_NGINX,
    apache_configuration,
    caddyfile,
    nginx_configuration,
    nginx_module,
    version_that_was_said,
)
from interop.test_clients import trusting

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("DAYFLY_INTEROP") != "all", reason="make interop runs it"),
]
Client = Callable[..., str]
Saw = Callable[..., None]
BOUND = [library for library in LIBRARIES if "EAB" in library.deeds]


@pytest.mark.parametrize("library", BOUND, ids=lambda library: library.name)
def test_a_library_binds_its_account__e2(lab: Lab, tmp_path: Path, library: Library, saw: Saw) -> None:
    """It enrols where an account needs a binding."""
    kid, key = lab.eab_key()
    bound = {"ACME_DIRECTORY": lab.at("bound"), "ACME_EAB_KID": kid, "ACME_EAB_KEY": key}
    run(lab, tmp_path, library.command(lab.ca.root), **bound)
    check_file(lab.ca, tmp_path / "first.pem", NAME)
    assert lab.is_used(kid)
    saw(library.name, "EAB", version=library.pin)


@pytest.mark.parametrize("title", ["certbot", "certbot 5 (PyPI)"])
def test_certbot_binds_its_account__e2(lab: Lab, tmp_path: Path, client: Client, title: str, saw: Saw) -> None:
    """By a file, so that the secret is on no command line."""
    certbot = client("certbot") if title == "certbot" else virtual_environment() / "certbot"
    kid, key = lab.eab_key()
    (tmp_path / "eab.ini").write_text(f"eab-kid = {kid}\neab-hmac-key = {key}\n")
    folders = f"--config-dir {tmp_path}/etc --work-dir {tmp_path}/lib --logs-dir {tmp_path}/log"
    own = {
        DIRECTORY: lab.at("bound"), ROOT: lab.ca.root,
        "certbot certonly": f"{certbot} certonly --config {tmp_path}/eab.ini {folders}",
        "--standalone": f"--standalone --http-01-port {lab.ca.http_port} --http-01-address 127.0.0.1",
    }  # fmt: skip
    shell(adapted(blocks("certbot")[0], own), tmp_path)
    check_file(lab.ca, tmp_path / "etc" / "live" / NAME / "fullchain.pem", NAME)
    assert lab.is_used(kid)
    saw(title, "EAB", version=pinned("certbot"))


def test_lego_binds_its_account__e2(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """By flags."""
    client("lego")
    kid, key = lab.eab_key()
    own = {
        DIRECTORY: lab.at("bound"), ROOT: lab.ca.root, "--http": f"--http --http.port {lab.listen}",
        "--accept-tos": f"--accept-tos --eab --kid {kid} --hmac {key}",
    }  # fmt: skip
    shell(adapted(blocks("lego")[0], own), tmp_path)
    check_file(lab.ca, tmp_path / ".lego" / "certificates" / f"{NAME}.crt", NAME)
    assert lab.is_used(kid)
    saw("lego", "EAB")


def test_dehydrated_binds_its_account__e2(lab: Lab, tmp_path: Path, client: Client, acme_files: Path, saw: Saw) -> None:
    """By its configuration."""
    client("dehydrated")
    kid, key = lab.eab_key()
    config, get, *_ = blocks("dehydrated")
    own = adapted(config, {DIRECTORY: lab.at("bound"), ROOT: lab.ca.root, "/var/www/acme": acme_files})
    (tmp_path / "config").write_text(f"BASEDIR={tmp_path}\n{own}EAB_KID={kid}\nEAB_HMAC_KEY={key}\n")
    shell(get, tmp_path)
    check_file(lab.ca, tmp_path / "certs" / NAME / "fullchain.pem", NAME)
    assert lab.is_used(kid)
    saw("dehydrated", "EAB")


def test_uacme_binds_its_account__e2(lab: Lab, tmp_path: Path, client: Client, acme_files: Path, saw: Saw) -> None:
    """By a flag."""
    client("uacme")
    kid, key = lab.eab_key()
    script, get, *_ = blocks("uacme")
    made = hook(tmp_path / "uacme-hook", adapted(script, {"/var/www/acme": acme_files}).partition("\n")[2])
    own = {
        DIRECTORY: lab.at("bound"), "/etc/dayfly/uacme-hook": made, "/etc/ssl/uacme": tmp_path / "uacme",
        "--yes new": f"--yes --eab {kid}:{key} new",
    }  # fmt: skip
    shell(trusting(lab.ca.root, adapted(get, own)), tmp_path)
    check_file(lab.ca, tmp_path / "uacme" / NAME / "cert.pem", NAME)
    assert lab.is_used(kid)
    saw("uacme", "EAB")


def test_caddy_binds_its_account__e2(lab: Lab, tmp_path: Path, client: Client, saw: Saw) -> None:
    """By its configuration."""
    caddy = client("caddy", title="Caddy")
    kid, key = lab.eab_key()
    more = f"  acme_eab {{\n    key_id {kid}\n    mac_key {key}\n  }}\n"
    command = caddyfile(lab, tmp_path, lab.at("bound"), more=more)
    with kept_running([caddy, *command.split()[1:]], tmp_path):
        wait_for(lambda: served(lab.ca, lab.tls_port, NAME), seconds=40, why=(tmp_path / "program.log").read_text)
    assert lab.is_used(kid)
    saw("Caddy", "EAB")


def test_apache_binds_its_account__e2(lab: Lab, apache_folder: Path, client: Client, saw: Saw) -> None:
    """By its configuration."""
    apache = client("apache2", "apache2-bin", title="Apache mod_md")
    kid, key = lab.eab_key()
    config = apache_folder / "apache2.conf"
    more = f"MDExternalAccountBinding {kid} {key}\n"
    config.write_text(apache_configuration(lab, apache_folder, lab.at("bound"), more=more))

    def staged() -> int | None:
        path = apache_folder / "md" / "staging" / NAME / "pubcert.pem"
        return check_file(lab.ca, path, NAME) if path.exists() and lab.is_used(kid) else None

    user = "www-data" if os.geteuid() == 0 else None
    with kept_running([apache, "-f", str(config), "-DFOREGROUND"], apache_folder, user=user):
        wait_for(staged, seconds=40, why=(apache_folder / "error.log").read_text)
    saw("Apache mod_md", "EAB")


@pytest.mark.skipif(nginx_module() is None, reason=NO_NGINX)
def test_nginx_binds_its_account__e2(lab: Lab, tmp_path: Path, saw: Saw) -> None:
    """By its configuration, and a file with the secret."""
    module = nginx_module()
    assert module is not None
    kid, key = lab.eab_key()
    (tmp_path / "eab.key").write_text(key)
    directory = lab.by_name.replace("/acme/acme/", "/acme/bound/")
    more = f" external_account_key {kid} {tmp_path}/eab.key;"
    command = nginx_configuration(lab, tmp_path, directory, module=module, more=more)
    with kept_running([*command.split(), "-p", str(tmp_path)], tmp_path):
        wait_for(lambda: served(lab.ca, lab.tls_port, NAME), seconds=40, why=(tmp_path / "program.log").read_text)
    assert lab.is_used(kid)
    saw("nginx (ACME module)", "EAB", version=version_that_was_said(lab, "nginx"))
