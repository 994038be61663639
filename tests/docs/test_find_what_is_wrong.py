"""The page about doctor is run as it stands."""

from __future__ import annotations

import json
from pathlib import Path

from ca_world import dayfly
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "find-what-is-wrong.md"


def test_every_command_of_the_page_works_as_written(tmp_path: Path) -> None:
    """Doctor, its codes, its password, its cure, its JSON, and completion: on a fresh CA, with no problem."""
    (tmp_path / "password").write_text("a password for tests only\n")
    (tmp_path / "password").chmod(0o600)
    home = tmp_path / "dayfly-tutorial"
    dayfly(
        "ca", "init", "--home", str(home), "--name", "Internal CA", "--dns", "ca.internal.example",
        "--address", "127.0.0.1:9000", "--provisioner", "platform-team", "--password-file", str(tmp_path / "password"),
        home=tmp_path,
    )  # fmt: skip
    (home / "secrets/log_key").chmod(0o640)
    plain, explained, deep, fixed, as_json, completion = scripts(PAGE.read_text("utf-8"))
    broken = shell(plain, tmp_path, check=False)
    assert (broken.returncode, "[DF4003]" in broken.stdout) == (1, True)
    assert "The root's key is still on this machine" in shell(explained, tmp_path).stdout
    assert shell(fixed, tmp_path).returncode == 0
    assert "log verifies" in shell(deep, tmp_path).stdout
    assert json.loads(shell(as_json, tmp_path).stdout)["problems"] == 0
    assert shell(completion + "complete -p dayfly", tmp_path).stdout.startswith("complete")
