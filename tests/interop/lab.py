"""A CA that stock clients talk to, with a name server of its own, and what tests ask it afterwards.

Rules: a client is believed nothing: what it enrolled, renewed or revoked is read from its files, from the wire, or from
the CA; a program for a client to call is written by the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ca_world import CA, NAME, environment, found, free_ports
from dns_peer import FolderZone, dns_server
from interop.programs import DIRECTORY, ROOT

B, C = "b.internal.example", "c.internal.example"
CA_NAME = "ca.internal.example"


@dataclass(frozen=True)
class Lab:
    """A CA whose challenges go to unprivileged ports and to a name server of the test."""

    ca: CA
    tls_port: int
    dns_port: int
    records: Path
    zone: FolderZone
    chaos: bool = False

    @property
    def basics(self) -> dict[str, object]:
        """What every recipe has otherwise here."""
        return {DIRECTORY: self.ca.directory, ROOT: self.ca.root}

    @property
    def by_name(self) -> str:
        """The directory by the CA's name, for clients that do not take an address in a server's certificate."""
        return self.ca.directory.replace("127.0.0.1", CA_NAME)

    @property
    def listen(self) -> str:
        """Where http-01 is answered."""
        return f"127.0.0.1:{self.ca.http_port}"

    def replaced_by(self, serial: int) -> int | None:
        """The serial of the certificate that this one's order named in `replaces` (RFC 9773 5)."""
        rows = self.ca.sql(
            "SELECT old.serial FROM certificates AS new JOIN certificates AS old ON old.id = new.parent_id"
            " WHERE new.serial = ?",
            f"{serial:x}",
        )
        return int(rows[0][0], 16) if rows else None

    def is_revoked(self, serial: int) -> bool:
        """Does the CA say so of a certificate that it knows?"""
        (found,) = (one for one in self.listed() if int(one["serial"]) == serial)
        return found["revoked_at"] is not None

    def listed(self) -> list[dict[str, Any]]:
        """`dayfly ca list --all --json`."""
        found: list[dict[str, Any]] = json.loads(self.ca.dayfly("ca", "list", "--all", "--json").stdout)
        return found

    def eab_key(self) -> tuple[str, str]:
        """The id and the secret of a key that binds one account of the provisioner `bound`."""
        made = json.loads(self.ca.dayfly("ca", "eab", "add", "bound", "--json").stdout)
        return made["id"], made["key"]

    def is_used(self, kid: str) -> bool:
        """Was an account bound by this key?"""
        listed = json.loads(self.ca.dayfly("ca", "eab", "list", "bound", "--json").stdout)
        (found,) = (one for one in listed if one["id"] == kid)
        return bool(found["used"] == 1)

    def at(self, provisioner: str) -> str:
        """The directory of another provisioner."""
        return self.ca.directory.replace("/acme/acme/", f"/acme/{provisioner}/")


@contextlib.contextmanager
def laboratory(where: Path, *, chaos: str = "") -> Iterator[Lab]:
    """A CA and a name server that run; with a table `chaos` it makes what trouble RFC 8555 allows."""
    records = where / "records"
    records.mkdir()
    zone = FolderZone(records, "internal.example", dict.fromkeys((NAME, B, C, CA_NAME), "127.0.0.1"))
    with dns_server(zone) as dns_port:
        ca, (tls_port,) = found(where, *(("--test-only",) if chaos else ())), free_ports(1)
        toml = ca.home / "ca.toml"
        table = f'[validation]\ntls_port = {tls_port}\nresolver = "127.0.0.1:{dns_port}"\n'
        toml.write_text(toml.read_text().replace("[validation]\n", table) + chaos)
        ca.dayfly("ca", "provisioner", "add", "short", "--type", "ACME", "--x509-default-dur", "20s")
        ca.dayfly("ca", "provisioner", "add", "bound", "--type", "ACME", "--require-eab")
        ca.start()
        try:
            yield Lab(ca, tls_port, dns_port, records, zone, bool(chaos))
        finally:
            ca.stop()


def hook(path: Path, script: str) -> Path:
    """A program for a client to call."""
    path.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
    path.chmod(0o755)
    return path


def run(lab: Lab, where: Path, command: list[str], *deeds: str, **variables: str) -> None:
    """Run a program to its end; it must pass."""
    own = {
        "ACME_DIRECTORY": lab.ca.directory, "ACME_ROOT": str(lab.ca.root), "ACME_NAME": NAME, "ACME_LISTEN": lab.listen,
        "PATH": os.environ["PATH"], **variables,
    }  # fmt: skip
    result = subprocess.run(
        [*command, *deeds], cwd=where, env={**environment(where), **own}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
