"""The page about external accounts is run as it stands, against a running CA, with a client that proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ca_world import NAME, running
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "bind-accounts.md"

pytestmark = pytest.mark.timeout(180)


def test_every_command_about_accounts_works_as_written(tmp_path: Path, program: Callable[[str], str]) -> None:
    """A key is required and given, certbot gets its names without a proof; its account is narrowed, and ended."""
    program("certbot")
    text = PAGE.read_text("utf-8").replace("internal-acme", "acme").replace("10.42.0.0/16", "127.0.0.0/8")
    giving, narrowing, asking, bringing, vouching, getting, seeing, ending = scripts(text)
    with running(tmp_path) as ca:
        here = f"export DAYFLY_HOME={ca.home}\n"
        made = shell(here + giving, tmp_path).stdout.splitlines()[1].split()
        assert (made[1], made[3]) == ("acme", "web-team")
        shell(here + asking, tmp_path)
        refused = ca.certificate(NAME, tmp_path, "--json", check=False)
        assert json.loads(refused.stdout)["kind"] == "externalAccountRequired"
        flags = f"--ca-url {ca.url} --root {ca.root} --http-listen 127.0.0.1:{ca.http_port}"
        (tmp_path / "eab.key").touch(mode=0o600)
        (tmp_path / "eab.key").write_text(made[2])
        shell(bringing.replace("7hQ2bX0mT4kVw9Zc", made[0]).strip() + f" {flags}\n", tmp_path)
        assert (tmp_path / "api.crt").is_file()
        (first,) = json.loads(ca.dayfly("ca", "account", "list", "--json").stdout)
        assert first["external_key"] == made[0]
        ca.dayfly("ca", "account", "deactivate", first["id"])
        shell(here + vouching, tmp_path)
        assert (tmp_path / "eab.ini").stat().st_mode & 0o777 == 0o600
        folders = f"--config-dir {tmp_path}/etc --work-dir {tmp_path}/lib --logs-dir {tmp_path}/log"
        own = getting.replace("certbot certonly", f"certbot certonly {folders}")
        own = own.replace("/etc/dayfly/root_ca.crt", str(ca.root))
        own = own.replace("https://ca.internal.example:9000/acme/acme/directory", ca.directory)
        shell(own, tmp_path)
        assert (tmp_path / "etc" / "live" / NAME / "fullchain.pem").is_file()
        (account,) = json.loads(ca.dayfly("ca", "account", "list", "--json").stdout)
        listed = shell(here + seeing, tmp_path).stdout
        assert account["id"] in listed
        assert account["external_key"] in listed
        shell(here + narrowing.replace("00000b1e5f400000", account["id"]), tmp_path)
        (held,) = json.loads(ca.dayfly("ca", "account", "list", "--json").stdout)
        assert (held["scope"]["allow"], held["scope"]["max_lifetime"]) == ([NAME], "8h0m0s")
        own = ending.replace("7hQ2bX0mT4kVw9Zc", made[0]).replace("00000b1e5f400000", account["id"])
        shell(here + own, tmp_path)
        assert json.loads(ca.dayfly("ca", "account", "list", "--json").stdout) == []
        assert ca.verify()["ok"]
