"""Our own clients where an account needs a binding: `ca certificate` and the agent bring one (RFC 8555 7.3.4)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ca_world import CA, NAME, dayfly, running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A running CA whose provisioner `acme` makes accounts with a binding only."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        one.dayfly("ca", "provisioner", "update", "acme", "--require-eab")
        yield one


def key_file(ca: CA, where: Path, *flags: str) -> tuple[str, Path]:
    """A new key: its id, and a file with its secret as an operator writes it."""
    made = json.loads(ca.dayfly("ca", "eab", "add", "acme", "--json", *flags).stdout)
    path = where / "eab.key"
    path.touch(mode=0o600)
    path.write_text(made["key"] + "\n")
    return made["id"], path


def used(ca: CA, kid: str) -> int:
    """How many accounts a key bound."""
    ((document,),) = ca.sql("SELECT document FROM external_keys WHERE kid = ?", kid)
    return int(json.loads(document).get("used", 0))


def agent(ca: CA, where: Path, eab: str = "", *, code: int = 0) -> dict[str, Any]:
    """One pass of an agent with this line in its table `ca`; what it says of its certificate."""
    (where / "agent.toml").write_text(
        f'[ca]\ndirectory = "{ca.directory}"\nroot = "{ca.root}"\n{eab}\n[cert.api]\nnames = ["{NAME}"]\n'
        f'challenge = {{ type = "http-01", listen = "127.0.0.1:{ca.http_port}" }}\n'
    )
    flags = ("--home", str(where / "agent"), "--config", str(where / "agent.toml"))
    said = dayfly("agent", "run", "--once", "--json", *flags, home=where, check=False)
    told = json.loads(said.stdout)
    assert (said.returncode, told["exit"]) == (code, code), said.stderr
    found: dict[str, Any] = told["certificates"][0]
    return found


def test_certificate_is_got_with_a_binding_and_not_without__acme_e1_e2(ca: CA, tmp_path: Path) -> None:
    """Without one the refusal says what to bring; with one it is there, the key is used, its secret nowhere."""
    refused = ca.certificate(NAME, tmp_path, "--json", check=False)
    assert (refused.returncode, json.loads(refused.stdout)["kind"]) == (1, "externalAccountRequired")
    assert "--eab-key-id and --eab-key-file" in refused.stderr
    kid, path = key_file(ca, tmp_path)
    flags = ("--eab-key-id", kid, "--eab-key-file", str(path))
    ca.certificate(NAME, tmp_path, *flags)
    assert used(ca, kid) == 1
    spent = ca.certificate(NAME, tmp_path, "--force", "--json", *flags, check=False)
    assert json.loads(spent.stdout)["kind"] == "unauthorized"
    assert path.read_text().strip() not in spent.stdout + spent.stderr + refused.stdout


def test_agent_brings_a_binding_once_and_asks_again_without_its_file__acme_e2_e6(ca: CA, tmp_path: Path) -> None:
    """Without one it waits as for policy and names the key to set; a changed agent.toml ends that wait at once."""
    told = agent(ca, tmp_path, code=3)
    assert (told["state"], told["code"]) == ("backoff", "external-account-required")
    assert "ca.eab" in json.dumps(told)
    kid, path = key_file(ca, tmp_path)
    line = f'eab = {{ kid = "{kid}", key_file = "{path}" }}'
    assert (agent(ca, tmp_path, line)["generation"], used(ca, kid)) == (1, 1)
    path.unlink()
    shutil.rmtree(tmp_path / "agent" / "certs" / "api")
    assert (agent(ca, tmp_path, line)["code"], used(ca, kid)) == ("", 1)
    assert (tmp_path / "agent" / "certs" / "api" / "current" / "cert.pem").is_file()


def test_agent_says_what_is_wrong_with_its_binding(ca: CA, tmp_path: Path) -> None:
    """A key that the CA does not take is a failure of policy: a person has to give another one."""
    path = tmp_path / "eab.key"
    path.touch(mode=0o600)
    path.write_text("AAAA")
    told = agent(ca, tmp_path, f'eab = {{ kid = "nobody", key_file = "{path}" }}', code=3)
    assert (told["code"], "another external account key" in json.dumps(told)) == ("unauthorized", True)
