"""Configuration of the servers that get certificates themselves, as docs/how-to/acme-clients.md has it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from ca_world import NAME
from interop.lab import Lab
from interop.programs import DIRECTORY, ROOT, adapted, blocks, shell

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


def apache_configuration(lab: Lab, where: Path, directory: str, *, more: str = "") -> str:
    """The text for a server that lives in a folder of its own; `more` is what the page leaves out."""
    (text,) = blocks("Apache httpd")
    shutil.copy(lab.ca.root, where / "root.crt")
    modules = "\n".join(f"LoadModule {one}_module /usr/lib/apache2/modules/mod_{one}.so" for one in MODULES)
    prelude = APACHE.format(where=where, http=lab.ca.http_port, https=lab.tls_port, modules=modules)
    own = {DIRECTORY: directory, ROOT: where / "root.crt", "*:443": f"*:{lab.tls_port}"}
    return prelude + more + adapted(text, own)


def caddyfile(lab: Lab, where: Path, directory: str, *, more: str = "") -> str:
    """Write the file into a folder, with `more` global options; the command that runs it."""
    text, command = blocks("Caddy")
    lab_globals = (
        f"{{\n  admin off\n  http_port {lab.ca.http_port}\n  https_port {lab.tls_port}\n"
        f"  storage file_system {where}/caddy\n{more}  acme_ca"
    )
    own = {
        DIRECTORY: directory, ROOT: lab.ca.root, "{\n  acme_ca": lab_globals,
        "renew_interval 1m": "renew_interval 1s", f"{NAME} {{": f"{NAME} {{\n  bind 127.0.0.1",
    }  # fmt: skip
    (where / "Caddyfile").write_text(adapted(text, own))
    return command


NO_HAPROXY = "haproxy is not on PATH from 3.2 on, and Debian 12 has none"
NO_NGINX = "nginx and its ACME module are not on PATH, and Debian has no such module"


def haproxy_version() -> str:
    """The version of the one on PATH, if that is built as an ACME client."""
    if shutil.which("haproxy") is None:
        return ""
    said = subprocess.run(["haproxy", "-vv"], capture_output=True, text=True, check=True).stdout
    return said.split()[2].partition("-")[0] if "+ACME" in said else ""


def nginx_module() -> Path | None:
    """The module of the nginx on PATH, where its own modules are; None without the one or the other."""
    if shutil.which("nginx") is None:
        return None
    said = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    options = dict(one.partition("=")[::2] for one in said.split())
    folder = Path(options.get("--modules-path", options.get("--prefix", "/usr/local/nginx") + "/modules"))
    found = folder / "ngx_http_acme_module.so"
    return found if found.exists() else None


RESOLVERS = """\
resolvers default
  nameserver lab 127.0.0.1:{dns}
"""


def haproxy_configuration(lab: Lab, where: Path) -> None:
    """Write the file and the pair that it begins with into a folder."""
    pair, text, *_ = blocks("HAProxy")
    shell(adapted(pair, {"/etc/haproxy": where}), where)
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "account.key"], cwd=where, check=True
    )
    own = {
        DIRECTORY: lab.by_name, ROOT: lab.ca.root, "/etc/haproxy": where, "/run/haproxy": where,
        "bind :80": f"bind {lab.listen}", "bind :443": f"bind 127.0.0.1:{lab.tls_port}",
    }  # fmt: skip
    (where / "haproxy.cfg").write_text(RESOLVERS.format(dns=lab.dns_port) + adapted(text, own))


NGINX = """\
daemon off;
error_log stderr info;
pid {where}/nginx.pid;
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_configuration(lab: Lab, where: Path, directory: str, *, module: Path, more: str = "") -> str:
    """Write the file into a folder, with `more` of the issuer; the command that runs it."""
    text, command = blocks("nginx")
    folders = "".join(f"  {one}_temp_path {where}/{one};\n" for one in TEMPORARY)
    own = {
        DIRECTORY: directory, ROOT: lab.ca.root, "modules/ngx_http_acme_module.so": module,
        "10.0.0.53:53": f"127.0.0.1:{lab.dns_port} ipv6=off", "/var/lib/nginx": where,
        "listen 443": f"listen 127.0.0.1:{lab.tls_port}", "listen 80": f"listen {lab.listen}",
        "accept_terms_of_service;": f"accept_terms_of_service;{more}",
        "http {\n": f"http {{\n  access_log off;\n{folders}",
    }  # fmt: skip
    (where / "nginx.conf").write_text(NGINX.format(where=where) + adapted(text, own))
    return adapted(command, {"/etc/nginx": where})


def version_that_was_said(lab: Lab, client: str) -> str:
    """The version of a client whose name begins so, as it called itself when it made an account."""
    listed = json.loads(lab.ca.dayfly("ca", "account", "list", "--client", client, "--json").stdout)
    return str(listed[-1]["client"].rpartition(" ")[2])
