"""Configuration of the servers that get certificates themselves, as docs/how-to/acme-clients.md has it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ca_world import NAME
from interop.lab import Lab
from interop.programs import DIRECTORY, ROOT, adapted, blocks

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
